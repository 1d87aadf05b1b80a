"""veoctl against a scripted daemon: images and videos on the command line."""

import os
import re
import signal
import stat
import time

import pytest

from scripted import (HANG, ID, Close, blob_of, daemon, is_sanitized, job,  # noqa: F401
                      keeps_files, lists, on_terminal, peak_memory, plain, start, until, veoctl)

BLOB = "sha256-" + 64 * "a"
MEMORY = 20 << 20  # bytes that veoctl may have


@pytest.fixture
def takes(daemon):
    keeps_files(daemon)
    daemon.on("GENERATE", lambda c: c.ok(job()))
    return daemon


def request(daemon):
    value = daemon.sent("GENERATE")[-1].object
    value.pop("key")
    return value


def test_files_are_sent_as_blobs(takes, veoctl, tmp_path):
    names = ("first.png", "last.png", "cat.png", "dog.png", "clip.mp4")
    data = {name: os.urandom(100000) for name in names}
    for name in names:
        (tmp_path / name).write_bytes(data[name])
    result = veoctl("generate", "-i", "first.png", "--last-frame", tmp_path / "last.png",
                    "--reference", "./cat.png", "--reference", "dog.png", "--video", "clip.mp4",
                    "--extend", "a dog", cwd=tmp_path)
    assert (result.status, result.out, result.err) == (0, ID + "\n", "")
    blobs = {name: blob_of(data[name]) for name in names}
    assert request(takes) == {
        "image": blobs["first.png"], "last_frame": blobs["last.png"], "video": blobs["clip.mp4"],
        "video_task": "extend", "reference_images": [blobs["cat.png"], blobs["dog.png"]],
        "prompt": "a dog"}
    assert takes.connections == 1


def test_the_same_file_is_sent_once(takes, veoctl, tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    os.link(tmp_path / "a.png", tmp_path / "b.png")
    result = veoctl("generate", "-i", "a.png", "--last-frame", "b.png", "--reference",
                    "./a.png", "a dog", cwd=tmp_path)
    assert result.status == 0 and len(takes.sent("PUT")) == 1
    assert request(takes)["reference_images"] == [blob_of(b"picture")]


@pytest.mark.parametrize("word", [
    BLOB, ID, ID[:6], "models/m/operations/x-1", "v1_ChdXYZ", "int_0123", "https://x.example/a.mp4",
    "projects/p/locations/l/publishers/google/models/m/operations/o", "gs://bucket/x.mp4",
    "video_bGl0ZWxsbTp4", "x" * 300])
def test_what_the_daemon_knows(takes, veoctl, word):
    assert veoctl("generate", "--video", word, "--edit", "a dog").status == 0
    assert request(takes) == {"video": word, "video_task": "edit", "prompt": "a dog"}
    assert takes.sent("PUT") == []


def test_a_file_comes_first(takes, veoctl, tmp_path):
    for name in (ID, "last", BLOB):
        (tmp_path / name).write_bytes(name.encode())
        assert veoctl("generate", "--video", name, "a dog", cwd=tmp_path).status == 0
        assert request(takes)["video"] == blob_of(name.encode())


def test_last_is_the_newest_job(takes, veoctl):
    lists(takes, [job(ID)])
    assert veoctl("generate", "--video", "last", "a dog").status == 0
    assert request(takes)["video"] == ID


@pytest.mark.parametrize("words, message", [
    (["-i", "cat.png"], "--image: cat.png: no such file, and neither a blob (sha256-…), a job's"),
    (["-i", "pets/cat"], "--image: pets/cat: no such file, and neither"),
    (["-i", f"./{ID}"], f"--image: ./{ID}: No such file"), (["-i", "/x/y.png"], "No such file"),
    (["-i", "~/x.png"], "No such file"), (["-i", "."], "--image: .: expected a regular file"),
    (["-i", ""], "expected a file, a blob"), (["-i", "sha256-12"], "64 hexadecimal digits"),
    (["--reference", "cat.png"], "--reference: cat.png: no such file"),
    (["-i", ID, "--image", ID], "--image: image was given already"),
    (["--audio", "--no-audio"], "generate_audio was given already"),
    (["--video", ID, "--edit", "--extend"], "--extend: video_task was given already"),
    (["--extend"], "--extend and --edit need a --video"),
    (["--reference", ID] * 17, "more than 16 images"),
])
def test_mistakes_are_told_before_anything_is_sent(takes, veoctl, tmp_path, words, message):
    result = veoctl("generate", *words, "a dog", cwd=tmp_path)
    assert result.status == 2 and message in result.err, result.err
    assert takes.connections == 0 and len(result.err.splitlines()) == 2


@pytest.mark.parametrize("make, message", [
    (lambda path: path.write_bytes(b""), "the file is empty"),
    (lambda path: path.write_bytes(b"x") and path.chmod(0), "Permission denied")])
def test_files_that_cannot_be_sent(takes, veoctl, tmp_path, make, message):
    path = tmp_path / "x.png"
    make(path)
    if os.access(path, os.R_OK) and stat.S_IMODE(path.stat().st_mode) == 0:
        return  # root may read everything
    result = veoctl("generate", "-i", path, "a dog")
    assert result.status == 2 and message in result.err
    assert takes.sent("PUT") == takes.sent("GENERATE") == []


def test_put_prints_blobs(takes, veoctl, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_bytes(name.encode())
    result = veoctl("put", "a", "b", "a", cwd=tmp_path)
    assert result.out.split() == [blob_of(b"a"), blob_of(b"b"), blob_of(b"a")]
    assert [c.argument for c in takes.sent("PUT")] == ["1", "1"]
    assert veoctl("--json", "put", "a", cwd=tmp_path).objects == [
        {"file": "a", "blob": blob_of(b"a")}]


def test_put_goes_on_after_a_file_that_is_not_there(takes, veoctl, tmp_path):
    (tmp_path / "a").write_bytes(b"a")
    result = veoctl("put", "nothing", "a", cwd=tmp_path)
    assert result.status == 2 and result.out == blob_of(b"a") + "\n"
    assert result.err == "veoctl: put: nothing: No such file or directory\n"
    assert veoctl("put").status == 2


def test_put_refused_at_once(daemon, veoctl, tmp_path):
    """The rest isn't sent for nothing, and the next file has a connection of its own."""
    (tmp_path / "big").write_bytes(bytes(64 << 20))
    (tmp_path / "small").write_bytes(b"small")
    received = []

    def refuse(command):
        command.err("too-long", "67108864 bytes; at most 1048576 are kept")
        try:
            received.append(command.body()[0])
        except Close:
            received.append(None)
            raise
    daemon.on("PUT", refuse, lambda c: c.ok({"blob": c.body()[1]}))
    result = veoctl("put", "big", "small", cwd=tmp_path)
    assert result.status == 8 and result.out == blob_of(b"small") + "\n"
    assert result.err == "veoctl: put: big: 67108864 bytes; at most 1048576 are kept\n"
    assert received == [None] and daemon.connections == 2


def test_put_over_a_restart(daemon, veoctl, tmp_path):
    (tmp_path / "x").write_bytes(bytes(3 << 20))

    def leave(command):
        command.reader.read(1 << 20)
        raise Close
    daemon.on("PUT", leave, lambda c: c.ok({"blob": c.body()[1]}))
    result = veoctl("put", "x", cwd=tmp_path)
    assert result.status == 0 and result.out == blob_of(bytes(3 << 20)) + "\n"


@pytest.mark.parametrize("change, message", [
    (lambda path: os.truncate(path, 100), "the file can't be read to its end"),
    (lambda path: os.utime(path, (1, 1)), "the file changed while it was sent")])
def test_put_of_a_file_that_changes(daemon, veoctl, tmp_path, change, message):
    path = tmp_path / "x"
    path.write_bytes(bytes(8 << 20))

    def slow(command):
        command.reader.read(1 << 20)
        change(path)
        left = (8 << 20) - (1 << 20)
        while left:
            piece = command.reader.read(min(left, 1 << 20))
            if not piece:
                raise Close
            left -= len(piece)
        command.ok({"blob": BLOB})
    daemon.on("PUT", slow)
    result = veoctl("put", path)
    assert result.status == 2 and message in result.err and result.out == ""


def test_put_an_answer_without_a_blob(daemon, veoctl, tmp_path):
    (tmp_path / "x").write_bytes(b"x")
    daemon.on("PUT", lambda c: c.ok(c.body() and {}))
    result = veoctl("put", "x", cwd=tmp_path)
    assert result.status == 9 and "names no blob" in result.err


def test_a_big_file_has_a_meter(daemon, tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(8 << 20))

    def slow(command):
        time.sleep(0.4)
        command.ok({"blob": command.body()[1]})
    daemon.on("PUT", slow)
    code, text = on_terminal(daemon, "put", path, columns=60)
    assert code == 0 and re.search(r"\[[#-]+\]\s+\d+%  \S+ .iB of 8.0 MiB", text)
    assert plain(text).endswith(blob_of(bytes(8 << 20)) + "\n")


def test_memory_does_not_grow_with_the_file(takes, tmp_path):
    path = tmp_path / "x"
    with open(path, "wb") as file:
        file.truncate(90 << 20)
    process = start(takes, "generate", "--video", path, "a dog")
    used = peak_memory(process)
    print(f"90 MiB sent with {used / (1 << 20):.1f} MiB")
    assert process.returncode == 0 and takes.sent("PUT")[0].argument == str(90 << 20)
    assert is_sanitized() or used < MEMORY


def test_put_interrupted(daemon, tmp_path):
    (tmp_path / "x").write_bytes(bytes(8 << 20))
    daemon.on("PUT", lambda c: c.reader.read(1) and time.sleep(0.2))
    process = start(daemon, "put", tmp_path / "x")
    until(lambda: daemon.sent("PUT"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=HANG)
    assert process.returncode == -signal.SIGINT
