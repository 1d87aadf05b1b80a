"""The plug is pulled: at every fault point, at every commit, and at random times under load.
After the restart no job is lost, none was bought twice, and every result is whole."""

import base64
import json
import os
import pathlib
import random
import re
import threading
import time

import pytest

import harness
from harness import OMNI, VEO, Client, until
from invariants import (MEDIA, check_all, check_bought_once, check_nothing_left, list_jobs,
                        wait_for_all, with_faults)

SOURCES = pathlib.Path(__file__).parents[2] / "daemon"
POINTS = sorted({name for path in SOURCES.rglob("*.c")
                 for name in re.findall(r'fault_point\("([a-z.]+)"\)', path.read_text())})
COMMITS_MAX = 40
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(1000)).decode()
KILLS = int(os.environ.get("VEOD_KILLS", "16"))


class Life:
    """Some jobs, from acceptance to the end, with a daemon that is killed on the way."""

    def __init__(self, daemon, sim, models):
        self.daemon, self.sim = daemon, sim
        self.wanted = [{"prompt": f"cat {i} by {model}", "model": model, "key": f"key-{i}"}
                       for i, model in enumerate(models)]
        for fields in self.wanted:
            if fields["model"] == VEO:  # Omni is told of its images in the prompt
                fields["image"] = {"mime_type": "image/png", "data": PNG}
        self.accepted = {}  # prompt by id
        self.record = daemon.directory / "faults"

    def submit(self):
        """What was asked for already is asked for again: its key says that it's the same."""
        with Client(self.daemon.socket) as client:
            for fields in self.wanted:
                job = client.ok("GENERATE " + json.dumps(fields))
                earlier = [id for id, prompt in self.accepted.items()
                           if prompt == fields["prompt"]]
                assert earlier in ([], [job["id"]])
                self.accepted[job["id"]] = fields["prompt"]
            client.items("LIST")
            client.wait(*self.accepted)

    def live_with(self, fault):
        """True if the daemon was killed."""
        self.daemon.spawn(fault, environment={"VEOD_FAULT_RECORD": str(self.record)})
        try:
            if until(lambda: not self.daemon.alive or self.daemon.answers(), "veod answers"):
                self.submit()
        except (OSError, EOFError):
            self.daemon.wait_killed()
        hit = self.record.exists()
        if not hit:
            assert self.daemon.alive
            self.daemon.terminate()
        return hit

    def go_on(self):
        """Without faults: all is well in the end. Returns the ids of what is uncertain."""
        self.daemon.start()
        self.submit()
        return check_all(self.daemon, self.sim, self.accepted, MEDIA.read_bytes())

    def retry(self, uncertain):
        """Told to, it buys again."""
        if not uncertain:
            return
        self.daemon.ok("RETRY " + json.dumps({"ids": uncertain}))
        jobs = self.daemon.wait(*uncertain)
        assert [job["state"] for job in jobs] == ["done"] * len(jobs)


@pytest.fixture
def live(directory, make_daemon):
    """Runs lives until one is not killed any more; each has a simulator and a state of its own."""
    sims = []

    def run(name, models, fault, sim_arguments=()):
        where = directory / name
        where.mkdir()
        sim = harness.Sim(where, *sim_arguments, latency="40ms-80ms", processing="20ms").start()
        sims.append(sim)
        daemon = make_daemon(name, options={"poll.min": "20ms", "poll.max": "100ms",
                                            "retry.base_delay": "20ms"})
        daemon.sim = sim
        life = Life(daemon, sim, models)
        killed = life.live_with(fault)
        if killed:
            life.retry(life.go_on())
            daemon.terminate()
        sim.stop()
        return killed

    yield run
    for sim in sims:
        sim.stop()


def test_every_point_is_known():
    """The names that the tests below rely on, and at least these states' boundaries."""
    assert {"engine.submit", "http.sending", "engine.answered", "engine.noticed", "sink.open",
            "sink.write", "sink.sync", "sink.rename", "sink.renamed", "engine.fetched",
            "store.begin", "store.write", "store.commit", "store.committed"} <= set(POINTS)


@with_faults
@pytest.mark.parametrize("point", POINTS)
def test_killed_at(live, point):
    killed = 0
    for nth in (1, 2, 4):
        killed += live(f"n{nth}", [OMNI, VEO], f"{point}#{nth}=kill")
    assert killed > 0, f"{point} was never reached"


@with_faults
@pytest.mark.parametrize("point", ["store.commit", "store.committed"])
def test_killed_at_every_commit(live, point):
    for nth in range(1, COMMITS_MAX):
        if not live(f"n{nth}", [VEO, OMNI], f"{point}#{nth}=kill"):
            break
    assert 6 < nth < COMMITS_MAX - 1


@with_faults
@pytest.mark.parametrize("point", ["store.commit", "store.committed", "sink.rename",
                                   "sink.renamed", "engine.fetched", "engine.noticed"])
def test_killed_with_the_video_inside_the_answer(live, point):
    for nth in range(1, COMMITS_MAX):
        if not live(f"n{nth}", [OMNI], f"{point}#{nth}=kill", ["--delivery", "inline"]):
            break
    assert 1 < nth < COMMITS_MAX - 1


@with_faults
def test_killed_while_recovering(make_daemon, sim):
    """Recovery itself is cut short at each of its commits."""
    daemon = make_daemon()
    life = Life(daemon, sim, [OMNI, VEO] * 3)
    daemon.start()
    with daemon.client() as client:
        jobs = [{**fields, "prompt": fields["prompt"] + " [sim: latency=2s]"}
                for fields in life.wanted]
        life.wanted = jobs
        for fields in jobs:
            life.accepted[client.ok("GENERATE " + json.dumps(fields))["id"]] = fields["prompt"]
    until(lambda: len(sim.operations()) == 6, "all are submitted")
    daemon.kill()
    for nth in range(1, 8):
        life.live_with(f"store.commit#{nth}=kill")
        life.record.unlink(missing_ok=True)
        if daemon.alive:
            daemon.kill()
    life.retry(life.go_on())


class Submitter(threading.Thread):
    """Submits one job after the other, and each until it is accepted."""

    def __init__(self, daemon, name, batch=1):
        super().__init__(name=name, daemon=True)
        self.where, self.batch = daemon.socket, batch
        self.accepted = {}
        self.enough = threading.Event()
        self.failure = None

    def fields(self, number):
        model = OMNI if number % 2 else VEO
        return {"prompt": f"{self.name} {number}", "model": model, "key": f"{self.name}-{number}"}

    def submit(self, client, number):
        if self.batch == 1:
            ids = [client.ok("GENERATE " + json.dumps(self.fields(number)))["id"]]
        else:
            jobs = [self.fields(number + i) for i in range(self.batch)]
            ids = [job["id"] for job in client.ok("BATCH " + json.dumps({"jobs": jobs}))["jobs"]]
        for offset, id in enumerate(ids):
            prompt = self.fields(number + offset)["prompt"]
            assert self.accepted.get(id, prompt) == prompt
            self.accepted[id] = prompt

    def run(self):
        number = 0
        try:
            while not self.enough.is_set():
                try:
                    with Client(self.where) as client:
                        while not self.enough.is_set():
                            self.submit(client, number)
                            number += self.batch
                            time.sleep(random.uniform(0.01, 0.1))
                except (OSError, EOFError):  # the same once more
                    time.sleep(0.02)
        except BaseException as error:
            self.failure = error


@pytest.mark.parametrize("delivery, size", [("uri", 12_839), ("uri", 1_000_000),
                                            ("inline", 300_000)])
def test_killed_at_random_times_under_load(make_daemon, directory, delivery, size):
    seed = int(os.environ.get("VEOD_KILLS_SEED", time.time_ns() % 1_000_000))
    print("VEOD_KILLS_SEED:", seed)
    chance = random.Random(seed)
    sim = harness.Sim(directory, "--delivery", delivery, "--video-bytes", str(size)).start()
    daemon = make_daemon(options={"poll.min": "20ms", "limits.in_flight": 100})
    daemon.sim = sim
    daemon.start()
    submitters = [Submitter(daemon, "one"), Submitter(daemon, "two"),
                  Submitter(daemon, "three", batch=3)]
    for submitter in submitters:
        submitter.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.5))
        daemon.kill()
        daemon.spawn()
        if chance.random() < 0.8:
            daemon.wait_ready()
    if not daemon.alive:
        daemon.spawn()
    daemon.wait_ready()
    for submitter in submitters:
        submitter.enough.set()
        submitter.join(harness.PATIENCE)
        assert not submitter.is_alive() and submitter.failure is None, submitter.failure
    accepted = {id: prompt for one in submitters for id, prompt in one.accepted.items()}
    wait_for_all(daemon)
    uncertain = check_all(daemon, sim, accepted)
    print(f"{KILLS} kills, {len(accepted)} jobs accepted, {len(uncertain)} uncertain")
    assert len(accepted) > KILLS
    jobs = list_jobs(daemon)
    assert {file["bytes"] for job in jobs if job["state"] == "done"
            for file in job["files"]} == {size}
    keys = [job["key"] for job in jobs if "key" in job]
    assert len(keys) == len(set(keys))
    check_nothing_left(daemon, jobs)
    check_bought_once(sim)
    if uncertain:
        daemon.ok("RETRY " + json.dumps({"ids": uncertain[:100]}))
        assert {job["state"] for job in daemon.wait(*uncertain[:100])} == {"done"}
    daemon.close()
    sim.stop()
