"""ASK with a model that nobody scripted so: what it says is of a size and a kind of its own."""

import http.server
import json
import threading

import pytest

import harness
from ask import MODEL, ask


class Model:
    """Answers each request with what `answer` makes of it: a status and a text."""

    def __init__(self, answer):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, text = answer(body, self.headers)
                data = text.encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def completion(text):
    return json.dumps({"choices": [{"index": 0, "finish_reason": "stop",
                                    "message": {"role": "assistant", "content": text}}]},
                      ensure_ascii=False)


@pytest.fixture
def asked_of(make_daemon):
    """A daemon whose model answers so."""
    models = []

    def make(answer):
        models.append(Model(answer))
        options = {"agent.base_url": models[-1].url, "agent.model": MODEL, "agent.time": "5s"}
        return make_daemon(options=options).start()

    yield make
    for model in models:
        model.close()


@pytest.mark.parametrize("letter", ["t", "\x7f", "é\x7f\u2028"], ids=["plain", "del", "mixed"])
def test_words_that_grow_out_of_a_line_are_cut(asked_of, letter):
    """DEL is one byte on its way in, and six on its way out."""
    words = letter * (400000 // len(letter.encode()))
    daemon = asked_of(lambda body, headers: (200, completion(words)))
    turn = ask(daemon.client(), "Tell me all.")
    text = turn.ok()["text"]
    assert words.startswith(text) and len(text.encode()) > 100000
    assert letter != "t" or text == words
    assert ask(daemon.client(), None, session=turn.session).ok()["text"] == text


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_the_key_is_told_to_nobody(asked_of, status):
    """A proxy in trouble may say what it was sent."""
    daemon = asked_of(lambda body, headers: (status, "I had " + headers["Authorization"]))
    turn = ask(daemon.client(), "Tell me all.")
    assert "I had Bearer ***" in turn.err("unavailable")["message"]
    said = json.dumps(turn.events) + json.dumps(turn.end.value) + daemon.log()
    assert harness.KEY not in said
