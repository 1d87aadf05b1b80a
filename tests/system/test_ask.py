"""ASK: the turn of a conversation with the scripted model, its steps, its answer, its bounds."""

import contextlib
import json
import os
import pathlib
import sqlite3

import pytest

import harness
from ask import LONG, MODEL, Turn, ask, call, check, script, text


@pytest.fixture
def asking(asked):
    return asked.client()


# ---- a turn ----

def test_words_become_a_video_and_an_answer(sim, asked, asking):
    words = "A cat, please. " + script({"calls": [text("a cat", aspect_ratio="9:16")],
                                        "text": "I make it."}, {"say": "There it is."})
    turn = ask(asking, words)
    answer = turn.ok()
    assert answer["text"] == "There it is."
    assert answer["session"] == turn.session
    assert answer["rounds"] == 2 and answer["tokens"] > 0 and "message" not in answer
    [job] = answer["jobs"]
    assert job["state"] == "done" and job["prompt"] == "a cat" and job["aspect_ratio"] == "9:16"
    assert job["labels"] == {"session": turn.session}
    assert asked.path_of(job).stat().st_size == job["files"][0]["bytes"]
    assert job == asked.job(job["id"])
    assert len(sim.operations()) == 1


def test_each_step_is_told_in_order(asking):
    turn = ask(asking, script({"calls": [text("a cat")], "text": "I make it."}, {"say": "Done."}))
    answer = turn.ok()
    steps = [step for step in turn.steps() if step != "job"]
    assert steps == ["asked", "thinking", "text", "calling", "result", "thinking"]
    assert turn.events[0]["text"].startswith("[model:")
    assert {event["session"] for event in turn.events} == {answer["session"]}
    assert [event["round"] for event in turn.steps("thinking")] == [1, 2]
    assert turn.steps("thinking")[0]["model"] == MODEL
    assert turn.steps("text")[0]["text"] == "I make it."
    [calling] = turn.steps("calling")
    assert calling["call"] == 1 and calling["tool"] == "generate_video_from_text"
    assert calling["arguments"] == {"prompt": "a cat"}
    states = [event["state"] for event in turn.steps("job")]
    assert states[0] == "queued" and states[-1] == "done"
    assert {event["id"] for event in turn.steps("job")} == {answer["jobs"][0]["id"]}
    numbers = [event["event"] for event in turn.steps("job") if "event" in event]
    assert numbers == sorted(set(numbers)) and numbers
    [result] = turn.steps("result")
    assert result["call"] == 1 and result["result"]["success"] is True
    assert result["result"]["status"] == "completed"


def test_plain_text_is_the_wish(asking):
    asking.send("ASK hello there")
    reply = asking.read()
    assert reply.value["step"] == "asked" and reply.value["text"] == "hello there"


def test_calls_of_one_answer_run_at_the_same_time(sim, asking):
    # Neither would end by itself before the other began.
    turn = Turn(asking, script({"calls": [text("a cat " + LONG), text("a dog " + LONG)]},
                               {"say": "Both."}))
    harness.until(lambda: sim.stats()["running"] == 2)
    jobs = {event["call"]: event["id"] for event in
            [turn.until("job", call=1), turn.until("job", call=2)]}
    assert len(set(jobs.values())) == 2


def test_parallel_calls_have_their_own_results(asking):
    turn = ask(asking, script({"calls": [text("a cat"), text("a dog"), check("7" * 26)]},
                              {"say_results": True}))
    answer = turn.ok()
    assert sorted(job["prompt"] for job in answer["jobs"]) == ["a cat", "a dog"]
    results = {event["call"]: event["result"] for event in turn.steps("result")}
    assert results[1]["prompt"] == "a cat" and results[2]["prompt"] == "a dog"
    assert results[3]["success"] is False
    assert answer["text"].count("status: completed") == 2 and "no such job" in answer["text"]


def test_a_bad_argument_is_mended(asking):
    turn = ask(asking, script({"calls": [text("a cat", colour="red")]},
                              {"calls": [text("a cat", aspect_ratio="7:3")]},
                              {"calls": [text("a cat", aspect_ratio="16:9")]}, {"say": "Done."}))
    answer = turn.ok()
    results = [event["result"] for event in turn.steps("result")]
    assert [result["success"] for result in results] == [False, False, True]
    assert "colour" in results[0]["error"] and "7:3" in results[1]["error"]
    assert len(answer["jobs"]) == 1
    assert [event["call"] for event in turn.steps("calling")] == [1, 2, 3]


def test_a_tool_that_there_is_not_and_arguments_that_are_no_object(asking):
    turn = ask(asking, script({"calls": [call("rm", path="/")]},
                              {"calls": [{"name": "check_video_status", "arguments": "not json"}]},
                              {"say": "Sorry."}))
    turn.ok()
    calling = turn.steps("calling")
    assert calling[0]["tool"] == "rm" and calling[1]["arguments"] == "not json"
    assert all(event["result"]["success"] is False for event in turn.steps("result"))


def test_arguments_with_line_ends_stay_on_one_line(asking):
    arguments = '{\n\t"prompt":\r\n"a cat"\n}'
    turn = ask(asking, script({"calls": [{"name": "generate_video_from_text",
                                          "arguments": arguments}]}, {"say": "Done."}))
    turn.ok()
    assert turn.steps("calling")[0]["arguments"] == {"prompt": "a cat"}


def test_a_failed_and_a_filtered_video_are_told_to_the_model(asking):
    turn = ask(asking, script({"calls": [text("a [sim: fail=3]"), text("b [sim: filter]")]},
                              {"say_results": True}))
    answer = turn.ok()
    assert sorted(job["state"] for job in answer["jobs"]) == ["failed", "filtered"]
    assert {event["result"]["status"] for event in turn.steps("result")} == {"failed", "filtered"}


def test_a_video_that_takes_too_long_is_reported_as_under_way(make_asked):
    client = make_asked(video_wait="100ms").start().client()
    turn = ask(client, script({"calls": [text("a cat " + LONG)]}, {"say": "It runs."}))
    answer = turn.ok()
    assert answer["jobs"][0]["state"] in ("queued", "submitting", "running")
    assert turn.steps("result")[0]["result"]["status"] == "processing"


# ---- a session ----

def test_a_conversation_of_three_turns(sim, asking):
    first = ask(asking, script({"calls": [text("a cat")]}, {"say": "One."}))
    job = first.ok()["jobs"][0]
    session = first.session
    second = ask(asking, script({"calls": [check(job["operation_name"])]}, {"say_results": True}),
                 session=session)
    answer = second.ok()
    assert "completed" in answer["text"] and [j["id"] for j in answer["jobs"]] == [job["id"]]
    third = ask(asking, script({"calls": [text("a dog")]}, {"say": "Three."}), session=session[:12])
    answer = third.ok()
    assert answer["session"] == session and answer["text"] == "Three."
    assert [j["prompt"] for j in answer["jobs"]] == ["a dog"]
    assert answer["rounds"] == 2
    assert third.steps("calling")[0]["call"] == 1
    stats = sim.stats()
    assert stats["chat_refused"] == 0 and stats["chat_altered"] == 0


def test_the_answer_can_be_had_again(asked, asking):
    turn = ask(asking, script({"calls": [text("a cat")]}, {"say": "Done."}))
    answer = turn.ok()
    again = ask(asked.client(), None, session=turn.session)
    assert again.ok() == answer and not again.events
    asked.restart()
    assert ask(asked.client(), None, session=turn.session).ok() == answer


def test_a_client_that_goes_away_picks_the_answer_up(sim, asked):
    client = asked.client()
    turn = Turn(client, script({"calls": [text("a cat [sim: latency=1s]")]}, {"say": "Done."}))
    turn.until("calling")
    client.close()
    later = Turn(asked.client(), session=turn.session)
    assert later.ok()["text"] == "Done."
    assert later.steps()[0] == "asked"
    assert len(sim.operations()) == 1


def test_several_listen_to_one_turn(asked):
    turn = Turn(asked.client(), script({"calls": [text("a cat " + LONG)]}, {"say": "Done."}))
    calling = turn.until("calling")
    others = [Turn(asked.client(), session=turn.session) for _ in range(3)]
    for other in others:
        assert other.until("asked")["text"] == turn.events[0]["text"]
        assert other.until("calling") == calling
    others[0].client.close()
    job = turn.until("job", state="running")
    asked.ok(f"CANCEL {job['id']}")
    answer = turn.ok()
    assert answer["jobs"][0]["state"] == "cancelled"
    for other in others[1:]:
        assert other.ok() == answer
        assert other.steps("result") == turn.steps("result")


def test_a_pipelining_client_gets_all_in_order(asking):
    session = ask(asking, script({"say": "One."})).session
    for number in (2, 3):
        asking.send("ASK " + json.dumps({"session": session,
                                         "text": script({"say": f"Answer {number}."})}))
    texts = []
    while len(texts) < 2:
        reply = asking.read()
        if reply.word != "EVENT":
            texts.append(reply.value["text"])
    assert texts == ["Answer 2.", "Answer 3."]


def sessions_kept(daemon):
    path = daemon.state / "jobs.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return db.execute("SELECT count(*) FROM sessions").fetchone()[0]


def test_sessions_expire(make_asked):
    daemon = make_asked(session_age="2s").start()
    session = ask(daemon.client(), script({"say": "Hello."})).session
    assert sessions_kept(daemon) == 1
    harness.until(lambda: sessions_kept(daemon) == 0)
    for members in ({}, {"text": "x"}, {"cancel": True}):
        daemon.client().err("ASK " + json.dumps({"session": session, **members}), "not-found",
                            "session")


def test_an_expired_session_is_gone_before_it_is_swept(asked):
    session = ask(asked.client(), script({"say": "Hello."})).session
    asked.terminate()
    with contextlib.closing(sqlite3.connect(asked.state / "jobs.db")) as db:
        db.execute("UPDATE sessions SET updated_at = 1")
        db.commit()
    asked.start()
    asked.client().err("ASK " + json.dumps({"session": session}), "not-found", "session")
    assert sessions_kept(asked) == 1


# ---- cancelling ----

def cancel(daemon, session):
    """Who cancels hears of nothing else."""
    with harness.Client(daemon.socket) as client:
        [reply] = client.exchange("ASK " + json.dumps({"session": session, "cancel": True}))
    assert reply.word == "OK", reply
    return reply.value


def check_goes_on(daemon, session):
    """The model still takes the history."""
    turn = ask(daemon.client(), script({"say": "Here again."}), session=session)
    assert turn.ok()["text"] == "Here again."


def test_a_thought_is_cancelled(asked):
    turn = Turn(asked.client(), script({"say": "Late.", "delay": "300s"}))
    turn.until("thinking")
    assert cancel(asked, turn.session) == {"session": turn.session, "cancelled": True}
    answer = turn.ok("cancelled")
    assert "text" not in answer and answer["jobs"] == []
    assert asked.ok("STATS")["http"]["chats_active"] == 0
    check_goes_on(asked, turn.session)


def test_a_wait_is_cancelled(asked):
    turn = Turn(asked.client(), script({"errors": [{"status": 429, "retry_after": 300}],
                                        "say": "x"}))
    assert turn.until("retrying")["delay_seconds"] >= 300
    assert cancel(asked, turn.session)["cancelled"] is True
    turn.ok("cancelled")


def test_calls_are_cancelled(sim, asked):
    turn = Turn(asked.client(), script({"calls": [text("a cat " + LONG), text("a dog " + LONG)]},
                                       {"say": "Never."}))
    jobs = {turn.until("job", state="running")["id"] for _ in range(2)}
    assert cancel(asked, turn.session)["cancelled"] is True
    answer = turn.ok("cancelled")
    assert {job["id"] for job in answer["jobs"]} == jobs
    assert {job["state"] for job in answer["jobs"]} == {"running"}
    assert len(turn.steps("result")) == 2
    check_goes_on(asked, turn.session)
    assert sim.stats()["cancels"] == 0


def test_what_was_not_submitted_is_cancelled_with_the_turn(sim, make_asked):
    daemon = make_asked({"limits.in_flight": "1"}).start()
    blocker = daemon.generate("first " + LONG)
    daemon.wait_state(blocker["id"], "running")
    turn = Turn(daemon.client(), script({"calls": [text("a cat")]}))
    job = turn.until("job", state="queued")
    assert cancel(daemon, turn.session)["cancelled"] is True
    assert turn.ok("cancelled")["jobs"][0]["state"] == "cancelled"
    assert daemon.job(job["id"])["state"] == "cancelled"
    assert len(sim.operations()) == 1


def test_a_turn_is_cancelled_though_its_job_cannot_be(make_asked):
    """Three commits for the first job, three for the turn up to its job; the seventh is HOLD's."""
    daemon = make_asked({"limits.in_flight": "1"}).start(faults="store.commit#7=ENOSPC")
    daemon.wait_state(daemon.generate("first " + LONG)["id"], "running")
    turn = Turn(daemon.client(), script({"calls": [text("a cat")]}))
    job = turn.until("job", state="queued")
    other = daemon.client()
    other.send(f"HOLD {job['id']}")
    other.send("ASK " + json.dumps({"session": turn.session, "cancel": True}))
    assert other.read().value["code"] == "disk-full"
    assert other.read().value["cancelled"] is True
    assert turn.ok("cancelled")["jobs"][0]["state"] == "queued"
    check_goes_on(daemon, turn.session)


def test_there_is_nothing_to_cancel(asked, asking):
    session = ask(asking, script({"say": "Hello."})).session
    assert cancel(asked, session) == {"session": session, "cancelled": False}


def test_looking_at_a_job_and_cancelling_leaves_the_job_alone(make_asked):
    daemon = make_asked({"limits.in_flight": "1"}).start()
    daemon.wait_state(daemon.generate("first " + LONG)["id"], "running")
    job = daemon.generate("a cat")["id"]
    turn = Turn(daemon.client(), script({"calls": [check(job, wait=True)]}))
    turn.until("calling")
    assert cancel(daemon, turn.session)["cancelled"] is True
    turn.ok("cancelled")
    assert daemon.job(job)["state"] == "queued"


# ---- a model in trouble ----

def test_a_model_that_is_busy_is_asked_again(asking):
    errors = [{"status": 429}, {"status": 503}, {"status": 500}, {"status": 408}]
    turn = ask(asking, script({"errors": errors, "say": "At last."}))
    answer = turn.ok()
    assert answer["text"] == "At last." and answer["rounds"] == 1
    assert [event["round"] for event in turn.steps("thinking")] == [1] * 5
    retries = turn.steps("retrying")
    assert len(retries) == 4
    assert all(event["message"] and event["delay_seconds"] >= 0 for event in retries)


def test_a_connection_that_breaks_is_made_again(asking):
    turn = ask(asking, script({"errors": [{"reset": True, "times": 5}], "say": "At last."}))
    assert turn.ok()["text"] == "At last."
    assert turn.steps("retrying")


def test_all_wait_when_the_model_asks_for_it(sim, asked):
    slow = Turn(asked.client(), script({"errors": [{"status": 429, "retry_after": 2}],
                                        "say": "One."}))
    slow.until("retrying")
    other = ask(asked.client(), script({"say": "Two."}))
    assert other.ok()["text"] == "Two."
    assert other.steps()[:2] == ["asked", "retrying"]
    assert slow.ok()["text"] == "One."
    assert sim.stats()["chat_requests"] == 3


def test_nonsense_is_asked_again_and_then_given_up(asking):
    nonsense = {"malformed": "<html>nothing"}
    turn = ask(asking, script({"errors": [{**nonsense, "times": 2}], "say": "Well."}))
    assert turn.ok()["text"] == "Well."
    turn = ask(asking, script({**nonsense, "repeat": True}))
    error = turn.err("unavailable")
    assert error["session"] == turn.session and error["jobs"] == []
    assert len(turn.steps("thinking")) == 3


def test_silence_is_asked_again_and_then_given_up(asking):
    turn = ask(asking, script({"empty": True, "repeat": True}))
    assert turn.err("unavailable")["message"]
    assert len(turn.steps("thinking")) == 3


def test_an_answer_without_end_is_given_up(sim, asking):
    sim.rules([{"on": "chat", "do": "huge"}])
    error = ask(asking, "hello").err("unavailable")
    assert "too long" in error["message"]
    sim.clear_rules()
    assert ask(asking, script({"say": "x" * 20000 + "\n" * 5000})).ok()["text"]


def test_a_model_that_refuses_the_key_is_in_the_log(sim, asked, asking):
    sim.rules([{"on": "chat", "do": "status", "status": 401}])
    assert "401" in ask(asking, "hello").err("unavailable")["message"]
    assert "the model could not be asked" in asked.log()
    assert harness.KEY not in asked.log()


def test_a_failed_turn_keeps_its_jobs_and_its_session(asked, asking):
    turn = ask(asking, script({"calls": [text("a cat")]}, {"status": 400, "message": "No."}))
    error = turn.err("unavailable")
    assert "No." in error["message"]
    [job] = error["jobs"]
    assert asked.job(job)["state"] == "done"
    assert ask(asking, None, session=turn.session).err("unavailable") == error
    check_goes_on(asked, turn.session)


def test_a_refusal_is_an_answer(asking):
    turn = ask(asking, script({"refuse": "I won't do that."}))
    answer = turn.ok("refused")
    assert answer["message"] and answer["jobs"] == []


def test_an_answer_that_is_cut_is_asked_for_with_more_room(sim, asking):
    turn = ask(asking, script({"say": "Long and", "finish": "length", "repeat": True}))
    answer = turn.ok("length")
    assert answer["text"] == "Long and" and "max_tokens" in answer["message"]
    assert len(turn.steps("thinking")) == 2
    asked_for = [chat["max_tokens"] for chat in sim.call("GET", "/__chats")]
    assert asked_for == [1000, 2000]


def test_without_a_credential_only_the_agent_is_missing(make_asked):
    daemon = make_asked(credential="no-such-key").start()
    client = daemon.client()
    error = Turn(client, "hello").err("unavailable")
    assert "no-such-key" in error["message"]
    daemon.wait(client.generate("a cat")["id"])
    client.err('ASK {"session":"01JD0000000000000000000001"}', "not-found")


# ---- bounds ----

def test_endless_calls_are_stopped_by_the_rounds(sim, make_asked):
    client = make_asked(rounds="4").start().client()
    turn = ask(client, script({"calls": [check("7" * 26)], "repeat": True}))
    answer = turn.ok("rounds")
    assert answer["rounds"] == 4 and answer["text"].startswith("Done.")
    assert "[agent] rounds" in answer["message"]
    assert len(turn.steps("calling")) == 3
    may_call = [chat["may_call"] for chat in sim.call("GET", "/__chats")]
    assert may_call == [True, True, True, False]


def test_tokens_bound_a_turn(make_asked):
    daemon = make_asked(tokens="5000").start()
    turn = ask(daemon.client(), script({"calls": [check("7" * 26)], "tokens": 1},
                                       {"calls": [text("a cat")], "tokens": 5000}))
    answer = turn.ok("tokens")
    assert "[agent] tokens" in answer["message"] and answer["jobs"] == []
    assert len(turn.steps("calling")) == 1
    check_goes_on(daemon, turn.session)


def test_time_bounds_a_thought(make_asked):
    daemon = make_asked(time="1s").start()
    turn = ask(daemon.client(), script({"say": "Late.", "delay": "300s"}))
    answer = turn.ok("time")
    assert "[agent] time" in answer["message"]
    check_goes_on(daemon, turn.session)


def test_time_bounds_a_call_and_its_job_goes_on(make_asked):
    daemon = make_asked(time="2s").start()
    turn = ask(daemon.client(), script({"calls": [text("a cat " + LONG)]}, {"say": "Never."}))
    answer = turn.ok("time")
    assert turn.steps("result")[0]["result"]["status"] == "processing"
    assert answer["jobs"][0]["state"] in ("queued", "submitting", "running")
    check_goes_on(daemon, turn.session)


def test_dollars_bound_a_turn(sim, make_asked):
    daemon = make_asked(max_usd="2.5").start()
    prompts = [text(f"cat {number}") for number in range(4)]
    turn = ask(daemon.client(), script({"calls": prompts}, {"say_results": True}))
    answer = turn.ok()
    assert len(answer["jobs"]) == 2 and len(sim.operations()) == 2
    refused = [event["result"] for event in turn.steps("result") if not event["result"]["success"]]
    assert len(refused) == 2
    again = ask(daemon.client(), script({"calls": [text("a dog")]}, {"say": "x"}),
                session=turn.session)
    assert len(again.ok()["jobs"]) == 1


# ---- arguments and limits ----

@pytest.mark.parametrize("members, field", [
    ({}, "text"), ({"text": ""}, "text"), ({"text": " \n"}, "text"), ({"text": 5}, "text"),
    ({"text": "x" * 32769}, "text"), ({"text": "x", "directory": "here"}, "directory"),
    ({"text": "x", "directory": 1}, "directory"), ({"session": "01"}, "session"),
    ({"session": "u" * 26}, "session"), ({"session": ["01JD"]}, "session"),
    ({"text": "x", "cancel": True}, "cancel"), ({"cancel": True}, "cancel"),
    ({"session": "01JD0000", "cancel": 1}, "cancel"),
    ({"session": "01JD0000", "text": "x", "cancel": True}, "cancel"),
    ({"text": "x", "model": "y"}, "model"),
])
def test_bad_arguments_are_refused(asking, members, field):
    asking.err("ASK " + json.dumps(members), "invalid-argument", field)
    assert asking.ok("STATS")["agent"]["conversations"] == 0


def test_unknown_and_ambiguous_sessions(asking):
    asking.err('ASK {"session":"01JD0000000000000000000001"}', "not-found", "session")
    sessions = [ask(asking, script({"say": "x"})).session for _ in range(2)]
    common = os.path.commonprefix(sessions)
    assert len(common) >= 4
    asking.err("ASK " + json.dumps({"session": common}), "invalid-argument", "session")
    assert asking.ok("ASK " + json.dumps({"session": sessions[0].lower()}))["text"] == "x"


def test_other_users_sessions_are_not_there(as_root, asked):
    turn = Turn(asked.client(uid=harness.NOBODY), script({"say": "Late.", "delay": "300s"}))
    turn.until("thinking")
    for uid in (None, 1234):
        client = asked.client(uid=uid)
        for members in ({}, {"text": "x"}, {"cancel": True}):
            client.err("ASK " + json.dumps({"session": turn.session, **members}), "not-found",
                       "session")
    mine = asked.client(uid=harness.NOBODY)
    assert mine.ok("ASK " + json.dumps({"session": turn.session, "cancel": True}))["cancelled"]


def test_words_for_a_turn_under_way_are_a_conflict(asked):
    turn = Turn(asked.client(), script({"say": "Late.", "delay": "300s"}))
    turn.until("thinking")
    asked.client().err("ASK " + json.dumps({"session": turn.session, "text": "and?"}), "conflict",
                       "session")
    cancel(asked, turn.session)


def test_conversations_are_limited(make_asked):
    daemon = make_asked(conversations="2").start()
    turns = [Turn(daemon.client(), script({"say": f"{n}", "delay": "300s"})) for n in range(2)]
    for turn in turns:
        turn.until("thinking")
    error = daemon.client().err("ASK one more", "too-many")
    assert "[agent] conversations" in error["message"]
    cancel(daemon, turns[0].session)
    assert ask(daemon.client(), script({"say": "Room."})).ok()


def test_a_session_that_is_too_long_is_not_gone_on_with(make_asked):
    client = make_asked(session_bytes="64K").start().client()
    words = script({"say": "x"}) + "x" * 30000
    session = ask(client, words).session
    ask(client, words, session=session).ok()
    error = Turn(client, words, session=session).err("too-long")
    assert "start a new session" in error["message"]
    assert ask(client, None, session=session).ok()["text"] == "x"


def test_paths_start_in_the_directory(directory, asking):
    image = directory / "a.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n".ljust(70, b"\0"))
    image.chmod(0o644)
    steps = script({"calls": [call("generate_video_from_image", prompt="it moves",
                                   image_path="a.png")]}, {"say_results": True})
    assert ask(asking, steps).ok()["jobs"] == []
    [job] = ask(asking, steps, directory=str(directory)).ok()["jobs"]
    assert job["image"]["bytes"] == 70


def test_the_agent_reads_nothing_that_the_user_could_not(as_root, asked):
    client = asked.client(uid=harness.NOBODY)
    secret = pathlib.Path(asked.directory / "secret.png")
    secret.write_bytes(b"\x89PNG\r\n\x1a\n".ljust(70, b"\0"))
    secret.chmod(0o600)
    job = asked.generate("mine")["id"]
    turn = ask(client, script({"calls": [
        call("generate_video_from_image", prompt="x", image_path="/etc/shadow"),
        call("generate_video_from_image", prompt="x", image_path=str(secret)), check(job)]},
        {"say_results": True}))
    answer = turn.ok()
    assert answer["jobs"] == []
    assert all(event["result"]["success"] is False for event in turn.steps("result"))


# ---- many, and the disk ----

def test_two_hundred_conversations_at_once(sim, make_asked):
    daemon = make_asked({"limits.clients": "500"}, calls="32").start()
    before = daemon.descriptors()
    turns = []
    for number in range(200):
        words = script({"calls": [text(f"cat {number}")], "delay": "100ms"},
                       {"say": f"Answer {number}."})
        turns.append(Turn(daemon.client(), words))
    answers = [turn.ok() for turn in turns]
    assert [answer["text"] for answer in answers] == [f"Answer {n}." for n in range(200)]
    assert [answer["jobs"][0]["prompt"] for answer in answers] == [f"cat {n}" for n in range(200)]
    assert len(sim.operations()) == 200
    stats = sim.stats()
    assert 1 < stats["chat_now_max"] <= 32 and stats["chat_refused"] == 0
    for turn in turns:
        turn.client.close()
    harness.until(lambda: daemon.ok("STATS")["clients"] == 1)
    assert daemon.descriptors() - before < 150
    assert daemon.ok("STATS")["agent"] == {"conversations": 0, "turns": 200, "requests": 400,
                                           "retries": 0}


def test_a_full_disk_refuses_words(make_asked):
    daemon = make_asked().start(faults="store.commit#1=ENOSPC")
    Turn(daemon.client(), script({"say": "x"})).err("disk-full")
    assert ask(daemon.client(), script({"say": "x"})).ok()["text"] == "x"


@pytest.mark.parametrize("commit", [2, 4])
def test_a_full_disk_holds_a_turn_up(sim, make_asked, commit):
    """The second commit has the answer with its calls, the third the job, the fourth its change."""
    daemon = make_asked().start(faults=f"store.commit#{commit}=ENOSPC")
    turn = ask(daemon.client(), script({"calls": [text("a cat")]}, {"say": "Done."}))
    assert turn.ok()["text"] == "Done."
    assert len(sim.operations()) == 1


def test_a_turn_that_waits_for_the_disk_is_cancelled(sim, make_asked):
    """Before the calls of an answer are on disk: they are not made any more."""
    daemon = make_asked().start(faults=",".join(f"store.commit#{n}=ENOSPC" for n in (2, 3, 4)))
    turn = Turn(daemon.client(), script({"calls": [text("a cat")]}, {"say": "Never."}))
    harness.until(lambda: "can't be written" in daemon.log())
    assert cancel(daemon, turn.until("asked")["session"])["cancelled"] is True
    assert turn.ok("cancelled")["jobs"] == []
    assert turn.steps("result")[0]["result"]["success"] is False
    assert sim.operations() == []
    check_goes_on(daemon, turn.session)


def test_nothing_that_is_said_is_in_the_log(asked, asking):
    words = script({"calls": [text("a very private cat")]}, {"say": "A very private answer."})
    turn = ask(asking, "My very private wish. " + words)
    turn.ok()
    log = asked.log()
    assert "private" not in log
    assert log.count(f"session {turn.session}:") == 2
