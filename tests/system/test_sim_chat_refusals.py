"""veosim alone: what its scripted model refuses behind chat completions, as Google does: bodies,
the order of messages, keys, and thought signatures."""

import json

import pytest

from chat_alone import (CALL, GOOGLE, LITELLM, MODEL, ROUTES, calls_of, problem, raw_message,
                        result, script, signature_of, sim, tool, user)
from sim_alone import KEY, VEOSIM

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim"]  # fixtures

SKIP = "skip_thought_signature_validator"


ASSISTANT = {"role": "assistant", "content": "Hm."}


def with_call(**changes):
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"},
            "extra_content": {"google": {"thought_signature": SKIP}}}
    return {"role": "assistant", "tool_calls": [{**call, **changes}]}


def two_calls(id="b"):
    message = with_call()
    message["tool_calls"] += with_call(id=id, extra_content={})["tool_calls"]
    return message


SIGNED = {"google": {"thought_signature": "x"}}
ANSWER = {"role": "tool", "tool_call_id": "a", "content": "{}"}

MESSAGES = [
    ("none", [], "contents is not specified"),
    ("only a system message", [{"role": "system", "content": "x"}], "contents is not specified"),
    ("system not first", [user("x"), {"role": "system", "content": "x"}, user("y")],
     "must be the first"),
    ("two systems", [{"role": "system", "content": "x"}] * 2 + [user("y")], "must be the first"),
    ("empty user", [user("")], "must not be empty"),
    ("no content", [{"role": "user"}], "must not be empty"),
    ("empty assistant", [user("x"), {"role": "assistant", "content": None}, user("y")],
     "must not be empty"),
    ("no such role", [{"role": "function", "content": "x"}], "valid role"),
    ("no object", ["7"], "valid role"),
    ("assistant first", [ASSISTANT, user("x")], "immediately after a user turn"),
    ("assistant last", [user("x"), ASSISTANT], "end with a user role"),
    ("unasked result", [user("x"), ANSWER], "immediately after a function call turn"),
    ("result of another call", [user("x"), with_call(), {**ANSWER, "tool_call_id": "A"}],
     "no pending tool call"),
    ("result without id", [user("x"), with_call(), {"role": "tool", "content": "{}"}],
     "no pending tool call"),
    ("result without content", [user("x"), with_call(), {**ANSWER, "content": None}],
     "must not be empty"),
    ("second result", [user("x"), with_call(), ANSWER, ANSWER], "no pending tool call"),
    ("missing result", [user("x"), two_calls(), ANSWER], "number of function response parts"),
    ("no result", [user("x"), with_call()], "end with a user role"),
    ("an id twice", [user("x"), two_calls("a"), ANSWER], "there twice"),
    ("user before the result", [user("x"), with_call(), user("y")],
     "number of function response parts"),
    ("user before a late result", [user("x"), with_call(), user("y"), ANSWER],
     "number of function response parts"),
    ("an id that begins alike", [user("x"), with_call(id="a" * 200 + "b"),
                                 {**ANSWER, "tool_call_id": "a" * 200 + "B"}],
     "no pending tool call"),
    ("model before the result", [user("x"), with_call(), ASSISTANT, user("y")],
     "number of function response parts"),
    ("no id", [user("x"), with_call(id=""), ANSWER], "is missing"),
    ("no type", [user("x"), with_call(type=None), ANSWER], "is missing"),
    ("no name", [user("x"), with_call(function={"arguments": "{}"}), ANSWER], "is missing"),
    ("arguments as an object", [user("x"), with_call(function={"name": "f", "arguments": {}}),
                                ANSWER], "arguments"),
    ("no arguments", [user("x"), with_call(function={"name": "f"}), ANSWER], "arguments"),
    ("no signature", [user("x"), with_call(extra_content={}), ANSWER],
     "missing a thought_signature"),
    ("no good signature", [user("x"), with_call(extra_content=SIGNED), ANSWER], "not valid"),
    ("bad script", [user("[model: [{]")], "bad [model: …]: no JSON"),
    ("script's member", [user(script({"sing": 1}))], 'bad member "sing"'),
    ("script's step", [user(script({"tokens": 1}))], "does nothing"),
    ("script's status", [user(script({"status": 200}))], "status is"),
    ("script's errors", [user(script({"say": "x", "errors": [{}]}))], "errors"),
    ("script's shape", [user("[model: {\"a\":[]}]")], "not an array of steps"),
]


@pytest.mark.parametrize("messages,words", [row[1:] for row in MESSAGES],
                         ids=[row[0] for row in MESSAGES])
def test_refuses_messages(sim, messages, words):
    answer = sim.ask(messages)
    assert answer.status == 400 and words in problem(answer)["message"]
    assert problem(answer)["status"] == "INVALID_ARGUMENT"
    assert sim.stats()["chat_refused"] == 1
    assert words in sim.chats()[0]["answer"][0]["error"]["message"]


BODIES = [
    ("no messages", {"messages": None}, 400, "messages is not specified"),
    ("no model", {"model": None}, 400, "model is not specified"),
    ("unknown", {"store": True}, 400, 'Unknown name "store": Cannot find field'),
    ("temperature's range", {"temperature": 2.5}, 400, "temperature"),
    ("temperature's type", {"temperature": "0.7"}, 400, "temperature"),
    ("temperature", {"temperature": 0.7, "model": "gemini-4-argon"}, 400, "isn't supported"),
    ("top_p", {"top_p": 0.7, "model": "gemini-4-argon"}, 400, "isn't supported"),
    ("max_tokens", {"max_tokens": 0}, 400, "max_tokens"),
    ("tool_choice", {"tool_choice": "maybe"}, 400, "tool_choice"),
    ("tools", {"tools": {}}, 400, "tools"),
    ("tool's type", {"tools": [{"function": {"name": "f"}}]}, 400, "type"),
    ("long name", {"tools": [tool("f" * 129)]}, 400, "Invalid function name"),
    ("odd name", {"tools": [tool("f g")]}, 400, "Invalid function name"),
    ("digit first", {"tools": [tool("1f")]}, 400, "Invalid function name"),
    ("no name", {"tools": [tool("")]}, 400, "Invalid function name"),
    ("twice", {"tools": [tool("f"), tool("f")]}, 400, "Duplicate function declaration"),
    ("schema", {"tools": [tool("f", {"type": "string"})]}, 400, "type OBJECT"),
    ("schema's type", {"tools": [tool("f", "{}")]}, 400, "type OBJECT"),
    ("gone", {"model": "gemini-1.5-flash"}, 404, "is not found for API version"),
    ("gone as well", {"model": "gemini-2.0-flash"}, 404, "is not found for API version"),
    ("unknown model", {"model": "gpt-4o"}, 404, "is not found for API version"),
    ("a model for video", {"model": "gemini-omni-1.1-flash"}, 400, "only supports Interactions"),
]


@pytest.mark.parametrize("members,status,words", [row[1:] for row in BODIES],
                         ids=[row[0] for row in BODIES])
def test_refuses_bodies(sim, members, status, words):
    body = {"model": MODEL, "messages": [user("x")], **members}
    answer = sim.post({name: value for name, value in body.items() if value is not None})
    assert answer.status == status and words in problem(answer)["message"]
    assert sim.stats()["chat_refused"] == 1 and sim.stats()["chat_requests"] == 1


def test_refuses_what_is_no_json(sim):
    assert "JSON" in problem(sim.post("{"))["message"]
    assert "JSON" in problem(sim.post("[]"))["message"]
    assert len(sim.chats()) == 2


def test_takes(sim):
    for members in ({"model": "gemini-flash-latest"}, {"model": "scripted"},
                    {"model": "models/gemini-3.8-flash"},
                    {"temperature": 0.7, "max_tokens": 1000},
                    {"temperature": None, "tools": None, "tool_choice": None},
                    {"tool_choice": {"type": "function",
                                     "function": {"name": "check_video_status"}}},
                    {"tools": [tool("f" * 128), tool("_a.b:c-d")]}):
        assert sim.ask([user("Hello")], **members).status == 200
    assert sim.ask([user("Hello")], LITELLM, model="gemini/gemini-3.8-flash",
                   store=True).status == 200


def test_keys(sim):
    body = {"model": MODEL, "messages": [user("Hello")]}
    for path in ROUTES:
        before = sim.stats()["keys"]
        assert sim.post(body, path).status == 200
        missing = sim.post(body, path, {})
        wrong = sim.post(body, path, {"Authorization": "Bearer no"})
        assert missing.status == wrong.status == (400 if path == GOOGLE else 401)
        after = sim.stats()["keys"]
        for name in ("header_ok", "missing", "wrong"):
            assert after[name] - before[name] == 1
    answer = sim.post(body, headers={"x-goog-api-key": KEY})
    assert "Authorization header" in problem(answer)["message"]
    assert sim.stats()["chat_refused"] == 7


# Signatures


@pytest.mark.parametrize("path", [GOOGLE, LITELLM])
@pytest.mark.parametrize("change", [
    lambda text: text[:-8] + ("A" if text[-8] != "A" else "B") + text[-7:], lambda text: text + "=",
    lambda text: text[:-1], lambda text: text.replace("+", " ", 1), lambda text: ""])
def test_refuses_altered_signatures(sim, path, change):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages, path)
    old = signature_of(path, calls_of(first)[0])
    raw = raw_message(first).replace(old, change(old))
    changed = json.loads(raw)["tool_calls"][0]
    answer = sim.ask(messages + [raw, result(changed)], path)
    assert answer.status == 400 and "Thought signature is not valid" in problem(answer)["message"]


def test_refuses_unsigned_ids(sim):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages, LITELLM)
    raw = raw_message(first).replace(calls_of(first)[0]["id"], "call_1")
    answer = sim.ask(messages + [raw, {**ANSWER, "tool_call_id": "call_1"}], LITELLM)
    assert answer.status == 400 and "missing a thought_signature" in problem(answer)["message"]


def test_refuses_signatures_of_another_model(sim):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages)
    messages += [raw_message(first), result(calls_of(first)[0])]
    assert sim.ask(messages).status == 200
    assert "not valid" in problem(sim.ask(messages, model="gemini-3.6-flash"))["message"]


@pytest.mark.parametrize("path", [GOOGLE, LITELLM])
def test_refuses_signatures_of_another_function(sim, path):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages, path)
    raw = raw_message(first).replace(f'"name":"{CALL["name"]}"', '"name":"other"')
    assert raw != raw_message(first)
    answer = sim.ask(messages + [raw, result(calls_of(first)[0])], path)
    assert answer.status == 400 and "not valid" in problem(answer)["message"]


def test_older_models_want_no_signatures(sim):
    messages = [user("x"), with_call(extra_content={}), ANSWER]
    assert sim.ask(messages, model="gemini-2.5-flash").status == 200


def test_counts_skipped_signatures(sim):
    assert sim.ask([user("x"), with_call(), ANSWER]).status == 200
    assert sim.stats()["chat_unsigned"] == 1


@pytest.mark.parametrize("path", [GOOGLE, LITELLM])
def test_counts_altered_messages(sim, path):
    messages = [user(script({"calls": [CALL]}))]
    first = sim.ask(messages, path)
    rest = [result(calls_of(first)[0])]
    raw = raw_message(first)
    for same in (json.dumps(json.loads(raw)), raw.replace(" ", "", 1), raw.replace("1.0e0", "1.0"),
                 raw.replace("\n", ""), raw[:-1] + " }"):
        assert sim.ask(messages + [same] + rest, path).status == 200
    assert sim.stats()["chat_altered"] == 5
    assert sim.ask(messages + [raw] + rest, path).status == 200
    assert sim.stats()["chat_altered"] == 5
    assert [chat["altered"] for chat in sim.chats()] == [0, 1, 1, 1, 1, 1, 0]
