"""What jobs cost, what is held for want of money, and what becomes of it over a crash.

Estimates: OMNI $1.0136 (10 s at 720p), VEO $3.20 (8 s).
"""

import http.server
import json
import os
import sqlite3
import threading

import pytest

from harness import NOBODY, OMNI, VEO, Daemon, until

OMNI_USD = 1.0136
VEO_USD = 3.2

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="clients of other users need root")


@pytest.fixture
def limited(directory, sim):
    """A daemon whose budgets are given: limited({"budget.daily_usd": 5})."""
    daemons = []

    def start(options, providers=None, **arguments):
        daemon = Daemon(directory, sim, options, providers)
        daemons.append(daemon)
        return daemon.start(**arguments)

    yield start
    for daemon in daemons:
        daemon.close()


def batch(daemon, count, prompt="a cat", **fields):
    """Ids, and those of them that are held."""
    jobs = [{"prompt": f"{prompt} {i}", **fields} for i in range(count)]
    made = daemon.ok("BATCH " + json.dumps({"jobs": jobs}))["jobs"]
    return [job["id"] for job in made], [job["id"] for job in made if job.get("state") == "held"]


def cost(daemon, **arguments):
    with daemon.client() as client:
        replies = client.exchange("COST " + json.dumps(arguments))
    assert replies[-1].word == "OK", replies[-1]
    return [reply.value for reply in replies[:-1]], replies[-1].value


def test_a_job_carries_its_estimate_and_its_charge(limited):
    daemon = limited({})
    job = daemon.generate("a cat", model=VEO, duration_seconds=4)
    assert job["cost"] == {"estimate_usd": 1.6}
    done, = daemon.wait(job["id"])
    assert done["cost"] == {"estimate_usd": 1.6, "charged_usd": 1.6}
    rows, total = cost(daemon)
    assert rows == [{"day": done["noticed_at"][:10], "jobs": 1, "charged_usd": 1.6,
                     "presumed_usd": 0}]
    assert total == {"count": 1, "jobs": 1, "charged_usd": 1.6, "presumed_usd": 0,
                     "reserved_usd": 0, "budgets": []}


def test_omnis_usage_settles(limited, sim):
    """By tokens: $17.50 a million of video, $1.50 of input."""
    daemon = limited({})
    job = daemon.generate("a cat", resolution="1080p", duration_seconds=4)
    assert job["cost"]["estimate_usd"] == pytest.approx(0.60816)
    done, = daemon.wait(job["id"])
    video, prompt = 8688 * 4, len("a cat") // 4 + 1
    expected = round(video * 17.5 + prompt * 1.5) / 1e6
    assert done["cost"]["charged_usd"] == pytest.approx(expected, abs=2e-6)
    assert done["cost"]["charged_usd"] != done["cost"]["estimate_usd"]


def test_what_comes_to_nothing_costs_nothing(limited):
    daemon = limited({})
    jobs = [daemon.generate(f"a cat [sim: {how}]", model=VEO)
            for how in ("filter", "fail=3")]
    jobs.append(daemon.generate("refused", model=VEO, aspect_ratio="1:1", force=True))
    for job in daemon.wait(*[job["id"] for job in jobs]):
        assert job["state"] in ("filtered", "failed")
        assert job["cost"] == {"estimate_usd": VEO_USD, "charged_usd": 0}
    rows, total = cost(daemon)
    assert rows == [] and total["charged_usd"] == total["reserved_usd"] == 0


def test_only_what_was_delivered_is_charged(limited, sim):
    """Of two samples one is filtered: half of the estimate."""
    daemon = limited({})
    job = daemon.generate("a cat [sim: filter=partial]", model="veo-2.0-generate-001", sample_count=2)
    assert job["cost"]["estimate_usd"] == pytest.approx(5.6)
    done, = daemon.wait(job["id"])
    assert len(done["files"]) == 1
    assert done["cost"]["charged_usd"] == pytest.approx(2.8)


class Prompt(http.server.BaseHTTPRequestHandler):
    """A provider that answers a submission with the result."""

    def answer(self, mime_type, body):
        self.send_response(200)
        self.send_header("Content-Type", mime_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        sample = {"video": {"uri": f"http://{self.headers['Host']}/v.mp4"}}
        self.answer("application/json", json.dumps(
            {"name": f"models/{VEO}/operations/1", "done": True,
             "response": {"generateVideoResponse": {"generatedSamples": [sample]}}}).encode())

    def do_GET(self):
        self.answer("video/mp4", b"\0\0\0\x18ftypmp42" + bytes(100))

    def log_message(self, *_):
        pass


def test_a_result_in_the_answer_to_the_submission_is_charged(limited):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Prompt) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            daemon = limited({}, {"veo": {"base_url": url}})
            done, = daemon.wait(daemon.generate("a cat", model=VEO)["id"])
            daemon.close()
        finally:
            server.shutdown()
    assert done["state"] == "done" and done["polls"] == 0, done
    assert done["cost"] == {"estimate_usd": VEO_USD, "charged_usd": VEO_USD}


def test_cancelled_while_running_is_presumed(limited):
    daemon = limited({"budget.daily_usd": 5})
    job = daemon.generate("a cat [sim: latency=300s]", model=VEO)
    daemon.wait_state(job["id"], "running")
    assert cost(daemon)[1]["reserved_usd"] == VEO_USD
    cancelled = daemon.ok(f"CANCEL {job['id']}")
    assert cancelled["cost"] == {"estimate_usd": VEO_USD, "charged_usd": VEO_USD,
                                 "presumed": True}
    rows, total = cost(daemon, by="model")
    assert rows == [{"model": VEO, "jobs": 1, "charged_usd": VEO_USD, "presumed_usd": VEO_USD}]
    assert total["budgets"] == [{"for": "all", "daily_usd": 5, "charged_usd": VEO_USD,
                                 "reserved_usd": 0, "left_usd": 1.8}]


def test_cancelled_between_request_and_answer(limited, sim):
    """The provider may charge, whatever its answer will be."""
    daemon = limited({})
    sim.rules([{"on": "submit", "do": "stall", "seconds": 2}])
    job = daemon.generate("a cat [sim: latency=300s]", model=VEO)
    daemon.wait_state(job["id"], "submitting")
    until(lambda: sim.stats()["requests"], "the request has left")
    cancelled = daemon.ok(f"CANCEL {job['id']}")
    assert cancelled["cost"] == {"estimate_usd": VEO_USD, "charged_usd": VEO_USD, "presumed": True}
    until(lambda: "operation_name" in daemon.job(job["id"]), "the answer")
    assert charges(daemon) == [(job["id"], 1, 3200000, 1)]


def test_an_expired_one_is_settled_when_its_result_comes_after_all(limited):
    daemon = limited({})
    job = daemon.generate("a cat [sim: latency=3s]", deadline_seconds=1)
    expired, = daemon.wait(job["id"])
    assert expired["state"] == "expired" and expired["cost"]["presumed"] is True
    assert expired["cost"]["charged_usd"] == OMNI_USD
    daemon.ok(f"RETRY {job['id']}")
    done, = daemon.wait(job["id"])
    assert done["state"] == "done" or done["state"] == "expired"
    while done["state"] == "expired":  # its new deadline may pass as well
        daemon.ok(f"RETRY {job['id']}")
        done, = daemon.wait(job["id"])
    assert "presumed" not in done["cost"]
    assert done["cost"]["charged_usd"] != OMNI_USD  # by its tokens
    rows, total = cost(daemon)
    assert total["jobs"] == 1 and total["charged_usd"] == done["cost"]["charged_usd"]


@pytest.mark.parametrize("verb", ["CANCEL", "RETRY", "FORGET"])
def test_uncertain_stays_reserved_until_somebody_decides(limited, sim, verb):
    daemon = limited({})
    sim.rules([{"on": "submit", "do": "reset-after", "match": "storm", "times": 1}])
    job = daemon.generate("a storm", model=VEO)
    uncertain, = daemon.wait(job["id"])
    assert uncertain["state"] == "uncertain" and "charged_usd" not in uncertain["cost"]
    total = cost(daemon)[1]
    assert (total["charged_usd"], total["reserved_usd"]) == (0, VEO_USD)
    daemon.ok(f"{verb} {job['id']}")
    if verb == "RETRY":
        done, = daemon.wait(job["id"])
        assert done["state"] == "done" and done["cost"]["charged_usd"] == 2 * VEO_USD
    total = cost(daemon)[1]
    assert total["jobs"] == 1 and total["presumed_usd"] == VEO_USD
    assert total["charged_usd"] == (2 if verb == "RETRY" else 1) * VEO_USD
    assert total["reserved_usd"] == 0


# ---- budgets ----


def states_of(daemon, ids):
    with daemon.client() as client:
        return [item["state"] for item in client.items("STATUS " + json.dumps({"ids": ids}))]


def test_a_budget_runs_out_in_the_middle_of_a_batch(directory, sim):
    """Exactly the affordable jobs run; RELOAD with a greater budget releases the others."""
    path = directory / "veod.conf"
    path.write_text("[budget]\ndaily_usd = 10\n")
    daemon = Daemon(directory, sim)
    line = daemon.command_line
    daemon.command_line = lambda *arguments: [
        str(path) if part == "/dev/null" else part for part in line(*arguments)]
    try:
        daemon.start()
        ids, held = batch(daemon, 7, model=VEO)
        assert held == ids[3:]
        assert [job["state"] for job in daemon.wait(*ids)] == ["done"] * 3 + ["held"] * 4
        assert len(sim.operations()) == 3
        error = daemon.job(ids[3])["error"]
        assert error["code"] == "budget-exceeded"
        for part in ("$3.20", "[budget] daily_usd = $10.00", "00:00 UTC"):
            assert part in error["message"]
        with daemon.client() as client:
            client.err(f"RELEASE {ids[3]}", "budget-exceeded")
        assert states_of(daemon, ids[3:]) == ["held"] * 4
        path.write_text("[budget]\ndaily_usd = 17\n")
        assert daemon.ok("RELOAD") == {"changed": ["budget.daily_usd"]}
        daemon.wait_state(ids[4], "done")
        daemon.wait_state(ids[3], "done")
        assert states_of(daemon, ids) == ["done"] * 5 + ["held"] * 2
        assert len(sim.operations()) == 5
        total = cost(daemon)[1]
        assert total["charged_usd"] == 5 * VEO_USD and total["budgets"][0]["left_usd"] == 1
    finally:
        daemon.close()


def test_the_oldest_of_the_highest_priority_goes_first_when_money_comes_free(limited, sim):
    daemon = limited({"budget.daily_usd": 4})
    first = daemon.generate("first [sim: latency=2s, filter]", model=VEO)
    low = daemon.generate("low", model=VEO)
    high = daemon.generate("high", model=VEO, priority=5)
    assert (low["state"], high["state"]) == ("held", "held")
    assert daemon.wait_state(first["id"], "filtered")
    assert daemon.wait_state(high["id"], "done")["cost"]["charged_usd"] == VEO_USD
    assert daemon.job(low["id"])["state"] == "held"
    assert [operation["prompt"].split()[0] for operation in sim.operations()] == ["first", "high"]


def test_a_job_that_is_there_already_takes_no_money_from_those_sent_with_it(limited):
    daemon = limited({"budget.daily_usd": 7})
    known = {"prompt": "a [sim: latency=300s]", "model": VEO, "key": "k"}
    first = daemon.ok("GENERATE " + json.dumps(known))
    daemon.wait_state(first["id"], "running")
    jobs = {"jobs": [known, {"prompt": "b [sim: latency=300s]", "model": VEO}]}
    again, other = daemon.ok("BATCH " + json.dumps(jobs))["jobs"]
    assert again["id"] == first["id"] and again["existing"]
    until(lambda: daemon.job(other["id"])["state"] == "running", "there is money for it", patience=20)


def test_dearer_than_the_whole_budget_is_refused(limited):
    daemon = limited({"budget.daily_usd": 3})
    with daemon.client() as client:
        error = client.err("GENERATE " + json.dumps({"prompt": "x", "model": VEO}),
                           "budget-exceeded")
        assert "$3.20" in error["message"] and "$3.00" in error["message"]
        client.err("BATCH " + json.dumps({"jobs": [{"prompt": "x"}, {"prompt": "x", "model": VEO}]}),
                   "budget-exceeded", "jobs.1")
        assert client.items("LIST") == []
        assert client.generate("x", model="veo-new")["state"] == "queued"  # no price, no budget


@as_root
def test_budgets_of_owners(limited):
    daemon = limited({"budget.owner_daily_usd": 4})
    mine = [daemon.generate("mine", model=VEO) for _ in range(2)]
    assert [job["state"] for job in mine] == ["queued", "held"]
    assert "owner_daily_usd" in mine[1]["error"]["message"]
    with daemon.client(uid=NOBODY) as client:
        theirs = client.generate("theirs", model=VEO)
        assert theirs["state"] == "queued"
        client.wait(theirs["id"])
        rows, total = [reply.value for reply in client.exchange('COST {"by":"owner"}')]
        assert rows == {"owner": NOBODY, "jobs": 1, "charged_usd": VEO_USD, "presumed_usd": 0}
        assert [budget["for"] for budget in total["budgets"]] == ["owner"]
        client.err('COST {"owner":0}', "not-found", "owner")
    daemon.wait(mine[0]["id"])
    rows, total = cost(daemon, by="owner")
    assert {row["owner"]: row["charged_usd"] for row in rows} == {0: VEO_USD, NOBODY: VEO_USD}
    assert cost(daemon, owner=NOBODY)[1]["charged_usd"] == VEO_USD


def test_a_released_job_counts_again_and_a_retried_one_too(limited):
    daemon = limited({"budget.daily_usd": 7})
    waiting = daemon.generate("a [sim: latency=300s]", model=VEO)
    filtered = daemon.generate("b [sim: filter, fails=1]", model=VEO)
    daemon.wait(filtered["id"])
    other = daemon.generate("c [sim: latency=300s]", model=VEO)
    assert other["state"] == "queued"
    daemon.ok(f"RETRY {filtered['id']}")
    assert daemon.wait_state(filtered["id"], "held")["error"]["code"] == "budget-exceeded"
    daemon.ok(f"CANCEL {waiting['id']}")  # presumed: no money comes free
    assert daemon.job(filtered["id"])["state"] == "held"


# ---- when the store fails ----


def ledger(daemon):
    budget, = cost(daemon)[1]["budgets"]
    return budget["charged_usd"], budget["reserved_usd"]


def test_a_cancellation_that_could_not_be_stored_is_not_booked(limited):
    daemon = limited({"budget.daily_usd": 10}, faults="store.commit#4=ENOSPC")
    job = daemon.generate("a cat [sim: latency=300s]", model=VEO)
    daemon.wait_state(job["id"], "running")
    with daemon.client() as client:
        client.err(f"CANCEL {job['id']}", "disk-full")
    assert ledger(daemon) == (0, VEO_USD)


def test_an_attempt_that_could_not_be_stored_books_no_earlier_one_again(limited, sim):
    daemon = limited({"budget.daily_usd": 10}, faults="store.commit#6=ENOSPC")
    job = daemon.generate("a cat [sim: latency=300s]", model=VEO)
    daemon.wait_state(job["id"], "running")
    daemon.ok(f"CANCEL {job['id']}")  # presumed
    daemon.ok(f"RETRY {job['id']}")
    until(lambda: len(sim.operations()) == 2, "the second submission")
    daemon.wait_state(job["id"], "running")
    assert ledger(daemon) == (VEO_USD, VEO_USD)


# ---- over a crash ----


def charges(daemon):
    with sqlite3.connect(f"file:{daemon.state}/jobs.db?mode=ro", uri=True) as db:
        return db.execute("SELECT job, attempt, amount, presumed FROM charges").fetchall()


@pytest.mark.parametrize("fault", ["engine.noticed#1", "store.commit#4", "store.committed#4",
                                   "store.committed#5"])
def test_each_attempt_is_booked_once_over_a_crash(limited, sim, fault):
    daemon = limited({}, faults=f"{fault}=kill")
    job = daemon.generate("a cat", model=VEO)
    daemon.wait_killed()
    daemon.start()
    done, = daemon.wait(job["id"])
    assert done["state"] == "done" and done["cost"]["charged_usd"] == VEO_USD
    assert charges(daemon) == [(job["id"], 1, 3200000, 0)]
    assert cost(daemon)[1]["charged_usd"] == VEO_USD


def test_the_ledger_is_there_again_after_a_crash(limited, sim):
    daemon = limited({"budget.daily_usd": 10})
    done = daemon.generate("a cat", model=VEO)
    daemon.wait(done["id"])
    running = daemon.generate("a [sim: latency=300s]", model=VEO)
    daemon.wait_state(running["id"], "running")
    held, = batch(daemon, 2, "c [sim: latency=300s]", model=VEO)[1]
    before = cost(daemon)[1]
    assert before["reserved_usd"] == 2 * VEO_USD
    daemon.kill()
    daemon.start()
    after = cost(daemon)[1]
    assert (after["charged_usd"], after["reserved_usd"]) == (VEO_USD, 2 * VEO_USD)
    assert after["budgets"] == before["budgets"]
    assert daemon.job(held)["state"] == "held"
    daemon.kill()  # with more money at the next start it goes on by itself
    daemon.start(options={"budget.daily_usd": 20})
    daemon.wait_state(held, "running")


def test_costs_by_label_and_provider_stay_when_jobs_are_forgotten(limited):
    daemon = limited({})
    jobs = [daemon.generate("a", model=VEO, labels={"project": "pets"}),
            daemon.generate("b", model=VEO, labels={"project": "pets", "x": "\"y'"}),
            daemon.generate("c", duration_seconds=5)]
    ended = daemon.wait(*[job["id"] for job in jobs])
    daemon.ok(f"FORGET {jobs[0]['id']}")
    omni = ended[2]["cost"]["charged_usd"]
    assert cost(daemon, by="label:project")[0] == [
        {"label": "project", "value": "pets", "jobs": 2, "charged_usd": 6.4, "presumed_usd": 0},
        {"label": "project", "jobs": 1, "charged_usd": omni, "presumed_usd": 0}]
    assert [row.get("value") for row in cost(daemon, by="label:x")[0]] == [None, "\"y'"]
    assert [(row["provider"], row["jobs"]) for row in cost(daemon, by="provider")[0]] == [
        ("veo", 2), ("gemini", 1)]
    assert [row["model"] for row in cost(daemon, by="model")[0]] == [VEO, OMNI]
    rows, total = cost(daemon, since="2099-01-01T00:00:00Z")
    assert rows == [] and total["charged_usd"] == 0


@pytest.mark.parametrize("argument, field", [
    ({"by": "week"}, "by"), ({"by": 7}, "by"), ({"by": "label:"}, "by"), ({"since": "today"}, "since"),
    ({"owner": -1}, "owner"), ({"limit": 3}, "limit")])
def test_bad_arguments_of_cost(limited, argument, field):
    daemon = limited({})
    with daemon.client() as client:
        client.err("COST " + json.dumps(argument), "invalid-argument", field)


def test_stats_tell_what_is_spent(limited):
    daemon = limited({})
    daemon.wait(daemon.generate("a", model=VEO)["id"])
    running = daemon.generate("a [sim: latency=300s]", model=VEO)
    daemon.wait_state(running["id"], "running")
    assert daemon.ok("STATS")["spend"] == {"today_usd": VEO_USD, "reserved_usd": VEO_USD}


# ---- budgets of providers ----


def test_a_providers_budget(limited, sim):
    daemon = limited({"provider veo.daily_budget_usd": 7})
    ids, held = batch(daemon, 4, model=VEO)
    assert held == ids[2:]
    assert "[provider veo] daily_budget_usd = $7.00" in daemon.job(ids[2])["error"]["message"]
    omni = daemon.generate("a dog")
    assert [job["state"] for job in daemon.wait(*ids, omni["id"])] == [
        "done", "done", "held", "held", "done"]
    budgets = cost(daemon)[1]["budgets"]
    assert budgets == [{"for": "provider", "provider": "veo", "daily_usd": 7,
                        "charged_usd": 6.4, "reserved_usd": 0, "left_usd": 0.6}]


def test_another_attempt_needs_room_in_the_providers_budget(limited, sim):
    daemon = limited({"provider veo.daily_budget_usd": 4})
    job = daemon.generate("a cat [sim: latency=300s]", model=VEO)
    daemon.wait_state(job["id"], "running")
    daemon.ok(f"CANCEL {job['id']}")  # presumed
    daemon.ok(f"RETRY {job['id']}")
    held = daemon.wait_state(job["id"], "held")
    assert "[provider veo] daily_budget_usd = $4.00" in held["error"]["message"]
    assert len(sim.operations()) == 1


def test_of_two_providers_the_one_with_money_takes_it(limited, sim):
    url = {"base_url": sim.url}
    daemon = limited({}, {"veo": {"weight": 1000, "daily_budget_usd": 4},
                          "other": {"dialect": "predict", "models": "veo-*", "weight": 1,
                                    "daily_budget_usd": 7, **url}})
    ids, held = batch(daemon, 5, model=VEO)
    ended = daemon.wait(*ids)
    assert sorted(job["state"] for job in ended) == ["done"] * 3 + ["held"] * 2
    assert sorted(job["provider"] for job in ended if job["state"] == "done") == [
        "other", "other", "veo"]
    assert len(sim.operations()) == 3
    assert {row["provider"]: row["charged_usd"] for row in cost(daemon, by="provider")[0]} == {
        "veo": 3.2, "other": 6.4}


def test_what_was_held_at_the_pick_goes_on_when_money_comes_free(limited, sim):
    url = {"base_url": sim.url}
    daemon = limited({}, {"veo": {"daily_budget_usd": 4},
                          "other": {"dialect": "predict", "models": "veo-*",
                                    "daily_budget_usd": 4, **url}})
    costly = [daemon.generate(f"first {i} [sim: latency=2s, filter]", model=VEO) for i in range(2)]
    late = [daemon.generate(f"late {i}", model=VEO) for i in range(2)]
    daemon.wait(*[job["id"] for job in costly])
    for job in late:
        assert daemon.wait_state(job["id"], "done")["cost"]["charged_usd"] == VEO_USD
    assert len(sim.operations()) == 4
