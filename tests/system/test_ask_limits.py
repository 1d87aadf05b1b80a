"""ASK with a model in trouble, at its bounds, with bad arguments, among many, on a full disk."""

import json
import os
import pathlib

import pytest

import harness
from ask import LONG, Turn, ask, call, cancel, check, check_goes_on, script, text


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


def test_who_hears_of_an_end_has_room_for_the_next_turn(make_asked):
    client = make_asked(conversations="1").start().client()
    client.send("ASK " + script({"say": "One."}) + "\nASK " + script({"say": "Two."}))
    for words in ("One.", "Two."):
        assert Turn(client).ok()["text"] == words
