"""The plug is pulled at random times while files come in, two providers share the jobs, and money
is booked: no job is lost or bought twice, no input is missing, and each dollar is booked once."""

import collections
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import sqlite3
import threading
import time

import pytest

import harness
from harness import OMNI, VEO, Client, Sim
from invariants import check_files, check_nothing_left, list_jobs, wait_for_all

KILLS = int(os.environ.get("VEOD_KILLS", "16"))
PRICE = {VEO: 3.2, OMNI: 1.0136}  # Omni's is by tokens, and the prompt's length counts
NAME = re.compile(r"\b[abc] [0-9]+\b")  # Omni's prompts say as well what the images are
RULES = [{"on": "submit", "do": "status", "status": 503, "retry_after": "1", "chance": 0.05},
         {"on": "poll", "do": "status", "status": 500, "chance": 0.1},
         {"on": "download", "do": "truncate", "chance": 0.1}]
ELSEWHERE = {"on": "submit", "do": "status", "status": 404, "chance": 0.1}


def png(number):
    return b"\x89PNG\r\n\x1a\n" + str(number).encode() * 3000


class Submitter(threading.Thread):
    """One job after the other, each with an image in one of the ways there are, until accepted."""

    def __init__(self, daemon, name):
        super().__init__(name=name, daemon=True)
        self.where, self.folder = daemon.socket, daemon.directory
        self.accepted = {}  # (prompt, SHA-256 of its image) by id
        self.enough = threading.Event()
        self.failure = None

    def image(self, client, number):
        data = png(f"{self.name}{number}")
        if number % 4 == 0:
            return None, {}
        if number % 4 == 1:
            path = self.folder / f"{self.name}-{number}.png"
            path.write_bytes(data)
            return data, {"image_path": str(path)}
        if number % 4 == 2:
            data = png("the same for all")
        client.send(f"PUT {len(data)}")
        client.send(data)
        reply = client.read()
        assert reply.word == "OK", reply
        return data, {"image": reply.value["blob"]}

    def submit(self, client, number):
        data, fields = self.image(client, number)
        prompt = f"{self.name} {number}"
        reply = client.request("GENERATE " + json.dumps({
            "prompt": prompt, "model": (OMNI, VEO)[number % 2], "key": prompt, **fields}))
        if reply.word == "ERR" and reply.value["code"] == "not-found":  # a start came between
            return self.submit(client, number)
        assert reply.word == "OK", reply
        job = reply.value
        wanted = prompt, data and hashlib.sha256(data).hexdigest()
        assert self.accepted.setdefault(job["id"], wanted) == wanted

    def run(self):
        number = 0
        try:
            while not self.enough.is_set():
                try:
                    with Client(self.where) as client:
                        while not self.enough.is_set():
                            self.submit(client, number)
                            number += 1
                            time.sleep(random.uniform(0.005, 0.05))
                except (OSError, EOFError):  # the same once more
                    time.sleep(0.02)
        except BaseException as error:
            self.failure = error


@pytest.fixture
def sims(directory):
    both = []
    for name in ("one", "two"):
        (directory / name).mkdir()
        both.append(Sim(directory / name).start())
        both[-1].rules(RULES)
    both[0].rules([ELSEWHERE, *RULES])
    yield both
    for sim in both:
        sim.stop()


@pytest.fixture
def daemon(directory, sims):
    providers = {"gemini2": {"dialect": "interactions", "base_url": sims[1].url},
                 "veo2": {"dialect": "predict", "base_url": sims[1].url, "daily_budget_usd": 40}}
    daemon = harness.Daemon(directory, sims[0], providers=providers, options={
        "poll.min": "20ms", "retry.max_attempts": 20, "limits.blob_age": "1m",
        "budget.daily_usd": 100000})
    yield daemon.start()
    daemon.close()


def make_old(daemon):
    """What isn't needed goes at the next start."""
    with contextlib.closing(sqlite3.connect(daemon.state / "jobs.db")) as store, store:
        store.execute("UPDATE blobs SET used_at = used_at - 3600000")


def pull_the_plug(daemon, chance, submitters):
    for submitter in submitters:
        submitter.start()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 0.6))
        daemon.kill()
        make_old(daemon)
        daemon.spawn()
        if chance.random() < 0.8:
            daemon.wait_ready()
    daemon.wait_ready()
    for submitter in submitters:
        submitter.enough.set()
        submitter.join(harness.PATIENCE)
        assert not submitter.is_alive() and submitter.failure is None, submitter.failure


def release_held(daemon):
    """One provider refused these, and the other's budget had no room."""
    for job in list_jobs(daemon, state="held"):
        assert job["error"]["code"] == "budget-exceeded"
        daemon.ok(f"RELEASE {job['id']}")
    wait_for_all(daemon)


def check_jobs(daemon, sims, accepted):
    """Bought once, at one of the two, with the image that was meant."""
    bought = [operation for sim in sims for operation in sim.operations()]
    prompts = collections.Counter(NAME.search(operation["prompt"]).group() for operation in bought)
    assert set(prompts.values()) <= {1}, prompts.most_common(3)
    by_prompt = {NAME.search(operation["prompt"]).group(): operation for operation in bought}
    jobs = {job["id"]: job for job in list_jobs(daemon)}
    for id, (prompt, sha256) in accepted.items():
        job = jobs[id]
        assert job["prompt"] == prompt
        assert job["state"] in ("done", "uncertain"), job
        if job["state"] == "uncertain":
            assert job["error"]["code"] == "interrupted", job
        else:
            check_files(daemon, job)
            inputs = by_prompt[prompt]["inputs"]
            assert [one["sha256"] for one in inputs] == ([sha256] if sha256 else [])
    assert len({job["key"] for job in jobs.values()}) == len(jobs)
    check_nothing_left(daemon, jobs.values())
    return jobs


def costs(daemon):
    with daemon.client() as client:
        replies = client.exchange('COST {"by":"model"}')
    return [reply.value for reply in replies]


def check_money(daemon, jobs):
    """Each of them is booked once, and none that nobody delivered. A restart changes nothing."""
    done = [job for job in jobs.values() if job["state"] == "done"]
    for job in done:
        assert job["cost"]["charged_usd"] == pytest.approx(PRICE[job["model"]], abs=0.01), job
    *rows, total = costs(daemon)
    for row in rows:
        mine = [job["cost"]["charged_usd"] for job in done if job["model"] == row["model"]]
        assert row["jobs"] == len(mine)
        assert row["charged_usd"] == pytest.approx(sum(mine), abs=1e-6)
    assert total["jobs"] == len(done) and total["presumed_usd"] == 0
    waiting = [job["cost"]["estimate_usd"] for job in jobs.values() if job["state"] == "uncertain"]
    assert total["reserved_usd"] == pytest.approx(sum(waiting), abs=1e-6)
    for budget in total["budgets"]:
        mine = [job["cost"]["charged_usd"] for job in done
                if budget["for"] == "all" or job["provider"] == budget.get("provider")]
        assert budget["charged_usd"] == pytest.approx(sum(mine), abs=1e-6)
        assert budget["charged_usd"] <= budget["daily_usd"]
    day = time.gmtime().tm_mday
    daemon.restart()
    if time.gmtime().tm_mday == day:
        assert costs(daemon) == [*rows, total]


def check_blobs(daemon, jobs):
    """Those that may be needed are there; nothing else is, and nothing half."""
    daemon.terminate()
    make_old(daemon)
    daemon.start()
    needed = {job["image"]["blob"] for job in jobs.values()
              if job["state"] != "done" and "image" in job}

    def there():
        return {path.name for path in pathlib.Path(daemon.state / "blobs").iterdir()}

    harness.until(lambda: there() == needed, "only what is needed is there")


def test_killed_at_random_times(daemon, sims):
    seed = int(os.environ.get("VEOD_KILLS_SEED", time.time_ns() % 1_000_000))
    print("VEOD_KILLS_SEED:", seed)
    submitters = [Submitter(daemon, name) for name in ("a", "b", "c")]
    pull_the_plug(daemon, random.Random(seed), submitters)
    for sim in sims:
        sim.clear_rules()
    accepted = {id: what for one in submitters for id, what in one.accepted.items()}
    wait_for_all(daemon)
    release_held(daemon)
    jobs = check_jobs(daemon, sims, accepted)
    print(f"{len(accepted)} jobs:", collections.Counter(job["state"] for job in jobs.values()))
    assert len(accepted) > KILLS
    assert {job["provider"] for job in jobs.values()} >= {"gemini", "gemini2", "veo"}
    check_money(daemon, jobs)
    check_blobs(daemon, jobs)
