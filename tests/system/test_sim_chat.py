"""veosim alone: the scripted model behind chat completions, as Google's endpoint and a LiteLLM
proxy serve it."""

import http.client
import json
import re
import threading
import time

import pytest

from chat_alone import (CALL, GOOGLE, LITELLM, MODEL, ROUTES, TOOLS, Chat, calls_of, choice,
                        problem, raw_message, result, said, script, signature_of, sim, tool, user)
from sim_alone import KEY, PATIENCE, VEOSIM

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim"]  # fixtures


# Answers


@pytest.mark.parametrize("path", ROUTES)
def test_says(sim, path):
    answer = sim.ask([user(script({"say": "Good evening."}))], path)
    assert set(answer.json) == {"id", "object", "created", "model", "choices", "usage"}
    assert answer.json["object"] == "chat.completion" and answer.json["model"] == MODEL
    assert choice(answer)["finish_reason"] == "stop" and choice(answer)["index"] == 0
    assert choice(answer)["message"]["role"] == "assistant"
    assert said(answer) == "Good evening."
    usage = answer.json["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0


@pytest.mark.parametrize("path", ROUTES)
def test_calls_and_goes_on(sim, path):
    messages = [{"role": "system", "content": "You are."},
                user(script({"calls": [CALL, CALL], "text": "Let me see."},
                            {"calls": [CALL]}, {"say": "There:", "say_results": True}))]
    first = sim.ask(messages, path)
    assert choice(first)["finish_reason"] == "tool_calls" and said(first) == "Let me see."
    one, two = calls_of(first)
    assert one["type"] == "function" and one["id"] != two["id"]
    assert one["function"] == {"name": CALL["name"], "arguments": '{"operation_name": "x"}'}
    signature = signature_of(path, one)
    assert all(letter in signature for letter in "+/=") and len(signature) > 100
    assert "extra_content" not in two and "__thought__" not in two["id"]
    # In any order.
    messages += [raw_message(first), result(two, success=True, video_uri="http://two"),
                 result(one, success=False, error="filtered")]
    second = sim.ask(messages, path)
    assert len(calls_of(second)) == 1 and signature_of(path, calls_of(second)[0]) != signature
    messages += [raw_message(second), result(calls_of(second)[0], status="completed")]
    text = said(sim.ask(messages, path))
    assert text.startswith("There: ")
    for part in ("video_uri: http://two", "error: filtered", "success: false", "completed"):
        assert part in text
    assert sim.stats()["chat_altered"] == 0 and sim.stats()["chat_refused"] == 0


def test_the_shapes_differ(sim):
    messages = [user(script({"calls": [CALL]}))]
    google, litellm = calls_of(sim.ask(messages))[0], calls_of(sim.ask(messages, LITELLM))[0]
    assert "__thought__" not in google["id"] and "extra_content" not in litellm
    assert isinstance(sim.ask([]).json, list)
    error = sim.ask([], LITELLM).json["error"]
    assert error["code"] == "400" and set(error) == {"message", "type", "param", "code"}


def test_past_the_end(sim):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages)
    messages += [raw_message(first), result(calls_of(first)[0], success=True, status="running")]
    assert said(sim.ask(messages)) == "Done. check_video_status, success: true, status: running"
    assert said(sim.ask([user(script())])) == "Done."


def test_a_conversation_survives_a_restart(tmp_path):
    directory = [tmp_path / "a", tmp_path / "b"]
    for path in directory:
        path.mkdir()
    messages = [user(script({"calls": [CALL]}, {"say": "Still here."}))]
    before = Chat(directory[0])
    first = before.ask(messages)
    before.stop()
    after = Chat(directory[1])
    messages += [raw_message(first), result(calls_of(first)[0])]
    assert said(after.ask(messages)) == "Still here."
    assert after.stats()["chat_altered"] == 0
    after.stop()


def test_several_turns(sim):
    messages = [user(script({"calls": [CALL]}, {"say": "One."}))]
    first = sim.ask(messages)
    messages += [raw_message(first), result(calls_of(first)[0], success=True)]
    messages += [raw_message(sim.ask(messages)), user(script({"say": "Two."}))]
    second = sim.ask(messages)
    assert said(second) == "Two."
    messages += [raw_message(second), user("Thanks!")]
    assert "welcome" in said(sim.ask(messages))


def test_for_ever(sim):
    messages = [user(script({"say": "Well."}, {"repeat": True, "calls": [CALL]}))]
    messages += [raw_message(sim.ask(messages))]
    # The text ended the turn; it was no end for the model.
    assert sim.ask(messages).status == 400
    messages = [user(script({"repeat": True, "calls": [CALL]}, {"say": "never"}))]
    for _ in range(5):
        answer = sim.ask(messages)
        messages += [raw_message(answer), result(calls_of(answer)[0])]
    # Until it may not call any more.
    assert said(sim.ask(messages, tool_choice="none")).startswith("Done. check_video_status")


def test_odd_steps(sim):
    cut = choice(sim.ask([user(script({"say": "It beg", "finish": "length"}))]))
    assert cut["finish_reason"] == "length" and cut["message"]["content"] == "It beg"
    for path in ROUTES:
        empty = choice(sim.ask([user(script({"empty": True}))], path))
        assert not empty["message"].get("content") and "tool_calls" not in empty["message"]
        assert empty["finish_reason"] == "stop"
        refused = choice(sim.ask([user(script({"refuse": "No."}))], path))
        assert refused["message"]["content"] is None and refused["message"]["refusal"] == "No."
        assert refused["finish_reason"] == "content_filter"
    answer = sim.ask([user(script({"malformed": '{"choices":'}))])
    assert answer.status == 200 and answer.body == b'{"choices":'
    usage = sim.ask([user(script({"say": "x", "tokens": 50000}))]).json["usage"]
    assert usage["total_tokens"] == 50000
    call = calls_of(sim.ask([user(script({"calls": [{"name": "not_offered", "arguments": "{oops",
                                                     "id": "odd id"}]}))]))[0]
    assert call["id"] == "odd id" and call["function"] == {"name": "not_offered",
                                                            "arguments": "{oops"}


def test_delay(sim):
    begun = time.monotonic()
    assert said(sim.ask([user(script({"say": "x", "delay": "100ms"}))])) == "x"
    assert time.monotonic() - begun >= 0.1


def test_errors_come_first_and_are_no_steps(sim):
    errors = [{"status": 429, "retry_after": 3, "times": 2}, {"status": 503, "message": "Later."},
              {"reset": True}, {"stall": "100ms"}, {"empty": True}]
    messages = [user(script({"errors": errors, "say": "Now."}, {"say": "not yet"}))]
    for _ in range(2):
        answer = sim.ask(messages)
        assert answer.status == 429 and answer.headers["Retry-After"] == "3"
        assert problem(answer)["status"] == "RESOURCE_EXHAUSTED"
    assert problem(sim.ask(messages))["message"] == "Later."
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sim.ask(messages)
    begun = time.monotonic()
    assert said(sim.ask(messages)) == "Now." and time.monotonic() - begun >= 0.1
    assert "content" not in choice(sim.ask(messages))["message"]
    assert said(sim.ask(messages)) == "Now."
    assert sim.stats()["chat_refused"] == 0


def test_error_shapes(sim):
    step = {"status": 429, "retry_info": "2s"}
    error = problem(sim.ask([user(script(step))]))
    assert error["code"] == 429
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"} in \
        error["details"]
    assert problem(sim.ask([user(script(step))], LITELLM))["code"] == "429"


def test_content_in_parts(sim):
    parts = [{"type": "text", "text": text} for text in ("Please.", script({"calls": [CALL]}))]
    messages = [{"role": "user", "content": parts}]
    first = sim.ask(messages)
    answer = {**result(calls_of(first)[0]), "content": [{"type": "text", "text": '{"error":"e"}'}]}
    assert "error: e" in said(sim.ask(messages + [raw_message(first), answer]))


def test_script_among_brackets(sim):
    steps = json.dumps([{"say": "a ] b"}])
    assert said(sim.ask([user(f"[x] [model:{steps}] and [more] ]")])) == "a ] b"


# The mind of its own


DEFAULTS = [
    ("A cat on a roof", "generate_video_from_text", {"prompt": "A cat on a roof"}),
    ("A cat for Instagram", "generate_video_from_text",
     {"prompt": "A cat for Instagram", "aspect_ratio": "9:16"}),
    ("Animate ./images/cup.JPG, with steam", "generate_video_from_image",
     {"prompt": "Animate ./images/cup.JPG, with steam", "image_path": "./images/cup.JPG"}),
    ("What of models/veo/operations/abc?", "check_video_status",
     {"operation_name": "models/veo/operations/abc"}),
    ("Is 01JD0000000000000000000ABC done?", "check_video_status",
     {"operation_name": "01JD0000000000000000000ABC"}),
]


@pytest.mark.parametrize("text,name,arguments", DEFAULTS)
def test_default(sim, text, name, arguments):
    messages = [user(text)]
    first = sim.ask(messages)
    call = calls_of(first)[0]
    assert call["function"]["name"] == name
    assert json.loads(call["function"]["arguments"]) == arguments
    messages += [raw_message(first)]
    good = result(call, success=True, status="completed", video_uri="/videos/1.mp4")
    assert "/videos/1.mp4" in said(sim.ask(messages + [good]))
    bad = said(sim.ask(messages + [result(call, success=False, error="it was filtered")]))
    assert "it was filtered" in bad and "alternative" in bad


def test_default_without_tools(sim):
    assert "no tools" in said(sim.ask([user("A cat")], tools=[]))
    assert "no tools" in said(sim.ask([user("A cat")], tool_choice="none"))
    assert "welcome" in said(sim.ask([user("Hello there")]))
    assert "None of my tools" in said(sim.ask([user("A cat")], tools=[tool("cook")]))


def test_default_finds_prefixed_tools(sim):
    call = calls_of(sim.ask([user("A cat")], tools=[tool("veod_generate_video_from_text")]))[0]
    assert call["function"]["name"] == "veod_generate_video_from_text"


# What was seen, and what goes wrong


def test_chats(sim):
    messages = [{"role": "system", "content": "You are."}, user("Hello one")]
    sim.ask(messages, temperature=0.7, max_tokens=1000)
    sim.ask([user("Hello two")], LITELLM)
    one, two = sim.chats()
    assert one["route"] == "google" and two["route"] == "litellm" and two["path"] == LITELLM
    assert one["model"] == MODEL and one["temperature"] == 0.7 and one["max_tokens"] == 1000
    assert "temperature" not in two and "max_tokens" not in two
    assert one["count"] == 2 and one["last_role"] == "user" and one["messages"] == messages
    assert one["tools"] == [each["function"]["name"] for each in TOOLS]
    assert one["status"] == 200 and one["prompt"] == "Hello one"
    assert sim.chats("?prompt=two") == [two] == sim.chats("?limit=1")
    assert sim.stats()["chat_requests"] == 2
    sim.control("POST", "/__reset")
    assert sim.chats() == [] and sim.stats()["chat_requests"] == 0


def test_chats_are_bounded(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
    for number in range(2005):
        body = json.dumps({"model": MODEL, "messages": [user(f"Hello {number}")]})
        connection.request("POST", GOOGLE, body, {"Authorization": f"Bearer {KEY}",
                                                  "Content-Type": "application/json"})
        assert connection.getresponse().read()
    connection.close()
    chats = sim.chats()
    assert len(chats) == 2000 and chats[0]["prompt"] == "Hello 5"
    assert sim.stats()["chat_requests"] == 2005


def test_counts_those_under_way(sim):
    body = [user(script({"say": "x", "delay": "1h"}))]
    failures = []

    def ask():
        try:
            sim.ask(body)
        except (OSError, http.client.HTTPException) as error:
            failures.append(error)

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    while sim.stats()["chat_now"] < 3:
        assert not failures
    assert sim.stats()["chat_now_max"] == 3
    sim.ask([user("Hello")])
    stats = sim.stats()
    assert stats["chat_now"] == 3 and stats["chat_now_max"] == 4


def test_rules(sim):
    body = [user("Hello ruled")]
    sim.rules({"on": "chat", "do": "status", "status": 429, "retry_info": "1s", "times": 1})
    assert problem(sim.ask(body))["status"] == "RESOURCE_EXHAUSTED"
    assert "welcome" in said(sim.ask(body))
    sim.rules({"on": "chat", "do": "status", "status": 503, "match": "ruled"})
    assert sim.ask(body, LITELLM).status == 503 and sim.ask([user("Hello")]).status == 200
    for kind in ("reset-before", "reset-after"):
        sim.rules({"on": "chat", "do": kind, "times": 1})
        with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
            sim.ask(body)
        assert sim.ask(body).status == 200
    sim.rules({"on": "chat", "do": "wrong-type", "times": 1})
    assert sim.ask(body).json["choices"] == {"message": "none"}
    sim.rules({"on": "chat", "do": "garbage", "times": 1})
    assert not sim.ask(body).body.startswith(b'{"')
    sim.rules({"on": "chat", "do": "stall", "seconds": 0.02, "times": 1})
    assert sim.ask(body).status == 200
    assert sim.stats()["chat_refused"] == 0


def events(answer):
    assert answer.headers["Content-Type"] == "text/event-stream"
    parts = re.findall(rb"data: (.*)\n\n", answer.body)
    assert b"".join(b"data: %s\n\n" % part for part in parts) == answer.body
    assert parts[-1] == b"[DONE]"
    return [json.loads(part) for part in parts[:-1]]


@pytest.mark.parametrize("path", ROUTES)
def test_streams(sim, path):
    messages = [user(script({"calls": [CALL, CALL], "text": "So."}, {"say": "Done."}))]
    chunks = events(sim.ask(messages, path, stream=True, stream_options={"include_usage": True}))
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    delta = chunks[0]["choices"][0]["delta"]
    assert delta["content"] == "So." and [call["index"] for call in delta["tool_calls"]] == [0, 1]
    assert chunks[0]["choices"][0]["finish_reason"] is None
    assert chunks[1]["choices"][0]["finish_reason"] == "tool_calls"
    assert chunks[2]["choices"] == [] and chunks[2]["usage"]["total_tokens"] > 0
    calls = [{name: value for name, value in call.items() if name != "index"}
             for call in delta["tool_calls"]]
    message = {"role": "assistant", "content": "So.", "tool_calls": calls}
    last = events(sim.ask(messages + [message] + [result(call) for call in calls], path,
                          stream=True))
    assert last[0]["choices"][0]["delta"]["content"] == "Done." and len(last) == 2
