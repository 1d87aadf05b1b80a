"""What meets at an awkward moment: answers that share a line, events beside forgotten ones, room that
is made while nobody waits for it."""

import json
import os
import pathlib

import pytest

from harness import until
from test_verbs import at

LATER = 3600  # seconds; nothing is sent in this test


def processor_seconds(daemon):
    fields = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_watch_goes_on_after_gets(daemon, client):
    job = client.generate("a cat")
    client.wait(job["id"])
    watcher = daemon.client()
    watcher.send("@w WATCH")
    assert watcher.read().word == "OK"
    ids = {daemon.generate(f"bird {number}")["id"] for number in range(20)}
    for number in range(40):
        watcher.send(f"@g{number} GET {job['id']}")
    got, done = 0, set()
    while got < 40 or done != ids:
        reply = watcher.read()
        if reply.word == "DATA":
            watcher.read_bytes(reply.value["bytes"])
            got += 1
        else:
            assert reply.word == "EVENT" and reply.tag == "w", reply
            if reply.value["state"] == "done":
                done.add(reply.value["id"])


def test_a_list_goes_on_after_gets(client):
    job = client.generate("a cat")
    client.wait(job["id"])
    client.ok("BATCH " + json.dumps({"jobs": [{"prompt": "x", "not_before": at(LATER)}] * 300}))
    client.send('@l LIST {"limit":1000}')
    for number in range(5):
        client.send(f"@g{number} GET {job['id']}")
    left = {"l", "g0", "g1", "g2", "g3", "g4"}
    while left:
        reply = client.read()
        assert reply.word != "ERR", reply
        if reply.word == "DATA":
            client.read_bytes(reply.value["bytes"])
        if reply.word != "ITEM":
            left.remove(reply.tag)


def test_a_replay_passes_over_what_was_forgotten(daemon, client):
    job = client.generate("a cat")
    client.wait(job["id"])
    client.ok(f"FORGET {job['id']}")
    watcher = daemon.client()
    watcher.ok('WATCH {"from":0}')
    before = processor_seconds(daemon)
    assert watcher.quiet(1)
    assert processor_seconds(daemon) - before < 0.5, "a replay that never catches up"
    later = client.generate("a dog")
    events = [watcher.read().value]
    while events[-1]["state"] != "done":
        events.append(watcher.read().value)
    assert {event["id"] for event in events} == {later["id"]}
    numbers = [event["event"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_many_long_jobs_are_shown_as_they_are_read(client):
    ids = [client.generate("p" * 30000, not_before=at(LATER))["id"] for _ in range(200)]
    assert [job["id"] for job in client.items("STATUS " + json.dumps({"ids": ids}))] == ids
    assert [job["id"] for job in client.items('LIST {"limit":1000}')] == ids[::-1]
    assert [job["id"] for job in client.items('LIST {"limit":7}')] == ids[:-8:-1]


def test_one_long_answer_fits_a_small_mark(make_daemon):
    daemon = make_daemon(options={"limits.client_output": "64K"}).start()
    with daemon.client() as client:
        ids = [client.generate("p" * 1500, not_before=at(LATER))["id"] for _ in range(400)]
        answer = client.ok("WAIT " + json.dumps({"ids": ids, "timeout_seconds": 0}))
        assert len(answer["jobs"]) == len(ids)


def test_quit_ends_a_watch(client):
    client.send("WATCH\nQUIT")
    assert client.read().word == client.read().word == "OK"
    assert client.at_end(10)


@pytest.mark.parametrize("left", [0, 100])
def test_announced_bytes_that_are_gone_end_the_connection(daemon, client, left):
    job, = client.wait(client.generate("a cat")["id"])
    os.truncate(job["files"][0]["path"], left)
    reader = daemon.client()
    reader.send(f"@w WATCH\n@g GET {job['id']}\n@p PING")
    words = [reader.read().word for _ in range(2)]
    while words[-1] != "DATA":
        words.append(reader.read().word)
    with pytest.raises((EOFError, ConnectionResetError)):
        reader.read_bytes(job["files"][0]["bytes"])


def test_a_waiting_job_starts_when_room_is_made(make_daemon):
    daemon = make_daemon(options={"limits.in_flight": "1"}).start()
    with daemon.client() as client:
        first = client.generate("a cat [sim: latency=1s]")
        second = client.generate("a dog", not_before=at(2))
        client.wait(first["id"], second["id"], patience=20)


def test_an_empty_answer_is_no_rest_of_a_video(sim, client):
    sim.rules([{"on": "download", "do": "truncate", "times": 1},
               {"on": "download", "do": "empty", "times": 1}])
    job, = client.wait(client.generate("a cat [sim: bytes=200000]")["id"])
    assert job["state"] == "done" and job["files"][0]["bytes"] == 200000


def test_the_same_key_answers_when_its_result_is_there(client):
    first = client.generate("a cat", key="k", output="cat.mp4")
    client.wait(first["id"])
    again = client.generate("a cat", key="k", output="cat.mp4")
    assert again["id"] == first["id"] and again["existing"]
    client.err('GENERATE {"prompt":"a cat","output":"cat.mp4"}', "conflict", "output")
    client.err('GENERATE {"prompt":"a cat","key":"l","output":"cat.mp4"}', "conflict", "output")


def test_a_stop_waits_for_no_slow_poll(make_daemon, sim):
    daemon = make_daemon(options={"http.calls": "2"}).start()
    sim.rules([{"on": "poll", "do": "stall", "seconds": 20}])
    ids = [daemon.generate(f"bird {number}")["id"] for number in range(2)]
    for id in ids:
        daemon.wait_state(id, "running")
    client = daemon.client()
    until(lambda: client.ok("STATS")["http"]["calls"] == 4, "two polls on the wire")
    waiting = daemon.generate("a cat")
    client.wait_state(waiting["id"], "submitting")
    daemon.process.terminate()
    assert daemon.process.wait(10) == 0
    sim.clear_rules()
    daemon.start()
    assert daemon.wait(waiting["id"])[0]["state"] == "done"
