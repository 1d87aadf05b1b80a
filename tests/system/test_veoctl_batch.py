"""veoctl against a scripted daemon: many jobs from one file."""

import json
import os
import re
import signal
import subprocess

import pytest

from scripted import (Close, HANG, ID, VEOCTL, blob_of, daemon, done, environment,  # noqa: F401
                      is_sanitized, job, keeps_files, on_terminal, peak_memory, until,
                      veoctl)

MEMORY = 20 << 20  # bytes that veoctl may have


def id_of(number):
    return f"01JD{number:022d}"


class Jobs:
    """Answers GENERATE as veod does: keys make the same job of the same request."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.by_key = {}
        self.ends = {}
        daemon.on("GENERATE", self.generate)
        daemon.on("WAIT", self.wait)
        daemon.on("STATUS", lambda c: c.ok(self.end_of(c.argument)))
        keeps_files(daemon)

    def generate(self, command):
        request = command.object
        if not request.get("prompt"):
            command.err("invalid-argument", "prompt must not be empty", field="prompt")
            return
        if request.get("dry_run"):
            command.ok({"dry_run": True, "cost": {"estimate_usd": 0.25}})
            return
        existing = request["key"] in self.by_key
        number = self.by_key.setdefault(request["key"], len(self.by_key))
        command.ok(job(id_of(number), **({"existing": True} if existing else {})))

    def end_of(self, id):
        return {"created_at": "2026-11-22T10:00:00.000Z",
                **self.ends.get(id, done(id))}

    def wait(self, command):
        command.ok({"jobs": [self.end_of(id) for id in command.object["ids"]],
                    "timed_out": False})


@pytest.fixture
def jobs(daemon):
    return Jobs(daemon)


def requests(daemon):
    return [c.object for c in daemon.sent("GENERATE")]


def rows(result):
    """By line, since answers come as they are ready."""
    return sorted((row.split("\t") for row in result.out.splitlines()), key=lambda r: int(r[0]))


def test_batch(jobs, daemon, veoctl, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"prompt":"a","seed":1}\n\n"b \\u00fc"\n { "prompt":"c", "key":"k" } \n"d"')
    result = veoctl("batch", file)
    assert (result.status, result.err) == (0, "")
    assert rows(result) == [[str(n), id_of(i), "queued"] for i, n in enumerate((1, 3, 4, 5))]
    sent = requests(daemon)
    keys = [request.pop("key") for request in sent]
    assert sent == [{"prompt": "a", "seed": 1}, {"prompt": "b ü"}, {"prompt": "c"}, {"prompt": "d"}]
    assert keys[2] == "k" and len(set(keys)) == 4
    assert all(re.fullmatch(r"jobs\.jsonl-[0-9a-f]{16}-1", k) for k in keys[:2] + keys[3:])


def test_a_batch_again_buys_nothing(jobs, daemon, veoctl, tmp_path):
    file = tmp_path / "jobs.jsonl"
    file.write_text('"a"\n"b"\n"a"\n')
    first = veoctl("batch", file)
    assert len(jobs.by_key) == 3  # who says the same twice wants two
    file.write_text('"new"\n"b"\n\n"a"\n"a"\n')
    again = veoctl("batch", file)
    assert again.status == 0 and len(jobs.by_key) == 4
    ids = {tuple(row[1:]) for row in rows(first)}
    assert ids < {tuple(row[1:]) for row in rows(again)}
    assert veoctl("batch", "--key", "other", file).status == 0
    assert len(jobs.by_key) == 8


def test_the_name_is_part_of_the_key(jobs, daemon, veoctl, tmp_path):
    assert veoctl("batch", "-", stdin=b'"a"').status == 0
    assert veoctl("batch", "-", "--key", "x" * 300, stdin=b'"a"').status == 0
    keys = [request["key"] for request in requests(daemon)]
    assert keys[0].startswith("stdin-") and keys[1].startswith("x" * 200 + "-")
    assert veoctl("batch", "-", "--key", "", stdin=b'"a"').status == 2


def test_files_of_lines_are_sent_once(jobs, daemon, veoctl, tmp_path):
    (tmp_path / "cat.png").write_bytes(b"cat")
    (tmp_path / "dog.png").write_bytes(b"dog")
    line_of = {"prompt": "x", "image": "cat.png", "last_frame": ID, "video": "dog.png",
               "reference_images": ["./cat.png", {"mime_type": "image/png", "data": "AA=="}]}
    stdin = "".join(json.dumps({**line_of, "seed": n}) + "\n" for n in range(200)).encode()
    assert veoctl("batch", "-", stdin=stdin, cwd=tmp_path).status == 0
    assert len(daemon.sent("PUT")) == 2
    sent = requests(daemon)[7]
    assert sent.pop("key") and sent == {
        "prompt": "x", "seed": 7, "image": blob_of(b"cat"), "last_frame": ID,
        "video": blob_of(b"dog"),
        "reference_images": [blob_of(b"cat"), {"mime_type": "image/png", "data": "AA=="}]}


def test_another_content_of_a_file_is_another_job(jobs, daemon, veoctl, tmp_path):
    stdin = b'{"prompt":"x","image":"cat.png"}'
    for content in (b"one", b"two", b"one"):
        (tmp_path / "cat.png").write_bytes(content)
        assert veoctl("batch", "-", stdin=stdin, cwd=tmp_path).status == 0
    assert len(jobs.by_key) == 2


@pytest.mark.parametrize("bad, message", [
    (b'{"prompt":}', ""), (b"[1]", "expected an object or a string, got array"),
    (b"17", "expected an object or a string"), (b'{"a":1,"a":2}', ""), (b'"a" "b"', ""),
    (b'"' + 70000 * b"x" + b'"', "the line has more than 65536 bytes"),
    (b'"' + 65500 * b"x" + b'"', "the job has more than"), (b'"\xff"', "not UTF-8"),
    (b'"a\x00b"', "not UTF-8"), (b'{"prompt":""}', "prompt must not be empty (invalid-argument)"),
    (b'{"prompt":"x","image":"cat.png"}', "image: cat.png: no such file"),
    (b'{"prompt":"x","reference_images":["./x"]}', "reference_images: ./x: No such file"),
    (b'{"prompt":"x","video":"last"}', "video: last: which job that is can't be told here"),
    (b'{"prompt":"x","dry_run":true}', "dry_run: a batch takes --dry-run")])
def test_a_bad_line_does_not_stop_the_others(jobs, daemon, veoctl, tmp_path, bad, message):
    result = veoctl("batch", "-", stdin=b'"a"\n' + bad + b'\n"b"\n', cwd=tmp_path)
    assert result.status == 8
    table = rows(result)
    assert [row[0] for row in table] == ["1", "2", "3"]
    assert [row[2] for row in table] == ["queued", "error", "queued"]
    assert table[1][1] == "-" and message in table[1][3]
    assert "3 lines: 2 accepted, 1 refused" in result.err


def test_a_batch_of_many(jobs, daemon, veoctl):
    count = 3000
    stdin = b"".join(b'{"prompt":"%d"}\n' % n for n in range(count))
    stdin += b"".join(b'{"prompt":"' + 30000 * b"x" + b'","seed":%d}\n' % n for n in range(40))
    result = veoctl("batch", "-", stdin=stdin)
    assert result.status == 0 and len(jobs.by_key) == count + 40
    assert [int(row[0]) for row in rows(result)] == list(range(1, count + 41))
    assert daemon.connections == 1


@pytest.mark.parametrize("limit, sent", [(64, 63), (2, 1), (1, 1), (1000, 240),
                                         (None, 239)])
def test_never_more_than_the_daemon_takes_at_a_time(daemon, limit, sent):
    daemon.on("GENERATE", lambda c: None)
    daemon.on("HELLO", lambda c: c.ok({"limits": {"commands": limit}} if limit else {}))
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "--timeout", "1s", "batch", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    _, err = process.communicate(b"".join(b'"%d"\n' % n for n in range(1000)), timeout=HANG)
    assert process.returncode == 9 and b"doesn't answer" in err
    assert b"the same command goes on where it stopped" in err
    assert len(daemon.sent("GENERATE")) == sent


@pytest.mark.parametrize("code", ["too-many", "disk-full", "busy", "internal"])
def test_what_would_meet_every_line_ends_it(jobs, daemon, veoctl, code):
    accepted = 0

    def generate(command):
        nonlocal accepted
        accepted += 1
        if accepted > 200:
            command.err(code, "enough")
        else:
            jobs.generate(command)
    daemon.on("GENERATE", generate)
    result = veoctl("batch", "-", stdin=b"".join(b'"%d"\n' % n for n in range(2000)))
    assert result.status == 8
    last = max(int(row[0]) for row in rows(result))
    assert last < 2000 and f"lines after {last} were not sent" in result.err
    assert all(row[3] == f"enough ({code})" for row in rows(result) if row[2] == "error")


def test_answers_in_any_order(daemon, veoctl):
    waiting = []

    def generate(command):
        waiting.append(command)
        if len(waiting) == 4:
            for late in reversed(waiting):
                late.ok(job(id_of(int(late.object["prompt"]))))
    daemon.on("GENERATE", generate)
    result = veoctl("batch", "-", stdin=b'"0"\n"1"\n"2"\n"3"\n')
    assert rows(result) == [[str(n + 1), id_of(n), "queued"] for n in range(4)]


def test_a_batch_over_a_restart(jobs, daemon, veoctl):
    count = 0

    def generate(command):
        nonlocal count
        count += 1
        if count in (100, 300):
            raise Close
        if count == 500:
            command.err("draining", "it ends")
            raise Close
        jobs.generate(command)
    daemon.on("GENERATE", generate)
    result = veoctl("batch", "-", stdin=b"".join(b'"%d"\n' % n for n in range(1000)))
    assert result.status == 0 and len(jobs.by_key) == 1000 and daemon.connections == 4
    assert [int(row[0]) for row in rows(result)] == list(range(1, 1001))
    assert 1 <= result.err.count("sending the same again") <= 3


def test_lines_are_answered_while_others_are_still_written(jobs, daemon):
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "batch", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    for number in range(3):
        process.stdin.write(b'"%d"\n' % number)
        process.stdin.flush()
        assert process.stdout.readline().startswith(b"%d\t" % (number + 1))
    process.stdin.close()
    assert process.wait(HANG) == 0


def test_batch_interrupted_tells_how_to_go_on(jobs, daemon):
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "batch", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    process.stdin.write(b'"a"\n')
    process.stdin.flush()
    assert process.stdout.readline().startswith(b"1\t")
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == -signal.SIGINT
    assert process.stderr.read() == (b"veoctl: batch: interrupted; the jobs go on, and the same command goes on "
                   b"from here\n")


def test_batch_json(jobs, daemon, veoctl):
    result = veoctl("--json", "batch", "-", stdin=b'"a"\n""\n[]\n')
    assert result.status == 8
    by_line = {value["line"]: value for value in result.objects}
    assert by_line[1]["job"]["id"] == id_of(0)
    assert by_line[2]["error"]["field"] == "prompt"
    assert by_line[3]["error"]["code"] == "invalid-argument"


def test_batch_dry_run(jobs, daemon, veoctl, tmp_path):
    result = veoctl("batch", "--dry-run", "-o", tmp_path / "none", "-", stdin=b'"a"\n"b"\n""\n')
    assert result.status == 8
    assert rows(result)[:2] == [["1", "-", "not sent", "~$0.25"], ["2", "-", "not sent", "~$0.25"]]
    assert "2 all right, 1 refused; estimated price: $0.50; nothing was sent" in result.err
    assert all("key" not in request for request in requests(daemon))
    assert not (tmp_path / "none").exists()


def test_batch_of_nothing(daemon, veoctl):
    result = veoctl("batch", "-", stdin=b"\n \n")
    assert (result.status, result.out, result.err) == (0, "", "")


@pytest.mark.parametrize("words, message", [
    (["batch", "/no/such/file"], "/no/such/file: No such file"), (["batch", "/tmp"], "not a folder"),
    (["batch", "-o", "/dev/null", "-"], "expected a folder"),
    (["batch", "-o", "/no/such/folder/x", "-"], "No such file"),
    (["batch", "a", "b"], "expected one file")])
def test_batch_usage(daemon, veoctl, words, message):
    result = veoctl(*words)
    assert result.status == 2 and message in result.err and daemon.connections == 0


# ---- waiting ----


@pytest.mark.parametrize("states, status", [
    (["done", "done"], 0), (["done", "failed"], 1), (["filtered", "done"], 1),
    (["cancelled", "done"], 6), (["done", "uncertain"], 7), (["held", "done"], 8)])
def test_batch_wait_status(jobs, daemon, veoctl, states, status):
    for number, state in enumerate(states):
        if state != "done":
            jobs.ends[id_of(number)] = job(id_of(number), state,
                                           error={"code": "c", "message": "why"})
    result = veoctl("batch", "--wait", "-", stdin=b'"a"\n"b"\n')
    assert result.status == status
    for number, row in enumerate(rows(result)):
        assert row[:3] == [str(number + 1), id_of(number), states[number]]
        assert row[3] == ("why (c)" if states[number] != "done" else
                          f"/var/lib/veod/videos/0/{id_of(number)}.mp4")


def test_batch_wait_status_of_a_bad_line_and_a_failed_job(jobs, veoctl):
    jobs.ends[id_of(0)] = job(id_of(0), "failed")
    assert veoctl("batch", "--wait", "-", stdin=b'"a"\n""\n').status == 1
    assert veoctl("batch", "--wait", "-", stdin=b'""\n').status == 8


def test_batch_wait_by_events(jobs, daemon, veoctl):
    """What an event tells is not told again by the answer; a held job may go on."""
    def wait(command):
        ids = command.object["ids"]
        command.event({"event": 1, "id": ids[0], "state": "running"})
        command.event({"event": 2, "id": ids[1], "state": "held"})
        command.event({"event": 3, **done(ids[0])})
        command.ok({"jobs": [jobs.end_of(id) for id in ids], "timed_out": False})
    daemon.on("WAIT", wait)
    result = veoctl("batch", "--wait", "-", stdin=b'"a"\n"b"\n')
    assert result.status == 0 and [row[2] for row in rows(result)] == ["done", "done"]


def serves(daemon):
    daemon.on("GET", lambda c: c.data(c.object["id"].encode()))


def made(number, files=1):
    return done(id_of(number), files=[{"path": f"/x/{n}", "bytes": 26} for n in range(files)])


def test_batch_into_a_folder(jobs, daemon, veoctl, tmp_path):
    serves(daemon)
    jobs.ends = {id_of(0): made(0), id_of(1): made(1, files=2)}
    folder = tmp_path / "videos"
    result = veoctl("batch", "-o", folder, "-", stdin=b'"a"\n"b"\n')
    assert result.status == 0, result.err
    names = [f"{id_of(0)}.mp4", f"{id_of(1)}-1.mp4", f"{id_of(1)}.mp4"]
    assert sorted(os.listdir(folder)) == names
    assert (folder / names[1]).read_text() == id_of(1)
    assert rows(result)[1][3] == f"{folder}/{names[2]} {folder}/{names[1]}"
    (folder / names[0]).unlink()
    again = veoctl("batch", "-o", folder, "-", stdin=b'"a"\n"b"\n')
    assert again.status == 0 and rows(again) == rows(result)
    assert len(daemon.sent("GET")) == 4  # only what wasn't there


def test_batch_whose_result_cannot_be_fetched(jobs, daemon, veoctl, tmp_path):
    daemon.on("GET", lambda c: c.err("unavailable", "the file is gone"))
    jobs.ends = {id_of(0): made(0)}
    result = veoctl("batch", "-o", tmp_path, "-", stdin=b'"a"\n')
    assert result.status == 8 and "the file is gone" in result.err
    assert rows(result)[0][2:] == ["done", f"not fetched: veoctl get {id_of(0)}"]


def test_batch_wait_over_a_restart(jobs, daemon, veoctl):
    def leave(command):
        command.ok({"pong": True})
        raise Close
    daemon.on("WAIT", lambda c: c.event({"event": 3, **done(c.object["ids"][0])}), jobs.wait)
    daemon.on("PING", leave, lambda c: c.ok({"pong": True}))
    result = veoctl("batch", "--wait", "-", stdin=b'"a"\n"b"\n"c"\n')
    assert result.status == 0 and [row[2] for row in rows(result)] == ["done"] * 3
    assert daemon.sent("WAIT")[1].object["ids"] == [id_of(1), id_of(2)]


@pytest.mark.parametrize("verb", ["GENERATE", "WAIT"])
def test_batch_gives_up_on_a_daemon_that_hangs_up_at_once(jobs, daemon, verb):
    def close(command):
        raise Close
    daemon.on(verb, close)
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "batch", "--wait", "--reconnect",
                                "300ms", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    _, err = process.communicate(b'"a"\n', timeout=HANG)
    assert process.returncode == 4 and b"closed the connection" in err
    assert err.count(b"sending the same again") + err.count(b"went away") == 1


def test_batch_wait_for_a_job_that_was_forgotten(jobs, daemon, veoctl):
    def status(command):
        if command.argument == id_of(1):
            command.err("not-found", "no such job")
        else:
            command.ok(job(command.argument, "running"))
    daemon.on("STATUS", status)
    daemon.on("WAIT", lambda c: c.err("not-found", "no such job"), jobs.wait)
    result = veoctl("batch", "--wait", "-", stdin=b'"a"\n"b"\n"c"\n')
    assert result.status == 3
    assert [row[2] for row in rows(result)] == ["done", "forgotten", "done"]
    assert daemon.sent("WAIT")[1].object["ids"] == [id_of(0), id_of(2)]


def test_batch_wait_for_jobs_too_large_for_one_line(jobs, daemon, veoctl, tmp_path):
    serves(daemon)
    jobs.ends = {id_of(0): made(0), id_of(1): made(1)}
    daemon.on("WAIT", lambda c: c.ok({"jobs": [{"id": id, "state": "done"}
                                               for id in c.object["ids"]], "timed_out": False}))
    result = veoctl("batch", "-o", tmp_path / "x", "-", stdin=b'"a"\n"b"\n')
    assert result.status == 0 and len(os.listdir(tmp_path / "x")) == 2


@pytest.mark.parametrize("limit", [2, 3])
def test_batch_waits_within_the_daemons_limits(jobs, daemon, veoctl, limit):
    """There is one WAIT, and room for the PING behind it."""
    most = 0
    now = set()

    def wait(command):
        nonlocal most
        now.add(command.tag)
        most = max(most, len(now))

    def ping(command):
        command.ok({})
        for earlier in daemon.sent("WAIT"):
            if earlier.tag in now:
                now.remove(earlier.tag)
                jobs.wait(earlier)
    daemon.on("WAIT", wait)
    daemon.on("PING", ping)
    daemon.on("HELLO", lambda c: c.ok({"limits": {"commands": limit}}))
    result = veoctl("batch", "--wait", "-", stdin=b"".join(b'"%d"\n' % n for n in range(450)))
    assert result.status == 0 and len(rows(result)) == 450 and most == 1


def test_batch_wait_timeout(jobs, daemon, veoctl):
    daemon.on("WAIT", lambda c: c.ok({"jobs": [], "timed_out": True}))
    result = veoctl("batch", "--wait", "--timeout", "300ms", "-", stdin=b'"a"\n')
    assert result.status == 5 and "timed out; the jobs go on" in result.err


def test_batch_wait_interrupted(jobs, daemon):
    daemon.on("WAIT", lambda c: None)
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "batch", "--wait", "-"],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, env=environment())
    process.stdin.write(b'"a"\n')
    process.stdin.close()
    until(lambda: daemon.sent("WAIT"))
    process.send_signal(signal.SIGINT)
    assert process.wait(HANG) == -signal.SIGINT
    assert b"the same command goes on from here" in process.stderr.read()


def test_progress_is_one_line(jobs, daemon, tmp_path):
    (tmp_path / "jobs").write_text("".join(f'"{n}"\n' for n in range(300)))
    code, text = on_terminal(daemon, "batch", "--wait", tmp_path / "jobs", columns=70)
    assert code == 0
    shown = re.findall(r"\r\x1b\[K(\[[#-]+\][^\r\n]*)", text)
    assert shown and all(len(line) < 70 for line in shown)
    assert text.rstrip().endswith("300 lines: 300 accepted; 300 done")


def test_memory_does_not_grow_with_the_lines(jobs, daemon, tmp_path):
    count = 20000
    path = tmp_path / "jobs.jsonl"
    (tmp_path / "x.png").write_bytes(b"picture")
    with open(path, "w", encoding="utf-8") as file:
        for number in range(count):
            file.write(json.dumps({"prompt": f"number {number} " + 200 * "x",
                                   "image": str(tmp_path / "x.png")}) + "\n")
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, "batch", "--wait", path],
                               stdout=subprocess.DEVNULL, env=environment())
    used = peak_memory(process)
    print(f"{count} lines with {used / (1 << 20):.1f} MiB")
    assert process.returncode == 0 and len(jobs.by_key) == count
    assert is_sanitized() or used < MEMORY


def test_the_hash_is_fnv_1a(jobs, daemon, veoctl):
    """So that keys stay the same from one version to the next."""
    assert veoctl("batch", "-", stdin=b'"a"').status == 0
    hash = 0xcbf29ce484222325
    for byte in b'{"prompt":"a"':
        hash = (hash ^ byte) * 0x100000001b3 & (1 << 64) - 1
    assert requests(daemon)[0]["key"] == f"stdin-{hash:016x}-1"
