"""veoctl ask with the real daemon and the scripted model of veosim: the ways that people take."""

import json
import os
import re
import signal
import subprocess

import pytest

import harness
from ask import LONG, agent_options, call, script, text
from harness import until
from scripted import environment
from terminal import Terminal

ID = r"[0-9A-HJKMNP-TV-Z]{26}"
VIDEO = {"calls": [text("a cat", aspect_ratio="9:16")], "text": "I make it."}


@pytest.fixture
def asked(sim, make_daemon):
    return make_daemon(options=agent_options(sim)).start()


@pytest.fixture
def env(tmp_path):
    return environment(XDG_STATE_HOME=str(tmp_path / "state"), LC_ALL="C.UTF-8")


def command(daemon, *words):
    return [harness.VEOCTL, "--socket", daemon.socket, "ask", *map(str, words)]


@pytest.fixture
def ask(asked, env):
    def run(*words, status=0, **options):
        result = subprocess.run(command(asked, *words), capture_output=True, text=True, env=env,
                                timeout=harness.PATIENCE, stdin=subprocess.DEVNULL, **options)
        assert result.returncode == status, result
        return result
    return run


@pytest.fixture
def start(asked, env):
    started = []

    def run(*words):
        process = subprocess.Popen(command(asked, *words), stdin=subprocess.DEVNULL, env=env,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process
    yield run
    for process in started:
        process.kill()
        process.communicate()


def jobs_of(daemon):
    with harness.Client(daemon.socket) as client:
        return client.items("LIST")


def session_in(errors):
    return re.search(rf"\(session ({ID})\)", errors).group(1)


def test_the_main_way(ask, tmp_path):
    result = ask("-o", tmp_path / "cat.mp4", "A cat, please.", script(VIDEO, {"say": "There."}))
    assert result.stdout == "There.\n"
    assert (tmp_path / "cat.mp4").read_bytes()[4:8] == b"ftyp"
    steps = result.stderr.splitlines()
    assert steps[:3] == ["thinking (round 1)", "I make it.",
                         '▸ generate_video_from_text  "a cat"  9:16']
    states = [line.split()[1] for line in steps if re.fullmatch(ID + " [a-z]+", line)]
    assert states[0] == "queued" and states[-1] == "done"
    assert any(re.fullmatch(rf"✓ {ID}  .*video.*\.mp4", line) for line in steps), steps
    assert steps[-2] == str(tmp_path / "cat.mp4") and "--session last" in steps[-1]


def test_a_conversation(ask):
    first = session_in(ask(script({"say": "One."})).stderr)
    second = ask("-c", script({"say": "Two."}))
    assert session_in(second.stderr) == first and second.stdout == "Two.\n"
    assert ask("--session", first).stdout == "Two.\n"
    assert ask("--session", first[:12]).stdout == "Two.\n"
    assert "not-found" in ask("--session", "01JZZZZZZZ", status=3).stderr


def test_json(ask):
    result = ask("--json", script(VIDEO, {"say": "There."}))
    objects = [json.loads(line) for line in result.stdout.splitlines()]
    assert objects[0]["step"] == "asked" and objects[-1]["finish"] == "answer"
    assert [o["step"] for o in objects[:-1] if o["step"] != "job"] == [
        "asked", "thinking", "text", "calling", "result", "thinking"]


def test_a_filtered_video(ask):
    result = ask(script({"calls": [text("a face [sim: filter]")]}, {"say": "No."}), status=1)
    assert re.search(rf"✗ {ID}  filtered: .+ \(.+\)\n", result.stderr)


def test_images_count_from_the_current_folder(ask, tmp_path):
    png = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
                        "0000000c4944415408d763f8cfc0000003010100c9fe92ef0000000049454e44ae426082")
    (tmp_path / "cat.png").write_bytes(png)
    image = call("generate_video_from_image", prompt="it moves", image_path="cat.png")
    result = ask(script({"calls": [image]}, {"say": "Moved."}), cwd=tmp_path)
    assert result.stdout == "Moved.\n" and 'it moves"  cat.png' in result.stderr


def test_ctrl_c(asked, start, sim):
    process = start(script({"calls": [text("a cat " + LONG)]}, {"say": "Never."}))
    until(lambda: sim.stats()["running"] == 1)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=harness.PATIENCE)
    assert process.returncode == 6 and out == "", errors
    [job] = jobs_of(asked)
    assert f"{job['id']} is still {job['state']}: veoctl wait {job['id']}" in errors


def test_a_turn_outlives_a_restart(asked, start, env):
    process = start(script({"calls": [text("a cat [sim: latency=4s]")]}, {"say": "Still there."}))
    until(lambda: jobs_of(asked))
    asked.restart()
    out, errors = process.communicate(timeout=harness.PATIENCE)
    assert (process.returncode, out) == (0, "Still there.\n"), errors
    assert errors.count("▸") == 1 and errors.count("the daemon went away") == 1
    assert len(jobs_of(asked)) == 1


def test_a_turn_outlives_a_kill(asked, start):
    process = start(script({"calls": [text("a cat [sim: latency=4s]")]}, {"say": "Still there."}))
    until(lambda: any(job["state"] == "running" for job in jobs_of(asked)))
    asked.kill()
    asked.start()
    out, errors = process.communicate(timeout=harness.PATIENCE)
    assert (process.returncode, out) == (0, "Still there.\n"), errors
    assert len(jobs_of(asked)) == 1


def test_without_a_model(make_daemon, env):
    daemon = make_daemon(options={"agent.credential": "there-is-none"}).start()
    result = subprocess.run(command(daemon, "hello"), capture_output=True, text=True, env=env,
                            timeout=harness.PATIENCE)
    assert result.returncode == 8 and "(unavailable)" in result.stderr


def test_the_prompt(asked, env):
    it = Terminal(asked.socket, env=env)
    it.begin()
    it.type(script(VIDEO, {"say": "One."}) + "\r")
    it.see("\nOne.\n")
    it.forget()
    it.type("/jobs\r")
    it.see("a cat")
    it.forget()
    it.type(script({"say": "Two."}) + "\r")
    it.see("\nTwo.\n")
    it.forget()
    it.type(script({"calls": [text("a dog " + LONG)]}, {"say": "Never."}) + "\r")
    it.see("running")
    it.type("\x03")
    it.see("the turn was cancelled")
    it.leave()
    assert it.end() == 0
    assert len({job["labels"]["session"] for job in jobs_of(asked)}) == 1
    assert os.path.exists(env["XDG_STATE_HOME"] + "/veoctl/history")
