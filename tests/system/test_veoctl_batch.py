"""veoctl against a scripted daemon: many jobs from one file."""

import os  # noqa: F401

import pytest

from scripted import (Close, ID, ID2, daemon, job, veoctl)  # noqa: F401


# ---- batch ----


def takes_batches(daemon):
    def batch(command):
        jobs = command.object["jobs"]
        first = sum(len(c.object["jobs"]) for c in daemon.sent("BATCH")[:-1])
        command.ok({"jobs": [job(f"01JD{first + n:022d}") for n in range(len(jobs))]})
    daemon.on("BATCH", batch)


def test_batch(daemon, veoctl, tmp_path):
    takes_batches(daemon)
    file = tmp_path / "jobs.jsonl"
    file.write_text('{"prompt":"a","seed":1}\n\n"b \\u00fc"\n { "prompt":"c", "key":"k" } \n{}\n')
    result = veoctl("batch", file)
    assert result.status == 0
    assert result.out == "".join(f"{n}\t01JD{i:022d}\n" for i, n in enumerate((1, 3, 4, 5)))
    jobs = daemon.sent("BATCH")[0].object["jobs"]
    keys = [j.pop("key") for j in jobs]
    assert jobs == [{"prompt": "a", "seed": 1}, {"prompt": "b ü"}, {"prompt": "c"}, {}]
    assert keys[2] == "k" and len(set(keys)) == 4
    assert all(k.startswith("veoctl-") for k in keys[:2])


def test_batch_from_standard_input_with_keys(daemon, veoctl):
    takes_batches(daemon)
    result = veoctl("batch", "--key", "run1", "-", stdin=b'"a"\n"b"')
    assert result.status == 0
    assert [j["key"] for j in daemon.sent("BATCH")[0].object["jobs"]] == ["run1-1", "run1-2"]


def test_batch_of_bare_ids(daemon, veoctl):
    daemon.on("BATCH", lambda c: c.ok({"ids": [ID, ID2]}))
    assert veoctl("batch", "-", stdin=b'"a"\n"b"').out == f"1\t{ID}\n2\t{ID2}\n"


def test_batch_splits(daemon, veoctl):
    takes_batches(daemon)
    stdin = b"".join(b'{"prompt":"%d"}\n' % n for n in range(1201))
    stdin += b"".join(b'{"prompt":"' + 30000 * b"x" + b'"}\n' for n in range(5))
    result = veoctl("batch", "-", stdin=stdin)
    assert result.status == 0
    rows = [row.split("\t") for row in result.out.splitlines()]
    assert [int(n) for n, _ in rows] == list(range(1, 1207))
    assert [int(i[4:]) for _, i in rows] == list(range(1206))
    for command in daemon.sent("BATCH"):
        assert len(command.text.encode()) <= 65536
        assert len(command.object["jobs"]) <= 500
    assert len(daemon.sent("BATCH")) <= 6


@pytest.mark.parametrize("stdin, number, message", [
    (b'"a"\n{"prompt":}\n', 2, ""), (b"[1]\n", 1, "expected an object or a string"),
    (b'"a"\n\n17\n', 3, "expected"), (b'{"a":1,"a":2}\n', 1, ""), (b'"a" "b"\n', 1, ""),
    (b'"' + 70000 * b"x" + b'"\n', 1, "the line is too long"), (b'"\xff"\n', 1, ""),
    (b'"a\x00b"\n', 1, "")])
def test_batch_checks_all_before_sending(daemon, veoctl, stdin, number, message):
    takes_batches(daemon)
    result = veoctl("batch", "-", stdin=stdin)
    assert result.status == 2
    assert f"line {number}: {message}" in result.err
    assert "nothing was sent: 1 bad line" in result.err
    assert daemon.commands == [] and result.out == ""


@pytest.mark.parametrize("field", ["jobs.1.prompt", "jobs[1]", "jobs[1].prompt"])
def test_batch_refused(daemon, veoctl, field):
    daemon.on("BATCH", lambda c: c.err("invalid-argument", "empty", field=field))
    result = veoctl("batch", "-", stdin=b'\n"a"\n""\n"c"\n')
    assert result.status == 2
    assert result.out == ("2\tnot sent: line 3 was refused\n3\terror: empty\n"
                          "4\tnot sent: line 3 was refused\n")
    assert "0 of 3 jobs were accepted" in result.err


def test_batch_stops_at_the_first_refusal(daemon, veoctl):
    daemon.on("BATCH", lambda c: c.ok({"jobs": [job()] * len(c.object["jobs"])}),
              lambda c: c.err("too-many", "the queue is full"))
    result = veoctl("batch", "-", stdin=b'"a"\n' * 1600)
    assert result.status == 8
    assert len(daemon.sent("BATCH")) == 2
    assert "501\terror: the queue is full\n" in result.out
    assert "500 of 1600 jobs were accepted" in result.err


def test_batch_sends_the_same_again(daemon, veoctl):
    def close(command):
        raise Close
    daemon.on("BATCH", close, lambda c: c.ok({"jobs": [job(), job(ID2)]}))
    result = veoctl("batch", "-", stdin=b'"a"\n"b"\n')
    assert result.status == 0
    assert len({c.argument for c in daemon.sent("BATCH")}) == 1 and len(daemon.commands) == 2


def test_batch_json(daemon, veoctl):
    daemon.on("BATCH", lambda c: c.ok({"jobs": [job()]}))
    assert veoctl("--json", "batch", "-", stdin=b'"a"\n').objects == [{"jobs": [job()]}]


def test_batch_of_nothing(daemon, veoctl):
    result = veoctl("batch", "-", stdin=b"\n\n")
    assert (result.status, result.out, daemon.connections) == (0, "", 0)
