"""veoctl with the real daemon: the ways that people take."""

import hashlib
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import time

import pytest

import harness
from harness import KEY, NOBODY, VEO, ctl, until

LONG = " [sim: latency=300s]"
ID = r"[0-9A-HJKMNP-TV-Z]{26}"


def run(daemon, *arguments, status=0, **options):
    result = ctl(daemon, *arguments, **options)
    assert result.returncode == status, (arguments, result)
    return result


def start(daemon, *arguments):
    return subprocess.Popen([harness.VEOCTL, "--socket", daemon.socket, *arguments],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=harness.PATIENCE)
    return process.returncode, out, err


def test_the_main_way(daemon, tmp_path):
    path = tmp_path / "out.mp4"
    result = run(daemon, "generate", "--wait", "-o", path, "a", "cat", "in", "the", "rain")
    video = path.read_bytes()
    assert video[4:8] == b"ftyp" and str(path) in result.stdout
    job = json.loads(run(daemon, "--json", "status", "last").stdout)
    assert job["prompt"] == "a cat in the rain"
    assert hashlib.sha256(video).hexdigest() == job["files"][0]["sha256"]
    assert list(tmp_path.iterdir()) == [path]


def test_generate_prints_the_id(daemon):
    out = run(daemon, "generate", "a cat").stdout
    assert re.fullmatch(ID + "\n", out)
    assert run(daemon, "wait", out.strip()).returncode == 0
    path = run(daemon, "generate", "--wait", "a cat").stdout.strip()
    assert pathlib.Path(path).read_bytes()[4:8] == b"ftyp"


def test_all_options_of_generate(sim, daemon):
    run(daemon, "generate", "-m", VEO, "-a", "9:16", "-r", "720p", "-d", "8s", "-n", "rain",
        "--seed", 7, "--priority", 5, "-l", "set=pets", "-l", "n=1", "--key", "k", "--deadline",
        "1h", "--max-attempts", 2, "--wait", "a cat")
    body = sim.operations("a cat")[0]["body"]
    assert body["parameters"] == {"aspectRatio": "9:16", "resolution": "720p",
                                  "durationSeconds": 8, "negativePrompt": "rain", "seed": 7}
    job = json.loads(run(daemon, "--json", "status", "last").stdout)
    assert job["labels"] == {"set": "pets", "n": "1"} and job["priority"] == 5
    assert job["deadline_seconds"] == 3600 and job["max_attempts"] == 2 and job["key"] == "k"


PNG = b"\x89PNG\r\n\x1a\n" + bytes(5000)


def inputs_of(sim, prompt):
    return [sim_input for operation in sim.operations(prompt) for sim_input in operation["inputs"]]


def test_an_image(sim, daemon, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(PNG)  # what its name says is not believed
    run(daemon, "generate", "-m", VEO, "-i", tmp_path / "cat.jpg", "--wait", "a cat")
    image, = inputs_of(sim, "a cat")
    assert image["mime_type"] == "image/png"
    assert image["sha256"] == hashlib.sha256(PNG).hexdigest()
    blob = run(daemon, "put", tmp_path / "cat.jpg").stdout.strip()
    assert blob == "sha256-" + image["sha256"]
    run(daemon, "generate", "-m", VEO, "-i", blob, "--wait", "a cat again")
    assert inputs_of(sim, "a cat again") == [image]


def test_images_of_a_batch(sim, daemon, tmp_path):
    (tmp_path / "cat.png").write_bytes(PNG)
    line = json.dumps({"prompt": "a cat", "model": VEO, "image": str(tmp_path / "cat.png")})
    for _ in range(2):
        run(daemon, "batch", "--wait", "-", input=f"{line}\n{line}\n")
    images = inputs_of(sim, "a cat")
    assert len(images) == 2 and images[0]["sha256"] == hashlib.sha256(PNG).hexdigest()


def test_an_image_of_somebody_else(daemon, as_root, tmp_path):
    secret = daemon.directory / "secret.png"
    secret.write_bytes(PNG)
    secret.chmod(0o600)
    result = ctl(daemon, "generate", "-i", secret, "a cat", uid=NOBODY)
    assert result.returncode == 2 and "Permission denied" in result.stderr
    blob = run(daemon, "put", secret).stdout.strip()
    result = ctl(daemon, "generate", "-m", VEO, "-i", blob, "a cat", uid=NOBODY)
    assert result.returncode in (2, 3), result


def test_the_prompt_from_standard_input(daemon):
    job_id = run(daemon, "generate", "-", input="a cat\nin two lines").stdout.strip()
    assert "a cat" in daemon.job(job_id)["prompt"]


def test_a_dry_run_sends_nothing(sim, daemon):
    out = run(daemon, "generate", "--dry-run", "a cat").stdout
    assert sim.url in out and KEY not in out and sim.stats()["submissions"] == 0


def test_batch(sim, daemon, tmp_path):
    lines = tmp_path / "jobs.jsonl"
    lines.write_text("".join(json.dumps({"prompt": f"number {n}", "model": VEO}) + "\n"
                             for n in range(300)) + '"a plain prompt"\n')
    out = run(daemon, "batch", lines).stdout
    ids = dict(re.findall(rf"^(\d+)\t({ID})\t", out, re.MULTILINE))
    assert len(ids) == len(set(ids.values())) == 301
    again = run(daemon, "batch", "-", "--key", "jobs.jsonl", input=lines.read_text()).stdout
    assert dict(re.findall(rf"^(\d+)\t({ID})\t", again, re.MULTILINE)) == ids
    waited = run(daemon, "batch", lines, "-o", tmp_path / "videos").stdout
    assert len(re.findall(rf"^\d+\t{ID}\tdone\t", waited, re.MULTILINE)) == 301
    assert sim.stats()["submissions"] == 301
    videos = list((tmp_path / "videos").iterdir())
    assert {video.stem for video in videos} == set(ids.values())
    assert all(video.read_bytes()[4:8] == b"ftyp" for video in videos)


def test_a_batch_with_bad_lines(daemon):
    result = ctl(daemon, "batch", "-", input='{"prompt":"a"}\n{"prompt":"b","seed":-1}\n"c"\n')
    assert result.returncode == 8 and "2 accepted, 1 refused" in result.stderr
    assert re.search(r"^2\t-\terror\tseed must be", result.stdout, re.MULTILINE)
    assert run(daemon, "--json", "list").stdout.count('"prompt"') == 2


def test_a_batch_of_jobs_that_fail(daemon):
    result = ctl(daemon, "batch", "--wait", "-", input='"a [sim: filter]"\n"b"\n""\n')
    assert result.returncode == 1 and "2 accepted, 1 refused; 1 done, 1 not" in result.stderr
    assert sorted(row.split("\t")[2] for row in result.stdout.splitlines()) == [
        "done", "error", "filtered"]


def test_a_batch_over_a_crash(sim, daemon, tmp_path):
    """Killed while lines are sent, and while they are waited for: each is bought once."""
    lines = tmp_path / "jobs.jsonl"
    lines.write_text("".join(f'"number {n}"\n' for n in range(400)))
    working = start(daemon, "batch", "--wait", str(lines))
    until(lambda: len(daemon.client().items("LIST")) > 20, "some are there")
    daemon.kill()
    daemon.start()
    until(lambda: daemon.ok("STATS")["states"]["done"] > 20, "some are done")
    daemon.kill()
    daemon.start()
    status, out, err = finish(working)
    states = [row.split("\t")[2] for row in out.splitlines()]
    assert len(states) == 400 and set(states) <= {"done", "uncertain"}, err
    assert status == (7 if "uncertain" in states else 0)
    assert len(run(daemon, "--json", "list", "--all").stdout.splitlines()) == 400


def test_a_batch_dry_run(sim, daemon):
    result = run(daemon, "batch", "--dry-run", "-", input='"a"\n"b"\n')
    assert "2 all right" in result.stderr and "nothing was sent" in result.stderr
    assert run(daemon, "--json", "list").stdout == "" and sim.stats()["submissions"] == 0


def test_wait_goes_on_across_a_restart(daemon):
    job = daemon.generate("a cat [sim: latency=2s]")
    waiting = start(daemon, "wait", job["id"])
    daemon.wait_state(job["id"], "running")
    until(lambda: daemon.ok("STATS")["clients"] > 1, "veoctl has connected")
    daemon.kill()
    assert waiting.poll() is None
    daemon.start()
    status, out, err = finish(waiting)
    assert status == 0, (out, err)
    assert daemon.job(job["id"])["state"] == "done"


def test_generate_and_fetch_across_two_restarts(sim, daemon, tmp_path):
    sim.rules([{"on": "download", "do": "stall", "seconds": 0.5, "times": 1}])
    path = tmp_path / "out.mp4"
    working = start(daemon, "generate", "-m", VEO, "-o", str(path), "a cat [sim: latency=1s]")
    until(lambda: daemon.client().items("LIST"), "the job is there")
    job = daemon.client().items("LIST")[0]
    daemon.wait_state(job["id"], "running")
    daemon.kill()
    daemon.start()
    daemon.wait_state(job["id"], "fetching", "done")
    daemon.kill()
    daemon.start()
    status, out, err = finish(working)
    assert status == 0, (out, err)
    done = daemon.job(job["id"])
    assert hashlib.sha256(path.read_bytes()).hexdigest() == done["files"][0]["sha256"]
    assert sim.stats()["submissions"] == 1


def test_status_of_each_end(sim, daemon):
    sim.rules([{"on": "submit", "do": "reset-after", "match": "lost"}])
    for prompt, options, status in [
            ("good", [], 0), ("a [sim: filter]", [], 1), ("b [sim: fail=3]", [], 1),
            ("late" + LONG, ["--deadline", "1s"], 1), ("lost", [], 7)]:
        result = run(daemon, "generate", "--wait", "-m", VEO, *options, prompt, status=status)
        assert status == 0 or len(result.stderr) > 10, (prompt, result)


def test_exit_statuses(daemon, tmp_path):
    run(daemon, "generate", status=2)
    run(daemon, "generate", "--no-such-option", "x", status=2)
    run(daemon, "nonsense", status=2)
    run(daemon, "status", "7ZZZZZZZZZZZZZZZZZZZZZZZZZ", status=3)
    run(daemon, "get", "7ZZZZZZZ", status=3)
    slow = daemon.generate("slow" + LONG)["id"]
    run(daemon, "wait", "--timeout", "200ms", slow, status=5)
    waiting = start(daemon, "wait", slow)
    daemon.wait_state(slow, "running")
    run(daemon, "cancel", slow)
    assert finish(waiting)[0] == 6
    run(daemon, "wait", slow, status=6)
    run(daemon, "retry", slow)
    run(daemon, "retry", slow, status=8)
    run(daemon, "cancel", slow)
    run(daemon, "forget", slow)
    run(daemon, "status", slow, status=3)
    run(daemon, "generate", "--seed", "-5", "-m", VEO, "x", status=2)
    run(daemon, "generate", "-m", "no-such-model", "x", status=2)


def test_without_a_daemon(daemon):
    daemon.terminate()
    result = run(daemon, "ping", status=4)
    assert daemon.socket in result.stderr and result.stdout == ""
    run(daemon, "generate", "a cat", status=4)


def test_a_daemon_that_may_not_be_asked(make_daemon, as_root):
    daemon = make_daemon(options={"daemon.socket_mode": "0600"}).start()
    result = ctl(daemon, "ping", uid=NOBODY)
    assert result.returncode in (4, 8) and "ermission" in result.stderr, result


def test_as_another_user(daemon, as_root):
    folder = daemon.directory / "mine"
    folder.mkdir()
    os.chown(folder, NOBODY, NOBODY)
    path = folder / "x.mp4"
    result = ctl(daemon, "generate", "-o", path, "a cat", uid=NOBODY)
    assert result.returncode == 0, result
    assert path.stat().st_uid == NOBODY and path.read_bytes()[4:8] == b"ftyp"
    root = daemon.generate("of root")["id"]
    assert ctl(daemon, "status", root, uid=NOBODY).returncode == 3
    assert ctl(daemon, "cancel", root, uid=NOBODY).returncode == 3
    assert root not in ctl(daemon, "--json", "list", uid=NOBODY).stdout
    last = json.loads(ctl(daemon, "--json", "status", "last", uid=NOBODY).stdout)
    assert last["owner"] == {"uid": NOBODY}


def test_last_is_ones_own_newest(daemon, as_root):
    mine = daemon.generate("of root")["id"]
    daemon.client(uid=NOBODY).generate("of nobody")
    shown = json.loads(run(daemon, "--json", "status", "last").stdout)
    assert shown["id"] == mine and shown["owner"]["uid"] == os.getuid()


def test_get(daemon, tmp_path):
    job, = daemon.wait(daemon.generate("a cat [sim: bytes=3M]")["id"])
    whole = daemon.path_of(job).read_bytes()
    path = tmp_path / "x.mp4"
    run(daemon, "get", job["id"][:20], "-o", path)
    assert path.read_bytes() == whole
    path.write_bytes(b"precious")
    assert ctl(daemon, "get", job["id"], "-o", path).returncode != 0
    assert path.read_bytes() == b"precious"
    run(daemon, "get", job["id"], "-o", path, "--overwrite")
    assert path.read_bytes() == whole
    raw = subprocess.run([harness.VEOCTL, "--socket", daemon.socket, "get", job["id"], "-o", "-"],
                         capture_output=True, timeout=harness.PATIENCE)
    assert raw.stdout == whole and raw.returncode == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.mp4"]


def test_hold_release_why_list_models_stats_ping(daemon):
    job_id = run(daemon, "generate", "--not-before", "+1h", "a cat").stdout.strip()
    run(daemon, "hold", job_id)
    assert "held" in run(daemon, "list").stdout
    assert job_id in run(daemon, "why", job_id).stdout
    run(daemon, "wait", job_id, status=8)
    run(daemon, "release", job_id)
    assert "queued" in run(daemon, "status", job_id).stdout
    run(daemon, "cancel", "last")
    run(daemon, "forget", job_id)
    assert "gemini" in run(daemon, "models").stdout
    for command in ("stats", "ping", "hello", "list"):
        run(daemon, command)
        for line in run(daemon, "--json", command).stdout.splitlines():
            json.loads(line)


def test_watch(daemon):
    job, = daemon.wait(daemon.generate("a cat")["id"])
    watching = start(daemon, "--json", "watch", "--from", "1")
    events = [json.loads(watching.stdout.readline()) for _ in range(5)]
    assert [event["event"] for event in events] == [1, 2, 3, 4, 5]
    assert events[-1]["state"] == "done" and events[0]["id"] == job["id"]
    later = daemon.generate("a dog")["id"]
    assert json.loads(watching.stdout.readline())["id"] == later
    watching.send_signal(signal.SIGINT)
    finish(watching)


def test_raw(daemon):
    out = run(daemon, "raw", "ping", "x").stdout
    assert out.strip() == 'OK {"pong":true,"text":"x"}'
    assert ctl(daemon, "raw", "NONSENSE").returncode != 0


def test_an_interrupted_wait_leaves_the_job(daemon):
    waiting = start(daemon, "generate", "--wait", "a cat [sim: latency=1s]")
    until(lambda: daemon.client().items("LIST"), "the job is there")
    job = daemon.client().items("LIST")[0]
    daemon.wait_state(job["id"], "running")
    waiting.send_signal(signal.SIGINT)
    status, out, err = finish(waiting)
    assert status not in (0, 1) and job["id"] in out + err
    assert daemon.wait(job["id"])[0]["state"] == "done"


def test_thirty_at_once(daemon, tmp_path):
    working = [start(daemon, "generate", "-o", str(tmp_path / f"{n}.mp4"), f"number {n}")
               for n in range(30)]
    for process in working:
        status, out, err = finish(process)
        assert status == 0, (out, err)
    videos = list(tmp_path.glob("*.mp4"))
    assert len(videos) == 30 and all(v.read_bytes()[4:8] == b"ftyp" for v in videos)
    assert all(stat.S_ISREG(video.stat().st_mode) for video in videos)


def test_plain_shell_tools_do_as_well(daemon):
    """No veoctl, no library: what the manual promises to people with socat."""
    def ask(line):
        command = ["socat", "-t", "60", "-", f"UNIX-CONNECT:{daemon.socket}"]
        return subprocess.run(command, input=line.encode() + b"\n", capture_output=True,
                              timeout=harness.PATIENCE).stdout
    if not any(os.access(f"{folder}/socat", os.X_OK) for folder in os.environ["PATH"].split(":")):
        pytest.skip("socat is not installed")
    started = time.monotonic()
    job_id = json.loads(ask("GENERATE a cat").removeprefix(b"OK "))["id"]
    assert b'"state":"done"' in ask(f"WAIT {job_id}")
    head, _, video = ask(f"GET {job_id}").partition(b"\n")
    assert len(video) == json.loads(head.removeprefix(b"DATA "))["bytes"]
    assert video[4:8] == b"ftyp" and time.monotonic() - started < 30
