"""What the tests of veosim's scripted model are written with."""

import json

import pytest

from sim_alone import KEY, Sim

MODEL = "gemini-3.8-flash"
GOOGLE = "/v1beta/openai/chat/completions"
LITELLM = "/v1/chat/completions"
ROUTES = [GOOGLE, LITELLM, "/chat/completions"]


def tool(name, parameters=None):
    return {"type": "function", "function": {"name": name, "description": "does it", "parameters":
            {"type": "object", "properties": {}} if parameters is None else parameters}}


TOOLS = [tool(name) for name in ("generate_video_from_text", "generate_video_from_image",
                                 "check_video_status")]
CALL = {"name": "check_video_status", "arguments": {"operation_name": "x"}}


def script(*steps, text="Do it."):
    return f"{text} [model: {json.dumps(steps)}]"


def user(text):
    return {"role": "user", "content": text}


def result(call, **members):
    return {"role": "tool", "tool_call_id": call["id"], "content": json.dumps(members)}


class Chat(Sim):
    """With one way to send a body, and one to carry on a conversation byte for byte."""

    def post(self, body, path=GOOGLE, headers=None):
        headers = {"Authorization": f"Bearer {KEY}"} if headers is None else headers
        return self.call("POST", path, body, headers, key=None)

    def ask(self, messages, path=GOOGLE, **members):
        """`messages` are JSON texts or objects; a text goes as it is."""
        texts = [message if isinstance(message, str) else json.dumps(message)
                 for message in messages]
        rest = json.dumps({"model": MODEL, "tools": TOOLS, **members})
        return self.post(f'{{"messages":[{",".join(texts)}],{rest[1:]}', path)

    def chats(self, query=""):
        return self.control("GET", "/__chats" + query)


def choice(answer):
    assert answer.status == 200, answer.body
    return answer.json["choices"][0]


def said(answer):
    return choice(answer)["message"]["content"]


def raw_message(answer):
    """The message as it came."""
    text = answer.body.decode()
    begin = text.index('"message":') + len('"message":')
    _, end = json.JSONDecoder().raw_decode(text, begin)
    return text[begin:end]


def calls_of(answer):
    return choice(answer)["message"]["tool_calls"]


def problem(answer):
    """The error, in whichever shape."""
    value = answer.json
    return (value[0] if isinstance(value, list) else value)["error"]


def signature_of(path, call):
    if path == GOOGLE:
        return call["extra_content"]["google"]["thought_signature"]
    return call["id"].split("__thought__")[1]


@pytest.fixture
def sim(tmp_path):
    sim = Chat(tmp_path, "--key", KEY)
    yield sim
    assert sim.stop() == 0
