"""Whatever has changed while veod was down: a call that was made is found again, told, and counted."""

import base64
import contextlib
import grp
import json
import os
import sqlite3

import pytest

import harness
from ask import LONG, MODEL, Turn, agent_options, ask, call, check, script, set_back, text
from harness import NOBODY
from invariants import list_jobs, with_faults

PIXEL = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJ"
                         "RU5ErkJggg==")


@pytest.fixture
def asked(sim, make_daemon):
    return make_daemon(options=agent_options(sim, video_wait="2s"))


def cut(asked, words, options=None, **members):
    """A turn whose videos were begun when veod was killed."""
    asked.start(options=options)
    turn = Turn(asked.client(), words, **members)
    turn.until("job", state="running")
    asked.kill()
    return turn


def check_told_once(sim, asked, turn):
    answer = Turn(asked.client(), session=turn.session).ok()
    assert len(answer["jobs"]) == 1, answer
    assert len(sim.operations()) == 1
    assert "status: processing" in answer["text"]
    return answer


ONE = script({"calls": [text("a cat " + LONG)]}, {"say_results": True})

CHANGES = {
    "default_model": {"daemon.default_model": harness.VEO},
    "budget": {"budget.daily_usd": "0.5"},
    "max_usd": {"agent.max_usd": "0.1"},
    "deadline": {"limits.deadline": "20m"},
    "jobs": {"limits.jobs": "1"},
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_call_is_found_again(sim, asked, change):
    turn = cut(asked, ONE)
    asked.start(options=CHANGES[change])
    check_told_once(sim, asked, turn)


def test_a_call_is_found_again_within_a_budget_that_it_has_filled(sim, asked):
    options = {"budget.daily_usd": "1.5"}
    turn = cut(asked, ONE, options)
    asked.start(options=options)
    check_told_once(sim, asked, turn)


@pytest.mark.parametrize("image", ["removed", "changed"])
def test_a_call_is_found_again_without_its_image(sim, asked, directory, image):
    path = directory / "a.png"
    path.write_bytes(PIXEL)
    path.chmod(0o644)
    turn = cut(asked, script({"calls": [call("generate_video_from_image", prompt="it moves " + LONG,
                                             image_path=str(path))]}, {"say_results": True}))
    if image == "removed":
        path.unlink()
    else:
        path.write_bytes(PIXEL + b"more")
    asked.start()
    check_told_once(sim, asked, turn)


def test_a_call_is_told_without_the_credential(sim, asked):
    turn = cut(asked, ONE)
    asked.start(options={"agent.credential": "no-such-key"})
    error = Turn(asked.client(), session=turn.session).err("unavailable")
    assert "no-such-key" in error["message"]
    [job] = list_jobs(asked)
    assert error["jobs"] == [job["id"]] and len(sim.operations()) == 1


def session_of(asked):
    with contextlib.closing(sqlite3.connect(asked.state / "jobs.db")) as db:
        [(session,)] = db.execute("SELECT id FROM sessions").fetchall()
    return session


@with_faults
@pytest.mark.parametrize("later", ["a day", "no credential"])
def test_what_was_not_begun_is_not_begun_too_late(sim, asked, later):
    asked.start(faults="agent.calls#1=kill")
    asked.client().send("ASK " + json.dumps({"text": ONE}))
    asked.wait_killed()
    session = set_back(asked)
    if later == "a day":
        asked.start()
        assert Turn(asked.client(), session=session).ok("time")["jobs"] == []
    else:
        asked.start(options={"agent.credential": "no-such-key"})
        assert Turn(asked.client(), session=session).err("unavailable")["jobs"] == []
    assert list_jobs(asked) == [] and sim.operations() == []


def test_an_admin_who_is_none_any_more_sees_no_others(as_root, asked):
    """As it is in a turn that a stop has cut, and in the answer of one that has ended."""
    group = grp.getgrgid(NOBODY).gr_name
    asked.start(options={"daemon.admin_group": group})
    job = asked.generate("mine")
    asked.wait(job["id"])
    admin = asked.client(uid=NOBODY)
    first = Turn(admin, script({"calls": [check(job["id"])]}, {"say_results": True}))
    assert [seen["id"] for seen in first.ok()["jobs"]] == [job["id"]]
    second = Turn(admin, script({"errors": [{"stall": 1}], "calls": [check(job["id"])]},
                                {"say_results": True}))
    second.until("thinking")
    asked.kill()
    asked.start()
    client = asked.client(uid=NOBODY)
    assert Turn(client, session=first.session).ok()["jobs"] == []
    answer = Turn(client, session=second.session).ok()
    assert answer["jobs"] == [] and "no such job" in answer["text"]


def test_what_was_forgotten_is_not_made_again(sim, asked):
    """With its job, its key is gone."""
    asked.start(options={"agent.video_wait": "5m"})
    words = script({"calls": [text("a cat"), text("a dog " + LONG)]}, {"say_results": True})
    turn = Turn(asked.client(), words)
    job = turn.until("job", state="done")
    asked.ok(f"FORGET {job['id']}")
    asked.kill()
    asked.start()
    answer = Turn(asked.client(), session=turn.session).ok()
    assert f"job {job['id']}, which was forgotten" in answer["text"]
    assert [seen["prompt"] for seen in answer["jobs"]] == ["a dog " + LONG]
    assert len(sim.operations()) == 2


@with_faults
@pytest.mark.parametrize("mode, status", [(0o640, "completed"), (0o600, "failed")])
def test_the_users_groups_are_known_after_a_restart(as_root, asked, directory, mode, status):
    path = directory / "a.png"
    path.write_bytes(PIXEL)
    path.chmod(mode)
    os.chown(path, 0, NOBODY)
    words = script({"calls": [call("generate_video_from_image", prompt="it moves",
                                   image_path=str(path))]}, {"say_results": True})
    asked.start(faults="agent.calls#1=kill")
    asked.client(uid=NOBODY).send("ASK " + json.dumps({"text": words}))
    asked.wait_killed()
    session = session_of(asked)
    asked.start(options={"agent.video_wait": "5m"})
    asked.client().err("ASK " + json.dumps({"session": session}), "not-found")
    answer = Turn(asked.client(uid=NOBODY), session=session).ok()
    assert f"status: {status}" in answer["text"]
    assert [job["owner"]["uid"] for job in answer["jobs"]] == [NOBODY] * (status == "completed")


def test_a_session_keeps_its_model(sim, asked):
    """Another one refuses this one's thought signatures."""
    turn = cut(asked, script({"calls": [text("a cat [sim: latency=1s]")]}, {"say_results": True}))
    asked.start(options={"agent.model": "gemini-2.5-flash"})
    assert "completed" in Turn(asked.client(), session=turn.session).ok()["text"]
    again = ask(asked.client(), script({"say": "Still here."}), session=turn.session)
    assert again.ok()["text"] == "Still here."
    assert again.steps("thinking")[0]["model"] == MODEL
    other = ask(asked.client(), script({"say": "Hello."}))
    assert other.ok() and other.steps("thinking")[0]["model"] == "gemini-2.5-flash"


def test_a_session_that_has_had_no_answer_takes_another_model(asked):
    asked.start(options={"agent.model": "no-such-model"})
    turn = ask(asked.client(), "Hello.")
    turn.err("unavailable")
    asked.restart()
    assert ask(asked.client(), script({"say": "Yes."}), session=turn.session).ok()["text"] == "Yes."
