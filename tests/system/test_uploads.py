"""Images on their way to a provider: read while they are sent, and never held in memory."""

import hashlib
import os
import pathlib
import signal
import time

import pytest

from harness import VEO, VEOD, until

MIB = 1024 * 1024
COUNT = 100
WINDOW = 10
HEAD = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"


def image(seed, size=6 * MIB):
    """Its bytes count: the type is taken from the first ones."""
    block = hashlib.sha256(str(seed).encode()).digest() * 64
    return (HEAD + block * (size // len(block) + 1))[:size]


def put(client, data):
    client.send(f"PUT {len(data)} image/png")
    client.send(data)
    reply = client.read()
    assert reply.word == "OK", reply
    return reply.value["blob"]


def blob_file(daemon, blob):
    return daemon.state / "blobs" / blob


def is_sanitized():
    return b"__asan_init" in pathlib.Path(VEOD).read_bytes()


def forget_peak(daemon):
    """VmHWM counts from here (proc(5), clear_refs)."""
    pathlib.Path(f"/proc/{daemon.pid}/clear_refs").write_text("5")


def warmed_up(make_daemon, sim):
    """A daemon that sends COUNT submissions at once: to each provider WINDOW, since it trusts each
    with more only as submissions are accepted."""
    names = [f"p{i}" for i in range(COUNT // WINDOW)]
    provider = {"dialect": "predict", "base_url": sim.url, "models": "veo-*"}
    daemon = make_daemon(providers={name: provider for name in names},
                         options={"http.transfers": COUNT, "http.calls": 2 * COUNT,
                                  "daemon.default_model": VEO}).start()
    client = daemon.client()
    tiny = put(client, image("tiny", 1000))
    ids = [client.generate("[sim: latency=0] warm", provider=name, image=tiny)["id"]
           for name in names for _ in range(6 * WINDOW)]
    assert {job["state"] for job in client.wait(*ids)} == {"done"}
    return daemon, client, names


def test_memory(make_daemon, sim, capsys):
    """100 images of 6 MiB in flight at once: less than 16 MiB more."""
    daemon, client, names = warmed_up(make_daemon, sim)
    files = [image(seed) for seed in range(COUNT)]
    digests = {hashlib.sha256(data).hexdigest() for data in files}
    blobs = [put(client, data) for data in files]
    before = daemon.memory()
    forget_peak(daemon)
    sim.process.send_signal(signal.SIGSTOP)  # so that all are under way at once
    try:
        ids = [client.generate("[sim: latency=1s] x", image=blob, provider=names[i % len(names)])
               ["id"] for i, blob in enumerate(blobs)]
        until(lambda: client.ok("STATS")["http"]["uploads_active"] == COUNT, "all are being sent")
    finally:
        sim.process.send_signal(signal.SIGCONT)
    jobs = client.wait(*ids, patience=300)
    growth = daemon.memory("VmHWM") - before
    assert {job["state"] for job in jobs} == {"done"}
    seen = [each for job in sim.operations("latency=1s") for each in job["inputs"]]
    assert len(seen) == COUNT and {each["sha256"] for each in seen} == digests
    with capsys.disabled():
        print(f"\n{COUNT} images of 6 MiB at once: {growth / MIB:.1f} MiB more "
              f"than {before / MIB:.1f}{' (ASan)' if is_sanitized() else ''}")
    assert is_sanitized() or growth < 16 * MIB


def soon():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))


@pytest.mark.parametrize("what,words", [("gone", "input 1 is gone"),
                                        ("shorter", "input 1 has changed"),
                                        ("linked", "input 1 cannot be read")])
def test_input_gone(make_daemon, sim, what, words):
    daemon = make_daemon(options={"daemon.default_model": VEO}).start()
    client = daemon.client()
    blob = put(client, image(what, 100_000))
    path = blob_file(daemon, blob)
    id = client.generate("first", image=blob, not_before=soon())["id"]
    path.rename(path.with_suffix(".moved"))
    if what == "shorter":
        path.write_bytes(b"x")
    if what == "linked":
        path.symlink_to(path.with_suffix(".moved"))
    job, = client.wait(id)
    assert job["state"] == "failed" and job["error"]["code"] == "input-gone", job
    assert words in job["error"]["message"] and str(path) not in job["error"]["message"]
    assert sim.operations() == []
    # It is no fault of the provider's.
    other = client.generate("second", image=put(client, image("other", 100_000)))["id"]
    assert client.wait(other)[0]["state"] == "done"


needs_faults = pytest.mark.skipif(os.environ.get("VEOD_FAULTS", "1") == "0",
                                  reason="a build without fault points")


@needs_faults
def test_no_descriptor_left(make_daemon, sim):
    """Another time there may be one."""
    daemon = make_daemon(options={"daemon.default_model": VEO}).start(faults="upload.open=EMFILE")
    client = daemon.client()
    job, = client.wait(client.generate("x", image=put(client, image(1, 100_000)))["id"])
    assert job["state"] == "done" and len(sim.operations()) == 1


@needs_faults
def test_disk_fails_on_the_way(make_daemon, sim):
    """A part of it was sent: nobody knows, and it isn't sent again."""
    daemon = make_daemon(options={"daemon.default_model": VEO}).start(faults="upload.read#3=EIO")
    client = daemon.client()
    job, = client.wait(client.generate("x", image=put(client, image(1, MIB)))["id"])
    assert job["state"] == "uncertain" and "Input/output error" in job["error"]["message"], job
    assert sim.operations() == []
    other = client.generate("y", image=put(client, image(2, MIB)))["id"]
    assert client.wait(other)[0]["state"] == "done"


def start_stuck(make_daemon, sim, **options):
    """A daemon that sends more than sockets hold to a provider that doesn't read."""
    daemon = make_daemon(options={"daemon.default_model": VEO, **options}).start()
    client = daemon.client()
    blob = put(client, image("large", 12 * MIB))
    sim.process.send_signal(signal.SIGSTOP)
    id = client.generate("x", image=blob)["id"]
    until(lambda: client.ok("STATS")["http"]["uploads_active"] == 1, "it is being sent")
    return daemon, client, id


def test_sending_may_take_longer_than_an_answer(make_daemon, sim):
    _, client, id = start_stuck(make_daemon, sim, **{"http.answer_timeout": "1s"})
    time.sleep(2)
    sim.process.send_signal(signal.SIGCONT)
    job, = client.wait(id)
    assert job["state"] == "done" and job["attempts"] == 1, job


def test_cancelled_on_the_way(make_daemon, sim):
    daemon, client, id = start_stuck(make_daemon, sim)
    descriptors = daemon.descriptors()
    assert client.ok(f"CANCEL {id}")["state"] == "cancelled"
    sim.process.send_signal(signal.SIGCONT)
    until(lambda: client.ok("STATS")["http"]["uploads_active"] == 0, "it is let go of")
    until(lambda: daemon.descriptors() < descriptors, "its file is closed")
    job, = client.wait(client.generate("y", image=put(client, image(2, MIB)))["id"])
    assert job["state"] == "done"


def test_polls_go_on_beside_uploads(make_daemon, sim):
    """However many are stuck: they have connections of their own."""
    daemon = make_daemon(options={"daemon.default_model": VEO, "http.calls": 8,
                                  "http.transfers": 2}).start()
    client = daemon.client()
    running = client.generate("[sim: latency=1h] x")["id"]
    client.wait_state(running, "running")
    # The head is read, and nothing more, until the rule is gone.
    sim.rules([{"on": "submit", "do": "stall", "seconds": 600, "times": 2}])
    stuck = [client.generate("y", image=put(client, image(seed, MIB)))["id"] for seed in range(2)]
    until(lambda: client.ok("STATS")["http"]["uploads_active"] == 2, "they are stuck")
    polls = client.ok(f"STATUS {running}")["polls"]
    until(lambda: client.ok(f"STATUS {running}")["polls"] >= polls + 5, "polls go on")
    for id in [running, *stuck]:
        client.ok(f"CANCEL {id}")
    daemon.kill()  # those that were sent are waited for
