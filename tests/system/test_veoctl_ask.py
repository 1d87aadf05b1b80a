"""veoctl ask against a scripted daemon: the steps, the end, and what goes wrong."""

import os
import re
import signal
import stat
import subprocess
import threading

import pytest

from fake_agent import (PATH, SESSION, SESSION2, TEXT, Cancellable, Turn, answers, ask,  # noqa: F401
                        makes_a_video, state)
from scripted import (Close, HANG, ID, ID2, ID3, VEOCTL, daemon, done, environment, job,  # noqa: F401
                      until)


# ---- one turn, elsewhere than on a terminal ----


def test_answer_alone_on_standard_output(daemon, ask):
    daemon.on("ASK", makes_a_video)
    result = ask("a", "dog")
    assert result.status == 0
    assert result.out == "Here it is.\n"
    assert result.err.splitlines() == [
        "thinking (round 1)",
        f'▸ {TEXT}  "a golden retriever running through sunflowers"  9:16 720p',
        f"{ID} queued", f"{ID} running", f"{ID} done",
        f"✓ {ID}  8s video  $3.20  {PATH}",
        "thinking (round 2)",
        f"{PATH}  5 B",
        f"go on: veoctl ask --session last …  (session {SESSION})"]


def test_what_is_sent(daemon, ask, tmp_path):
    daemon.on("ASK", answers())
    ask("two", "words", cwd=tmp_path)
    ask("-", stdin="zwei\nHünde\r\n".encode(), cwd="/")
    assert [c.object for c in daemon.sent("ASK")] == [
        {"text": "two words", "directory": str(tmp_path)},
        {"text": "zwei\nHünde", "directory": "/"}]


def test_marks_follow_the_locale(daemon, ask, state):
    daemon.on("ASK", makes_a_video)
    env = environment(XDG_STATE_HOME=str(state), LC_ALL="C")
    result = ask("a dog", env=env)
    assert f"> {TEXT}" in result.err and f"+ {ID}" in result.err
    assert "▸" not in result.err and "✓" not in result.err


def test_json_is_what_was_sent(daemon, ask):
    daemon.on("ASK", makes_a_video)
    result = ask("a dog", json=True)
    assert result.status == 0 and result.err == ""
    assert [o.get("step", "OK") for o in result.objects] == [
        "asked", "thinking", "calling", "job", "job", "job", "result", "thinking", "OK"]
    assert result.objects[-1]["finish"] == "answer"
    daemon.on("ASK", lambda c: c.err("unavailable", "no model", session=SESSION, jobs=[]))
    result = ask("a dog", json=True)
    assert result.status == 8
    assert result.objects == [{"code": "unavailable", "message": "no model", "session": SESSION,
                               "jobs": []}]


def test_text_is_cleaned_and_keeps_its_lines(daemon, ask):
    daemon.on("ASK", answers("One\r\n\ttwo \x1b[31m\x07 – ‮three\n"))
    assert ask("x").out == "One\n two ?[31m? – ?three\n"


def test_words_of_the_model_between_calls(daemon, ask):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.step("text", text="I'll try\n\x1b]0;x\x07that.")
        turn.end(None)
    daemon.on("ASK", handler)
    result = ask("x")
    assert "I'll try\n?]0;x?that.\n" in result.err
    assert result.out == "" and result.status == 0


def one_result(**result):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.calling()
        turn.result(**result)
        turn.end("So.")
    return handler


@pytest.mark.parametrize("result, shown", [
    ({"success": False, "status": "filtered", "job": ID, "error": "a famous face",
      "code": "filtered"}, f"✗ {ID}  filtered: a famous face (filtered)"),
    ({"success": False, "status": "failed", "error": "prompt is missing",
      "code": "invalid-argument"}, f"✗ {TEXT}  failed: prompt is missing (invalid-argument)"),
    ({"success": True, "status": "processing", "job": ID}, f"· {ID}  processing"),
    ({"success": True, "status": "completed", "operation_name": "models/x/operations/y",
      "video_uri": "https://example.com/v"}, "✓ video  https://example.com/v"),
    ({"error": "\x1b[2J\nwiped"}, f"✗ {TEXT}  ?[2J wiped"),
])
def test_results(daemon, ask, result, shown):
    daemon.on("ASK", one_result(**result))
    assert shown in ask("x").err.splitlines()


@pytest.mark.parametrize("arguments, shown", [
    ({"prompt": "a cat", "negative_prompt": "rain", "duration_seconds": 6, "wait": False,
      "image_path": "cat.png", "model": ""},
     '"a cat" negative_prompt="rain" 6s wait=no cat.png'),
    ({"operation_name": "models/x/operations/y"}, "models/x/operations/y"),
    ('{"prompt": "a c', '"{"prompt": "a c"'),
    ({}, ""),
    ({"prompt": 7, "x": {"y": [1]}}, 'x={"y": [1]}'),
])
def test_arguments(daemon, ask, arguments, shown):
    def handler(command):
        turn = Turn(command)
        turn.calling(arguments=arguments)
        turn.end("So.")
    daemon.on("ASK", handler)
    line = next(each for each in ask("x").err.splitlines() if each.startswith("▸"))
    assert re.sub(r"(?<=[\[:,]) | +", " ", line).replace('": [', '": [') in (
        f"▸ {TEXT} {shown}".rstrip(), f"▸ {TEXT} {shown}".replace('": [', '":['))


def test_retries_are_told(daemon, ask):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.thinking()
        turn.step("retrying", message="the model is overloaded", delay_seconds=2.5)
        turn.end()
    daemon.on("ASK", handler)
    assert "↻ the model is overloaded; trying again in 2.5s" in ask("x").err


def test_unknown_steps_are_ignored(daemon, ask):
    def handler(command):
        turn = Turn(command)
        turn.step("dancing", partner="you")
        command.event({})
        turn.end("So.", unknown=[1])
    daemon.on("ASK", handler)
    result = ask("x")
    assert (result.status, result.out) == (0, "So.\n")


# ---- how it ends ----


@pytest.mark.parametrize("finish, status, said", [
    ("answer", 0, None), ("rounds", 1, "too many rounds"), ("tokens", 1, "too many tokens"),
    ("time", 1, "it took too long"), ("length", 1, "was cut"), ("refused", 1, "the model refused"),
    ("cancelled", 6, "was cancelled"), ("whatever", 1, "without an answer")])
def test_finish(daemon, ask, finish, status, said):
    daemon.on("ASK", answers("So.", finish=finish))
    result = ask("x")
    assert result.status == status and result.out == "So.\n"
    assert ("veoctl: ask: " in result.err) == bool(said) and (said or "") in result.err
    daemon.on("ASK", answers(None, finish=finish, message="because of that"))
    result = ask("x")
    assert result.status == status and "veoctl: ask: because of that\n" in result.err


@pytest.mark.parametrize("states, status", [
    (["done", "done"], 0), (["done", "filtered"], 1), (["failed"], 1), (["uncertain", "done"], 7),
    (["cancelled"], 6), (["held"], 8), (["running"], 5), ([], 0)])
def test_status_of_the_jobs(daemon, ask, states, status):
    jobs = [job(id, state) for id, state in zip([ID, ID2], states)]
    daemon.on("ASK", answers("So.", jobs=jobs))
    result = ask("x")
    assert result.status == status
    for id, state in zip([ID, ID2], states):
        hint = {"running": f"{ID} is still running: veoctl wait {ID}", "held": f"{ID} is held",
                "uncertain": f"{ID} is uncertain: veoctl why {ID}"}.get(state)
        assert not hint or hint in result.err


@pytest.mark.parametrize("code, status", [
    ("unavailable", 8), ("conflict", 8), ("not-found", 3), ("invalid-argument", 2), ("internal", 9)])
def test_errors(daemon, ask, code, status):
    daemon.on("ASK", lambda c: c.err(code, "so it is", session=SESSION, jobs=[ID, ID2]))
    result = ask("x")
    assert result.status == status and result.out == ""
    assert f"veoctl: ask: so it is ({code})\n" in result.err
    assert f"its jobs go on: veoctl wait {ID} {ID2}\n" in result.err
    assert SESSION in result.err


def test_time_out_ends_the_waiting_only(daemon, ask):
    daemon.on("ASK", lambda c: Turn(c).asked())
    result = ask("--timeout", "300ms", "x")
    assert result.status == 5
    assert f"timed out; the turn goes on: veoctl ask --session {SESSION}" in result.err
    assert len(daemon.sent("ASK")) == 1


@pytest.mark.parametrize("words, message", [
    ([], "the words are missing"), ([""], "the words are empty"), ([b"\xff"], "not UTF-8"),
    (["-o", "-", "x"], "standard output is for the answer"),
    (["-o", "/no/such/folder/x.mp4", "x"], "can't write in /no/such/folder"),
    (["--session", "../x", "x"], "expected an id, or 'last'"),
    (["-c", "x"], "there is no last session"),
    (["--session", "last"], "there is no last session"),
    (["--reconnect", "x", "x"], "--reconnect: expected a duration")])
def test_usage(daemon, ask, words, message):
    result = ask(*[os.fsdecode(w) if isinstance(w, bytes) else w for w in words])
    assert result.status == 2 and message in result.err and daemon.commands == []


def test_too_many_words(daemon, ask):
    for size in (65500, 200000):
        result = ask("-", stdin=size * b"x")
        assert result.status == 8 and "the words have more than" in result.err
    assert daemon.commands == []


# ---- sessions ----


def test_the_last_session_is_remembered(daemon, ask, state):
    daemon.on("ASK", answers())
    ask("one")
    kept = state / "veoctl" / "session"
    assert kept.read_text() == SESSION + "\n"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    ask("-c", "two")
    ask("--continue", "three")
    ask("--session", "last", "four")
    ask("--session", SESSION2, "five")
    assert [c.object.get("session") for c in daemon.sent("ASK")] == [
        None, SESSION, SESSION, SESSION, SESSION2]


def test_the_home_folder_will_do(daemon, ask, tmp_path):
    daemon.on("ASK", answers())
    env = environment(HOME=str(tmp_path / "home"), XDG_STATE_HOME="relative")
    ask("one", env=env, cwd=tmp_path)
    assert (tmp_path / "home/.local/state/veoctl/session").read_text() == SESSION + "\n"
    assert not (tmp_path / "relative").exists()


def test_not_to_remember_is_only_told(daemon, ask, state):
    state.write_text("a file, where a folder belongs")
    daemon.on("ASK", answers())
    result = ask("one")
    assert result.status == 0 and result.out == "Hello.\n"
    assert result.err.count("note: '--session last' won't find this one: Not a directory") == 1


def test_an_answer_is_picked_up(daemon, ask):
    def handler(command):
        turn = Turn(command)
        turn.step("asked", text="a dog\nin snow")
        turn.end("Ready.", jobs=[done()])
    daemon.on("ASK", handler)
    result = ask("--session", SESSION[:8])
    assert "asked: a dog in snow\n" in result.err
    assert (result.status, result.out) == (0, "Ready.\n")
    assert daemon.sent("ASK")[0].object == {"session": SESSION[:8]}


# ---- videos ----


def serves_videos(daemon):
    daemon.on("GET", lambda c: c.data(b"video:" + c.object["id"].encode()))


def test_output_to_a_folder(daemon, ask, tmp_path):
    serves_videos(daemon)
    daemon.on("ASK", answers("So.", jobs=[done(), job(ID2, "filtered"), done(ID3)]))
    folder = tmp_path / "videos"
    folder.mkdir()
    result = ask("-o", folder, "x")
    assert result.status == 1 and result.out == "So.\n"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {
        f"{id}.mp4": b"video:" + id.encode() for id in (ID, ID3)}
    assert f"{folder}/{ID}.mp4\n{folder}/{ID3}.mp4\n" in result.err


def test_output_to_a_file(daemon, ask, tmp_path):
    serves_videos(daemon)
    daemon.on("ASK", answers("So.", jobs=[done()]))
    assert ask("-o", tmp_path / "dog.mp4", "x").status == 0
    assert (tmp_path / "dog.mp4").read_bytes() == b"video:" + ID.encode()
    before = len(daemon.sent("ASK"))
    result = ask("-o", tmp_path / "dog.mp4", "x")
    assert result.status == 2 and "dog.mp4" in result.err and len(daemon.sent("ASK")) == before
    assert ask("--overwrite", "-o", tmp_path / "dog.mp4", "x", json=True).status == 0


def test_further_videos_are_numbered(daemon, ask, tmp_path):
    serves_videos(daemon)
    two = [{"path": "/a", "bytes": 1}, {"path": "/b", "bytes": 1}]
    daemon.on("ASK", answers("So.", jobs=[done(files=two), done(ID2)]))
    assert ask("-o", tmp_path / "dog.mp4", "x").status == 0
    assert sorted(p.name for p in tmp_path.glob("dog*")) == ["dog-1.mp4", "dog-2.mp4", "dog.mp4"]
    assert [c.object.get("file", 0) for c in daemon.sent("GET")] == [0, 1, 0]


def test_files_that_the_answer_had_no_room_for(daemon, ask, tmp_path):
    serves_videos(daemon)
    daemon.on("ASK", answers("So.", jobs=[{"id": ID, "state": "done"}]))
    assert ask("-o", tmp_path / "dog.mp4", "x").status == 0
    assert (tmp_path / "dog.mp4").read_bytes() == b"video:" + ID.encode()


def test_videos_that_the_model_did_not_wait_for(daemon, ask, tmp_path):
    serves_videos(daemon)
    daemon.on("ASK", answers("So.", jobs=[done(), job(ID2, "running")]))
    daemon.on("WAIT", lambda c: c.ok({"jobs": [done(), done(ID2)], "timed_out": False}))
    assert ask("-o", tmp_path, "x").status == 0
    assert sorted(p.name for p in tmp_path.glob("*.mp4")) == [f"{ID}.mp4", f"{ID2}.mp4"]
    assert daemon.sent("WAIT")[0].object["ids"] == [ID, ID2]
    daemon.on("WAIT", lambda c: c.ok({"jobs": [done(), job(ID2, "running")], "timed_out": True}))
    result = ask("--overwrite", "-o", tmp_path, "x")
    assert result.status == 5 and f"{ID2} is still running: veoctl wait {ID2}" in result.err
    daemon.on("ASK", answers("So.", jobs=[job(ID2, "running")], finish="cancelled"))
    assert ask("-o", tmp_path, "x").status == 6 and len(daemon.sent("WAIT")) == 2


def test_a_video_that_cannot_be_fetched(daemon, ask, tmp_path):
    daemon.on("GET", lambda c: c.err("not-found", "gone"))
    daemon.on("ASK", answers("So.", jobs=[done()]))
    result = ask("-o", tmp_path / "dog.mp4", "x")
    assert result.status == 3
    assert f"the video is there all the same: veoctl get {ID}" in result.err
    assert not (tmp_path / "dog.mp4").exists()


# ---- a daemon that goes away ----


def restart(daemon):
    daemon.stop()
    daemon.start()


def run_in_background(daemon, state, *words):
    return subprocess.Popen([VEOCTL, "--socket", daemon.path, "ask", *words],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE,
                            env=environment(XDG_STATE_HOME=str(state), LC_ALL="C.UTF-8"))


def test_a_turn_goes_on_after_a_restart(daemon, state):
    began = threading.Event()

    def begin(command):
        turn = Turn(command)
        turn.asked()
        turn.thinking()
        turn.calling()
        turn.job("running")
        began.set()

    def go_on(command):
        turn = Turn(command)
        turn.asked()
        turn.calling()
        turn.job("done")
        turn.result(success=True, status="completed", job=ID)
        turn.end(jobs=[done()])
    daemon.on("ASK", begin, go_on)
    process = run_in_background(daemon, state, "a", "dog")
    assert began.wait(HANG)
    until(lambda: (state / "veoctl/session").exists())
    restart(daemon)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0 and out == b"Here it is.\n"
    assert daemon.sent("ASK")[1].object == {"session": SESSION}
    assert err.count(b"the daemon went away") == 1 and err.count(ID.encode() + b" running") == 1
    assert err.count(b"\xe2\x96\xb8 ") == 1 and b"asked" not in err


def test_words_that_are_picked_up_are_shown_once(daemon, ask):
    def begin(command):
        Turn(command).step("asked", text="a dog")
        raise Close

    def go_on(command):
        turn = Turn(command)
        turn.step("asked", text="a dog")
        turn.end()
    daemon.on("ASK", begin, go_on)
    result = ask("--session", SESSION)
    assert result.status == 0 and result.err.count("asked: a dog\n") == 1


def test_words_are_not_said_twice(daemon, ask):
    def close(command):
        raise Close
    daemon.on("ASK", close)
    result = ask("x")
    assert result.status == 4
    assert "whether the daemon took the words isn't known" in result.err
    assert len(daemon.sent("ASK")) == 1


def test_words_are_said_again_to_the_next_daemon(daemon, ask):
    daemon.on("ASK", lambda c: c.err("draining", "stopping"), answers())
    result = ask("x")
    assert (result.status, result.out) == (0, "Hello.\n")
    assert [c.object["text"] for c in daemon.sent("ASK")] == ["x", "x"]


def test_a_daemon_that_stays_away(daemon, state):
    asked = threading.Event()

    def begin(command):
        Turn(command).asked()
        asked.set()
    daemon.on("ASK", begin)
    process = run_in_background(daemon, state, "--reconnect", "300ms", "x")
    assert asked.wait(HANG)
    until(lambda: (state / "veoctl/session").exists())
    daemon.stop()
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 4
    assert f"the turn goes on: veoctl ask --session {SESSION}".encode() in err


def test_no_daemon(ask, daemon):
    daemon.stop()
    result = ask("x")
    assert result.status == 4 and "veod isn't running" in result.err


# ---- Ctrl-C ----


def test_ctrl_c_cancels(daemon, state):
    it = Cancellable(daemon)
    process = run_in_background(daemon, state, "x")
    assert it.asked.wait(HANG)
    until(lambda: (state / "veoctl/session").exists())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 6 and out == b""
    assert daemon.sent("ASK")[1].object == {"session": SESSION, "cancel": True}
    assert daemon.sent("ASK")[1].tag != daemon.sent("ASK")[0].tag
    for said in ("cancelling", "the turn was cancelled", f"/var/lib/veod/videos/0/{ID2}.mp4",
                 f"(session {SESSION})"):
        assert said.encode() in err, err


def test_ctrl_c_before_the_session_is_known(daemon, state):
    asked = threading.Event()
    commands = []

    def handle(command):
        if command.object.get("cancel"):
            command.ok({"session": SESSION, "cancelled": True})
            Turn(commands[0]).end(None, finish="cancelled")
        else:
            commands.append(command)
            asked.set()
    daemon.on("ASK", handle)
    process = run_in_background(daemon, state, "x")
    assert asked.wait(HANG)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"veoctl: ask: cancelling")
    Turn(commands[0]).asked()
    process.communicate(timeout=HANG)
    assert process.returncode == 6


def test_a_second_ctrl_c_leaves(daemon, state):
    it = Cancellable(daemon, answer=False)
    process = run_in_background(daemon, state, "x")
    assert it.asked.wait(HANG)
    process.send_signal(signal.SIGINT)
    until(lambda: len(daemon.sent("ASK")) == 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGINT
    assert f"the turn goes on: veoctl ask --session {SESSION}".encode() in err


def test_sigterm_leaves_the_turn_alone(daemon, state):
    it = Cancellable(daemon)
    process = run_in_background(daemon, state, "x")
    assert it.asked.wait(HANG)
    until(lambda: (state / "veoctl/session").exists())
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGTERM
    assert b"the turn goes on" in err and len(daemon.sent("ASK")) == 1


def test_ctrl_c_while_the_daemon_is_away(daemon, state):
    it = Cancellable(daemon)
    process = run_in_background(daemon, state, "x")
    assert it.asked.wait(HANG)
    until(lambda: (state / "veoctl/session").exists())
    daemon.stop()
    until(lambda: process.stderr.readline().startswith(b"veoctl: ask: the daemon went away"))
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith(b"veoctl: ask: cancelling")

    def handle(command):
        if command.object.get("cancel"):
            command.ok({"session": SESSION, "cancelled": True})
            it.turn.end(None, finish="cancelled")
        else:
            it.turn = Turn(command)
    daemon.on("ASK", handle)
    daemon.start()
    process.communicate(timeout=HANG)
    assert process.returncode == 6
    assert [c.object for c in daemon.sent("ASK")[1:]] == [
        {"session": SESSION}, {"session": SESSION, "cancel": True}]
