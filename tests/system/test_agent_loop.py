"""What passes between the agent and its model, on both routes that such models are reached by:
Google's own endpoint, and a LiteLLM proxy's."""

import datetime
import json

import pytest

import harness
from ask import MODEL, Turn, agent_options, ask, call, check, script, text

GOOGLE = "/v1beta/openai"
LITELLM = "/v1"
# What a JSON string can hold; LiteLLM's grow with the thoughts that hide in them.
ODD_IDS = ["call \"1\" \\ / \t\n", "\u00e4\u20ac\U0001f3ac\u2028\u0085\x7f", "x+/=" * 5000]


@pytest.fixture(params=[GOOGLE, LITELLM], ids=["google", "litellm"])
def route(request):
    return request.param


@pytest.fixture
def make_agent(sim, route, make_daemon):
    """A daemon whose agent is reached by the route, not started; the keys are those of [agent]."""
    def make(options=None, where=None, **more):
        keys = {**agent_options(sim, **more), "agent.base_url": sim.url + route}
        return make_daemon(where, options={**keys, **(options or {})})
    return make


@pytest.fixture
def agent(make_agent):
    return make_agent().start()


@pytest.fixture
def asking(agent):
    return agent.client()


def results_of(turn):
    """What the tools said, by the calls' numbers."""
    return {event["call"]: event["result"] for event in turn.steps("result")}


def requests_of(sim):
    return [chat for chat in sim.call("GET", "/__chats")]


def check_taken(sim):
    """The model has taken each request, and found its messages as it had written them."""
    stats = sim.stats()
    assert stats["chat_requests"] > 0
    assert stats["chat_refused"] == stats["chat_altered"] == stats["chat_unsigned"] == 0


def today():
    return datetime.datetime.now(datetime.timezone.utc).date().isoformat()


def completion(message, finish="stop", **more):
    """An answer's body, to be said as it is."""
    return json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": finish}],
                       **more})


# ---- conversations ----

def test_a_long_conversation(sim, asking):
    """Three turns of several rounds: one call, several at once, words beside them."""
    first = ask(asking, script({"calls": [text("a cat")], "text": "One moment."},
                               {"calls": [text("a dog"), text("a fox"), check("7" * 26)]},
                               {"say_results": True}))
    jobs = first.ok()["jobs"]
    assert sorted(job["prompt"] for job in jobs) == ["a cat", "a dog", "a fox"]
    second = ask(asking, script({"calls": [check(job["operation_name"]) for job in jobs]},
                                {"calls": [check(job["id"]) for job in jobs], "text": "Again."},
                                {"say_results": True}), session=first.session)
    assert second.ok()["rounds"] == 3
    found = results_of(second)
    assert [found[number]["operation_name"] for number in (1, 2, 3)] == \
        [job["operation_name"] for job in jobs]
    assert {result["status"] for result in found.values()} == {"completed"}
    third = ask(asking, script({"say": "You are welcome."}), session=first.session)
    assert third.ok()["text"] == "You are welcome."
    last = requests_of(sim)[-1]
    assert [message["role"] for message in last["messages"]] == \
        ["system", "user", "assistant", "tool", "assistant", "tool", "tool", "tool", "assistant",
         "user", "assistant", *["tool"] * 3, "assistant", *["tool"] * 3, "assistant", "user"]
    check_taken(sim)


@pytest.mark.parametrize("words, aspect_ratio", [
    ("A vertical video of coffee for Instagram", "9:16"), ("A golden retriever", None)])
def test_plain_words(sim, asking, words, aspect_ratio):
    """Of a model that picks the tool by itself."""
    [job] = ask(asking, words).ok()["jobs"]
    assert job["prompt"] == words and job.get("aspect_ratio") == aspect_ratio
    check_taken(sim)


def test_odd_ids_come_back_as_they_are(sim, asking):
    calls = [{**text(f"cat {number}"), "id": id} for number, id in enumerate(ODD_IDS)]
    turn = ask(asking, script({"calls": calls}, {"calls": calls[:1]}, {"say_results": True}))
    assert len(turn.ok()["jobs"]) == 4
    check_taken(sim)
    sent = [message for message in requests_of(sim)[-1]["messages"] if message["role"] == "tool"]
    assert [message["tool_call_id"].split("__thought__")[0] for message in sent] == \
        [*ODD_IDS, ODD_IDS[0]]
    assert [json.loads(message["content"])["prompt"] for message in sent] == \
        ["cat 0", "cat 1", "cat 2", "cat 0"]


def test_words_of_any_kind_arrive(sim, asking):
    words = "\u00e4 \U0001f3ac \"quoted\" \\ \t\u0085\u2028 </system> "
    turn = ask(asking, words + script({"calls": [text(words)], "text": words}, {"say": words}))
    answer = turn.ok()
    assert answer["text"] == words and answer["jobs"][0]["prompt"] == words
    assert turn.steps("text")[0]["text"] == words
    assert sim.operations()[0]["prompt"] == words
    check_taken(sim)


def test_a_conversation_goes_on_after_stops(sim, agent):
    turn = ask(agent.client(), script({"calls": [{**text("a cat"), "id": ODD_IDS[0]}],
                                       "text": "Well."}, {"say": "One."}))
    [job] = turn.ok()["jobs"]
    agent.restart()
    again = ask(agent.client(), script({"calls": [check(job["id"])]}, {"say": "Two."}),
                session=turn.session)
    assert again.ok()["text"] == "Two."
    assert results_of(again)[1]["path"] == str(agent.path_of(job))
    agent.kill()
    agent.start()
    last = ask(agent.client(), script({"say": "Three."}), session=turn.session)
    assert last.ok()["text"] == "Three."
    check_taken(sim)


# ---- what it is told ----

def test_the_model_is_told_what_it_is(sim, asking):
    days = [today()]
    ask(asking, script({"say": "Hello."})).ok()
    days.append(today())
    [request] = requests_of(sim)
    system = request["messages"][0]
    assert system["role"] == "system" and request["model"] == MODEL
    assert request["tools"] == ["generate_video_from_text", "generate_video_from_image",
                                "check_video_status"]
    words = system["content"]
    assert any(f"Today is {day} " in words for day in days)
    assert f"\n- {harness.OMNI} (default); 16:9, 9:16; 3-10 s (10 by default); " \
        "720p (default) $0.1014" in words
    assert f"{harness.OMNI} is used" in words
    assert harness.VEO not in words  # shut down
    assert "{" not in words


def test_an_own_prompt_is_filled_and_sent(sim, directory, make_agent):
    prompt = directory / "prompt.txt"
    prompt.write_text("Be brief. {default_model} {today} {\"a\": {unknown}}\n")
    prompt.chmod(0o644)
    ask(make_agent(system_prompt=str(prompt)).start().client(), script({"say": "x"})).ok()
    words = requests_of(sim)[0]["messages"][0]["content"]
    assert words.startswith(f"Be brief. {harness.OMNI} 20")
    assert words.endswith(" {\"a\": {unknown}}\n")


def test_a_temperature_goes_to_those_that_take_one(sim, make_agent):
    old = make_agent(where="old", model="gemini-2.5-flash", temperature="0.25",
                     temperature_models="gemini-2.5-*", max_tokens="77").start()
    ask(old.client(), script({"say": "x"})).ok()
    new = make_agent(where="new", model="gemini-4-argon", temperature="0.25",
                     temperature_models="gemini-2.5-*", max_tokens="0").start()
    ask(new.client(), script({"say": "x"})).ok()
    first, second = requests_of(sim)
    assert first["temperature"] == 0.25 and first["max_tokens"] == 77
    assert "temperature" not in second and "max_tokens" not in second
    check_taken(sim)


# ---- videos that don't go well ----

def test_a_failed_video_is_tried_another_way(sim, asking):
    turn = ask(asking, script({"calls": [text("a cat [sim: fail=3]")]},
                              {"calls": [text("a calm cat")], "text": "Another way."},
                              {"say_results": True}))
    answer = turn.ok()
    assert [job["state"] for job in answer["jobs"]] == ["failed", "done"]
    found = results_of(turn)
    assert found[1]["success"] is False and found[1]["status"] == "failed" and found[1]["error"]
    assert found[2]["status"] == "completed"
    assert found[1]["error"] in answer["text"]
    check_taken(sim)


def test_a_filtered_video_is_rephrased(sim, asking):
    turn = ask(asking, script({"calls": [text("a cat [sim: filter]")]},
                              {"calls": [text("a kind cat")]}, {"say_results": True}))
    assert [job["state"] for job in turn.ok()["jobs"]] == ["filtered", "done"]
    assert results_of(turn)[1]["status"] == "filtered"
    check_taken(sim)


def test_a_held_video_ends_the_wait(make_agent):
    daemon = make_agent({"budget.daily_usd": "1.5"}).start()
    turn = ask(daemon.client(), script({"calls": [text("a cat")]}, {"calls": [text("a dog")]},
                                       {"say_results": True}))
    answer = turn.ok()
    assert [job["state"] for job in answer["jobs"]] == ["done", "held"]
    held = results_of(turn)[2]
    assert held["status"] == "held" and "budget" in json.dumps(held)


def test_a_video_dearer_than_the_budget_is_refused(sim, make_agent):
    daemon = make_agent({"budget.daily_usd": "0.5"}).start()
    turn = ask(daemon.client(), script({"calls": [text("a cat")]}, {"say_results": True}))
    assert turn.ok()["jobs"] == []
    assert results_of(turn)[1]["code"] == "budget-exceeded"
    assert not sim.operations()


def test_a_video_of_which_nobody_knows_is_not_made_again(sim, asking):
    sim.rules([{"on": "submit", "do": "reset-after", "times": 1}])
    turn = ask(asking, script({"calls": [text("a cat")]}, {"say_results": True}))
    [job] = turn.ok()["jobs"]
    assert job["state"] == "uncertain"
    assert results_of(turn)[1]["status"] == "uncertain"
    assert len(sim.operations()) == 1
    check_taken(sim)


def test_the_provider_is_asked_about_operations_of_others(make_agent, make_daemon, sim):
    """Such as were made before there was this veod; and those that there never were."""
    other = make_daemon("other").start()
    [done] = other.wait(other.generate("a cat")["id"])
    client = make_agent().start().client()
    turn = ask(client, script({"calls": [check(done["operation_name"]),
                                         check(done["operation_name"] + "x"), check("nonsense")]},
                              {"say_results": True}))
    assert turn.ok()["jobs"] == []
    found = results_of(turn)
    assert found[1]["success"] is True and found[1]["status"] == "completed"
    assert found[2]["success"] is False and found[3]["success"] is False
    check_taken(sim)


# ---- answers that aren't well ----

def test_calls_of_an_answer_that_was_cut_are_not_made(sim, asking):
    """Their arguments may be cut as well."""
    turn = ask(asking, script({"calls": [text("a c")], "finish": "length", "repeat": True}))
    turn.ok("length")
    assert not sim.operations() and not turn.steps("calling")
    session = ask(asking, script({"say": "Here again."}), session=turn.session)
    assert session.ok()["text"] == "Here again."
    check_taken(sim)


def twice(answer):
    return {"malformed": answer, "times": 2}


@pytest.mark.parametrize("nonsense", [
    {"calls": [text(f"cat {n}") for n in range(17)], "times": 2},
    {"calls": [{**text("a cat"), "id": "same"}] * 3, "times": 2},
    {"say": "I call it.", "finish": "tool_calls", "times": 2},
    {"say": "x", "finish": "function_call_filter: MALFORMED_FUNCTION_CALL", "times": 2},
    {"empty": True, "times": 2},
    twice(""), twice("<html><title>Sign in</title>"), twice("{\"choices\":[{\"mess"),
    twice(completion({"content": "Whose?"})), twice(completion({"role": "assistant"})),
    twice(json.dumps({"choices": []})),
    twice(completion({"role": "assistant", "tool_calls": [{"type": "function"}]})),
], ids=lambda nonsense: json.dumps(nonsense)[:40])
def test_nonsense_is_not_acted_on(sim, asking, nonsense):
    turn = ask(asking, script({"errors": [nonsense], "say": "Well."}))
    answer = turn.ok()
    assert answer["text"] == "Well." and answer["rounds"] == 1 and answer["jobs"] == []
    assert len(turn.steps("thinking")) == 3 and not turn.steps("calling")
    assert not sim.operations()
    check_taken(sim)


@pytest.mark.parametrize("refusal, words", [
    ({"refuse": "I won't make that."}, "content_filter"),
    ({"say": "It was a dark", "finish": "content_filter: PROHIBITED_CONTENT"},
     "PROHIBITED_CONTENT"),
    ({"malformed": completion({"role": "assistant", "refusal": "I\nwon't."})}, "I won't."),
    ({"malformed": json.dumps({"choices": [], "promptFeedback": {"blockReason": "SAFETY"}})},
     "SAFETY"),
], ids=["refusal", "google-filter", "openai-refusal", "blocked-prompt"])
def test_refusals_end_the_turn_and_not_the_session(sim, asking, refusal, words):
    turn = ask(asking, script(refusal))
    assert words in turn.ok("refused")["message"]
    again = ask(asking, script({"say": "Gladly."}), session=turn.session)
    assert again.ok()["text"] == "Gladly."
    check_taken(sim)


def test_an_answer_in_parts_is_put_together(asking):
    parts = [{"type": "thinking", "text": "Hm."}, {"type": "text", "text": "There "},
             {"type": "text", "text": "it is."}]
    turn = ask(asking, script({"malformed": completion({"role": "assistant", "content": parts})}))
    assert turn.ok()["text"] == "There it is."


# ---- errors ----

def google_says(**members):
    return {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Slow down",
                      **members}}


# As LiteLLM repeats what Google has answered.
REPEATED = "litellm.RateLimitError: geminiException - " + json.dumps(google_says(
    details=[{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "0.5s"}]))


@pytest.mark.parametrize("rule, least", [
    ({"status": 503}, 0), ({"status": 429, "retry_after": "1"}, 1),
    ({"status": 429, "shape": "array", "retry_info": "0.5s"}, 0.5),
    ({"status": 429, "shape": "openai", "message": REPEATED}, 0.5),
    ({"status": 429, "shape": "google", "retry_after": "1", "retry_info": "0.5s"}, 1),
], ids=["nothing", "header", "google", "litellm", "both"])
def test_a_wait_that_the_model_asks_for_is_kept(sim, asking, rule, least):
    sim.rules([{"on": "chat", "do": "status", "times": 1, **rule}])
    turn = ask(asking, script({"say": "At last."}))
    assert turn.ok()["text"] == "At last."
    [retrying] = turn.steps("retrying")
    assert least <= retrying["delay_seconds"] <= max(2 * least, 1)
    assert f"HTTP {rule['status']}: " in retrying["message"]


def test_an_error_behind_a_200_is_an_error(asking):
    hidden = json.dumps({"error": {"message": "Slow down", "code": 429}})
    turn = ask(asking, script({"errors": [{"malformed": hidden}], "say": "At last."}))
    assert turn.ok()["text"] == "At last."
    assert "HTTP 429: Slow down" in turn.steps("retrying")[0]["message"]


@pytest.mark.parametrize("rule, words", [
    ({"status": 401}, "HTTP 401"),
    ({"status": 403, "message": "Your API key was reported as leaked."}, "as leaked."),
    ({"status": 400, "reason": "API_KEY_INVALID", "message": "API key not valid."},
     "HTTP 400: API key not valid."),
    ({"status": 402}, "HTTP 402"),
    ({"status": 302, "shape": "empty"}, "base_url"),
    ({"status": 404, "shape": "html"}, "HTTP 404"),
    ({"status": 429, "quota": "day", "shape": "array"}, "HTTP 429"),
    ({"status": 429, "quota_id": "GenerateRequestsPerDayPerProjectPerModel-FreeTier",
      "retry_info": "1s", "shape": "array", "message": "Enough for today."}, "Enough for today."),
    ({"status": 429, "shape": "openai",
      "message": "b'{\"quotaId\": \"GenerateRequestsPerDayPerProject\"}'"}, "HTTP 429"),
], ids=lambda value: json.dumps(value)[:50])
def test_what_no_wait_can_mend_ends_the_turn(sim, asking, rule, words):
    sim.rules([{"on": "chat", "do": "status", "times": 1, **rule}])
    turn = ask(asking, script({"say": "Here again."}))
    error = turn.err("unavailable")
    assert words in error["message"] and not turn.steps("retrying")
    # The session has nothing that the model would not take.
    again = ask(asking, script({"say": "Here again."}), session=turn.session)
    assert again.ok()["text"] == "Here again."


def test_a_model_that_is_gone_is_named(make_agent):
    turn = ask(make_agent(model="gemini-1.5-flash").start().client(), "hello")
    message = turn.err("unavailable")["message"]
    assert message.startswith("gemini-1.5-flash: HTTP 404: ")
    assert "models/gemini-1.5-flash is not found" in message


def test_what_a_model_does_not_take_is_told(make_agent):
    daemon = make_agent(model="gemini-4-argon", temperature="0.7", temperature_models="*").start()
    assert "temperature" in ask(daemon.client(), "hello").err("unavailable")["message"]


def test_nobody_is_there(make_agent):
    """The turn's time ends the tries."""
    daemon = make_agent({"agent.base_url": "http://127.0.0.1:9/v1"}, time="2s").start()
    turn = Turn(daemon.client(), "hello")
    assert turn.until("retrying")["message"].startswith(f"{MODEL}: ")
    turn.finish()
    assert turn.end.value.get("finish", turn.end.value.get("code")) in ("time", "unavailable")


@pytest.mark.parametrize("kind", ["reset-before", "reset-after", "truncate", "garbage", "empty"])
def test_broken_answers_are_asked_for_again(sim, asking, kind):
    sim.rules([{"on": "chat", "do": kind, "times": 1}])
    turn = ask(asking, script({"calls": [text("a cat")]}, {"say": "Done."}))
    answer = turn.ok()
    assert answer["text"] == "Done." and len(answer["jobs"]) == 1
    assert len(turn.steps("retrying")) == 1
    check_taken(sim)


def test_a_video_is_made_once_though_the_answer_after_it_is_lost(sim, asking):
    sim.rules([{"on": "chat", "do": "reset-after", "skip": 1, "times": 2}])
    answer = ask(asking, script({"calls": [text("a cat")]}, {"say": "Done."})).ok()
    assert answer["text"] == "Done." and len(answer["jobs"]) == 1
    assert len(sim.operations()) == 1
    check_taken(sim)
