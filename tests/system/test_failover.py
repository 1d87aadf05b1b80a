"""Several providers for one model: by weight, elsewhere after what was certainly not accepted, and
never after what may have been."""

import collections
import contextlib
import json
import pathlib
import signal

import pytest
from harness import OMNI, Sim, until

SUBMIT = {"on": "submit", "do": "status"}
MANY = 40


@pytest.fixture
def other(directory):
    """A second simulator."""
    where = pathlib.Path(directory) / "other"
    where.mkdir()
    sim = Sim(where).start()
    yield sim
    sim.stop()


@pytest.fixture
def start(make_daemon, other):
    """A daemon whose second provider for Omni is the other simulator."""
    def start(options=None, **keys):
        both = {"second": {"dialect": "interactions", "base_url": other.url}}
        for name, more in keys.items():
            both.setdefault(name, {}).update(more)
        return make_daemon(providers=both, options=options).start()

    return start


def many(daemon, count=MANY, **fields):
    with daemon.client() as client:
        jobs = [{"prompt": f"cat {i}", **fields} for i in range(count)]
        ids = [job["id"] for job in client.ok("BATCH " + json.dumps({"jobs": jobs}))["jobs"]]
    return daemon.wait(*ids)


def providers(jobs):
    return collections.Counter(job["provider"] for job in jobs)


def check_bought_once(sim, other, count):
    assert sim.stats()["accepted"] + other.stats()["accepted"] == count
    prompts = [operation["prompt"] for operation in sim.operations() + other.operations()]
    assert len(set(prompts)) == len(prompts) == count


def test_by_weight(start, sim, other):
    jobs = many(start(gemini={"weight": 3}), 120)
    assert {job["state"] for job in jobs} == {"done"}
    shares = providers(jobs)
    assert shares["gemini"] + shares["second"] == 120
    assert 75 <= shares["gemini"] <= 105
    assert sim.stats()["accepted"] == shares["gemini"]
    check_bought_once(sim, other, 120)


def test_one_of_weight_0_stands_in(start, sim, other):
    daemon = start(second={"weight": 0})
    assert providers(many(daemon, 10)) == {"gemini": 10}
    sim.rules([{**SUBMIT, "status": 503}])
    jobs = many(daemon, 10)
    assert {job["state"] for job in jobs} == {"done"}
    assert providers(jobs) == {"second": 10}


def test_a_named_provider_is_kept(start, other):
    daemon = start()
    assert providers(many(daemon, 10, provider="second")) == {"second": 10}
    other.rules([{**SUBMIT, "status": 404, "message": "no such model"}])
    job = daemon.wait(daemon.generate("a cow", provider="second")["id"])[0]
    assert job["state"] == "failed" and "no such model" in job["error"]["message"]


@pytest.mark.parametrize("rule", [
    {"status": 429, "retry_after": "600"},
    {"status": 429},
    {"status": 503, "shape": "html", "retry_after": "600"},
    {"status": 401},
    {"status": 403},
    {"status": 404},
    {"status": 402},
    {"status": 400, "reason": "API_KEY_INVALID", "shape": "google"},
    {"quota": "day"},
], ids=json.dumps)
def test_elsewhere(start, sim, other, rule):
    """All are done by the other one, and few of them had to find out."""
    sim.rules([{**SUBMIT, **rule}])
    jobs = many(start({"retry.base_delay": "2s", "retry.max_delay": "60s"}))
    assert {job["state"] for job in jobs} == {"done"}
    assert providers(jobs) == {"second": MANY}
    assert {job["attempts"] for job in jobs} == {1}
    assert 1 <= sim.stats()["submissions"] <= 20
    check_bought_once(sim, other, MANY)


def test_one_is_down(start, sim, other):
    daemon = start({"retry.base_delay": "2s", "retry.max_delay": "60s"})
    sim.stop()
    jobs = many(daemon)
    assert {job["state"] for job in jobs} == {"done"}
    assert providers(jobs) == {"second": MANY}
    sim.start()  # on the same port
    until(lambda: "gemini" in providers(many(daemon, 4)), "it is used again")


def test_what_both_refuse(start, sim, other):
    """Each is asked once; the last word decides."""
    sim.rules([{**SUBMIT, "status": 404, "message": "not here"}])
    other.rules([{**SUBMIT, "status": 404, "message": "nor here"}])
    daemon = start()
    job = daemon.wait(daemon.generate("a cat")["id"])[0]
    assert job["state"] == "failed"
    assert job["error"]["message"].split(" (")[0] in ("not here", "nor here")
    assert sim.stats()["submissions"] == other.stats()["submissions"] == 1
    # With one out of credit it is asked as well, and a RETRY begins a new round.
    other.rules([{**SUBMIT, "status": 402, "message": "no money"}])
    daemon.ok(f"RETRY {job['id']}")
    job = daemon.wait(job["id"])[0]
    assert job["state"] in ("held", "failed")
    assert sim.stats()["submissions"] == other.stats()["submissions"] == 2


def test_all_shut_waits(start, sim, other):
    """Nothing is failed because all are busy; WHY tells of both."""
    for each in (sim, other):
        each.rules([{**SUBMIT, "status": 429, "retry_after": "2", "times": 1}])
    daemon = start()
    id = daemon.generate("a cat")["id"]
    text = until(lambda: (lambda t: t if t.count("turned veod away") == 2 else None)(
        daemon.ok(f"WHY {id}")["text"]), "both are shut")
    assert "gemini" in text and "second" in text
    job = daemon.wait(id)[0]
    assert job["state"] == "done" and job["attempts"] == 1
    check_bought_once(sim, other, 1)


def test_why_tells_who_was_tried(start, sim, other):
    sim.rules([{**SUBMIT, "status": 404, "message": "no such model"}])
    other.rules([{**SUBMIT, "status": 503, "retry_after": "30"}])
    daemon = start()
    id = daemon.generate("a cat")["id"]
    text = until(lambda: (lambda t: t if "was tried" in t and "turned veod away" in t else None)(
        daemon.ok(f"WHY {id}")["text"]), "both were asked")
    assert "Provider gemini was tried" in text
    assert "Provider second turned veod away" in text


@pytest.mark.parametrize("rule", [
    {"do": "reset-before"},
    {"do": "reset-after"},
    {"do": "status", "status": 502, "shape": "html"},
    {"do": "status", "status": 408},
    {"do": "status", "status": 500, "shape": "html"},
    {"do": "empty"},
    {"do": "truncate"},
], ids=json.dumps)
def test_never_after_what_may_have_been_accepted(start, sim, other, rule):
    for each in (sim, other):
        each.rules([{"on": "submit", **rule}])
    daemon = start()
    job = daemon.wait(daemon.generate("a cat")["id"])[0]
    assert job["state"] == "uncertain"
    assert sim.stats()["submissions"] + other.stats()["submissions"] == 1


def test_an_operation_stays_where_it_is(start, sim, other):
    """Its provider goes away while it runs: it is polled there, and made nowhere else."""
    daemon = start(second={"weight": 0})
    id = daemon.generate("a cat [sim: latency=3s]")["id"]
    daemon.wait_state(id, "running")
    sim.rules([{"on": "poll", "do": "status", "status": 503}])
    until(lambda: sim.stats()["polls"] >= 3, "it is polled")
    assert daemon.job(id)["state"] == "running"
    daemon.kill()
    daemon.start()
    sim.clear_rules()
    job = daemon.wait(id)[0]
    assert job["state"] == "done" and job["provider"] == "gemini"
    assert other.stats()["submissions"] == 0
    check_bought_once(sim, other, 1)


def test_a_kill_between_two_providers(start, sim, other):
    """What was refused by one and not yet accepted by the other is bought once, whenever it dies."""
    sim.rules([{**SUBMIT, "status": 503, "chance": 0.5}])
    other.rules([{**SUBMIT, "status": 429, "chance": 0.3}])
    daemon = start()
    ids = [daemon.generate(f"cat {i}")["id"] for i in range(20)]
    for _ in range(3):
        daemon.process.send_signal(signal.SIGKILL)
        daemon.process.wait()
        daemon.start()
    jobs = daemon.wait(*ids)
    states = collections.Counter(job["state"] for job in jobs)
    assert set(states) <= {"done", "uncertain"}
    done = states["done"]
    accepted = sim.stats()["accepted"] + other.stats()["accepted"]
    assert done <= accepted <= len(ids)
    with contextlib.suppress(KeyError):
        assert sim.stats()["duplicates"] == other.stats()["duplicates"] == 0
