"""Inputs of jobs: PUT, blobs, and what GENERATE takes for images and videos."""

import base64
import contextlib
import hashlib
import json
import os
import struct
import time
import zlib

import pytest

from harness import NOBODY, PATIENCE, VEO, Client, until

MIB = 1024 * 1024
OTHER = NOBODY - 1


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(seed=0):
    """One grey pixel and a text that makes it another file."""
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)) +
            chunk(b"tEXt", f"seed\0{seed}".encode()) +
            chunk(b"IDAT", zlib.compress(b"\0\x7f")) + chunk(b"IEND", b""))


def jpeg(size=1000):
    return (b"\xff\xd8\xff\xe0\x00\x10JFIF\0\1\1\0\0\1\0\1\0\0" +
            b"\xff\xfe" + struct.pack(">H", size + 2) + b"c" * size + b"\xff\xd9")


def webp(size=100):
    return b"RIFF" + struct.pack("<I", size + 12) + b"WEBPVP8 " + struct.pack("<I", size) + b"w" * size


def mp4(size=1000):
    return struct.pack(">I", 16) + b"ftypisom" + bytes(4) + struct.pack(">I", size + 8) + b"mdat" + b"v" * size


def name_of(data):
    return "sha256-" + hashlib.sha256(data).hexdigest()


def put(client, data, mime_type=None):
    client.send(f"PUT {len(data)}{' ' + mime_type if mime_type else ''}")
    client.send(data)
    return client.read()


def put_ok(client, data, mime_type=None):
    reply = put(client, data, mime_type)
    assert reply.word == "OK", reply
    return reply.value["blob"]


def refused(reply, code, *words):
    assert reply.word == "ERR" and reply.value["code"] == code, reply
    for word in words:
        assert word in reply.value["message"], reply
    return True


def blobs(daemon):
    """What is in the folder: names and sizes."""
    folder = daemon.state / "blobs"
    sizes = {}
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            sizes[name] = (folder / name).stat().st_size
    return sizes


# ---- PUT ----

KINDS = {"image/png": png(), "image/jpeg": jpeg(), "image/webp": webp(), "image/gif": b"GIF89a" + bytes(30),
         "image/heic": b"\0\0\0\x18ftypheic" + bytes(20), "video/mp4": mp4(),
         "video/quicktime": b"\0\0\0\x14ftypqt  " + bytes(20),
         "video/webm": b"\x1a\x45\xdf\xa3" + bytes(30)}


@pytest.mark.parametrize("kind", KINDS)
def test_a_blob_is_what_its_bytes_are(daemon, client, kind):
    data = KINDS[kind]
    for claim in (None, kind, kind.upper()):
        reply = put(client, data, claim)
        assert reply == (None, "OK", {"blob": name_of(data), "bytes": len(data), "mime_type": kind})
    path = daemon.state / "blobs" / name_of(data)
    assert path.read_bytes() == data and path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert list(blobs(daemon)) == [name_of(data)]
    wrong = "video/mp4" if kind != "video/mp4" else "image/png"
    refused(put(client, data, wrong), "invalid-argument", kind, wrong)
    assert client.ok("PING")


def test_forms_of_the_line(client):
    data = png()
    expected = {"blob": name_of(data), "bytes": len(data), "mime_type": "image/png"}
    for line in (f"put {len(data)}", f"PUT   {len(data)} \timage/png ", f"PUT {len(data)}\r",
                 f'PUT {{"bytes":{len(data)}}}',
                 f'PUT {{"mime_type":"image/png","bytes":{len(data)}}}'):
        client.send(line.encode() + b"\n" + data)
        assert client.read().value == expected, line


@pytest.mark.parametrize("rest", ["", "x", "-1", "1.5", "0x10", '"5"', "99999999999999999999", "{",
                                  "{}", '{"bytes":"7"}', "5x image/png"])
def test_without_a_number_nothing_can_be_told_apart(daemon, client, rest):
    client.send(f"PUT {rest}\nPING never\nGENERATE never".encode() + b"\n")
    reply = client.read()
    assert reply.word == "ERR" and reply.value["code"] in ("invalid-argument", "bad-request"), reply
    assert client.at_end()
    assert not daemon.client().items("LIST")


def test_a_line_of_bad_text_that_announced_bytes(client):
    client.send(b"PUT 20 image/\xff\nPING never\n")
    refused(client.read(), "bad-request")
    assert client.at_end()


@pytest.mark.parametrize("line", ['PUT {"bytes":67,"what":1}', 'PUT {"bytes":67,"mime_type":7}',
                                  "PUT 67 " + "x" * 65])
def test_a_refused_line_does_not_let_its_bytes_be_commands(client, line):
    data = (b"PING no\n" * 9)[:67]
    client.send(line.encode() + b"\n" + data + b"PING yes\n")
    refused(client.read(), "invalid-argument")
    assert client.read().value == {"pong": True, "text": "yes"}


def test_nothing_and_garbage(daemon, client):
    refused(put(client, b""), "invalid-argument", "JPEG")
    for data in (b"x", b"GIF", b"hello, world, this is a text", b"\0" * 100000):
        refused(put(client, data), "invalid-argument", "JPEG", "WebM")
    assert client.ok("PING")
    until(lambda: not blobs(daemon), "nothing is left")


def test_byte_by_byte(client):
    data = jpeg(20)
    for byte in f"PUT {len(data)}\n".encode() + data + b"PING after\n":
        client.send(bytes([byte]))
    assert client.read().value["blob"] == name_of(data)
    assert client.read().value == {"pong": True, "text": "after"}


def test_all_in_one_write(client):
    files = [png(seed) for seed in range(50)]
    client.send(b"".join(b"PUT %d\n" % len(data) + data for data in files) + b"PING\n")
    for data in files:
        assert client.read().value["blob"] == name_of(data)
    assert client.ok("PING")


def test_tagged_beside_others(daemon, client):
    data = jpeg(60000)
    half = len(data) // 2
    client.send(f"@p PUT {len(data)}".encode() + b"\n" + data[:half])
    client.send(data[half:] + b"@q PING\n" + b"@r PUT %d\n" % len(png()) + png())
    replies = {reply.tag: reply for reply in (client.read() for _ in range(3))}
    assert replies["p"].value["blob"] == name_of(data)
    assert replies["r"].value["blob"] == name_of(png())
    assert replies["q"].word == "OK"


def test_behind_a_command_that_takes_long(client):
    """The bytes of an untagged PUT wait with it."""
    job = client.generate("a cat", model="gemini-omni-1.1-flash")
    data = png()
    client.send(f'WAIT {job["id"]}')
    client.send(f"PUT {len(data)}")
    client.send(data + b"PING last\n")
    assert client.read().value["jobs"][0]["state"] == "done"
    assert client.read().value["blob"] == name_of(data)
    assert client.read().value["text"] == "last"


def test_a_thousand_small_ones(daemon, client):
    files = [png(seed) for seed in range(1000)]
    for start in range(0, len(files), 100):
        some = files[start:start + 100]
        client.send(b"".join(b"@%d PUT %d\n" % (start + i, len(data)) + data for i, data in enumerate(some)))
        for _ in some:
            reply = client.read()
            assert reply.value["blob"] == name_of(files[int(reply.tag)])
    assert len(blobs(daemon)) == 1000


def test_too_long_is_said_at_once_and_skipped(make_daemon):
    daemon = make_daemon(options={"limits.blob_bytes": "100K"}).start()
    client = daemon.client()
    assert client.ok("HELLO")["limits"]["blob_bytes"] == 102400
    client.send(f"PUT {50 * MIB}")
    refused(client.read(), "too-long", "blob_bytes", "102400")
    for _ in range(50):
        client.send(b"PING\n" * (MIB // 5) + b"P")
    assert client.ok("PING")
    data = jpeg(60000)
    assert put_ok(client, data) and list(blobs(daemon)) == [name_of(data)]


def test_all_of_them_have_a_limit(make_daemon):
    daemon = make_daemon(options={"limits.blob_bytes": "1M", "limits.blobs_bytes": "1M"}).start()
    client = daemon.client()
    files = [jpeg(size) for size in range(60000, 60000 + 17)]
    for data in files:
        assert put_ok(client, data)
    refused(put(client, jpeg(65000)), "too-many", "blobs_bytes", "1048576")
    daemon.restart()
    client = daemon.client()
    refused(put(client, jpeg(65000)), "too-many", "blobs_bytes")
    assert put_ok(client, png())


def test_what_is_on_its_way_counts(make_daemon):
    daemon = make_daemon(options={"limits.blob_bytes": "1M", "limits.blobs_bytes": "1M"}).start()
    first, second = daemon.client(), daemon.client()
    first.send(b"PUT 1000000\n" + jpeg(1000))
    until(lambda: blobs(daemon), "the first has begun")
    refused(put(second, jpeg(60000)), "too-many")
    first.close()
    until(lambda: put(second, jpeg(60000)).word == "OK", "its place is free again")


@pytest.mark.parametrize("sent", [0, 10, 100000])
def test_who_leaves_in_the_middle_leaves_nothing(daemon, sent):
    client = daemon.client()
    client.send(b"PUT 3000000 image/jpeg\n" + (jpeg(60000) + bytes(60000))[:sent])
    until(lambda: blobs(daemon), "it has begun")
    client.close()
    until(lambda: not blobs(daemon), "nothing is left")


def test_who_ends_in_the_middle_is_told(daemon, client):
    client.send(b"PUT 3000 image/jpeg\n" + jpeg(60000)[:100])
    client.shut()
    refused(client.read(), "bad-request", "3000", "100")
    assert client.at_end()
    until(lambda: not blobs(daemon), "nothing is left")


def test_who_sends_nothing_is_dropped(make_daemon):
    daemon = make_daemon(options={"limits.client_stall": "1s"}).start()
    client = daemon.client()
    client.send(b"PUT 3000 image/jpeg\n")
    assert client.at_end()
    assert "sent nothing of what it announced" in daemon.log()


def test_leftovers_of_a_crash_go(daemon):
    client = daemon.client()
    kept = put_ok(client, png())
    client.send(b"PUT 3000000 image/jpeg\n" + jpeg(60000))
    until(lambda: len(blobs(daemon)) == 2, "it has begun")
    daemon.kill()
    (daemon.state / "blobs" / name_of(b"never recorded")).write_bytes(b"never recorded")
    (daemon.state / "blobs" / "notes.txt").write_bytes(b"somebody's")
    daemon.start()
    assert set(blobs(daemon)) == {kept, "notes.txt"}


@pytest.mark.parametrize("fault", ["sink.write=ENOSPC", "sink.sync=ENOSPC", "sink.rename=ENOSPC",
                                   "sink.open=ENOSPC", "store.commit=ENOSPC"])
def test_a_full_disk(make_daemon, fault):
    daemon = make_daemon().start(faults=fault)
    client = daemon.client()
    data = jpeg(60000) + bytes(2 * MIB)
    refused(put(client, data), "disk-full")
    assert client.ok("PING")
    assert put_ok(client, data) == name_of(data)
    until(lambda: list(blobs(daemon)) == [name_of(data)], "no part is left")


@pytest.mark.parametrize("fault", ["sink.rename=kill", "sink.renamed=kill", "store.commit=kill",
                                   "store.committed=kill"])
def test_what_was_answered_is_durable_and_what_was_not_is_not_in_the_way(make_daemon, fault):
    daemon = make_daemon().start(faults=fault)
    client = daemon.client()
    data = png()
    client.send(b"PUT %d\n" % len(data) + data)
    daemon.wait_killed()
    daemon.start()
    client = daemon.client()
    left = blobs(daemon)
    assert left in ({}, {name_of(data): len(data)})
    assert bool(left) == ("committed" in fault)
    assert put_ok(client, data) == name_of(data)
    daemon.kill()
    daemon.start()
    assert put_ok(daemon.client(), png(1)) and len(blobs(daemon)) == 2


def test_memory_stays_flat(make_daemon):
    daemon = make_daemon().start()
    client = daemon.client()
    head, piece = jpeg(60000), b"\xa5" * MIB
    put_ok(client, head + piece)
    before = daemon.memory()
    most = before
    size = 90 * MIB
    client.send(f"PUT {size} image/jpeg".encode() + b"\n" + head)
    left = size - len(head)
    while left:
        client.send(piece[:min(left, MIB)])
        left -= min(left, MIB)
        most = max(most, daemon.memory())
    assert client.read().value["bytes"] == size
    assert most - before < 16 * MIB, (most - before) / MIB


# ---- the age of blobs ----


def age(daemon, name, seconds):
    """Makes it look as if the blob was last used so long ago."""
    import sqlite3
    with sqlite3.connect(daemon.state / "jobs.db") as database:
        changed = database.execute("UPDATE blobs SET used_at = used_at - ? WHERE name = ?",
                                   (seconds * 1000, name)).rowcount
    assert changed == 1
    database.close()


def test_old_ones_go_and_used_ones_stay(make_daemon):
    daemon = make_daemon(options={"limits.blob_age": "1h"}).start()
    client = daemon.client()
    old, young = put_ok(client, png(1)), put_ok(client, png(2))
    again = put_ok(client, png(3))
    many = [put_ok(client, png(100 + i)) for i in range(40)]
    daemon.terminate()
    for name in [old, again, *many]:
        age(daemon, name, 7200)
    age(daemon, young, 3000)
    daemon.start()
    client = daemon.client()
    until(lambda: set(blobs(daemon)) == {young}, "all old ones are gone")
    assert put_ok(client, png(3)) == again
    assert set(blobs(daemon)) == {young, again}
    refused(client.request('GENERATE {"prompt":"x","image":"%s"}' % old), "not-found", old)
