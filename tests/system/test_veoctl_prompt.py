"""veoctl ask on a terminal, against a scripted daemon: what is drawn, and the prompt."""

import os
import re
import signal
import stat
import threading

import pytest

from fake_agent import (PATH, SESSION, SESSION2, TEXT, Cancellable, Turn, answers, ask,  # noqa: F401
                        makes_a_video, state, terminal)
from scripted import HANG, ID, ID2, daemon, done, job, line, plain, until  # noqa: F401


# ---- a turn ----


def wait_for_jobs_look(daemon):
    running = job(state="running", progress={"elapsed_ms": 30000, "expected_ms": 60000})
    daemon.on("STATUS", lambda c: c.ok(running))


def test_a_turn_on_a_terminal(daemon, terminal):
    go = threading.Event()
    seen = threading.Event()

    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.thinking()
        def rest():
            go.wait(HANG)
            turn.calling()
            turn.job("running")
            seen.wait(HANG)
            turn.job("done")
            turn.result(success=True, status="completed", job=ID, path=PATH)
            turn.end("# Done\n\nHere it is.", jobs=[done()])
        threading.Thread(target=rest, daemon=True).start()
    daemon.on("ASK", handler)
    wait_for_jobs_look(daemon)
    it = terminal("a dog")
    it.see("thinking… 1s")
    go.set()
    it.see(f'▸ {TEXT}  "a golden retriever')
    it.see("[#####-----]  50%")
    seen.set()
    assert it.end() == 0
    assert "\x1b[32m✓ \x1b[0m" in it.text and "\x1b[36m▸ " in it.text
    assert it.plain.endswith(f"✓ {ID}  video  {PATH}\n\n# Done\n\nHere it is.\n{PATH}  5 B\n"
                             f"go on: veoctl ask --session last …  (session {SESSION})\n")


@pytest.mark.parametrize("env, colour, redraws", [
    ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)])
def test_terminal_manners(daemon, terminal, env, colour, redraws):
    daemon.on("ASK", makes_a_video)
    daemon.on("STATUS", lambda c: c.ok(job()))
    it = terminal("a dog", env=env)
    assert it.end() == 0
    assert ("\x1b[3" in it.text) == colour and ("\x1b[" in it.text) == redraws
    assert ("thinking…" in it.text) == redraws


@pytest.mark.parametrize("columns", [20, 40, 60])
def test_narrow_terminal(daemon, terminal, columns):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.thinking()
        turn.calling()
        turn.job("running")
        turn.job("filtered", error={"message": 30 * "so ", "code": "filtered"})
        turn.result(success=False, status="filtered", job=ID, error=30 * "so ", code="filtered")
        turn.end("So.", jobs=[job(state="filtered")])
    daemon.on("ASK", handler)
    daemon.on("STATUS", lambda c: c.ok(job(state="running")))
    it = terminal("a dog", columns=columns, env={"NO_COLOR": "1"})
    assert it.end() == 1
    reason = f"✗ {ID}  filtered: {30 * 'so '} (filtered)"
    assert reason in it.plain
    steps = plain(re.sub(r"\r|\x1b\[\d*A", "\n", it.text.split("\nSo.")[0])).splitlines()
    steps.remove(reason)
    assert steps and all(len(each) < columns for each in steps), steps


def test_standard_output_may_be_elsewhere(daemon, terminal, tmp_path):
    daemon.on("ASK", makes_a_video)
    daemon.on("STATUS", lambda c: c.ok(job()))
    with open(tmp_path / "answer", "wb") as out:
        it = terminal("a dog", stdout=out)
        assert it.end() == 0
    assert (tmp_path / "answer").read_text() == "Here it is.\n"
    assert "Here it is" not in it.text and f"✓ {ID}" in it.plain


def test_a_job_that_ends_after_its_result(daemon, terminal):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.calling()
        turn.job("running")
        turn.result(success=True, status="processing", job=ID)
        turn.job("done", files=[{"path": PATH, "bytes": 5}])
        turn.end("So.", jobs=[done()])
    daemon.on("ASK", handler)
    daemon.on("STATUS", lambda c: c.ok(job(state="running")))
    it = terminal("a dog")
    assert it.end() == 0
    assert f"· {ID}  processing\n" in it.plain and f"✓ {ID} done  {PATH}\n" in it.plain


def test_a_job_that_ended_while_the_daemon_was_away(daemon, terminal):
    def go_on(command):
        turn = Turn(command)
        turn.asked()
        turn.calling()
        turn.result(success=True, status="completed", job=ID)
        command.send(line("OK", job(state="running"), "99"))  # what a STATUS asked, too late
        turn.thinking(2)
        threading.Timer(1, turn.end).start()

    def begin(command):
        turn = Turn(command)
        turn.asked()
        turn.calling()
        turn.job("running")
    daemon.on("ASK", begin, go_on)
    daemon.on("STATUS", lambda c: None)
    it = terminal("a dog")
    it.see("running")
    daemon.stop()
    it.see("went away")
    it.forget()
    daemon.start()
    assert it.end() == 0
    after = it.plain.partition(f"✓ {ID}")[2]
    assert "thinking… " in after and "running" not in after


# ---- the prompt ----

def texts(daemon):
    return [c.object.get("text") for c in daemon.sent("ASK")]


def sessions(daemon):
    return [c.object.get("session") for c in daemon.sent("ASK")]


def test_a_conversation(daemon, terminal, state):
    daemon.on("ASK", answers("First."), answers("Second."))
    it = terminal()
    it.begin()
    it.type("one\r")
    it.see("First.")
    it.type("two\r")
    it.see("Second.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["one", "two"] and sessions(daemon) == [None, SESSION]
    assert f"(session {SESSION})" in it.plain
    kept = state / "veoctl" / "history"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "one\n" in kept.read_text() and "two\n" in kept.read_text()


def test_editing_keys(daemon, terminal):
    daemon.on("ASK", answers())
    it = terminal()
    it.begin()
    # home, delete to the end; a word taken back; an arrow; a backspace over a character of two bytes
    it.type("gone\x01\x0b" "a brown\x17" "black\x1b[D\x1b[D\x1b[C\x05 Hündü\x7f\x08" "d – 犬\r")
    it.see("Hello.")
    it.leave()
    it.end()
    assert texts(daemon) == ["a black Hünd – 犬"]


def test_what_is_no_utf_8_is_asked_about(daemon, terminal):
    daemon.on("ASK", answers())
    it = terminal()
    it.begin()
    it.type(b"a\xffb\xc3(\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["a?b?"]


def test_history(daemon, terminal):
    daemon.on("ASK", answers("Eins."), answers("Zwei."), answers("Drei."), answers("Vier."))
    it = terminal()
    it.begin()
    it.type("ein Hünd \\ 犬\r")
    it.see("Eins.")
    it.ready()
    it.type("\x1b[A!\r")
    it.see("Zwei.")
    it.leave()
    it.end()
    it = terminal()
    it.begin()
    it.type("\x1b[A\x1b[A\r")
    it.see("Drei.")
    it.ready()
    it.type("\x12!\r\r")
    it.see("Vier.")
    it.leave()
    it.end()
    assert texts(daemon) == ["ein Hünd \\ 犬", "ein Hünd \\ 犬!", "ein Hünd \\ 犬", "ein Hünd \\ 犬!"]


def test_history_is_bounded(daemon, terminal, state):
    daemon.on("ASK", answers())
    folder = state / "veoctl"
    folder.mkdir(parents=True)
    (folder / "history").write_text("_HiStOrY_V2_\n" + "".join(f"line{i}\n" for i in range(3000)))
    it = terminal()
    it.begin()
    it.type("one more\r")
    it.see("Hello.")
    it.leave()
    it.end()
    lines = (folder / "history").read_text().splitlines()
    assert len(lines) == 1001 and lines[-1] == "one\\040more"


@pytest.mark.parametrize("content", [b"", b"no history\n\xff\xff", 300000 * b"x",
                                     b"_HiStOrY_V2_\n\0\0\n"], ids=len)
def test_a_broken_history_does_no_harm(daemon, terminal, state, content):
    daemon.on("ASK", answers())
    (state / "veoctl").mkdir(parents=True)
    (state / "veoctl/history").write_bytes(content)
    it = terminal()
    it.begin()
    it.type("\x1b[A\x15one\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["one"]


def test_ctrl_c_clears_the_line(daemon, terminal):
    daemon.on("ASK", answers())
    it = terminal()
    it.begin()
    it.type("never mind")
    it.see("never mind")
    it.forget()
    it.type("\x03")
    it.see("^C\n> ")
    it.ready()
    it.type("rather this\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["rather this"]


def test_ctrl_c_cancels_the_turn_and_not_the_program(daemon, terminal):
    turn = Cancellable(daemon)
    it = terminal()
    it.begin()
    it.type("one\r")
    it.see("queued")
    it.forget()
    it.type("\x03")
    it.see("cancelling; Ctrl-C again leaves at once")
    it.see("the turn was cancelled")
    it.see(f"{ID2}.mp4  5 B\n> ")
    daemon.on("ASK", answers("And on."))
    it.type("two\r")
    it.see("And on.")
    it.leave()
    assert it.end() == 0
    assert turn.asked.is_set() and sessions(daemon) == [None, SESSION, SESSION]


def test_a_second_ctrl_c_leaves_the_prompt(daemon, terminal):
    Cancellable(daemon, answer=False)
    it = terminal()
    it.begin()
    it.type("one\r")
    it.see("queued")
    it.type("\x03")
    it.see("cancelling")
    it.type("\x03")
    assert it.end() == -signal.SIGINT
    assert f"the turn goes on: veoctl ask --session {SESSION}" in it.plain


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_killed_at_the_prompt(terminal, number):
    it = terminal()
    it.begin()
    assert not it.is_as_before()
    it.process.send_signal(number)
    assert it.process.wait(HANG) == -number
    assert it.is_as_before()


def test_ctrl_backslash_does_nothing(daemon, terminal):
    daemon.on("ASK", answers())
    it = terminal()
    it.begin()
    it.type("\x1c")
    it.type("x\r")
    it.see("Hello.")
    it.leave()
    assert it.process.wait(HANG) == 0
    assert it.is_as_before()


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "no-such-terminal"}, {"TERM": ""},
                                 {"NO_COLOR": "1"}])
def test_prompt_on_a_simple_terminal(daemon, terminal, env):
    daemon.on("ASK", answers())
    it = terminal(env=env)
    it.begin()
    it.type("one\x17two\r")
    it.see("Hello.")
    it.forget()
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["two"]
    assert "\x1b[3" not in it.text


def test_a_terminal_that_goes_away(daemon, terminal):
    it = terminal()
    it.begin()
    it.hang_up()
    assert it.process.wait(HANG) in (0, -signal.SIGHUP)


def test_commands_of_the_prompt(daemon, terminal):
    daemon.on("ASK", answers())

    def list_jobs(command):
        command.item(done())
        command.ok({"count": 1})
    daemon.on("LIST", list_jobs)
    it = terminal()
    it.begin()
    for typed, seen in [
            ("/help", "/session [ID]  which conversation"), ("/session", "There is none"),
            ("/jobs", "There are none"), ("hello", "Hello."), ("/session", f"\n{SESSION}\n"),
            ("/jobs", "a dog"), ("/nonsense", "/nonsense: no such command; /help lists them"),
            ("/new", "begin a new conversation"), ("  again  ", "Hello."),
            (f"/session {SESSION2}", f"\n{SESSION2}\n"), ("/session ../x", "no session's id"),
            ("/tmp/cat.png moves", "Hello."), ("", "> ")]:
        it.forget()
        it.ready()
        it.type(typed + "\r")
        it.see(seen)
    it.type("/quit\r")
    assert it.end() == 0
    assert texts(daemon) == ["hello", "again", "/tmp/cat.png moves"]
    assert sessions(daemon) == [None, None, SESSION2]
    assert daemon.sent("LIST")[0].object == {"label": f"session={SESSION}"}


def test_a_turn_that_fails_leaves_the_prompt(daemon, terminal):
    daemon.on("ASK", lambda c: c.err("unavailable", "no model"), answers())
    it = terminal()
    it.begin()
    it.type("one\r")
    it.see("no model (unavailable)")
    daemon.stop()
    it.type("two\r")
    it.see("can't connect")
    daemon.start()
    it.type("three\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0


def test_ctrl_c_ends_a_download_and_not_the_program(daemon, terminal, tmp_path):
    begun = threading.Event()

    def get(command):
        command.data(b"half", announced=1000000)
        begun.set()
    daemon.on("GET", get)
    daemon.on("ASK", answers("So.", jobs=[done()]))
    it = terminal("-o", str(tmp_path) + "/")
    it.begin()
    it.type("one\r")
    assert begun.wait(HANG)
    it.see("So.")
    it.forget()
    it.type("\x03")
    it.see(f"veoctl get {ID}\n> ")
    it.leave()
    assert it.end() == 0
    assert list(tmp_path.glob("*.mp4*")) == []


def test_ctrl_c_ends_the_wait_for_a_video_and_not_the_program(daemon, terminal, tmp_path):
    daemon.on("ASK", answers("So.", jobs=[job(state="running")]))
    daemon.on("WAIT", lambda c: None)
    daemon.on("STATUS", lambda c: None)
    it = terminal("-o", str(tmp_path) + "/")
    it.begin()
    it.type("one\r")
    it.see("So.")
    until(lambda: daemon.sent("WAIT"))
    it.forget()
    it.type("\x03")
    it.see(f"the job goes on: veoctl wait {ID}\n> ")
    it.leave()
    assert it.end() == 0


def test_ctrl_z_gives_the_terminal_back(daemon, terminal):
    """A shell with job control in between: nobody stops whom nobody could wake."""
    daemon.on("ASK", answers())
    it = terminal(shell='set -m; "$@"; stty -a; sleep 0.1; fg')
    it.begin()
    it.forget()
    it.type("half")
    it.see("half")
    it.type("\x1a")
    it.see(" icanon")
    it.see("> half")
    it.ready()
    it.type(" a word\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["half a word"]


def test_resized_while_typing(daemon, terminal):
    daemon.on("ASK", answers())
    it = terminal(columns=100)
    it.begin()
    it.type("some words ")
    it.see("some words")
    it.resize(30)
    it.forget()
    it.type("and more of them, which are many")
    it.see("\b")  # where the line goes on below
    it.type("\r")
    it.see("Hello.")
    it.leave()
    assert it.end() == 0
    assert texts(daemon) == ["some words and more of them, which are many"]


def test_no_prompt_without_a_terminal(daemon, ask):
    result = ask(stdin=b"hello\n")
    assert result.status == 2 and daemon.commands == []
    assert "- reads them" in result.err
