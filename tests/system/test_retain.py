"""The output directory is kept to [output]: the oldest results go, and nothing else does."""

import os
import time

from harness import until


def kept(daemon, jobs):
    """The prompts of those whose results are in place; None while disk and store disagree."""
    names = []
    for job in jobs:
        file = daemon.job(job["id"])["files"][0]
        if ("removed_at" not in file) != os.path.exists(file["path"]):
            return None
        if "removed_at" not in file:
            names.append(job["prompt"])
    return names


def make(daemon, *prompts):
    jobs = []
    for prompt in prompts:
        jobs.append(daemon.wait(daemon.generate(prompt)["id"])[0])
        assert jobs[-1]["state"] == "done"
    return jobs


def files_in(daemon):
    return sorted(path for path in daemon.videos.rglob("*") if path.is_file())


def test_the_oldest_go_when_there_is_too_much(make_daemon):
    daemon = make_daemon().start()
    jobs = make(daemon, "a", "b", "c", "d", "e")
    total = sum(job["files"][0]["bytes"] for job in jobs)
    room = total - jobs[0]["files"][0]["bytes"] - jobs[1]["files"][0]["bytes"] + 1
    daemon.restart(options={"output.max_bytes": str(room)})
    until(lambda: kept(daemon, jobs) == ["c", "d", "e"], "two have gone")
    assert len(files_in(daemon)) == 3
    with daemon.client() as client:
        error = client.err(f"GET {jobs[0]['id']}", "not-found")
        assert "[output]" in error["message"]
        assert client.get(jobs[2]["id"])
    # It ends there: what is within the bound stays.
    daemon.restart(options={"output.max_bytes": str(room)})
    daemon.log()
    assert kept(daemon, jobs) == ["c", "d", "e"]


def test_what_others_put_there_stays(make_daemon):
    daemon = make_daemon().start()
    jobs = make(daemon, "a", "b")
    path = jobs[0]["files"][0]["path"]
    with open(path, "r+b") as file:
        file.write(b"mine!")
    os.utime(path, (time.time() + 60, time.time() + 60))
    stranger = daemon.videos / "notes.txt"
    stranger.write_text("not a result")
    os.utime(stranger, (0, 0))
    daemon.restart(options={"output.max_bytes": "1"})
    until(lambda: "removed_at" in daemon.job(jobs[1]["id"])["files"][0], "the second has gone")
    assert files_in(daemon) == sorted([daemon.videos / os.path.relpath(path, daemon.videos),
                                       stranger])
    assert "is another file now" in daemon.log()


def test_the_old_go_by_age(make_daemon):
    daemon = make_daemon().start()
    jobs = make(daemon, "a")
    time.sleep(1.1)
    daemon.restart(options={"output.max_age": "1s"})
    until(lambda: kept(daemon, jobs) == [], "it has gone")
    young = make(daemon, "b")
    daemon.restart(options={"output.max_age": "1h"})
    make(daemon, "c")
    assert kept(daemon, young) == ["b"]
