"""veosim alone: the scripted model behind chat completions, as Google's endpoint and a LiteLLM
proxy serve it."""

import http.client
import json
import re
import threading

import pytest

from sim_alone import KEY, PATIENCE, VEOSIM, Sim, start

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["start"]  # fixtures

MODEL = "gemini-3.8-flash"
GOOGLE = "/v1beta/openai/chat/completions"
LITELLM = "/v1/chat/completions"
ROUTES = [GOOGLE, LITELLM, "/chat/completions"]
SKIP = "skip_thought_signature_validator"


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


@pytest.fixture
def sim(tmp_path):
    sim = Chat(tmp_path, "--key", KEY)
    yield sim
    assert sim.stop() == 0


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


def test_a_conversation_survives_a_restart(start, tmp_path):
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
    assert said(sim.ask([user(script({"say": "x", "delay": "20ms"}))])) == "x"


def test_errors_come_first_and_are_no_steps(sim):
    errors = [{"status": 429, "retry_after": 3, "times": 2}, {"status": 503, "message": "Later."},
              {"reset": True}, {"stall": "20ms"}, {"empty": True}]
    messages = [user(script({"errors": errors, "say": "Now."}, {"say": "not yet"}))]
    for _ in range(2):
        answer = sim.ask(messages)
        assert answer.status == 429 and answer.headers["Retry-After"] == "3"
        assert problem(answer)["status"] == "RESOURCE_EXHAUSTED"
    assert problem(sim.ask(messages))["message"] == "Later."
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sim.ask(messages)
    assert said(sim.ask(messages)) == "Now."  # after a while
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


# Refusals


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
