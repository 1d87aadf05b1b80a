"""ASK: the turn of a conversation with the scripted model, its steps, its session, its end."""

import contextlib
import json
import sqlite3

import harness
from ask import LONG, MODEL, Turn, ask, call, cancel, check, check_goes_on, script, text


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
    """Three commits for the first job, four for the turn up to its job; the eighth is HOLD's."""
    daemon = make_asked({"limits.in_flight": "1"}).start(faults="store.commit#8=ENOSPC")
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
