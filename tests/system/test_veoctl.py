"""veoctl against a scripted daemon: every command, every error, every exit status.

The program under test is named by the environment variable VEOCTL. Only the standard library and
pytest are needed. No test depends on how fast anything is; the time-outs are there to end a test
that hangs.
"""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

from scripted import (Close, Daemon, HANG, ID, ID2, ID3, VEOCTL, daemon, done,  # noqa: F401
                      environment, job, line, lists, on_terminal, plain, run_bare, start, until,
                      veoctl)


# ---- the command line itself ----


def test_help_lists_every_command():
    result = run_bare("--help")
    assert result.status == 0
    for name in ("generate batch ask put status list wait watch get cancel retry hold release forget "
                 "why models cost stats ping hello reload raw help").split():
        assert re.search(rf"^  {name} ", result.out, re.M), name
        for words in ([name, "--help"], ["help", name], ["--json", name, "-h"]):
            own = run_bare(*words)
            assert own.status == 0
            assert own.out.startswith(f"Usage: veoctl {name}")
            assert "--socket PATH" in own.out


def test_version():
    result = run_bare("--version")
    assert result.status == 0
    assert re.fullmatch(r"veoctl \d+\.\d+\.\d+ \(protocol 1\)\n", result.out)


@pytest.mark.parametrize("words, message", [
    ([], "what should be done"),
    (["lst"], "did you mean 'list'"),
    (["genrate", "x"], "did you mean 'generate'"),
    (["frobnicate"], "no such command"),
    (["--frob", "list"], "--frob: no such option"),
    (["list", "--frob"], "list: --frob: no such option"),
    (["list", "-Z"], "-Z: no such option"),
    (["list", "--limit"], "--limit: an argument is missing"),
    (["list", "--limit", "0"], "--limit: expected a number from 1"),
    (["list", "--all=3"], "takes no argument"),
    (["list", "x"], "takes options only"),
    (["list", "--owner", "no-such-user-here"], "--owner"),
    (["list", "--since", "yesterday"], "--since: expected a time"),
    (["--timeout", "soon", "list"], "--timeout: expected a duration"),
    (["generate"], "the prompt is missing"),
    (["generate", ""], "the prompt is empty"),
    (["generate", b"\xff"], "not UTF-8"),
    (["generate", "-d", "x", "a dog"], "--duration: expected a duration"),
    (["generate", "--seed", "-1", "a dog"], "--seed: expected a number from 0"),
    (["generate", "--priority", "101", "a dog"], "--priority: expected a number from -100 to 100"),
    (["generate", "--label", "k", "a dog"], "--label: expected NAME=VALUE"),
    (["generate", "--not-before", "noon", "a dog"], "--not-before: expected a time"),
    (["generate", "--samples", "2", "-o", "-", "a dog"], "only one video"),
    (["generate", "-o", "/no/such/folder/x.mp4", "a dog"], "can't write in /no/such/folder"),
    (["status"], "which job?"),
    (["status", ID, ID2], "one job at a time"),
    (["why"], "which job?"),
    (["wait"], "which job?"),
    (["wait", "--reconnect", "x", ID], "--reconnect: expected a duration"),
    (["get"], "expected one job, got 0"),
    (["get", "--file", "x", ID], "--file: expected a number"),
    (["watch", "--from", "x"], "--from: expected a number"),
    (["batch"], "expected one file"),
    (["batch", "/no/such/file"], "/no/such/file: No such file"),
    (["raw"], "expected one line"),
    (["raw", "PING\nPING"], "expected one line"),
    (["ping", "x"], "takes no argument"),
    (["help", "frob"], "no such command"),
])
def test_usage_errors(words, message):
    words = [os.fsdecode(w) if isinstance(w, bytes) else w for w in words]
    result = run_bare("--socket", "/no/such/socket", *words)
    assert result.status == 2, result.err
    assert message in result.err
    assert result.out == ""
    lines = result.err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("veoctl: ") and "--help'" in lines[1]


# ---- finding the daemon ----


def test_no_socket():
    result = run_bare("--socket", "/no/such/veod.sock", "ping")
    assert result.status == 4
    assert result.err == ("veoctl: ping: can't connect to /no/such/veod.sock: no such file: "
                          "veod isn't running, or listens elsewhere\n")


def test_nobody_listens(tmp_path):
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(str(path))
    result = run_bare("--socket", path, "ping")
    assert result.status == 4
    assert f"{path}: nobody listens there" in result.err


def test_no_socket_but_a_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("")
    result = run_bare("--socket", path, "ping")
    assert result.status == 4
    assert "that is not a socket" in result.err


def test_path_too_long():
    result = run_bare("--socket", "/" + 200 * "x", "ping")
    assert result.status == 4
    assert "at most 107 bytes" in result.err


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_permission_names_the_group(tmp_path):
    daemon = Daemon(tmp_path / "veod.sock")
    daemon.start()
    os.chmod(daemon.path, 0o660)
    for folder in [tmp_path, *tmp_path.parents]:
        os.chmod(folder, folder.stat().st_mode | 0o055)
    veoctl = tmp_path / "veoctl"
    veoctl.write_bytes(open(VEOCTL, "rb").read())
    veoctl.chmod(0o755)
    done_process = subprocess.run([veoctl, "--socket", daemon.path, "ping"], capture_output=True,
                                  user=65534, group=65534, extra_groups=[], cwd="/",
                                  env=environment(), timeout=HANG)
    daemon.stop()
    assert done_process.returncode == 4
    assert b"permission denied; the socket is open to group root" in done_process.stderr


def test_socket_from_environment(daemon, tmp_path):
    daemon.on("PING", lambda c: c.ok())
    assert run_bare("ping", env=environment(VEOD_SOCKET=daemon.path)).status == 0
    runtime = tmp_path / "run"
    (runtime / "veod").mkdir(parents=True)
    os.symlink(daemon.path, runtime / "veod" / "veod.sock")
    assert run_bare("ping", env=environment(XDG_RUNTIME_DIR=str(runtime))).status == 0
    missing = run_bare("ping", env=environment(XDG_RUNTIME_DIR=str(tmp_path / "none")))
    assert missing.status in (0, 4) and "/none/" not in missing.err
    both = run_bare("ping", env=environment(XDG_RUNTIME_DIR=str(runtime), VEOD_SOCKET="/no/such"))
    assert both.status == 4 and "/no/such:" in both.err


# ---- errors of the protocol ----


@pytest.mark.parametrize("code, status", [
    ("bad-request", 9), ("unknown-verb", 9), ("invalid-argument", 2), ("too-long", 8),
    ("too-many", 8), ("not-found", 3), ("forbidden", 8), ("conflict", 8), ("busy", 8),
    ("draining", 8), ("disk-full", 8), ("budget-exceeded", 8), ("unavailable", 8),
    ("internal", 9), ("never-heard-of", 9),
])
def test_error_codes(daemon, veoctl, code, status):
    daemon.on("STATUS", lambda c: c.err(code, "so it is", field="id"))
    result = veoctl("status", ID)
    assert result.status == status
    assert result.err == f"veoctl: status: id: so it is ({code})\n"
    assert result.out == ""
    result = veoctl("--json", "status", ID)
    assert result.status == status
    assert result.objects == [{"code": code, "message": "so it is", "field": "id"}]


@pytest.mark.parametrize("reply, message", [
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no reply of veod's protocol: 'HTTP/1.1 400"),
    (b"\n", "no reply"),
    (b"OK {\n", "broken"),
    (b'OK {"a":1,"a":2}\n', "broken"),
    (b"OK [1]\n", "no"),
    (b"OK {\xff}\n", "not UTF-8"),
    (b'OK {"a":"' + 1100000 * b"x" + b'"}\n', "more than 1048576 bytes"),
    (1100000 * b"x", "more than 1048576 bytes"),
], ids=lambda value: repr(value)[:30])
def test_nonsense(daemon, veoctl, reply, message):
    daemon.on("STATUS", lambda c: c.send(reply))
    result = veoctl("status", ID)
    assert result.status == 9
    assert message in result.err
    assert len(result.err.splitlines()) == 1


def test_no_answer(daemon, veoctl):
    daemon.on("STATUS", lambda c: None)
    result = veoctl("--timeout", "200ms", "status", ID)
    assert result.status == 9
    assert f"the daemon at {daemon.path} doesn't answer" in result.err


def test_closed_connection(daemon, veoctl):
    def close(command):
        raise Close
    daemon.on("STATUS", close)
    result = veoctl("status", ID)
    assert result.status == 4
    assert "closed the connection" in result.err


def test_error_before_the_close_is_heard(daemon, veoctl):
    def turn_away(command):
        command.send(line("ERR", {"code": "too-many", "message": "32 connections"}))
        raise Close
    daemon.on("STATUS", turn_away)
    result = veoctl("status", ID)
    assert result.status == 8
    assert "32 connections" in result.err


def test_other_tags_are_not_ours(daemon, veoctl):
    def answer(command):
        command.send(line("OK", {"id": "wrong"}, "other"), line("EVENT", {"event": 1}))
        command.ok(job())
    daemon.on("STATUS", answer)
    result = veoctl("--json", "status", ID)
    assert result.objects == [job()]


def test_a_reply_in_pieces(daemon, veoctl):
    def answer(command):
        for byte in line("OK", job(), command.tag):
            command.send(bytes([byte]))
    daemon.on("STATUS", answer)
    assert veoctl("--json", "status", ID).objects == [job()]


def test_full_output(daemon):
    daemon.on("STATUS", lambda c: c.ok(job()))
    with open("/dev/full", "wb") as full:
        done_process = subprocess.run([VEOCTL, "--socket", daemon.path, "status", ID],
                                      stdout=full, stderr=subprocess.PIPE, env=environment(),
                                      timeout=HANG)
    assert done_process.returncode == 9
    assert b"can't write to standard output" in done_process.stderr


# ---- generate ----


def test_generate_prints_the_id(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    result = veoctl("generate", "a", "dog")
    assert (result.status, result.out, result.err) == (0, ID + "\n", "")
    request = daemon.sent("GENERATE")[0].object
    assert request.pop("key").startswith("veoctl-")
    assert request == {"prompt": "a dog"}


def test_generate_sends_every_option(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    result = veoctl("generate", "-m", "veo-9", "-a", "9:16", "-r", "1080p", "-d", "8",
                    "-n", "rain", "--seed", 7, "--samples", 2, "-p", "p", "--priority", -5,
                    "--person-generation", "allow_all", "--no-audio", "--enhance",
                    "--output-name", "pets/dog.mp4", "--label", "k=v", "--label", "x=a=b", "--key", "K", "--deadline", "10m",
                    "--not-before", "2026-11-22T18:00:00Z", "--max-attempts", 4, "--force",
                    "a \"dog\"\n—")
    assert result.status == 0
    assert daemon.sent("GENERATE")[0].object == {
        "model": "veo-9", "aspect_ratio": "9:16", "resolution": "1080p", "duration_seconds": 8,
        "negative_prompt": "rain", "seed": 7, "sample_count": 2, "provider": "p", "priority": -5,
        "person_generation": "allow_all", "generate_audio": False, "enhance_prompt": True,
        "output": "pets/dog.mp4", "labels": {"k": "v", "x": "a=b"}, "key": "K", "deadline_seconds": 600,
        "not_before": "2026-11-22T18:00:00.000Z", "max_attempts": 4, "force": True,
        "prompt": "a \"dog\"\n—"}


def test_generate_not_before_as_a_duration(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    before = time.time()
    veoctl("generate", "--not-before", "+1h", "-d", "2.5s", "a dog")
    request = daemon.sent("GENERATE")[0].object
    from datetime import datetime
    at = datetime.fromisoformat(request["not_before"].replace("Z", "+00:00")).timestamp()
    assert before + 3599 <= at <= time.time() + 3601
    assert request["duration_seconds"] == 2.5


def test_generate_reads_standard_input(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    assert veoctl("generate", "-", stdin="zwei\nHünde\n".encode()).status == 0
    assert daemon.sent("GENERATE")[0].object["prompt"] == "zwei\nHünde"


@pytest.mark.parametrize("prompt", [b"x" * 32769, b"x" * 200000], ids=len)
def test_generate_refuses_a_long_prompt(daemon, veoctl, prompt):
    result = veoctl("generate", "-", stdin=prompt)
    assert result.status == 8
    assert "the prompt has more than 32768 bytes" in result.err
    assert daemon.commands == []
    assert veoctl("generate", (prompt[:120000]).decode()).status == 8


def test_generate_takes_the_longest_prompt(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    assert veoctl("generate", "-", stdin=b"x" * 32768 + b"\n").status == 0
    # Each of these becomes six bytes of JSON: more than a line holds.
    result = veoctl("generate", "-", stdin=b"\x01" * 32768)
    assert result.status == 8 and "more than 65536 bytes" in result.err


def test_generate_keys_differ(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    for _ in range(3):
        veoctl("generate", "a dog")
    keys = {c.object["key"] for c in daemon.sent("GENERATE")}
    assert len(keys) == 3
    assert all(re.fullmatch(r"veoctl-[0-9a-f]{32}", key) for key in keys)


def test_generate_json(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.send(f'@{c.tag} OK {{"id":"{ID}",  "x":1.50}}\n'.encode()))
    assert veoctl("--json", "generate", "a dog").out == f'{{"id":"{ID}",  "x":1.50}}\n'
    assert veoctl("generate", "--json", "a dog").out == f'{{"id":"{ID}",  "x":1.50}}\n'


def test_generate_held(daemon, veoctl):
    held = job(state="held", error={"code": "budget", "message": "spent"})
    daemon.on("GENERATE", lambda c: c.ok(held))
    daemon.on("WAIT", lambda c: c.ok({"jobs": [held], "timed_out": False}))
    result = veoctl("generate", "a dog")
    assert (result.status, result.out) == (0, ID + "\n")
    assert "is held: spent (budget)" in result.err
    assert veoctl("generate", "--wait", "a dog").status == 8


def test_generate_sends_the_same_again(daemon, veoctl):
    """The connection breaks before the answer: the same key, so the same job."""
    def close(command):
        raise Close
    daemon.on("GENERATE", close, close, lambda c: c.ok(job()))
    result = veoctl("generate", "a dog")
    assert (result.status, result.out) == (0, ID + "\n")
    assert result.err.count("sending the same again") == 1
    requests = [c.argument for c in daemon.sent("GENERATE")]
    assert len(requests) == 3 and len(set(requests)) == 1


def test_generate_over_a_restart(daemon, tmp_path):
    """The daemon dies with the request in its hands and comes back."""
    taken = threading.Event()

    def vanish(command):
        taken.set()
        raise Close
    daemon.on("GENERATE", vanish, lambda c: c.ok(job()))
    process = start(daemon, "generate", "a dog")
    taken.wait(HANG)
    daemon.stop()
    daemon.start()
    out, err = process.communicate(timeout=HANG)
    assert (process.returncode, out) == (0, ID.encode() + b"\n")
    assert len({c.object["key"] for c in daemon.sent("GENERATE")}) == 1


def test_generate_unheard_tells_the_key(daemon, veoctl):
    daemon.on("GENERATE", lambda c: None)
    result = veoctl("--timeout", "200ms", "generate", "a dog")
    assert result.status == 9
    key = daemon.sent("GENERATE")[0].object["key"]
    assert f"--key {key} asks again without buying twice" in result.err


def test_generate_refused_is_not_sent_again(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.err("budget-exceeded", "0.40 of 0.10 USD"))
    result = veoctl("generate", "a dog")
    assert result.status == 8
    assert len(daemon.commands) == 1
    assert "--key" not in result.err


def waits_with(daemon, final, *events):
    def wait(command):
        for number, event in enumerate(events, 1):
            command.event({"event": number, "at": "2026-11-22T10:00:01.000Z", **event})
        command.ok({"jobs": final if isinstance(final, list) else [final], "timed_out": False})
    daemon.on("WAIT", wait)


def test_generate_wait_prints_the_path(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    waits_with(daemon, done(), {"id": ID, "state": "running"}, {"id": ID, "state": "done"})
    result = veoctl("generate", "--wait", "a dog")
    assert result.status == 0
    assert result.out == f"/var/lib/veod/videos/0/{ID}.mp4\n"
    assert result.err == f"{ID} running\n{ID} done\n"
    assert daemon.sent("WAIT")[0].object == {"ids": [ID], "events": True}


def test_generate_wait_json(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    waits_with(daemon, done(), {"id": ID, "state": "running"})
    result = veoctl("--json", "generate", "--wait", "a dog")
    assert result.status == 0
    assert result.objects == [job(), {"jobs": [done()], "timed_out": False}]
    assert result.err == ""


@pytest.mark.parametrize("state, status", [
    ("failed", 1), ("filtered", 1), ("expired", 1), ("cancelled", 6), ("uncertain", 7),
    ("held", 8)])
def test_generate_wait_other_ends(daemon, veoctl, tmp_path, state, status):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    waits_with(daemon, job(state=state, error={"code": "c", "message": "because"}))
    result = veoctl("generate", "-o", tmp_path / "x.mp4", "a dog")
    assert result.status == status
    assert f"{ID} {state}: because (c)" in result.err
    assert result.out == ""
    assert not (tmp_path / "x.mp4").exists()


def test_generate_wait_timeout(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    daemon.on("WAIT", lambda c: c.ok({"jobs": [job(state="running")], "timed_out": True}))
    result = veoctl("generate", "--wait", "--timeout", "60d", "a dog")
    assert result.status == 5
    assert "timed out" in result.err
    assert daemon.sent("WAIT")[0].object["timeout_seconds"] == 30 * 86400


VIDEO = bytes(range(256)) * 1000


def serves(daemon, body=VIDEO):
    def get(command):
        command.data(body[command.object["offset"]:])
    daemon.on("GET", get)
    daemon.on("STATUS", lambda c: c.ok(done()))


def generates(daemon, files=1):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    waits_with(daemon, done(files=[{"path": f"/x-{i}", "bytes": 1} for i in range(files)]))
    serves(daemon)


def test_generate_to_a_file(daemon, veoctl, tmp_path):
    generates(daemon)
    os.umask(0o022)
    result = veoctl("generate", "-o", tmp_path / "x.mp4", "a dog")
    assert (result.status, result.out) == (0, f"{tmp_path}/x.mp4\n")
    assert (tmp_path / "x.mp4").read_bytes() == VIDEO
    assert stat.S_IMODE((tmp_path / "x.mp4").stat().st_mode) == 0o644
    assert [p for p in os.listdir(tmp_path) if "part" in p] == []
    assert daemon.sent("GET")[0].object == {"id": ID, "file": 0, "offset": 0}


def test_generate_into_a_folder(daemon, veoctl, tmp_path):
    generates(daemon)
    for output in (f"{tmp_path}", f"{tmp_path}/"):
        result = veoctl("generate", "--overwrite", "-o", output, "a dog")
        assert (result.status, result.out) == (0, f"{tmp_path}/{ID}.mp4\n")
    assert (tmp_path / f"{ID}.mp4").read_bytes() == VIDEO


def test_generate_several_results(daemon, veoctl, tmp_path):
    generates(daemon, files=3)
    result = veoctl("generate", "--samples", 3, "-o", "x.y.mp4", "a dog", cwd=tmp_path)
    assert (result.status, result.out) == (0, "x.y.mp4\nx.y-1.mp4\nx.y-2.mp4\n")
    assert [c.object["file"] for c in daemon.sent("GET")] == [0, 1, 2]
    result = veoctl("generate", "-o", ".", "a dog", cwd=tmp_path)
    assert result.out == f"./{ID}.mp4\n./{ID}-1.mp4\n./{ID}-2.mp4\n"


def test_generate_to_standard_output(daemon, veoctl):
    generates(daemon)
    result = veoctl("generate", "-o", "-", "a dog")
    assert (result.status, result.bytes) == (0, VIDEO)


def test_generate_spends_nothing_on_what_cannot_be_written(daemon, veoctl, tmp_path):
    generates(daemon)
    (tmp_path / "x-1.mp4").write_text("mine")
    result = veoctl("generate", "--samples", 2, "-o", tmp_path / "x.mp4", "a dog")
    assert result.status == 2
    assert "x-1.mp4 exists; --overwrite replaces it" in result.err
    assert daemon.commands == []
    assert (tmp_path / "x-1.mp4").read_text() == "mine"


def test_generate_overwrites_if_told(daemon, veoctl, tmp_path):
    generates(daemon)
    (tmp_path / "x.mp4").write_text("old")
    assert veoctl("generate", "--overwrite", "-o", tmp_path / "x.mp4", "a dog").status == 0
    assert (tmp_path / "x.mp4").read_bytes() == VIDEO


def test_generate_keeps_a_file_that_came_meanwhile(daemon, veoctl, tmp_path):
    generates(daemon)

    def get(command):
        (tmp_path / "x.mp4").write_text("mine")
        command.data(VIDEO)
    daemon.on("GET", get)
    result = veoctl("generate", "-o", tmp_path / "x.mp4", "a dog")
    assert result.status == 9
    assert "x.mp4: File exists" in result.err
    assert f"veoctl get {ID}" in result.err
    assert os.listdir(tmp_path).count("x.mp4") == 1
    assert (tmp_path / "x.mp4").read_text() == "mine"
    assert [p for p in os.listdir(tmp_path) if "part" in p] == []


# ---- wait ----


@pytest.mark.parametrize("states, status", [
    (["done"], 0), (["failed"], 1), (["filtered"], 1), (["expired"], 1), (["cancelled"], 6),
    (["uncertain"], 7), (["held"], 8), (["done", "done"], 0), (["done", "failed"], 1),
    (["failed", "uncertain"], 7), (["cancelled", "failed"], 1), (["held", "cancelled"], 8),
    (["done", "cancelled"], 6)])
def test_wait_status(daemon, veoctl, states, status):
    ids = [ID, ID2, ID3][:len(states)]
    waits_with(daemon, [job(i, s) for i, s in zip(ids, states)])
    result = veoctl("wait", *ids)
    assert result.status == status
    assert result.out == "".join(f"{i} {s}\n" for i, s in zip(ids, states))


@pytest.mark.parametrize("state, status", [("running", 5), ("done", 5), ("failed", 1)])
def test_wait_timed_out(daemon, veoctl, state, status):
    daemon.on("WAIT", lambda c: c.ok({"jobs": [job(state=state)], "timed_out": True}))
    assert veoctl("wait", ID, "--timeout", "90s").status == status
    assert 89 < daemon.sent("WAIT")[0].object["timeout_seconds"] <= 90


def test_wait_with_no_time_looks_once(daemon, veoctl):
    lists(daemon, [job()])
    daemon.on("WAIT", lambda c: c.ok({"jobs": [job(state="running")], "timed_out": True}))
    result = veoctl("wait", "--timeout", "0", "last")
    assert (result.status, result.out) == (5, f"{ID} running\n")
    assert daemon.sent("WAIT")[0].object["timeout_seconds"] == 0


def test_wait_shows_paths_and_reasons(daemon, veoctl):
    waits_with(daemon, [done(), job(ID2, "failed", error={"code": "c", "message": "bad\x1b[2J"})])
    result = veoctl("wait", ID, ID2)
    assert result.out == (f"{ID} done /var/lib/veod/videos/0/{ID}.mp4\n"
                          f"{ID2} failed: bad?[2J (c)\n")


def test_wait_json(daemon, veoctl):
    waits_with(daemon, done(), {"id": ID, "state": "running"})
    assert veoctl("--json", "wait", ID).objects == [{"jobs": [done()], "timed_out": False}]


def test_wait_held_says_why(daemon, veoctl):
    waits_with(daemon, job(state="held", error={"code": "budget", "message": "12 of 10 USD"}))
    result = veoctl("wait", ID)
    assert result.status == 8
    assert f"{ID} is held: 12 of 10 USD (budget); 'veoctl release' lets it go on" in result.err


def test_wait_resolves_prefixes_and_last(daemon, veoctl):
    daemon.on("STATUS", lambda c: c.ok(job(ID2)))

    def lists(command):
        command.item(job(ID3))
        command.ok({"count": 1})
    daemon.on("LIST", lists)
    waits_with(daemon, [done(ID2), done(ID3)])
    assert veoctl("wait", "01JD", "last").status == 0
    assert daemon.sent("LIST")[0].object == {"owner": os.getuid(), "limit": 1}
    assert daemon.sent("STATUS")[0].object == {"id": "01JD"}
    assert daemon.sent("WAIT")[0].object["ids"] == [ID2, ID3]


def test_last_without_jobs(daemon, veoctl):
    daemon.on("LIST", lambda c: c.ok({"count": 0}))
    result = veoctl("wait", "last")
    assert result.status == 3
    assert "you have no jobs" in result.err


def test_wait_not_found(daemon, veoctl):
    daemon.on("WAIT", lambda c: c.err("not-found", "no job X"))
    assert veoctl("wait", ID).status == 3


def test_wait_survives_restarts(daemon):
    """Twice the daemon goes away; the third one answers."""
    asked = [threading.Event() for _ in range(3)]

    def die(event):
        def handler(command):
            event.set()
        return handler

    def answer(command):
        asked[2].set()
        command.ok({"jobs": [done()], "timed_out": False})
    daemon.on("WAIT", die(asked[0]), die(asked[1]), answer)
    process = start(daemon, "wait", ID)
    for event in asked[:2]:
        assert event.wait(HANG)
        daemon.stop()
        time.sleep(0.2)
        daemon.start()
    out, err = process.communicate(timeout=HANG)
    assert process.returncode == 0
    assert err.count(b"the daemon went away") == 1
    assert len(daemon.sent("WAIT")) == 3


def test_wait_survives_a_daemon_that_says_it_leaves(daemon, veoctl):
    daemon.on("WAIT", lambda c: c.err("draining", "stopping"),
              lambda c: c.ok({"jobs": [done()], "timed_out": False}))
    assert veoctl("wait", ID).status == 0


def test_wait_gives_up(daemon):
    asked = threading.Event()
    daemon.on("WAIT", lambda c: asked.set())
    process = start(daemon, "wait", "--reconnect", "300ms", ID)
    assert asked.wait(HANG)
    daemon.stop()
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 4
    assert b"no such file" in err


def test_wait_gives_up_on_a_daemon_that_hangs_up_at_once(daemon, veoctl):
    def close(command):
        raise Close
    daemon.on("WAIT", close)
    assert veoctl("wait", "--reconnect", "500ms", ID).status == 4


def test_wait_times_out_without_a_daemon(daemon):
    asked = threading.Event()
    daemon.on("WAIT", lambda c: asked.set())
    process = start(daemon, "wait", "--timeout", "500ms", ID)
    assert asked.wait(HANG)
    daemon.stop()
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == 5
    assert b"timed out" in err


def test_wait_interrupted(daemon):
    asked = threading.Event()
    daemon.on("WAIT", lambda c: asked.set())
    process = start(daemon, "wait", ID)
    assert asked.wait(HANG)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGINT
    assert f"the job goes on: veoctl wait {ID}".encode() in err


def test_wait_nonsense(daemon, veoctl):
    daemon.on("WAIT", lambda c: c.send(b"what?\n"))
    assert veoctl("wait", ID).status == 9


# ---- progress on a terminal ----


def test_progress_shows_the_estimate(daemon):
    running = job(state="running", progress={"elapsed_ms": 30000, "expected_ms": 60000})
    waiting = []

    def wait(command):
        waiting.append(command)

    def status(command):
        command.ok(running)
        time.sleep(1)
        waiting[0].ok({"jobs": [done()], "timed_out": False})
    daemon.on("WAIT", wait)
    daemon.on("STATUS", status)
    code, text = on_terminal(daemon, "wait", ID)
    assert code == 0
    assert re.search(rf"{ID}  running +\S+  \[#{{5,9}}-+\]  \d\d%, ~\d+s left", plain(text))
    assert "\x1b[1A" in text and "\x1b[36m" in text
    assert plain(text).rstrip().endswith(f"{ID} done /var/lib/veod/videos/0/{ID}.mp4")


@pytest.mark.parametrize("env, colour, redraws", [
    ({}, True, True), ({"NO_COLOR": "1"}, False, True), ({"TERM": "dumb"}, False, False)])
def test_terminal_manners(daemon, env, colour, redraws):
    def wait(command):
        command.event({"event": 1, "id": ID, "state": "running"})
        command.ok({"jobs": [done()], "timed_out": False})
    daemon.on("WAIT", wait)
    daemon.on("STATUS", lambda c: c.ok(job()))
    code, text = on_terminal(daemon, "wait", ID, env=environment(**env))
    assert code == 0
    assert ("\x1b[36m" in text) == colour
    assert ("\x1b[K" in text) == redraws
    assert f"{ID}  running" in plain(text) or f"{ID} running" in text


def test_progress_of_many_jobs_fits(daemon):
    ids = [f"01JD{n:022d}" for n in range(40)]

    def wait(command):
        for n, i in enumerate(ids):
            command.event({"event": n, "id": i, "state": "done" if n < 20 else "running"})
        command.ok({"jobs": [done(i) for i in ids], "timed_out": False})
    daemon.on("WAIT", wait)
    daemon.on("STATUS", lambda c: c.err("not-found"))
    code, text = on_terminal(daemon, "wait", *ids, columns=40)
    assert code == 0
    assert "20 of 40 ended, 4 more to come" in plain(text)
    drawn = plain(text)[:plain(text).index(f"{ids[0]} done ")]
    assert max(len(t) for t in drawn.split("\n")) <= 40


# ---- list, status, and the like ----


def test_list_piped(daemon, veoctl):
    reason = {"code": "budget-exceeded", "message": "today's budget is spent"}
    lists(daemon, [done(ID2, cost={"estimate_usd": 0.4, "charged_usd": 0.35}),
                   job(ID, prompt="a\tb\nc\x1b[31m"),
                   job(ID3, "held", cost={"estimate_usd": 0.4}, error=reason)])
    result = veoctl("list")
    assert result.status == 0
    assert result.out == (
        f"{ID2}\tdone\t2026-11-22T10:00:00.000Z\tveo-test\t$0.35\ta dog\t\n"
        f"{ID}\tqueued\t2026-11-22T10:00:00.000Z\tveo-test\t\ta b c?[31m\t\n"
        f"{ID3}\theld\t2026-11-22T10:00:00.000Z\tveo-test\t~$0.40\ta dog\t"
        "today's budget is spent (budget-exceeded)\n")
    assert daemon.sent("LIST")[0].object == {"limit": 100}


def test_list_filters(daemon, veoctl):
    lists(daemon, [])
    result = veoctl("list", "--state", "done,failed", "--model", "m", "--label", "k=v",
                    "--owner", "root", "--since", "2026-11-22T00:00:00Z", "--limit", 5)
    assert (result.status, result.out) == (0, "")
    assert daemon.sent("LIST")[0].object == {
        "state": ["done", "failed"], "model": "m", "label": "k=v", "owner": 0,
        "since": "2026-11-22T00:00:00.000Z", "limit": 5}
    assert veoctl("list", "--owner", 1234, "--since", "2h").status == 0
    assert daemon.sent("LIST")[1].object["owner"] == 1234


def test_list_all_goes_through_the_pages(daemon, veoctl):
    jobs = [job(f"01JD{n:022d}") for n in reversed(range(2345))]
    lists(daemon, jobs)
    assert len(veoctl("list", "--all").out.splitlines()) == 2345
    assert [c.object["limit"] for c in daemon.sent("LIST")] == [1000, 1000, 1000]
    result = veoctl("--json", "list", "--limit", 1500)
    assert result.objects == jobs[:1500]


def test_list_on_a_terminal(daemon):
    lists(daemon, [done("01JDAAAAAAAAAAAAAAAAAAAAAA"),
                   job("01JDAAAAABBBBBBBBBBBBBBBBB", prompt="a 犬 \x1b]0;evil\x07 " + 200 * "x")])
    code, text = on_terminal(daemon, "list", columns=60)
    assert code == 0
    rows = plain(text).splitlines()
    assert rows[0].split() == ["ID", "STATE", "AGE", "MODEL", "PROMPT"]
    assert rows[1].startswith("01JDAAAAAA  done")
    assert rows[2].startswith("01JDAAAAAB  queued")
    assert "\x1b]0" not in text and "?]0;evil?" in rows[2] and rows[2].endswith("…")
    wide = sum(2 if c == "犬" else 1 for c in rows[2])
    assert wide == 60
    code, text = on_terminal(daemon, "list", "--plain")
    assert "\x1b" not in text and "\t" in text


def test_list_on_a_terminal_when_empty(daemon):
    lists(daemon, [])
    assert on_terminal(daemon, "list") == (0, "no jobs\r\n")


def test_json_on_a_terminal_is_safe(daemon):
    daemon.on("STATUS", lambda c: c.ok({"id": ID, "prompt": "a\x9b31m\u202eb\x7f é"}))
    code, text = on_terminal(daemon, "--json", "status", ID)
    assert "\x9b" not in text and "\u202e" not in text and "\x7f" not in text
    assert json.loads(text)["prompt"] == "a\x9b31m\u202eb\x7f é"


def test_status(daemon, veoctl):
    daemon.on("STATUS", lambda c: c.ok(job(
        "01JD" + "0" * 22, prompt="a\ndog", labels={"k": "v"}, error={"retryable": False},
        files=[{"path": "/x", "bytes": 2048}], progress={"elapsed_ms": 80000})))
    result = veoctl("status", "01JD")
    assert result.status == 0
    assert re.sub(r"\(.* ago\)", "(ago)", result.out) == (
        "id:                  01JD0000000000000000000000\n"
        "state:               queued\n"
        "model:               veo-test\n"
        "prompt:              a dog\n"
        "created_at:          2026-11-22T10:00:00.000Z (ago)\n"
        "labels.k:            v\n"
        "error.retryable:     no\n"
        "files.0.path:        /x\n"
        "files.0.bytes:       2.0 KiB\n"
        "progress.elapsed_ms: 1m20s\n") or "(in " in result.out
    assert daemon.sent("STATUS")[0].object == {"id": "01JD"}


@pytest.mark.parametrize("command", ["cancel", "retry", "hold", "release", "forget"])
def test_changes(daemon, veoctl, command):
    daemon.on(command.upper(), lambda c: c.ok(job(state="held")),
              lambda c: c.ok({"jobs": [job(), done(ID2)]}),
              lambda c: c.ok({"forgotten": 2}), lambda c: c.err("conflict", "it is done"))
    result = veoctl(command, ID)
    assert (result.status, result.out) == (0, f"{ID} held\n")
    result = veoctl(command, ID, ID2)
    assert result.out.startswith(f"{ID} queued\n{ID2} done")
    assert veoctl(command, ID, ID2).out == "forgotten: 2\n"
    assert veoctl(command, ID).status == 8
    sent = daemon.sent(command.upper())
    assert sent[0].object == {"id": ID}
    assert sent[1].object == {"ids": [ID, ID2]}


def test_forget_files(daemon, veoctl):
    daemon.on("FORGET", lambda c: c.ok({}))
    assert veoctl("forget", "--files", ID).status == 0
    assert daemon.sent("FORGET")[0].object == {"id": ID, "files": True}


def test_last_works_everywhere(daemon, veoctl):
    lists(daemon, [job(ID3)])
    daemon.on("CANCEL", lambda c: c.ok(job(ID3, "cancelled")))
    assert veoctl("cancel", "last").out == f"{ID3} cancelled\n"
    assert daemon.sent("CANCEL")[0].object == {"id": ID3}


def test_too_many_ids(daemon, veoctl):
    result = veoctl("cancel", *([ID] * 1001))
    assert result.status == 2 and "at most 1000 jobs" in result.err


def test_changes_that_are_refused_in_part(daemon, veoctl):
    answer = {"count": 1, "jobs": [job()], "refused": 1,
              "errors": [{"code": "conflict", "message": "job X is done"}]}
    daemon.on("CANCEL", lambda c: c.ok(answer))
    result = veoctl("cancel", ID, ID2)
    assert (result.status, result.out) == (8, f"{ID} queued\n")
    assert result.err == "veoctl: cancel: job X is done\n"
    assert veoctl("--json", "cancel", ID, ID2).objects == [answer]


def test_why(daemon, veoctl):
    answer = {"id": ID, "text": "It waits\x1b for the gate.",
              "attempts": [{"number": 1, "provider": "p", "outcome": "queued"}]}
    daemon.on("WHY", lambda c: c.ok(answer), lambda c: c.ok(answer),
              lambda c: c.ok({"waits_for": "x"}))
    assert veoctl("why", ID).out == (
        "It waits? for the gate.\nattempt 1: provider=p outcome=queued\n")
    assert veoctl("--json", "why", ID).objects == [answer]
    assert veoctl("why", ID).out == "waits_for: x\n"


def test_stats_and_hello(daemon, veoctl):
    daemon.on("STATS", lambda c: c.ok({"jobs": {"done": 3}, "uptime_seconds": 80.0, "up": True}))
    daemon.on("HELLO", lambda c: c.ok({"protocol": 1, "limits": {"line_bytes": 65536}}))
    result = veoctl("stats")
    assert result.out == "jobs.done:      3\nuptime_seconds: 1m20s\nup:             yes\n"
    assert "limits.line_bytes: 64" in veoctl("hello").out
    assert veoctl("hello", "--json").objects == [{"protocol": 1, "limits": {"line_bytes": 65536}}]


def test_ping(daemon, veoctl):
    daemon.on("PING", lambda c: c.ok({}))
    assert re.fullmatch(rf"{re.escape(daemon.path)} answered in \d+\.\d\d ms\n", veoctl("ping").out)
    assert veoctl("--json", "ping").out == "{}\n"


def test_raw(daemon, veoctl):
    def status(command):
        assert command.text == "@t STATUS 01JD"
        command.event({"event": 1})
        command.ok({"id": ID})
    daemon.on("STATUS", status)
    result = veoctl("raw", "@t", "STATUS", "01JD")
    assert (result.status, result.out) == (0, f'@t EVENT {{"event":1}}\n@t OK {{"id":"{ID}"}}\n')
    daemon.on("GET", lambda c: c.data(b"\x00\xff"))
    assert veoctl("raw", "GET", ID).bytes == b'DATA {"bytes":2,"mime":"video/mp4"}\n\x00\xff'
    daemon.on("STATUS", lambda c: c.err("not-found"))
    result = veoctl("raw", "STATUS", "x")
    assert result.status == 3 and result.out.startswith("ERR {")


# ---- watch ----


def event(number, id=ID, state="running", **members):
    return {"event": number, "id": id, "state": state, "at": "2026-11-22T10:00:00.000Z", **members}


def watch(daemon, count, *words):
    """Runs until so many lines were printed, then ends it as Ctrl-C would."""
    process = start(daemon, *words)
    lines = [process.stdout.readline().decode() for _ in range(count)]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGINT
    return lines, err.decode()


def test_watch(daemon):
    def watching(command):
        command.ok({"from": 4})
        command.event(event(5, error={"code": "c", "message": "m\x1b"}))
        command.event(event(6, ID2, "done"))
    daemon.on("WATCH", watching)
    lines, _ = watch(daemon, 2, "watch", "--state", "done", "--model", "m")
    assert lines == [f"5\t{ID}\trunning\t2026-11-22T10:00:00.000Z\terror.code=c error.message=m?\n",
                     f"6\t{ID2}\tdone\t2026-11-22T10:00:00.000Z\t\n"]
    assert daemon.sent("WATCH")[0].object == {"state": ["done"], "model": "m"}
    lines, _ = watch(daemon, 2, "--json", "watch", "--from", "3")
    assert [json.loads(text)["event"] for text in lines] == [5, 6]
    assert daemon.sent("WATCH")[1].object == {"from": 2}


def test_watch_only_some(daemon):
    daemon.on("STATUS", lambda c: c.ok(job(ID2)))

    def watching(command):
        for number, id in enumerate((ID, ID2, ID, ID2)):
            command.event(event(number, id))
    daemon.on("WATCH", watching)
    lines, _ = watch(daemon, 2, "watch", "01JD2")
    assert [text.split("\t")[0] for text in lines] == ["1", "3"]


def test_watch_misses_nothing_over_a_restart(daemon):
    def first(command):
        command.ok({"from": 0})
        command.event(event(1))
        command.event(event(2))
        raise Close

    def second(command):
        for number in range(2, 5):  # repeats what it was asked to start with
            command.event(event(number))
    daemon.on("WATCH", first, second)
    lines, err = watch(daemon, 4, "watch")
    assert [text.split("\t")[0] for text in lines] == ["1", "2", "3", "4"]
    assert daemon.sent("WATCH")[1].object["from"] == 2
    assert "the daemon went away" in err


def test_watch_misses_nothing_before_the_first_event(daemon):
    def first(command):
        command.ok({"from": 7})
        raise Close
    daemon.on("WATCH", first, lambda c: c.event(event(8)))
    lines, _ = watch(daemon, 1, "watch")
    assert lines[0].startswith("8\t")
    assert daemon.sent("WATCH")[1].object["from"] == 7


def test_watch_survives_a_daemon_that_says_it_leaves(daemon):
    daemon.on("WATCH", lambda c: c.err("draining"), lambda c: c.event(event(1)))
    lines, _ = watch(daemon, 1, "watch")
    assert lines[0].startswith("1\t")


def test_watch_refused(daemon, veoctl):
    daemon.on("WATCH", lambda c: c.err("invalid-argument", "no such state", field="state"))
    assert veoctl("watch", "--state", "x").status == 2


def test_watch_gives_up(daemon, veoctl):
    def close(command):
        raise Close
    daemon.on("WATCH", close)
    assert veoctl("watch", "--reconnect", "300ms").status == 4


# ---- get ----


def test_get(daemon, veoctl, tmp_path):
    serves(daemon)
    result = veoctl("get", "01JD", cwd=tmp_path)
    assert (result.status, result.out) == (0, f"{ID}.mp4\n")
    assert (tmp_path / f"{ID}.mp4").read_bytes() == VIDEO
    result = veoctl("get", ID, "--file", 2, cwd=tmp_path)
    assert (result.status, result.out) == (0, f"{ID}-2.mp4\n")
    assert daemon.sent("GET")[1].object == {"id": ID, "file": 2, "offset": 0}
    result = veoctl("get", ID, "--file", 1, "-o", "mine.mp4", cwd=tmp_path)
    assert result.out == "mine.mp4\n"
    assert veoctl("get", ID, "-o", "-").bytes == VIDEO


def test_get_of_nothing_at_all(daemon, veoctl, tmp_path):
    serves(daemon, b"")
    assert veoctl("get", ID, "-o", tmp_path / "x").status == 0
    assert (tmp_path / "x").read_bytes() == b""


def test_get_refuses_to_overwrite(daemon, veoctl, tmp_path):
    serves(daemon)
    (tmp_path / "x").write_text("mine")
    result = veoctl("get", ID, "-o", tmp_path / "x")
    assert result.status == 2 and "x exists" in result.err
    assert (tmp_path / "x").read_text() == "mine"
    assert daemon.sent("GET") == []
    assert veoctl("get", ID, "--overwrite", "-o", tmp_path / "x").status == 0
    assert (tmp_path / "x").read_bytes() == VIDEO


def test_get_never_replaces_a_device(daemon, veoctl, tmp_path):
    serves(daemon)
    os.mkfifo(tmp_path / "fifo")
    result = veoctl("get", ID, "--overwrite", "-o", tmp_path / "fifo")
    assert result.status == 2 and "fifo is no regular file" in result.err
    assert stat.S_ISFIFO((tmp_path / "fifo").stat().st_mode)


def test_get_goes_on_where_it_broke(daemon, veoctl, tmp_path):
    def broken(command):
        rest = VIDEO[command.object["offset"]:]
        command.data(rest[:100000], announced=len(rest))
        raise Close
    daemon.on("GET", broken, broken, lambda c: c.data(VIDEO[c.object["offset"]:]))
    result = veoctl("get", ID, "-o", tmp_path / "x")
    assert result.status == 0, result.err
    assert (tmp_path / "x").read_bytes() == VIDEO
    assert [c.object["offset"] for c in daemon.sent("GET")] == [0, 100000, 200000]
    assert "going on at byte 100000" in result.err


def test_get_notices_another_length(daemon, veoctl, tmp_path):
    def broken(command):
        command.data(VIDEO[:100], announced=len(VIDEO))
        raise Close
    daemon.on("GET", broken, lambda c: c.data(VIDEO))
    result = veoctl("get", ID, "-o", tmp_path / "x")
    assert result.status == 9
    assert os.listdir(tmp_path) == ["veod.sock"]


def test_get_leaves_nothing_half(daemon, veoctl, tmp_path):
    def broken(command):
        command.data(VIDEO[:100], announced=len(VIDEO))
        raise Close
    daemon.on("GET", broken, lambda c: c.err("not-found", "forgotten"))
    result = veoctl("get", ID, "-o", tmp_path / "x")
    assert result.status == 3
    assert os.listdir(tmp_path) == ["veod.sock"]


def test_get_interrupted(daemon, tmp_path):
    begun = threading.Event()

    def slow(command):
        command.data(VIDEO[:100], announced=len(VIDEO))
        begun.set()
    daemon.on("GET", slow)
    process = start(daemon, "get", ID, "-o", tmp_path / "x")
    assert begun.wait(HANG)
    until(lambda: any("part" in name for name in os.listdir(tmp_path)))
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGTERM
    assert os.listdir(tmp_path) == ["veod.sock"]


def test_get_stalled(daemon, veoctl, tmp_path):
    daemon.on("GET", lambda c: c.data(VIDEO[:100], announced=len(VIDEO)))
    result = veoctl("--timeout", "200ms", "get", ID, "-o", tmp_path / "x")
    assert result.status == 9 and "doesn't answer" in result.err
    assert os.listdir(tmp_path) == ["veod.sock"]


def test_get_an_answer_without_a_body(daemon, veoctl, tmp_path):
    daemon.on("GET", lambda c: c.ok({}))
    assert veoctl("get", ID, "-o", tmp_path / "x").status == 9
    daemon.on("GET", lambda c: c.send(line("DATA", {"bytes": -1}, c.tag)))
    assert veoctl("get", ID, "-o", tmp_path / "x").status == 9


def test_get_shows_a_bar(daemon, tmp_path):
    serves(daemon)
    code, text = on_terminal(daemon, "get", ID, "-o", tmp_path / "x")
    assert code == 0
    assert "[" in plain(text) and "of 250.0 KiB" in plain(text)
    code, text = on_terminal(daemon, "get", ID, "-o", "-")
    assert code == 2 and "a terminal can't show a video" in text


def test_get_disk_full(daemon, veoctl):
    serves(daemon)
    with open("/dev/full", "wb") as full:
        done_process = subprocess.run([VEOCTL, "--socket", daemon.path, "get", ID, "-o", "-"],
                                      stdout=full, stderr=subprocess.PIPE, env=environment(),
                                      timeout=HANG)
    assert done_process.returncode == 9
    assert b"No space left" in done_process.stderr
