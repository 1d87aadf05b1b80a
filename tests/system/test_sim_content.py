"""veosim alone: the scripted model behind generateContent, Google's own way to talk to one."""

import http.client
import json
import re

import pytest

from sim_alone import KEY, VEOSIM, Sim

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

MODEL = "gemini-3.8-flash"
SCHEMA = {"type": "OBJECT", "properties": {"prompt": {"type": "STRING"}}}
TOOLS = [{"functionDeclarations": [{"name": name, "description": "does it", "parameters": SCHEMA}
                                   for name in ("generate_video_from_text", "check_video_status")]}]
CALL = {"name": "check_video_status", "arguments": {"operation_name": "x"}}
SKIP = "skip_thought_signature_validator"


def script(*steps):
    return f"Do it. [model: {json.dumps(steps)}]"


def user(*texts):
    return {"role": "user", "parts": [{"text": text} for text in texts]}


def responses(*parts):
    return {"role": "user", "parts": [{"functionResponse": part} for part in parts]}


def response(call, **members):
    return {"id": call["id"], "name": call["name"], "response": members}


class Content(Sim):
    def ask(self, contents, model=MODEL, method="generateContent", headers=None, key=KEY,
            **members):
        body = {"contents": contents, "tools": TOOLS, **members}
        body = {name: value for name, value in body.items() if value is not None}
        return self.call("POST", f"/v1beta/models/{model}:{method}", body, headers, key=key)

    def chats(self):
        return self.control("GET", "/__chats")


@pytest.fixture
def sim(tmp_path):
    sim = Content(tmp_path, "--key", KEY)
    yield sim
    assert sim.stop() == 0


def candidate(answer):
    assert answer.status == 200, answer.body
    return answer.json["candidates"][0]


def content_of(answer):
    return candidate(answer)["content"]


def said(answer):
    return "".join(part.get("text", "") for part in content_of(answer)["parts"])


def calls_of(answer):
    return [part["functionCall"] for part in content_of(answer)["parts"] if "functionCall" in part]


def test_says(sim):
    answer = sim.ask([user(script({"say": "Good evening.", "tokens": 500}))])
    assert said(answer) == "Good evening." and candidate(answer)["finishReason"] == "STOP"
    assert content_of(answer)["role"] == "model" and answer.json["modelVersion"] == MODEL
    assert answer.json["usageMetadata"]["totalTokenCount"] == 500


def test_calls_and_goes_on(sim):
    contents = [user("Please.", script({"calls": [CALL, CALL], "text": "So."}, {"calls": [CALL]},
                                       {"say_results": True}))]
    first = sim.ask(contents, systemInstruction={"parts": [{"text": "You are."}]})
    assert said(first) == "So." and candidate(first)["finishReason"] == "STOP"
    one, two = calls_of(first)
    assert one["args"] == {"operation_name": "x"} and one["id"] != two["id"]
    text, signed, unsigned = content_of(first)["parts"]
    assert "thoughtSignature" in signed and "thoughtSignature" not in unsigned
    answers = responses(response(two, video_uri="/2"), response(one, error="no"))
    contents += [content_of(first), answers]
    second = sim.ask(contents)
    contents += [content_of(second), responses(response(calls_of(second)[0], status="done"))]
    text = said(sim.ask(contents))
    assert "video_uri: /2" in text and "error: no" in text and "status: done" in text
    assert sim.stats()["chat_refused"] == 0
    assert [chat["last_role"] for chat in sim.chats()] == ["user", "tool", "tool"]


RESPONSES = [{"output": '{"status":"done"}'}, {"content": '{"status":"done"}'}, {"status": "done"},
             {"output": [{"text": '{"status":"done"}'}]},
             {"output": [{"json": {"status": "done"}}]}, {"result": {"status": "done"}}]


@pytest.mark.parametrize("members", RESPONSES)
def test_unwraps_responses(sim, members):
    contents = [user("Is models/veo/operations/1 done?")]
    first = sim.ask(contents)
    assert calls_of(first)[0]["args"] == {"operation_name": "models/veo/operations/1"}
    contents += [content_of(first), responses(response(calls_of(first)[0], **members))]
    assert said(sim.ask(contents)).startswith("check_video_status, status: done.")


def test_either_spelling(sim):
    schema = {"type": "object", "properties": {"prompt": {"type": "string", "min_length": 1}}}
    members = {
        "tools": [{"function_declarations": [{"name": "f", "parameters_json_schema": {
            "type": "object", "additionalProperties": False, "$schema": "x"}},
            {"name": "g", "parameters": schema}]}],
        "system_instruction": {"parts": [{"text": "You are."}]},
        "generationConfig": {"max_output_tokens": 10, "temperature": 1, "topK": 3},
        "safety_settings": [], "tool_config": {"function_calling_config": {"mode": "AUTO"}}}
    contents = [user("x"), {"role": "model", "parts": [{"function_call": {"name": "f", "args": {}},
                                                        "thought_signature": SKIP}]},
                {"parts": [{"function_response": {"name": "f", "response": {}}}]}]
    assert sim.ask(contents, **members).status == 200
    chat = sim.chats()[0]
    assert chat["max_tokens"] == 10 and chat["temperature"] == 1 and chat["route"] == "content"
    assert chat["tools"] == ["f", "g"] and chat["messages"] == contents
    assert sim.stats()["chat_unsigned"] == 1


def test_odd_steps(sim):
    assert candidate(sim.ask([user(script({"say": "x", "finish": "length"}))]))["finishReason"] == \
        "MAX_TOKENS"
    assert content_of(sim.ask([user(script({"empty": True}))])) == {"role": "model"}
    refused = sim.ask([user(script({"refuse": "No."}))]).json
    assert refused["promptFeedback"] == {"blockReason": "PROHIBITED_CONTENT"}
    assert "candidates" not in refused
    malformed = candidate(sim.ask([user(script({"calls": [{"name": "f", "arguments": "{oops"}]}))]))
    assert malformed["finishReason"] == "MALFORMED_FUNCTION_CALL"
    assert malformed["content"] == {"role": "model"}
    assert sim.ask([user(script({"malformed": "<"}))]).body == b"<"
    config = {"functionCallingConfig": {"mode": "NONE"}}
    assert said(sim.ask([user(script({"calls": [CALL]}))], toolConfig=config)) == "Done."


def test_errors(sim):
    errors = [{"status": 429, "retry_info": "2s"}, {"reset": True}]
    contents = [user(script({"errors": errors, "say": "Now."}))]
    answer = sim.ask(contents)
    assert answer.error["code"] == 429 and answer.error["status"] == "RESOURCE_EXHAUSTED"
    assert answer.error["details"][-1]["retryDelay"] == "2s"
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        sim.ask(contents)
    assert said(sim.ask(contents)) == "Now."
    sim.rules({"on": "chat", "do": "status", "status": 503})
    assert sim.ask(contents).status == 503


def test_streams(sim):
    contents = [user(script({"calls": [CALL], "text": "So."}, {"say": "There."}))]
    for path in ("streamGenerateContent?alt=sse", "streamGenerateContent"):
        answer = sim.ask(contents, method=path)
        if "sse" in path:
            assert answer.headers["Content-Type"] == "text/event-stream"
            parts = [json.loads(part) for part in re.findall(rb"data: (.*)\r\n\r\n", answer.body)]
        else:
            parts = answer.json
        assert len(parts) == 2 and "finishReason" not in parts[0]["candidates"][0]
        assert parts[1]["candidates"][0]["finishReason"] == "STOP"
        content = parts[0]["candidates"][0]["content"]
        call = content["parts"][1]["functionCall"]
        assert said(sim.ask(contents + [content, responses(response(call))])) == "There."


def test_keys(sim):
    contents = [user("Hello")]
    assert sim.ask(contents).status == 200
    assert sim.ask(contents, method=f"generateContent?key={KEY}", key=None).status == 200
    assert sim.ask(contents, key=None).status == 403 and sim.ask(contents, key="no").status == 400
    bearer = {"Authorization": f"Bearer {KEY}"}
    assert sim.ask(contents, key=None, headers=bearer).status == 403
    assert sim.stats()["chat_refused"] == 3


def test_models_for_video_have_no_words(sim):
    answer = sim.ask([user("x")], model="gemini-omni-1.1-flash")
    assert answer.status == 400 and "only supports Interactions API" in answer.error["message"]
    answer = sim.ask([user("x")], model="veo-3.1-generate-preview")
    assert answer.status == 404 and "not supported for generateContent" in answer.error["message"]


def call_part(signature=SKIP, **changes):
    part = {"functionCall": {"name": "f", "args": {}, **changes}}
    return part if signature is None else {**part, "thoughtSignature": signature}


def model(*parts):
    return {"role": "model", "parts": list(parts)}


ANSWER = {"name": "f", "response": {}}

CONTENTS = [
    ("none", [], "contents is not specified"),
    ("no array", {}, "contents is not specified"),
    ("no parts", [{"role": "user"}], "parts must not be empty"),
    ("empty parts", [{"role": "user", "parts": []}], "parts must not be empty"),
    ("empty text", [user("")], "required oneof field 'data'"),
    ("empty part", [{"role": "user", "parts": [{}]}], "required oneof field 'data'"),
    ("a part's member", [{"role": "user", "parts": [{"txt": "x"}]}], 'Unknown name "txt"'),
    ("a content's member", [{**user("x"), "name": "y"}], 'Unknown name "name"'),
    ("role", [{"role": "assistant", "parts": [{"text": "x"}]}], "valid role"),
    ("model first", [model({"text": "x"}), user("x")], "immediately after a user turn"),
    ("model last", [user("x"), model({"text": "x"})], "end with a user role"),
    ("user's call", [{"role": "user", "parts": [call_part()]}], "function call turn"),
    ("unasked response", [user("x"), responses(ANSWER)], "function response turn"),
    ("model's response", [user("x"), model(call_part()), model({"functionResponse": ANSWER})],
     "number of"),
    ("no response", [user("x"), model(call_part()), user("y")], "number of function response"),
    ("one response of two", [user("x"), model(call_part(), call_part(None)), responses(ANSWER)],
     "number of"),
    ("one too many", [user("x"), model(call_part()), responses(ANSWER, ANSWER)],
     "match the function call"),
    ("another name", [user("x"), model(call_part()), responses({**ANSWER, "name": "g"})],
     "match the function call"),
    ("another id", [user("x"), model(call_part(id="1")), responses({**ANSWER, "id": "2"})],
     "match the function"),
    ("response's type", [user("x"), model(call_part()), responses({**ANSWER, "response": "x"})],
     "Struct"),
    ("args' type", [user("x"), model(call_part(args="{}")), responses(ANSWER)], "Struct"),
    ("no name", [user("x"), model(call_part(name="")), responses(ANSWER)], "Name cannot be empty"),
    ("unsigned", [user("x"), model(call_part(None)), responses(ANSWER)],
     "missing a thought_signature"),
    ("wrong signature", [user("x"), model(call_part("eA==")), responses(ANSWER)], "not valid"),
    ("script", [user("[model: []")], "bad [model: …]"),
]


@pytest.mark.parametrize("contents,words", [row[1:] for row in CONTENTS],
                         ids=[row[0] for row in CONTENTS])
def test_refuses_contents(sim, contents, words):
    answer = sim.ask(contents)
    assert answer.status == 400 and words in answer.error["message"], answer.body
    assert answer.error["status"] == "INVALID_ARGUMENT" and sim.stats()["chat_refused"] == 1


def declare(**members):
    return {"tools": [{"functionDeclarations": [{"name": "f", **members}]}]}


def typed(**members):
    properties = {"a": {"type": "string", **members}}
    return declare(parameters={"type": "object", "properties": properties})


BODIES = [
    ("member", {"messages": []}, 400, 'Unknown name "messages": Cannot find'),
    ("config", {"generationConfig": {"max_tokens": 5}}, 400,
     'Unknown name "max_tokens" at \'generation_config\''),
    ("max_tokens", {"generationConfig": {"maxOutputTokens": 0}}, 400, "must be positive"),
    ("temperature", {"generationConfig": {"temperature": 3}}, 400, "range"),
    ("topK", {"model": "gemini-4-carbon", "generationConfig": {"topK": 3}}, 400, "isn't supported"),
    ("mode", {"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, 400, "mode"),
    ("system", {"systemInstruction": {"parts": [{"text": ""}]}}, 400, "system_instruction"),
    ("name", declare(name="f g"), 400, "Invalid function name"),
    ("declaration", declare(input_schema={}), 400, 'Unknown name "input_schema"'),
    ("both schemas", declare(parameters=SCHEMA, parametersJsonSchema=SCHEMA), 400,
     "must not both be set"),
    ("no properties", declare(parameters={"type": "object"}), 400,
     "should be non-empty for OBJECT"),
    ("schema's type", declare(parametersJsonSchema={"type": "string"}), 400, "type OBJECT"),
    ("keyword", declare(parameters={**SCHEMA, "additionalProperties": False}), 400,
     'Unknown name "additionalProperties"'),
    ("keyword below", typed(const="x"), 400,
     "Unknown name \"const\" at 'tools[0].function_declarations[0]"
     ".parameters.properties[a]'"),
    ("in a list", typed(items={"$ref": "x"}), 400, 'Unknown name "$ref"'),
    ("in a choice", typed(anyOf=[{"not": {}}]), 400, 'Unknown name "not"'),
    ("two types", typed(type=["string", "null"]), 400, "cannot start list"),
    ("gone", {"model": "gemini-1.5-flash"}, 404, "is not found for API version v1beta"),
    ("unknown model", {"model": "claude"}, 404, "is not found for API version v1beta"),
]


@pytest.mark.parametrize("members,status,words", [row[1:] for row in BODIES],
                         ids=[row[0] for row in BODIES])
def test_refuses_bodies(sim, members, status, words):
    answer = sim.ask([user("Hello")], **members)
    assert answer.status == status and words in answer.error["message"], answer.body
    assert sim.stats()["chat_refused"] == 1
