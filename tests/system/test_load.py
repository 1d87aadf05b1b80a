"""Many jobs at once, on one thread; and what is learned from them."""

import json
import os
import statistics
import threading
import time
from datetime import datetime

import pytest

import harness
from harness import OMNI, VEO, until
from invariants import MEDIA, check_all, check_bought_once, list_jobs, wait_for_all

MANY = 1000
POOL = 8  # workers for the disk; with the loop's own thread all there are


def batch(daemon, prompts, **fields):
    """Accepted at once: prompts by id."""
    jobs = [{"prompt": prompt, "model": (OMNI, VEO)[i % 2], **fields}
            for i, prompt in enumerate(prompts)]
    made = daemon.ok("BATCH " + json.dumps({"jobs": jobs}))["jobs"]
    return {job["id"]: prompt for job, prompt in zip(made, prompts)}


class Threads(threading.Thread):
    """Counts the daemon's threads all the while."""

    def __init__(self, daemon):
        super().__init__(daemon=True)
        self.path = f"/proc/{daemon.pid}/task"
        self.most = 0
        self.enough = threading.Event()

    def run(self):
        while not self.enough.wait(0.02):
            try:
                self.most = max(self.most, len(os.listdir(self.path)))
            except FileNotFoundError:
                return


def test_a_thousand_generations_at_once(make_daemon, directory):
    sim = harness.Sim(directory, latency="10s-12s").start()
    try:
        daemon = make_daemon(options={"limits.in_flight": MANY})
        daemon.sim = sim
        daemon.start()
        threads = Threads(daemon)
        threads.start()
        accepted = batch(daemon, [f"cat {i}" for i in range(MANY)])
        assert len(accepted) == MANY
        with daemon.client() as client:  # others are served meanwhile
            some = "WAIT " + json.dumps({"ids": list(accepted)[:100], "timeout_seconds": 0.5})
            while client.ok(some)["timed_out"]:
                assert client.ok("PING") is not None
        wait_for_all(daemon, 120)
        threads.enough.set()
        assert check_all(daemon, sim, accepted, MEDIA.read_bytes()) == []
        stats = sim.stats()
        assert stats["submissions"] == stats["accepted"] == MANY
        assert stats["max_running"] == MANY
        assert 1 < threads.most <= 1 + POOL
        assert "failed" not in daemon.log() and "uncertain" not in daemon.log()
    finally:
        daemon.close()
        sim.stop()


@pytest.mark.parametrize("cap", [1, 7])
def test_no_more_in_flight_than_allowed(make_daemon, sim, cap):
    daemon = make_daemon(options={"limits.in_flight": cap}).start()
    accepted = batch(daemon, [f"[sim: latency=30ms] cat {i}" for i in range(40)])
    wait_for_all(daemon)
    check_all(daemon, sim, accepted)
    assert sim.stats()["max_running"] == cap


def test_order(make_daemon, sim):
    """A higher priority goes first, then the older; what is held, goes when it is released."""
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    first = daemon.generate("[sim: latency=1s] first")["id"]
    daemon.wait_state(first, "running")
    wanted = []
    for i, priority in enumerate([0, -100, 5, 100, 0, 5, -1]):
        prompt = f"[sim: latency=20ms] {i}"
        job = daemon.generate(prompt, priority=priority)
        assert job["state"] == "queued"
        wanted.append((-priority, i, prompt))
    held = daemon.generate("[sim: latency=20ms] held", priority=100)["id"]
    daemon.ok(f"HOLD {held}")
    until(lambda: len(list_jobs(daemon, state=["done"])) == 8, "all but one")
    assert daemon.job(held)["state"] == "held"
    daemon.ok(f"RELEASE {held}")
    daemon.wait(held)
    prompts = [operation["prompt"] for operation in sim.operations()]
    assert prompts == ["[sim: latency=1s] first", *[prompt for _, _, prompt in sorted(wanted)],
                       "[sim: latency=20ms] held"]
    check_bought_once(sim)


def lag_ms(job, operation):
    noticed = datetime.fromisoformat(job["noticed_at"].replace("Z", "+00:00")).timestamp() * 1000
    return noticed - operation["finished_at"]


def test_polling_learns(make_daemon, directory):
    """The second hundred is polled less, and noticed sooner, than at a fixed interval that makes as
    many polls."""
    took = 3.0
    sim = harness.Sim(directory, latency=f"{int(took * 1000) - 200}ms-{int(took * 1000)}ms").start()
    try:
        daemon = make_daemon(options={"poll.min": "50ms", "poll.max": "3s"})
        daemon.sim = sim
        daemon.start()
        rounds = []
        for name in ("unlearned", "learned"):
            accepted = batch(daemon, [f"{name} {i}" for i in range(100)])
            wait_for_all(daemon)
            operations = check_bought_once(sim)
            jobs = [job for job in list_jobs(daemon) if job["id"] in accepted]
            polls = statistics.mean(job["polls"] for job in jobs)
            lag = statistics.median(lag_ms(job, operations[job["prompt"]]) for job in jobs)
            rounds.append((polls, lag))
            print(f"{name}: {polls:.1f} polls a job, noticed {lag:.0f} ms after the end")
        polls, lag = rounds[1]
        assert polls < rounds[0][0]
        assert polls < took / 0.05 / 3  # a fixed interval of poll.min
        assert lag < took * 1000 / polls / 2  # a fixed interval, on average
        daemon.restart()  # what was learned isn't lost
        accepted = batch(daemon, [f"remembered {i}" for i in range(50)])
        wait_for_all(daemon)
        jobs = [job for job in list_jobs(daemon) if job["id"] in accepted]
        assert statistics.mean(job["polls"] for job in jobs) < rounds[0][0]
    finally:
        daemon.close()
        sim.stop()


def test_memory_is_given_back(make_daemon, sim):
    """Rounds of jobs that are alike need no more memory than the first few."""
    options = "detect_leaks=1:quarantine_size_mb=1"
    daemon = make_daemon(environment={"ASAN_OPTIONS": options}).start()
    sizes = []
    for round in range(6):
        batch(daemon, [f"[sim: latency=10ms] {round} {i}" for i in range(100)])
        wait_for_all(daemon)
        sizes.append(daemon.memory())
    assert sizes[-1] - sizes[2] < 12 << 20, sizes
    assert daemon.descriptors() < 120
    begun = time.monotonic()
    daemon.terminate()
    assert time.monotonic() - begun < 20
