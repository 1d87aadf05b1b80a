"""What must be true of a daemon and its provider, whatever happened to them."""

import hashlib
import json
import pathlib

import pytest

import harness

MEDIA = pathlib.Path(__file__).parent.parent / "sim" / "media" / "16x9.mp4"
LIVE = ("queued", "submitting", "running", "fetching")

# The fault points are compiled in only where tests are.
with_faults = pytest.mark.skipif(
    not harness.VEOD or b"VEOD_FAULT_RECORD" not in pathlib.Path(harness.VEOD).read_bytes(),
    reason="a veod without fault points")


def list_jobs(daemon, **members):
    """All of them, newest first."""
    with harness.Client(daemon.socket) as client:
        jobs = client.items("LIST " + json.dumps({"limit": 1000, **members}))
        while jobs and len(jobs) % 1000 == 0:
            more = {"limit": 1000, "after": jobs[-1]["id"], **members}
            jobs += client.items("LIST " + json.dumps(more)) or [None]
    return [job for job in jobs if job]


def wait_for_all(daemon, patience=harness.PATIENCE):
    """Until no job is on its way any more."""
    harness.until(lambda: not list_jobs(daemon, state=list(LIVE), limit=1), "all jobs at rest",
                  patience, interval=0.05)


def check_files(daemon, job, same_as=None):
    """The results of a job that is done are whole."""
    assert job["files"]
    for index, file in enumerate(job["files"]):
        data = daemon.path_of(job, index).read_bytes()
        assert data[4:8] == b"ftyp"
        assert len(data) == file["bytes"]
        assert hashlib.sha256(data).hexdigest() == file["sha256"]
        assert same_as is None or data == same_as


def check_nothing_left(daemon, jobs):
    """No parts of what is done, and no file that no job has."""
    done = {job["id"]: job for job in jobs if job["state"] == "done"}
    known = {daemon.path_of(job, index)
             for job in done.values() for index in range(len(job["files"]))}
    for path in daemon.videos.rglob("*"):
        if path.is_dir():
            continue
        if path.name.endswith(".part"):
            assert path.name.lstrip(".")[:26] not in done, path
        else:
            assert path in known, path


def check_bought_once(sim):
    operations = sim.operations()
    prompts = [operation["prompt"] for operation in operations]
    assert len(prompts) == len(set(prompts))
    assert sim.stats()["duplicates"] == 0
    return {operation["prompt"]: operation for operation in operations}


def check_all(daemon, sim, accepted, same_as=None):
    """`accepted`: prompts by the id of every job for which an OK was received. All are there, were
    bought once, and are done, but for those of which veod can't know. Returns their ids."""
    operations = check_bought_once(sim)
    jobs = {job["id"]: job for job in list_jobs(daemon)}
    uncertain = []
    for id, prompt in accepted.items():
        assert id in jobs, f"{id} was accepted, and is not there"
        job = jobs[id]
        assert job["prompt"] == prompt
        if job["state"] == "uncertain":
            assert job["error"]["code"] == "interrupted"
            uncertain.append(id)
            continue
        assert job["state"] == "done", job
        assert prompt in operations
        check_files(daemon, job, same_as)
    assert len({job["prompt"] for job in jobs.values()}) == len(jobs)
    check_nothing_left(daemon, jobs.values())
    return uncertain


def without(daemon, name):
    """Its command line as if the provider had never been there."""
    line = type(daemon).command_line(daemon)
    daemon.command_line = lambda options=None, providers=None: line[:3] + [
        part for pair in zip(line[3::2], line[4::2])
        if not pair[1].startswith(f"provider {name}.") for part in pair]
