"""The tools of ASK: the same jobs, and the same refusals, as by commands of the same user."""

import contextlib
import json
import os
import pathlib
import sqlite3

import pytest

from ask import LONG, Turn, ask, call, check, script, text
from harness import NOBODY, VEO
from test_inputs import png

OTHER = NOBODY - 1
STATES = {"queued": 0, "done": 4}  # their numbers on disk


def image(path, **arguments):
    return call("generate_video_from_image", prompt="it moves", image_path=str(path), **arguments)


def results_of(client, *calls, **members):
    """What these calls, one after the other, come to."""
    steps = [{"calls": [one]} for one in calls]
    turn = ask(client, script(*steps, {"say": "Done."}), **members)
    turn.ok()
    return [event["result"] for event in turn.steps("result")]


def result_of(client, one, **members):
    [result] = results_of(client, one, **members)
    return result


def price_of(daemon, **fields):
    answer = daemon.ok("GENERATE " + json.dumps({"prompt": "x", "dry_run": True, **fields}))
    return answer["cost"]["estimate_usd"]


def assert_refused_alike(client, one, line, **members):
    """The call's result says what the user's own command is told; the result."""
    error = client.request(line)
    assert error.word == "ERR", error
    result = result_of(client, one, **members)
    assert result["success"] is False
    assert result["error"] == error.value["message"]
    assert result["code"] == error.value["code"]
    return result


# ---- what may be read ----

@pytest.fixture
def files(directory):
    """By what they are; only the last two can be read by everybody."""
    found = {"shadow": pathlib.Path("/etc/shadow")}
    for name in ("secret.png", "open.png"):
        found[name] = directory / name
        found[name].write_bytes(png())
        found[name].chmod(0o600)
    found["open.png"].chmod(0o644)
    found["link"] = directory / "link.png"
    found["link"].symlink_to("secret.png")
    found["link to open"] = directory / "link2.png"
    found["link to open"].symlink_to("open.png")
    found["folder"] = directory
    found["pipe"] = directory / "pipe.png"
    os.mkfifo(found["pipe"])
    found["pipe"].chmod(0o644)
    found["missing"] = directory / "missing.png"
    found["dots"] = directory / "x" / ".." / "open.png"
    found["text"] = directory / "text.png"
    found["text"].write_text("not an image")
    found["text"].chmod(0o644)
    return found


@pytest.mark.parametrize("name", ["shadow", "secret.png", "link", "link to open", "folder", "pipe",
                                  "missing", "dots", "text"])
def test_files_are_refused_as_to_the_user(as_root, sim, asked, files, name):
    client = asked.client(uid=NOBODY)
    line = "GENERATE " + json.dumps({"prompt": "it moves", "image_path": str(files[name])})
    result = assert_refused_alike(client, image(files[name]), line)
    assert result["field"] == "image_path"
    assert not client.items("LIST") and not sim.operations()


def test_a_file_that_the_user_can_read(as_root, sim, asked, files):
    client = asked.client(uid=NOBODY)
    result = result_of(client, image(files["open.png"]))
    assert result["status"] == "completed", result
    [operation] = sim.operations()
    assert operation["inputs"][0]["role"] == "image"
    assert asked.job(result["job"])["owner"]["uid"] == NOBODY


@pytest.mark.parametrize("path", ["sub/a.png", "./sub/a.png", "./././sub//a.png", "sub/./a.png"])
def test_relative_paths_start_in_the_directory(asked, directory, path):
    (directory / "sub").mkdir()
    (directory / "sub" / "a.png").write_bytes(png())
    client = asked.client()
    assert result_of(client, image(path), directory=str(directory))["status"] == "completed"
    refused = result_of(client, image(path))
    assert refused["code"] == "invalid-argument" and refused["field"] == "image_path"
    assert "must be an absolute path" in refused["error"]


def test_relative_paths_lead_nowhere_else(as_root, asked, directory):
    (directory / "sub").mkdir()
    (directory / "up.png").write_bytes(png())
    (directory / "sub" / "link.png").symlink_to("../up.png")
    client = asked.client(uid=NOBODY)
    results = results_of(client, image("../up.png"), image("sub/../up.png"),
                         directory=str(directory / "sub"))
    assert ['has ".."' in result["error"] for result in results] == [True, True], results
    result = result_of(client, image("link.png"), directory=str(directory / "sub"))
    assert "symbolic link" in result["error"]


# ---- others' jobs ----

def test_others_jobs_are_not_there(as_root, sim, asked):
    owner, thief = asked.client(uid=OTHER), asked.client(uid=NOBODY)
    job = owner.generate("mine " + LONG)
    job = owner.wait_state(job["id"], "running")
    rules = [{"on": "poll", "do": "status", "status": 500}]
    sim.rules(rules)  # whoever asks the provider gets another answer
    for name in (job["id"], job["id"][:20], job["id"].lower(), job["operation_name"]):
        for wait in (False, True):
            result = assert_refused_alike(thief, check(name, wait=wait), f"STATUS {name}")
            assert result["code"] == "not-found" and result["field"] == "operation_name"
            assert "mine" not in json.dumps(result)
    sim.clear_rules()
    for client in (owner, asked.client()):
        result = result_of(client, check(job["operation_name"]))
        assert result["status"] == "processing" and result["job"] == job["id"]
        assert result["prompt"] == job["prompt"]


def test_an_operation_that_no_job_has(sim, asked):
    client = asked.client()
    [job] = client.wait(client.generate("a cat")["id"])
    name = job["operation_name"]
    client.ok(f"FORGET {job['id']}")
    assert result_of(client, check(name))["status"] == "completed"
    for name in ("models/none/operations/none", "abc", "x" * 600):
        assert_refused_alike(client, check(name), f"STATUS {name}")


# ---- money ----

def dear(prompt, **arguments):
    return text(prompt, model=VEO, **{"duration_seconds": 8, **arguments})


def test_a_spent_budget_holds_the_job(sim, make_asked):
    daemon = make_asked({"budget.daily_usd": "4"}).start()
    price = price_of(daemon, model=VEO, duration_seconds=8)
    assert price < 4 < 2 * price
    client = daemon.client()
    first, second = results_of(client, dear("a cat"), dear("a dog"))
    assert first["status"] == "completed"
    assert second["status"] == "held" and second["success"] is False
    job = daemon.job(second["job"])
    assert job["state"] == "held" and job["error"]["message"] == second["error"]
    assert len(sim.operations()) == 1
    line = "GENERATE " + json.dumps({"prompt": "x", "model": VEO, "duration_seconds": 8,
                                     "resolution": "4k"})
    result = assert_refused_alike(client, dear("x", resolution="4k"), line)
    assert result["code"] == "budget-exceeded"


def test_a_turn_spends_no_more_than_it_may(sim, make_asked):
    daemon = make_asked(max_usd="4").start()
    price, more = (price_of(daemon, model=VEO, duration_seconds=8, **fields)
                   for fields in ({}, {"resolution": "4k"}))
    assert price < 4 < 2 * price and more > 4
    calls = [dear("a cat", resolution="4k"), dear("a cat"), dear("a dog")]
    results = results_of(daemon.client(), *calls)
    assert [result["status"] for result in results] == ["failed", "completed", "failed"]
    for result, wants, left in ((results[0], more, 4), (results[2], price, 4 - price)):
        assert result["code"] == "budget-exceeded"
        for words in (f"${wants:.2f}", f"${left:.2f}", "[agent] max_usd"):
            assert words in result["error"], result
    assert len(daemon.client().items("LIST")) == len(sim.operations()) == 1


# ---- arguments ----

@pytest.mark.parametrize("fields", [
    {"aspect_ratio": "7:3"}, {"resolution": "13p"}, {"duration_seconds": 77}, {"model": "none"},
    {"duration_seconds": -1}, {"prompt": " "},
    {"model": VEO, "resolution": "1080p", "duration_seconds": 4},
])
def test_arguments_are_refused_as_to_the_user(sim, asked, fields):
    fields = {"prompt": "a cat", **fields}
    assert_refused_alike(asked.client(), text(**fields), "GENERATE " + json.dumps(fields))
    assert not sim.operations()


def test_a_bad_argument_is_named_so_that_it_can_be_mended(sim, asked):
    bad, good = results_of(asked.client(), text("a cat", aspect_ratio="7:3"),
                           text("a cat", aspect_ratio="9:16"))
    assert bad["success"] is False and bad["field"] == "aspect_ratio"
    assert "7:3" in bad["error"] and "9:16" in bad["error"]
    assert good["status"] == "completed" and good["aspect_ratio"] == "9:16"
    assert len(sim.operations()) == 1


@pytest.mark.parametrize("arguments, said", [
    ("", "needs prompt"), (" ", "needs prompt"), ("{}", "needs prompt"), ("null", "needs prompt"),
    ("[]", "must be an object"), ("a cat", "not JSON"), ('{"prompt":"a', "not JSON"),
    ('{"prompt":"a","prompt":"b"}', "not JSON"), ('{"prompt":5}', "prompt must be a string"),
    ('{"prompt":"a","image_path":"/x"}', "no argument"), ('{"prompt":"a","wait":"no"}', "wait must"),
    ('{"prompt":"a","key":"x"}', "no argument"),
])
def test_arguments_that_are_none(sim, asked, arguments, said):
    result = result_of(asked.client(), call("generate_video_from_text") | {"arguments": arguments})
    assert result["success"] is False and said in result["error"], result
    assert not asked.client().items("LIST")


def test_a_tool_that_there_is_not(asked):
    result = result_of(asked.client(), call("read_file", path="/etc/shadow"))
    assert result == {"success": False, "error":
                      'there is no tool "read_file"; the tools are generate_video_from_text, '
                      "generate_video_from_image, check_video_status"}


# ---- waiting ----

def test_a_call_that_does_not_wait_and_a_look_that_does(sim, asked):
    client = asked.client()
    started = result_of(client, text("a cat [sim: latency=1s]", wait=False))
    assert started["status"] == "processing" and started["success"] is True
    assert asked.job(started["job"])["state"] in ("queued", "submitting", "running")
    looked, waited = results_of(client, check(started["job"]), check(started["job"], wait=True))
    assert looked["status"] in ("processing", "completed")
    assert waited["status"] == "completed" and waited["job"] == started["job"]
    assert asked.path_of(asked.job(started["job"])) == pathlib.Path(waited["path"])
    assert len(sim.operations()) == 1


def test_a_look_waits_no_longer_than_it_may(make_asked):
    client = make_asked(video_wait="100ms").start().client()
    job = client.generate("a cat " + LONG)["id"]
    result = result_of(client, check(job, wait=True))
    assert result["status"] == "processing" and result["job"] == job


def test_several_look_at_one_job(asked):
    job = asked.generate("a cat " + LONG)["id"]
    asked.wait_state(job, "running")
    turn = Turn(asked.client(), script({"calls": [check(job, wait=True)] * 3}, {"say": "Gone."}))
    for number in (1, 2, 3):
        turn.until("job", call=number)
    asked.ok(f"CANCEL {job}")
    turn.ok()
    assert [event["result"]["status"] for event in turn.steps("result")] == ["cancelled"] * 3


def test_what_went_wrong_is_said(asked):
    client = asked.client()
    failed, filtered = results_of(client, text("a [sim: fail=3]"), text("b [sim: filter]"))
    for result, state in ((failed, "failed"), (filtered, "filtered")):
        job = asked.job(result["job"])
        assert result["status"] == job["state"] == state and result["success"] is False
        assert result["error"] == job["error"]["message"]
        assert result["code"] == job["error"]["code"] and result["message"]


# ---- a stop between the call and its job, and after it ----

def read_all(turn):
    """Until the daemon is gone."""
    try:
        turn.finish()
    except (EOFError, ConnectionResetError):
        pass
    assert turn.end is None


@pytest.mark.parametrize("fault", [
    "agent.calls", "http.sending#2", "engine.submit", "engine.answered", "engine.noticed",
    "engine.fetched", "sink.renamed", "agent.results", "http.sending#4",
    *[f"store.{point}#{count}" for point in ("commit", "committed") for count in range(2, 9)]])
def test_a_stop_makes_no_second_job(sim, make_asked, fault):
    daemon = make_asked({"poll.min": "100ms"}).start(faults=f"{fault}=kill")
    turn = Turn(daemon.client(), script({"calls": [text("a cat")]}, {"say_results": True}))
    read_all(turn)
    daemon.wait_killed()
    daemon.start()
    answer = Turn(daemon.client(), session=turn.session).ok()
    [job] = daemon.client().items("LIST")
    assert job["labels"] == {"session": turn.session}
    assert answer["jobs"] == [job]
    operations = sim.operations()
    if job["state"] == "uncertain":
        assert len(operations) <= 1 and "uncertain" in answer["text"]
    else:
        assert len(operations) == 1 and "completed" in answer["text"]


@pytest.mark.parametrize("commit, state", [(3, "queued"), (7, "done")])
def test_what_a_job_found_again_costs_is_not_forgotten(sim, make_asked, commit, state):
    daemon = make_asked(max_usd="4").start(faults=f"store.committed#{commit}=kill")
    turn = Turn(daemon.client(), script({"calls": [dear("a cat")]}, {"calls": [dear("a dog")]},
                                        {"say": "Done."}))
    read_all(turn)
    daemon.wait_killed()
    with contextlib.closing(sqlite3.connect(daemon.state / "jobs.db")) as store:
        assert store.execute("SELECT state FROM jobs").fetchall() == [(STATES[state],)]
    daemon.start()
    later = Turn(daemon.client(), session=turn.session)
    answer = later.ok()
    assert [job["prompt"] for job in answer["jobs"]] == ["a cat"]
    # The turn may have ended before anybody listened again; what the model heard is certain.
    heard = sim.call("GET", "/__chats")[-1]["messages"][-1]
    assert heard["role"] == "tool" and "budget-exceeded" in json.dumps(heard)
    assert len(sim.operations()) == 1
