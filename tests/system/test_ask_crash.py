"""A turn goes on after a restart, whenever veod was killed, and no video is made twice."""

import contextlib
import json
import sqlite3

import pytest

import harness
from ask import LONG, Turn, agent_options, ask, check, script, set_back, text


@pytest.fixture
def asked(sim, make_daemon):
    return make_daemon(options=agent_options(sim))


def sessions(daemon):
    """Those that are in the store."""
    path = daemon.state / "jobs.db"
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute("SELECT id FROM sessions")]


TWO = script({"calls": [text("a cat"), text("a dog")]}, {"calls": [text("a cow")]},
             {"say": "Three."})

# Where it dies, and how many commits of that kind go well before.
POINTS = [("agent.asked", 1), ("agent.calls", 1), ("agent.results", 1), ("agent.calls", 2),
          ("agent.results", 2), ("agent.ended", 1)]


def answer_after(asked, fault):
    """Of the turn of TWO, in which the daemon dies at that point and is started again."""
    asked.start(faults=f"{fault}=kill")
    client = asked.client()
    client.send("ASK " + json.dumps({"text": TWO}))
    asked.wait_killed()
    asked.start()
    [session] = sessions(asked)
    return Turn(asked.client(), session=session).ok()


@pytest.mark.parametrize("point, number", POINTS)
def test_killed_at_each_step(sim, asked, point, number):
    answer = answer_after(asked, f"{point}#{number}")
    assert answer["text"] == "Three."
    assert sorted(job["prompt"] for job in answer["jobs"]) == ["a cat", "a cow", "a dog"]
    assert {job["state"] for job in answer["jobs"]} == {"done"}
    assert sorted(op["prompt"] for op in sim.operations()) == ["a cat", "a cow", "a dog"]
    stats = sim.stats()
    assert stats["chat_refused"] == 0 and stats["chat_altered"] == 0


@pytest.mark.parametrize("commit", range(2, 12))
def test_killed_before_each_commit(sim, asked, commit):
    """Some of these are the jobs' own."""
    answer = answer_after(asked, f"store.commit#{commit}")
    prompts = sorted(op["prompt"] for op in sim.operations())
    assert prompts == sorted(set(prompts)), "no video twice"
    assert answer["text"] == "Three."
    assert sorted(job["prompt"] for job in answer["jobs"]) == ["a cat", "a cow", "a dog"]
    assert sim.stats()["chat_refused"] == 0


def test_killed_while_the_model_thinks(sim, asked):
    turn = Turn(asked.start().client(), script({"errors": [{"stall": 300}],
                                                "calls": [text("a cat")]}, {"say": "Done."}))
    harness.until(lambda: sim.stats()["chat_requests"] == 1)
    turn.until("thinking")
    asked.kill()
    asked.start()
    later = Turn(asked.client(), session=turn.session)
    assert later.ok()["text"] == "Done."
    assert len(sim.operations()) == 1


def test_killed_while_the_videos_are_made(sim, asked):
    words = script({"calls": [text("a cat [sim: latency=2s]"), text("a dog [sim: latency=2s]")]},
                   {"say_results": True})
    turn = Turn(asked.start().client(), words)
    for _ in range(2):
        turn.until("job", state="running")
    asked.kill()
    asked.start()
    later = Turn(asked.client(), session=turn.session)
    answer = later.ok()
    assert answer["text"].count("completed") >= 2 and len(answer["jobs"]) == 2
    assert len(sim.operations()) == 2


def test_stopped_and_started_again(sim, asked):
    turn = Turn(asked.start().client(), script({"calls": [text("a cat [sim: latency=2s]")]},
                                               {"say": "Done."}))
    turn.until("job", state="running")
    asked.terminate()
    assert "goes on" in turn.err("draining")["message"]
    asked.start()
    assert Turn(asked.client(), session=turn.session).ok()["text"] == "Done."
    assert len(sim.operations()) == 1


def test_stopped_in_all_states_at_once(sim, asked):
    """Whatever is under way is let go; nothing leaks, and all of it goes on."""
    asked.options["limits.in_flight"] = "2"
    asked.start()
    calls = {"calls": [text("a cat " + LONG), text("a dog " + LONG), text("a cow " + LONG)]}
    thoughts = [Turn(asked.client(), script({"errors": [{"stall": 300}], "say": f"{number}"}))
                for number in range(3)]
    callers = [Turn(asked.client(), script(calls, {"say": f"{number}"})) for number in range(3)]
    for turn in callers:
        turn.until("job", count=3, state="queued")
    harness.until(lambda: sim.stats()["chat_requests"] == 6)
    waiter = Turn(asked.client(), script({"errors": [{"status": 429, "retry_after": 300}],
                                          "say": "Waited."}))
    waiter.until("retrying")
    late = Turn(asked.client(), script({"say": "Late."}))
    late.until("retrying")
    asked.terminate()
    for turn in [*thoughts, *callers, waiter, late]:
        turn.err("draining")
    asked.start()
    for number, turn in enumerate(thoughts):
        assert Turn(asked.client(), session=turn.session).ok()["text"] == str(number)
    assert Turn(asked.client(), session=waiter.session).ok()["text"] == "Waited."
    assert Turn(asked.client(), session=late.session).ok()["text"] == "Late."
    assert asked.ok("STATS")["agent"]["conversations"] == 3
    for turn in callers:
        asked.ok("ASK " + json.dumps({"session": turn.session, "cancel": True}))
        answer = Turn(asked.client(), session=turn.session).ok("cancelled")
        assert len(answer["jobs"]) == 3
    assert len(sim.operations()) <= 2


def test_a_conversation_goes_on_after_a_crash(sim, asked):
    first = ask(asked.start().client(), script({"calls": [text("a cat")]}, {"say": "Done."}))
    operation = first.ok()["jobs"][0]["operation_name"]
    asked.kill()
    asked.start()
    second = ask(asked.client(), script({"calls": [check(operation)]}, {"say_results": True}),
                 session=first.session)
    assert "completed" in second.ok()["text"]
    assert sim.stats()["chat_altered"] == 0


@pytest.mark.parametrize("state", ["thinking", "calling"])
def test_the_time_runs_out_while_it_is_down(sim, asked, state):
    step = {"calls": [text("a cat " + LONG)]}
    if state == "thinking":
        step["errors"] = [{"stall": 300}]
    turn = Turn(asked.start().client(), script(step, {"say": "Late."}))
    if state == "calling":
        turn.until("job", state="running")
    else:
        turn.until("thinking")
    asked.kill()
    set_back(asked)
    asked.start()
    answer = Turn(asked.client(), session=turn.session).ok("time")
    assert "[agent] time" in answer["message"]
    assert len(answer["jobs"]) == len(sim.operations()) == (1 if state == "calling" else 0)
    again = ask(asked.client(), script({"say": "Here again."}), session=turn.session)
    assert again.ok()["text"] == "Here again."


def test_what_was_not_begun_in_time_is_not_begun_later(sim, asked):
    asked.start(faults="agent.calls=kill")
    asked.client().send("ASK " + script({"calls": [text("a cat")]}, {"say": "Late."}))
    asked.wait_killed()
    with contextlib.closing(sqlite3.connect(asked.state / "jobs.db")) as db:
        db.execute("UPDATE sessions SET turn = json_set(turn, '$.started_at', 1)")
        db.commit()
    asked.start()
    [session] = sessions(asked)
    answer = Turn(asked.client(), session=session).ok("time")
    assert answer["jobs"] == [] and sim.operations() == []
    check = ask(asked.client(), script({"say": "Here again."}), session=session)
    assert check.ok()["text"] == "Here again."


def test_what_was_spent_counts_after_a_crash(sim, asked):
    words = script({"calls": [text("a cat " + LONG), text("a dog " + LONG)]},
                   {"calls": [text("a cow")]}, {"say": "Done."})
    bounds = {"agent.max_usd": "2.5", "agent.video_wait": "2s"}
    turn = Turn(asked.start(options=bounds).client(), words)
    for _ in range(2):
        turn.until("job", state="running")
    asked.kill()
    asked.start(options=bounds)
    answer = Turn(asked.client(), session=turn.session).ok()
    assert len(answer["jobs"]) == 2 == len(sim.operations())


def test_without_its_credential_a_cut_turn_ends_with_a_word(asked):
    turn = Turn(asked.start().client(), script({"calls": [text("a cat " + LONG)]}))
    turn.until("job", state="running")
    asked.kill()
    asked.start(options={"agent.credential": "no-such-key"})
    error = Turn(asked.client(), session=turn.session).err("unavailable")
    assert "no-such-key" in error["message"]
    asked.restart()
    again = ask(asked.client(), script({"say": "Here again."}), session=turn.session)
    assert again.ok()["text"] == "Here again."


def test_a_damaged_record_ends_its_turn_with_a_word(asked):
    turn = Turn(asked.start().client(), script({"calls": [text("a cat " + LONG)]}))
    turn.until("job", state="running")
    asked.kill()
    with contextlib.closing(sqlite3.connect(asked.state / "jobs.db")) as db:
        db.execute("UPDATE sessions SET turn = '{}'")
        db.commit()
    asked.start()
    error = Turn(asked.client(), session=turn.session).err("unavailable")
    assert "record is damaged" in error["message"]
    again = ask(asked.client(), script({"say": "Here again."}), session=turn.session)
    assert again.ok()["text"] == "Here again."


def test_a_full_disk_after_a_crash_holds_the_turn_up(sim, asked):
    turn = Turn(asked.start().client(), script({"errors": [{"stall": 300}], "say": "Done."}))
    turn.until("asked")
    harness.until(lambda: sim.stats()["chat_requests"] == 1)
    asked.kill()
    asked.start(faults="store.commit#1=ENOSPC")
    assert Turn(asked.client(), session=turn.session).ok()["text"] == "Done."


def test_a_damaged_record_of_a_turn_that_is_over(asked):
    session = ask(asked.start().client(), script({"say": "Hello."})).session
    asked.terminate()
    with contextlib.closing(sqlite3.connect(asked.state / "jobs.db")) as db:
        db.execute("UPDATE sessions SET turn = 'x'")
        db.commit()
    client = asked.start().client()
    client.err("ASK " + json.dumps({"session": session}), "internal")
    assert ask(client, script({"say": "Here again."}), session=session).ok()["text"] == "Here again."
