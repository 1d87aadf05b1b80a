"""What meets at an awkward moment: commands for one job in one write, cancelled submissions that
are still on their way, jobs that move while they are looked up, deadlines of those that wait."""

import json
import time

from harness import OMNI, VEO, until
from invariants import check_bought_once, with_faults, without


def test_hold_at_once(daemon, sim):
    """HOLD may meet the job while its submission is made durable; refused, it changes nothing."""
    with daemon.client() as client:
        ids, held = [], 0
        for round in range(40):
            with daemon.client() as other:
                client.send("@g GENERATE " + json.dumps({"prompt": f"cat {round}"}))
                id = client.read().value["id"]
                other.send(f"HOLD {id}")
                reply = other.read()
                assert reply.word == "OK" or reply.value["code"] == "conflict"
                ids.append(id)
                if reply.word == "OK":
                    held += 1
                    other.send(f"RELEASE {id}")
                    assert other.read().word == "OK"
        jobs = client.wait(*ids)
    assert {job["state"] for job in jobs} == {"done"}
    check_bought_once(sim)


def test_commands_for_one_job_in_one_write(daemon, sim):
    """The next command runs from inside of the answer to the one before."""
    running = daemon.generate("[sim: latency=30s] a slow cat")["id"]
    daemon.wait_state(running, "running")
    with daemon.client() as client:
        client.send((f"CANCEL {running}\n" * 3 + f"RETRY {running}\n" * 3 +
                     f"CANCEL {running}\n" * 3).encode())
        words = [client.read().word for _ in range(9)]
        assert words == ["OK", "ERR", "ERR"] * 3
        client.send((f"FORGET {running}\n" * 3 + f"RETRY {running}\nSTATUS {running}\n").encode())
        replies = [client.read() for _ in range(5)]
    assert [reply.word for reply in replies] == ["OK"] + ["ERR"] * 4
    assert {reply.value["code"] for reply in replies[1:]} <= {"not-found"}
    assert daemon.ok("STATS") is not None


def test_retry_from_inside_of_wait(daemon, sim):
    sim.rules([{"on": "download", "do": "status", "status": 404, "times": 3}])
    job = daemon.generate()
    with daemon.client() as client:
        client.send(f"WAIT {job['id']}\nRETRY {job['id']}\nWAIT {job['id']}\n".encode())
        first, retried, second = client.read(), client.read(), client.read()
    assert first.value["jobs"][0]["state"] == "failed"
    assert retried.word == "OK"
    assert second.value["jobs"][0]["state"] == "done"
    assert sim.stats()["submissions"] == 1


def test_forget_meets_retry(daemon, sim):
    """One of them wins, and the loser is told; the store is not taken for a broken one."""
    sim.rules([{"on": "submit", "do": "status", "status": 400, "times": 20}])
    for round in range(20):
        id = daemon.generate(f"cat {round}")["id"]
        daemon.wait(id)
        with daemon.client() as one, daemon.client() as other:
            one.send(f"FORGET {id}")
            other.send(f"RETRY {id}")
            words = {one.read().word, other.read().word}
        assert words == {"OK", "ERR"}
    assert "a commit failed" not in daemon.log()


def test_uncertain_is_forgotten_only_if_that_is_durable(make_daemon, sim):
    daemon = make_daemon()
    daemon.start(faults="store.commit#4=ENOSPC")  # insert, submitting, uncertain, forget
    sim.rules([{"on": "submit", "do": "reset-after", "times": 1}])
    id = daemon.generate()["id"]
    assert daemon.wait(id)[0]["state"] == "uncertain"
    with daemon.client() as client:
        client.err(f"FORGET {id}", "disk-full")
        assert client.ok(f"STATUS {id}")["state"] == "uncertain"
        assert client.ok(f"FORGET {id}")
        client.err(f"STATUS {id}", "not-found")


def test_cancelled_before_it_was_sent(make_daemon, sim):
    """With one call at a time: the submission waits behind a poll that stalls."""
    daemon = make_daemon(options={"http.calls": 1, "http.stall_timeout": "2s"}).start()
    sim.rules([{"on": "poll", "do": "stall", "seconds": 1.5, "times": 1}])
    first = daemon.generate("the first")["id"]
    until(lambda: sim.stats()["polls"] == 1, "the first poll")
    second = daemon.generate("the second")["id"]
    daemon.wait_state(second, "submitting")
    assert daemon.ok(f"CANCEL {second}")["state"] == "cancelled"
    third = daemon.generate("the third")["id"]
    assert [job["state"] for job in daemon.wait(first, third)] == ["done", "done"]
    assert [operation["prompt"] for operation in sim.operations()] == ["the first", "the third"]
    begun = time.monotonic()
    daemon.terminate()
    assert time.monotonic() - begun < 20  # nobody waits for an answer that isn't coming


def test_refusal_of_a_cancelled_submission_makes_room(make_daemon, sim):
    daemon = make_daemon(options={"http.calls": 1}).start()
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1, "times": 1, "match": "first"},
               {"on": "submit", "do": "status", "status": 400, "times": 1, "match": "first"}])
    first = daemon.generate("the first")["id"]
    until(lambda: sim.stats()["submissions"] == 1, "the first is sent")
    second = daemon.generate("the second")["id"]
    daemon.ok(f"CANCEL {first}")
    assert daemon.wait(second)[0]["state"] == "done"


def test_answer_to_a_cancelled_submission_is_kept(daemon, sim):
    """What may be charged has its operation's name; the provider is told where it can be."""
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1, "times": 1}])
    id = daemon.generate("[sim: latency=30s] a cat", model=OMNI)["id"]
    until(lambda: sim.stats()["submissions"] == 1, "it is sent")
    assert daemon.ok(f"CANCEL {id}")["state"] == "cancelled"
    job = until(lambda: (lambda job: "operation_name" in job and job)(daemon.job(id)), "a name")
    assert job["state"] == "cancelled"
    until(lambda: sim.stats()["cancels"] == 1, "the provider is told")


def test_cancel_of_many_that_are_ending(daemon, sim):
    """What is done stays done, though it was looked up before that."""
    with daemon.client() as client:
        for _ in range(5):
            jobs = client.ok("BATCH " + json.dumps({"jobs": [
                {"prompt": f"[sim: again, latency=20ms] cat {i}"} for i in range(60)]}))["jobs"]
            ids = [job["id"] for job in jobs]
            client.wait_state(ids[0], "done", "fetching")
            client.request("CANCEL " + json.dumps({"ids": ids}))
            for job in client.wait(*ids):
                assert job["state"] in ("done", "cancelled")
                has_file = daemon.path_of(job).exists() if job["state"] == "done" else False
                assert has_file == (job["state"] == "done")
                # A cancelled job has no result, and leaves none behind: one that was just being
                # given its name is removed at once.
                if job["state"] == "cancelled":
                    pattern = f"*/{job['id']}*.mp4"
                    until(lambda: not list(daemon.videos.glob(pattern)), "it has gone")


def test_deadline_of_a_job_that_waits(make_daemon, sim):
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    first = daemon.generate("[sim: latency=8s] the first")["id"]
    daemon.wait_state(first, "running")
    waiting = [daemon.generate(f"late {i}", deadline_seconds=1)["id"] for i in range(10)]
    jobs = daemon.wait(*waiting, patience=6)
    assert {job["state"] for job in jobs} == {"expired"}
    assert len(sim.operations()) == 1


def test_deadline_without_the_provider(make_daemon, sim):
    daemon = make_daemon().start()
    ids = [daemon.generate(f"[sim: latency=60s] cat {i}", model=VEO, deadline_seconds=3)["id"]
           for i in range(5)]
    for id in ids:
        daemon.wait_state(id, "running")
    daemon.terminate()
    without(daemon, "veo")
    daemon.start()
    assert {job["state"] for job in daemon.wait(*ids, patience=10)} == {"expired"}


@with_faults
def test_commands_in_one_write_while_the_store_fails(make_daemon, sim):
    """All are refused, nothing is changed, and the stop waits for nobody."""
    daemon = make_daemon().start(faults="store.commit#4+=ENOSPC")  # insert, submitting, failed
    sim.rules([{"on": "submit", "do": "status", "status": 400}])
    id = daemon.generate()["id"]
    assert daemon.wait(id)[0]["state"] == "failed"
    with daemon.client() as client:
        verbs = ["RETRY", "RETRY", "CANCEL", "FORGET", "RETRY", "FORGET", "HOLD", "RETRY"]
        for _ in range(3):
            client.send("".join(f"{verb} {id}\n" for verb in verbs).encode())
            replies = [client.read() for _ in verbs]
            assert {reply.word for reply in replies} == {"ERR"}
            assert {reply.value["code"] for reply in replies} <= {"disk-full", "conflict"}
        assert client.ok(f"STATUS {id}")["state"] == "failed"
    begun = time.monotonic()
    daemon.terminate()
    assert time.monotonic() - begun < 20
    daemon.start()
    assert daemon.job(id)["state"] == "failed"


@with_faults
def test_stop_while_the_store_fails(make_daemon, sim):
    """An end that could not be kept is found again."""
    daemon = make_daemon().start(faults="store.commit#4+=EIO")  # insert, submitting, running
    id = daemon.generate()["id"]
    until(lambda: "a commit failed" in daemon.log(), "the result can't be kept")
    begun = time.monotonic()
    daemon.terminate()
    assert time.monotonic() - begun < 20
    daemon.start()
    assert daemon.wait(id)[0]["state"] == "done"
    check_bought_once(sim)
    assert sim.stats()["submissions"] == 1
