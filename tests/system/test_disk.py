"""Disks that are full, broken, or not ours: no OK without a commit, no generation bought again."""

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
import time

import pytest

import harness
from harness import OMNI, VEO, until
from invariants import (MEDIA, check_all, check_bought_once, check_files, check_nothing_left,
                        list_jobs, wait_for_all, with_faults, without)


@pytest.fixture
def small_disk(directory, as_root):
    """A file system of its own, of so many KiB."""
    mounted = []

    def mount(name, kib):
        path = directory / name
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={kib}k,mode=0700", "veod-test", str(path)]
        if subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("may not mount a tmpfs here")
        mounted.append(path)
        return path

    yield mount
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(folder):
    """Takes all the room that is left."""
    path = folder / "filler"
    with open(path, "ab", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return path


# ---- commits that fail ----


@with_faults
@pytest.mark.parametrize("error", ["ENOSPC", "EIO", "EROFS"])
@pytest.mark.parametrize("point", ["store.begin", "store.write", "store.commit"])
def test_no_ok_without_a_commit(make_daemon, sim, point, error):
    daemon = make_daemon().start(faults=f"{point}#1={error}")
    with daemon.client() as client:
        client.err("GENERATE a cat", "disk-full")
        assert not list_jobs(daemon)
        assert sim.stats()["submissions"] == 0
        job = client.generate("another cat")
        assert client.wait(job["id"])[0]["state"] == "done"
    assert len(list_jobs(daemon)) == 1


@with_faults
@pytest.mark.parametrize("nth", range(2, 6))
@pytest.mark.parametrize("error", ["ENOSPC", "EIO"])
def test_each_commit_of_a_life_fails_once(make_daemon, sim, nth, error):
    daemon = make_daemon(options={"poll.min": "20ms"}).start(faults=f"store.commit#{nth}={error}")
    with daemon.client() as client:
        jobs = [{"prompt": f"cat {model}", "model": model} for model in (OMNI, VEO)]
        made = client.ok("BATCH " + json.dumps({"jobs": jobs}))["jobs"]
        ended = client.wait(*[job["id"] for job in made])
    assert {job["state"] for job in ended} == {"done"}
    assert "a commit failed" in daemon.log()
    check_bought_once(sim)
    assert sim.stats()["submissions"] == 2


@with_faults
def test_store_fails_for_a_while(make_daemon, sim):
    """What runs goes on, what is asked for is refused, and then all ends well."""
    faults = ",".join(f"store.commit#{n}=ENOSPC" for n in range(4, 8))
    daemon = make_daemon().start(faults=faults)
    with daemon.client() as client:
        id = client.generate("[sim: latency=300ms] a cat")["id"]
        until(lambda: "a commit failed" in daemon.log(), "the store fails")
        client.err(f"CANCEL {id}", "disk-full")
        client.err(f"HOLD {id}", "disk-full")
        assert client.ok("STATS")
        assert client.wait(id)[0]["state"] == "done"
        assert client.ok(f"FORGET {id}")
    assert daemon.log().count("a commit failed") == 1  # not every time
    assert daemon.log().count("commits succeed again") == 1
    check_bought_once(sim)


@with_faults
def test_batch_is_all_or_nothing(make_daemon, sim):
    daemon = make_daemon().start(faults="store.write#1=ENOSPC")
    jobs = json.dumps({"jobs": [{"prompt": f"cat {i}"} for i in range(50)]})
    with daemon.client() as client:
        client.err(f"BATCH {jobs}", "disk-full")
        assert not list_jobs(daemon)
        ids = [job["id"] for job in client.ok(f"BATCH {jobs}")["jobs"]]
        assert {job["state"] for job in client.wait(*ids)} == {"done"}
    check_bought_once(sim)


@with_faults
def test_stops_while_the_store_fails(make_daemon, sim):
    """The answer to a submission can't be kept: then it is uncertain after the next start."""
    daemon = make_daemon(options={"http.answer_timeout": "3s"})
    daemon.start(faults="store.commit#3+=ENOSPC")
    id = daemon.generate()["id"]
    until(lambda: "a commit failed" in daemon.log(), "the store fails")
    daemon.kill()
    daemon.start()
    job = daemon.wait(id)[0]
    assert job["state"] == "uncertain" and job["error"]["code"] == "interrupted"
    assert sim.stats()["submissions"] == 1


# ---- a disk that is full indeed ----


def test_full_state_directory(make_daemon, sim, small_disk):
    state = small_disk("disk", 3072)
    daemon = make_daemon(options={"daemon.state_directory": str(state)}).start()
    accepted = {}
    with daemon.client() as client:
        for i in range(4):
            prompt = f"[sim: latency=2s] early cat {i}"
            accepted[client.generate(prompt, model=(OMNI, VEO)[i % 2])["id"]] = prompt
        ids = list(accepted)
        for id in ids:
            client.wait_state(id, "running")
        filler = fill(state)
        until(lambda: client.request("GENERATE " + "x" * 20000).word == "ERR", "the disk is full")
        count = len(list_jobs(daemon))
        client.err("GENERATE " + "y" * 20000, "disk-full")
        client.err(f"CANCEL {ids[0]}", "disk-full")
        assert client.ok(f"STATUS {ids[0]}")["state"] in ("running", "fetching")
        assert len(list_jobs(daemon)) == count
        time.sleep(2.5)  # their operations end meanwhile
        assert daemon.alive
        client.err("GENERATE " + "z" * 20000, "disk-full")
        filler.unlink()
        late = until(lambda: (lambda reply: reply.word == "OK" and reply.value)(
            client.request('GENERATE a late cat')), "room again", interval=0.2)
        accepted[late["id"]] = "a late cat"
        for job in list_jobs(daemon):
            accepted[job["id"]] = job["prompt"]
        assert {job["state"] for job in client.wait(*accepted)} == {"done"}
    assert check_all(daemon, sim, accepted, MEDIA.read_bytes()) == []
    assert sim.stats()["submissions"] == len(accepted)
    daemon.restart()
    assert check_all(daemon, sim, accepted) == []


def test_killed_with_a_full_state_directory(make_daemon, sim, small_disk):
    state = small_disk("disk", 2048)
    daemon = make_daemon(options={"daemon.state_directory": str(state)}).start()
    ids = {daemon.generate(f"[sim: latency=1s] cat {i}")["id"]: f"[sim: latency=1s] cat {i}"
           for i in range(3)}
    for id in ids:
        daemon.wait_state(id, "running")
    filler = fill(state)
    time.sleep(1.5)
    daemon.kill()
    daemon.spawn()
    until(lambda: not daemon.alive or daemon.answers(), "it starts, or says why not")
    if daemon.alive:
        daemon.kill()
    filler.unlink()
    daemon.start()
    assert {job["state"] for job in daemon.wait(*ids)} == {"done"}
    assert check_all(daemon, sim, ids) == []


def test_full_output_directory(make_daemon, sim, small_disk):
    """The download waits for room; the generation is not bought again."""
    videos = small_disk("disk", 256)
    daemon = make_daemon(options={"daemon.output_directory": str(videos)})
    daemon.videos = videos
    daemon.start()
    (videos / str(os.geteuid())).mkdir(mode=0o750)
    filler = fill(videos)
    accepted = {daemon.generate(f"cat {model}", model=model)["id"]: f"cat {model}"
                for model in (OMNI, VEO)}
    until(lambda: daemon.log().count("No space left on device") >= 4, "several tries")
    assert {daemon.job(id)["state"] for id in accepted} == {"fetching"}
    for id in accepted:
        assert "No space left" in daemon.ok(f"WHY {id}")["text"]
    filler.unlink()
    assert {job["state"] for job in daemon.wait(*accepted)} == {"done"}
    check_all(daemon, sim, accepted, MEDIA.read_bytes())
    assert sim.stats()["submissions"] == 2


def test_output_directory_full_with_the_video_inside_the_answer(make_daemon, directory, small_disk):
    videos = small_disk("disk", 256)
    sim = harness.Sim(directory, "--delivery", "inline").start()
    try:
        daemon = make_daemon(options={"daemon.output_directory": str(videos)})
        daemon.sim, daemon.videos = sim, videos
        daemon.start()
        (videos / str(os.geteuid())).mkdir(mode=0o750)
        filler = fill(videos)
        id = daemon.generate("a cat")["id"]
        until(lambda: sim.stats()["polls_after_end"] >= 2, "it is asked for again")
        assert daemon.job(id)["state"] in ("running", "fetching")
        filler.unlink()
        assert daemon.wait(id)[0]["state"] == "done"
        check_all(daemon, sim, {id: "a cat"}, MEDIA.read_bytes())
        assert sim.stats()["submissions"] == 1
    finally:
        daemon.close()
        sim.stop()


@with_faults
@pytest.mark.parametrize("fault", [
    "sink.open#1=EACCES", "sink.open#1=EMFILE", "sink.write#1=ENOSPC", "sink.write#2=EIO",
    "sink.sync#1=EIO", "sink.rename#1=EROFS", "sink.renamed#1=EIO"])
@pytest.mark.parametrize("delivery", ["uri", "inline"])
def test_sink_fails_once(directory, make_daemon, fault, delivery):
    sim = harness.Sim(directory, "--delivery", delivery, "--video-bytes", "400000").start()
    try:
        daemon = make_daemon(environment={"VEOD_FAULT_RECORD": str(directory / "faults")})
        daemon.sim = sim
        daemon.start(faults=fault)
        id = daemon.generate("a cat")["id"]
        job = daemon.wait(id)[0]
        assert job["state"] == "done"
        assert (directory / "faults").exists()
        check_all(daemon, sim, {id: "a cat"})
        assert job["files"][0]["bytes"] == 400000
        assert sim.stats()["submissions"] == 1
    finally:
        daemon.close()
        sim.stop()


# ---- directories that are not as they should be ----


def test_output_directory_becomes_read_only(make_daemon, sim, small_disk):
    videos = small_disk("disk", 256)
    daemon = make_daemon(options={"daemon.output_directory": str(videos)})
    daemon.videos = videos
    daemon.start()
    subprocess.run(["mount", "-o", "remount,ro", str(videos)], check=True)
    id = daemon.generate("a cat")["id"]
    until(lambda: daemon.log().count("Read-only file system") >= 2, "some tries")
    assert daemon.job(id)["state"] == "fetching"
    subprocess.run(["mount", "-o", "remount,rw", str(videos)], check=True)
    assert daemon.wait(id)[0]["state"] == "done"
    assert sim.stats()["submissions"] == 1


def test_result_has_no_place(make_daemon, sim):
    """Trying again would not help, until somebody has made room and says RETRY."""
    daemon = make_daemon().start()
    blocker = daemon.videos / str(os.geteuid())
    blocker.write_bytes(b"")
    id = daemon.generate("a cat")["id"]
    job = daemon.wait(id)[0]
    assert job["state"] == "failed" and job["error"]["code"] == "bad-output"
    blocker.unlink()
    daemon.ok(f"RETRY {id}")
    job = daemon.wait(id)[0]
    assert job["state"] == "done"
    check_files(daemon, job, MEDIA.read_bytes())
    assert sim.stats()["submissions"] == 1


def refused(daemon):
    daemon.spawn()
    status = daemon.process.wait(harness.PATIENCE)
    assert status not in (0, -11, -6)
    daemon.check_log()
    return daemon.log()


def test_output_directory_cannot_be_made(make_daemon, directory):
    (directory / "file").write_bytes(b"")
    daemon = make_daemon(options={"daemon.output_directory": str(directory / "file" / "videos")})
    assert "output_directory" in refused(daemon)


def test_state_directory_is_a_file(make_daemon, directory):
    (directory / "file").write_bytes(b"")
    daemon = make_daemon(options={"daemon.state_directory": str(directory / "file")})
    assert str(directory / "file") in refused(daemon)


def test_two_on_one_state_directory(make_daemon, directory, daemon):
    other = make_daemon("other", options={"daemon.state_directory": str(daemon.state)})
    text = refused(other)
    assert "another veod" in text and str(daemon.pid) in text
    assert daemon.answers()


def test_store_of_a_newer_version(make_daemon):
    daemon = make_daemon().start()
    id = daemon.generate("a cat")["id"]
    daemon.wait(id)
    daemon.terminate()
    with contextlib.closing(sqlite3.connect(daemon.state / "jobs.db")) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.commit()
    before = (daemon.state / "jobs.db").read_bytes()
    assert "newer" in refused(daemon)
    assert (daemon.state / "jobs.db").read_bytes() == before
    with contextlib.closing(sqlite3.connect(daemon.state / "jobs.db")) as db:
        db.execute(f"PRAGMA user_version = {version}")
        db.commit()
    daemon.start()
    assert daemon.job(id)["state"] == "done"


@pytest.mark.parametrize("damage", ["no database", "garbage"])
def test_damaged_store(make_daemon, damage):
    daemon = make_daemon().start()
    daemon.wait(daemon.generate("a cat")["id"])
    daemon.terminate()
    path = daemon.state / "jobs.db"
    data = bytearray(path.read_bytes())
    data[0 if damage == "no database" else 100:2000] = b"\xa5" * 1500
    path.write_bytes(data)
    text = refused(daemon)
    assert "jobs.db" in text or str(daemon.state) in text


def test_modes_of_what_is_written(daemon):
    """Nobody else reads the jobs; each user's folder is closed to others, who may just pass."""
    job = daemon.wait(daemon.generate("a cat")["id"])[0]
    for path in [daemon.state, *daemon.state.iterdir()]:
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path
    path = daemon.path_of(job)
    for each in (path, path.parent):
        assert stat.S_IMODE(each.stat().st_mode) & 0o007 == 0, each
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o711


# ---- a configuration without the provider ----


def test_provider_is_gone_and_comes_back(make_daemon, sim):
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    running = daemon.generate("[sim: latency=1s] running", model=VEO)["id"]
    daemon.wait_state(running, "running")
    queued = daemon.generate("queued", model=VEO)["id"]
    daemon.terminate()
    without(daemon, "veo")
    daemon.start()
    assert daemon.job(running)["state"] == "running"
    assert daemon.job(queued)["state"] == "queued"
    for id in (running, queued):
        assert "veo" in daemon.ok(f"WHY {id}")["text"]
    with daemon.client() as client:
        client.err("GENERATE " + json.dumps({"prompt": "a cat", "model": VEO}),
                   "invalid-argument")
    cancelled = daemon.ok(f"CANCEL {queued}")
    assert cancelled["state"] == "cancelled"
    daemon.terminate()
    del daemon.command_line
    daemon.start()
    assert daemon.wait(running)[0]["state"] == "done"
    daemon.ok(f"RETRY {queued}")
    assert daemon.wait(queued)[0]["state"] == "done"
    check_bought_once(sim)


def test_fetching_without_the_provider(make_daemon, sim):
    sim.rules([{"on": "download", "do": "status", "status": 500}])
    daemon = make_daemon().start()
    id = daemon.generate("a cat", model=VEO)["id"]
    daemon.wait_state(id, "fetching")
    daemon.terminate()
    without(daemon, "veo")
    daemon.start()
    assert daemon.job(id)["state"] == "fetching"
    daemon.terminate()
    del daemon.command_line
    sim.clear_rules()
    daemon.start()
    job = daemon.wait(id)[0]
    assert job["state"] == "done"
    check_files(daemon, job)
    check_nothing_left(daemon, [job])
    assert sim.stats()["submissions"] == 1
    wait_for_all(daemon)
