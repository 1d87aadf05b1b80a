"""Inputs of jobs: PUT, blobs, and what GENERATE takes for images and videos."""

import base64
import contextlib
import hashlib
import json
import os
import socket
import sqlite3
import struct
import time
import zlib

import pytest

from harness import NOBODY, PATIENCE, VEO, Client, Daemon, until

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
    return (b"RIFF" + struct.pack("<I", size + 12) + b"WEBPVP8 " + struct.pack("<I", size) +
            b"w" * size)


def mp4(size=1000):
    return (struct.pack(">I", 16) + b"ftypisom" + bytes(4) +
            struct.pack(">I", size + 8) + b"mdat" + b"v" * size)


def generate(**fields):
    """The line."""
    return "GENERATE " + json.dumps({"prompt": "x", **fields})


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

KINDS = {"image/png": png(), "image/jpeg": jpeg(), "image/webp": webp(),
         "image/gif": b"GIF89a" + bytes(30),
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
        client.send(b"".join(b"@%d PUT %d\n" % (start + i, len(data)) + data
                             for i, data in enumerate(some)))
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


def test_a_put_too_many(make_daemon):
    """Its bytes are skipped as well."""
    daemon = make_daemon(options={"limits.client_commands": "1"}).start()
    client = daemon.client()
    client.send(f'@w WAIT {client.generate("a cat", not_before=soon())["id"]}')
    body = b"@x PING\n@y PING\n"
    client.send(b"@p PUT %d\n" % len(body) + body + b"PING\n")
    replies = [client.read() for _ in range(2)]
    assert [reply.value["code"] for reply in replies] == ["too-many", "too-many"]
    assert [reply.tag for reply in replies] == ["p", None]


# ---- the age of blobs ----


def age(daemon, name, seconds):
    """Makes it look as if the blob was last used so long ago."""
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


def test_what_a_job_needs_stays_until_it_is_done(make_daemon):
    daemon = make_daemon(options={"limits.blob_age": "1h"}).start()
    client = daemon.client()
    needed, unneeded = put_ok(client, png(1)), put_ok(client, png(2))
    job = client.generate("it moves", image=needed, not_before=soon())
    daemon.terminate()
    for name in (needed, unneeded):
        age(daemon, name, 7200)
    daemon.start()
    until(lambda: set(blobs(daemon)) == {needed}, "what nobody needs is gone")
    client = daemon.client()
    client.ok(f"CANCEL {job['id']}")
    daemon.restart()
    assert set(blobs(daemon)) == {needed}  # RETRY may still want it
    client = daemon.client()
    client.ok(f"FORGET {job['id']}")
    daemon.restart()
    until(lambda: not blobs(daemon), "nobody needs it any more")


def test_using_a_blob_makes_it_young(make_daemon):
    daemon = make_daemon(options={"limits.blob_age": "1h"}).start()
    client = daemon.client()
    name = put_ok(client, png())
    daemon.terminate()
    age(daemon, name, 3000)
    daemon.start()
    client = daemon.client()
    job = client.generate("it moves", image=name)
    assert client.wait(job["id"])[0]["state"] == "done"
    daemon.terminate()
    age(daemon, name, 3000)
    daemon.start()
    assert daemon.client().generate("again", image=name)


# ---- what names an input ----


def soon():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))


def by_blob(daemon, client, data, kind):
    return {"image": put_ok(client, data, kind)}


def by_data(daemon, client, data, kind):
    return {"image": {"mime_type": kind, "data": base64.b64encode(data).decode()}}


def by_data_alone(daemon, client, data, kind):
    return {"image": {"data": base64.b64encode(data).decode()}}


def by_path(daemon, client, data, kind):
    path = daemon.directory / "it-has-no-suffix"
    path.write_bytes(data)
    return {"image_path": str(path)}


IMAGES = {"jpeg": (jpeg(), "image/jpeg"), "png": (png(), "image/png"),
          "webp": (webp(), "image/webp")}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("way", [by_blob, by_data, by_data_alone, by_path])
def test_an_image_gets_to_the_provider(sim, daemon, client, way, image):
    data, kind = IMAGES[image]
    job = client.generate("it moves", **way(daemon, client, data, kind))
    assert job["image"] == {"blob": name_of(data), "mime_type": kind, "bytes": len(data)}
    done = client.wait(job["id"])[0]
    assert done["state"] == "done" and done["image"] == job["image"]
    seen, = sim.operations("it moves")[0]["inputs"]
    assert seen["role"] == "image" and seen["sha256"] == hashlib.sha256(data).hexdigest()
    assert seen["mime_type"] == kind


def test_first_and_last_frame_and_references(sim, daemon, client):
    files = [png(seed) for seed in range(5)]
    path = daemon.directory / "last"
    path.write_bytes(files[1])
    job = client.generate("it moves", image=put_ok(client, files[0]), last_frame_path=str(path),
                          reference_images=[put_ok(client, data) for data in files[2:]])
    assert client.wait(job["id"])[0]["state"] == "done"
    seen = {part["sha256"] for part in sim.operations("it moves")[0]["inputs"]}
    assert seen == {hashlib.sha256(data).hexdigest() for data in files}


@pytest.fixture
def done(client):
    """A job with a result."""
    job = client.generate("a cat")
    return client.wait(job["id"])[0]


@pytest.mark.parametrize("how", ["id", "prefix", "operation"])
def test_the_result_of_a_job_is_a_video(client, done, how):
    name = {"id": done["id"], "prefix": done["id"][:20].lower(),
            "operation": done["operation_name"]}[how]
    job = client.generate("more of it", video=name)
    file = done["files"][0]
    assert job["video"] == {"job": done["id"], "file": file["path"], "mime_type": "video/mp4",
                            "provider": "gemini", "operation": done["operation_name"],
                            "uri": done["video_uri"], "bytes": file["bytes"]}
    assert client.wait(job["id"])[0]["state"] == "done"


def test_an_operation_that_is_no_jobs_is_asked_for(client, done):
    client.ok(f"FORGET {done['id']}")
    job = client.generate("more of it", video=done["operation_name"])
    assert job["video"] == {"provider": "gemini", "operation": done["operation_name"],
                            "uri": done["video_uri"]}
    assert client.wait(job["id"])[0]["state"] == "done"


def test_a_video_as_a_blob(sim, client):
    data = mp4()
    job = client.generate("make it blue", video=put_ok(client, data))
    assert job["video"] == {"blob": name_of(data), "mime_type": "video/mp4", "bytes": len(data)}
    assert client.wait(job["id"])[0]["state"] == "done"
    seen, = sim.operations("make it blue")[0]["inputs"]
    assert seen["sha256"] == hashlib.sha256(data).hexdigest()


def test_results_that_are_not_there(daemon, client, done):
    waiting = client.generate("later", not_before=soon())
    for name, code in ((waiting["id"], "conflict"), ("7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "not-found"),
                       ("v1_never-heard-of", "not-found"), (done["id"][:3], "invalid-argument")):
        client.err('GENERATE {"prompt":"x","video":"%s"}' % name, code, "video")
    client.err('GENERATE {"prompt":"x","image":"%s"}' % done["id"], "invalid-argument", "image")
    daemon.path_of(done).unlink()
    client.err('GENERATE {"prompt":"x","video":"%s"}' % done["id"], "not-found", "video")


def test_an_unambiguous_prefix_is_needed(client, done):
    client.wait(client.generate("a dog")["id"])
    client.err('GENERATE {"prompt":"x","video":"%s"}' % done["id"][:4], "invalid-argument", "video")


def encoded(data):
    return {"data": base64.b64encode(data).decode()}


WRONG = [
    ({"image": name_of(b"never put")}, "not-found", "image", "no blob"),
    ({"image": "sha256-123"}, "invalid-argument", "image", "64 hexadecimal"),
    ({"image": name_of(b"").upper()}, "not-found", "image", "no such job"),
    ({"image": "https://example.com/a.png"}, "invalid-argument", "image", "PUT"),
    ({"image": "gs://bucket/a.png"}, "invalid-argument", "image", "PUT"),
    ({"video": "http://example.com/a.mp4"}, "invalid-argument", "video", "https://"),
    ({"video": "file:///etc/passwd"}, "invalid-argument", "video", "https://"),
    ({"image": encoded(mp4())}, "invalid-argument", "image", "video/mp4"),
    ({"last_frame": encoded(mp4())}, "invalid-argument", "last_frame", "an image"),
    ({"video": encoded(png())}, "invalid-argument", "video", "image/png"),
    ({"reference_images": [encoded(png()), encoded(mp4())]}, "invalid-argument",
     "reference_images.1", "an image"),
    ({"image": encoded(b"hello, this is no image")}, "invalid-argument", "image", "JPEG"),
    ({"image": {"mime_type": "image/jpeg", **encoded(png())}}, "invalid-argument", "image",
     "image/png"),
    ({"image": {"data": "%%%%"}}, "invalid-argument", "image", "base64"),
    ({"image": {"data": "AAA"}}, "invalid-argument", "image", "base64"),
    ({"image": {"data": "=AAA"}}, "invalid-argument", "image", "base64"),
    ({"image": {"data": "AA=="}}, "invalid-argument", "image", "JPEG"),
    ({"image": {"data": "===="}}, "invalid-argument", "image", "base64"),
    ({"image": ""}, "invalid-argument", "image", ""),
    ({"image": 7}, "invalid-argument", "image", ""),
    ({"image_path": "relative.png"}, "invalid-argument", "image_path", "absolute"),
    ({"image_path": "/nonexistent/a.png"}, "not-found", "image_path",
     "/nonexistent does not exist where"),
    ({"image_path": "/etc"}, "invalid-argument", "image_path", "not a regular file"),
    ({"image_path": "/etc/passwd"}, "invalid-argument", "image_path", "JPEG"),
    ({"image_path": "/etc/../etc/passwd"}, "invalid-argument", "image_path", "\"..\""),
    ({"image_path": "/proc/self/exe"}, "invalid-argument", "image_path", "symbolic link"),
    ({"image_path": "/dev/zero"}, "invalid-argument", "image_path", "not a regular file"),
    ({"image": encoded(png()), "image_path": "/x"}, "invalid-argument", "image_path", "twice"),
]


@pytest.mark.parametrize("fields,code,field,word", WRONG)
def test_what_is_no_input(daemon, client, fields, code, field, word):
    line = json.dumps({"prompt": "x", **fields})
    assert word in client.err(f"GENERATE {line}", code, field)["message"]
    error = client.err('BATCH {"jobs":[{"prompt":"fine"},%s]}' % line, code, f"jobs.1.{field}")
    assert word in error["message"] and "job 1" in error["message"]
    assert not client.items("LIST")


def test_a_dry_run_leaves_the_bytes_out(sim, client):
    name = put_ok(client, png())
    shown = client.ok(f'GENERATE {{"prompt":"it moves","image":"{name}","dry_run":true}}')
    assert f"<{name} as base64, {len(png())} bytes>" in json.dumps(shown["request"]["body"])
    assert base64.b64encode(png()).decode() not in json.dumps(shown)
    shown = client.ok(generate(image=name, model=VEO, dry_run=True))
    image = shown["request"]["body"]["instances"][0]["image"]
    assert image["bytesBase64Encoded"] == f"<{name} as base64, {len(png())} bytes>"
    assert image["mimeType"] == "image/png"
    assert not sim.operations()


def test_a_dry_run_of_a_form(make_daemon):
    lite = {"dialect": "videos", "models": "sora-*", "base_url": "http://127.0.0.1:9",
            "credential": "gemini-api-key"}
    daemon = make_daemon(providers={"lite": lite}).start()
    client = daemon.client()
    name = put_ok(client, png())
    shown = client.ok(generate(image=name, model="sora-x", dry_run=True))["request"]
    assert shown["content_type"].startswith("multipart/form-data; boundary=")
    assert f"\r\n\r\n<{name}, {len(png())} bytes>\r\n" in shown["body"]


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_an_image_gets_to_veo(sim, client, kind):
    data, mime_type = IMAGES[kind]
    job = client.generate("it moves", model=VEO, image=put_ok(client, data))
    assert client.wait(job["id"])[0]["state"] == "done"
    seen, = sim.operations("it moves")[0]["inputs"]
    assert seen["sha256"] == hashlib.sha256(data).hexdigest() and seen["mime_type"] == mime_type


def test_who_leaves_before_all_is_found(daemon):
    """Whatever was under way for it ends without it."""
    path = daemon.directory / "picture"
    path.write_bytes(jpeg(60000))
    name = put_ok(daemon.client(), png())
    jobs = [{"image_path": str(path)}, {"image": name}, {"image": encoded(png(1))},
            {"video": "7ZZZZZZZZZZZZZZZZZZZZZZZZZ"}, {"video": "v1_never-heard-of"}]
    for job in jobs * 10:
        client = daemon.client()
        client.send(generate(not_before=soon(), **job))
        client.close()
    assert daemon.ok("PING")
    daemon.terminate()


def test_stopping_in_the_middle(daemon):
    path = daemon.directory / "picture"
    path.write_bytes(jpeg(60000) + bytes(20 * MIB))
    sending, complete, copying = daemon.client(), daemon.client(), daemon.client()
    sending.send(b"PUT 3000000 image/jpeg\n" + jpeg(60000))
    until(lambda: blobs(daemon), "it has begun")
    complete.send(b"PUT %d\n" % len(png()) + png())
    copying.send(generate(image_path=str(path)))
    daemon.terminate()
    daemon.start()
    assert not [name for name in blobs(daemon) if name.endswith(".part")]


def test_a_key_goes_by_the_content(daemon, client):
    path = daemon.directory / "picture"
    path.write_bytes(png(1))
    job = client.generate("it moves", key="k", image_path=str(path))
    assert client.generate("it moves", key="k", image=put_ok(client, png(1)))["id"] == job["id"]
    assert client.generate("it moves", key="k", image=encoded(png(1)))["id"] == job["id"]
    path.write_bytes(png(2))
    client.err(generate(prompt="it moves", key="k", image_path=str(path)), "conflict", "key")


def test_a_batch_names_one_thing_many_times(sim, daemon, client):
    path = daemon.directory / "picture"
    path.write_bytes(png())
    jobs = [{"prompt": f"it moves {i}", "image_path": str(path)} for i in range(300)]
    assert client.ok("BATCH " + json.dumps({"jobs": jobs}))["count"] == 300
    assert list(blobs(daemon)) == [name_of(png())]
    shown = client.items('LIST {"limit":1000}')
    assert len(shown) == 300
    assert {job["image"]["blob"] for job in shown} == {name_of(png())}


def test_inputs_outlive_a_crash(sim, make_daemon):
    daemon = make_daemon().start()
    client = daemon.client()
    job = client.generate("it moves", image=put_ok(client, png()), not_before=soon())
    daemon.kill()
    daemon.start()
    assert daemon.job(job["id"])["image"] == job["image"]
    client = daemon.client()
    client.ok(f"HOLD {job['id']}")
    client.ok(f"RELEASE {job['id']}")
    assert daemon.job(job["id"])["image"]["blob"] == name_of(png())


# ---- other users ----


def test_a_blob_serves_only_who_put_it(as_root, daemon):
    ours, theirs = daemon.client(uid=NOBODY), daemon.client(uid=OTHER)
    name = put_ok(ours, png())
    line = f'GENERATE {{"prompt":"x","image":"{name}"}}'
    theirs.err(line, "not-found", "image")
    daemon.client().err(line, "not-found", "image")  # not even an admin
    assert put_ok(theirs, png()) == name and len(blobs(daemon)) == 1
    assert theirs.generate("x", image=name)["image"]["blob"] == name
    assert ours.generate("x", image=name)


def test_a_result_serves_only_its_owner(as_root, daemon):
    ours, theirs = daemon.client(uid=NOBODY), daemon.client(uid=OTHER)
    done = ours.wait(ours.generate("a cat")["id"])[0]
    for name in (done["id"], done["id"][:22], done["operation_name"]):
        theirs.err(f'GENERATE {{"prompt":"x","video":"{name}"}}', "not-found", "video")
        assert ours.generate("x", video=name)["video"]["job"] == done["id"]


def client_of(daemon, uid, gid, groups=()):
    """A client of that user, with those groups."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(daemon.socket)
            socket.send_fds(theirs, [b"+"], [connected.fileno()])
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        descriptor = socket.recv_fds(ours, 16, 1)[1][0]
    os.waitpid(child, 0)
    client = Client.__new__(Client)
    client.socket = socket.socket(fileno=descriptor)
    client.socket.settimeout(PATIENCE)
    client.timeout, client.buffer = PATIENCE, bytearray()
    daemon.clients.append(client)
    return client


ALICE, BOB, CAROL, STAFF = 40001, 40002, 40003, 50001


@pytest.fixture
def pictures(as_root, daemon):
    """Alice's folder; the way there is open to all."""
    os.chmod(daemon.directory, 0o755)
    folder = daemon.directory / "alice"
    folder.mkdir()
    os.chown(folder, ALICE, STAFF)
    return folder


def picture(folder, mode, seed=0, owner=ALICE, group=STAFF):
    path = folder / f"picture-{mode:o}-{seed}"
    path.write_bytes(png(seed))
    os.chown(path, owner, group)
    os.chmod(path, mode)
    return path


def may_read(client, path):
    reply = client.request(generate(image_path=str(path), dry_run=True))
    if reply.word == "OK":
        assert reply.value["image"]["blob"] == name_of(path.read_bytes())
        return True
    assert reply.value["code"] == "invalid-argument" and reply.value["field"] == "image_path", reply
    assert "you may not" in reply.value["message"], reply
    return False


# The file's mode → who of its owner, its group, a member of its group, and others may read it.
MODES = {0o600: (True, False, False, False), 0o640: (True, True, True, False),
         0o644: (True, True, True, True), 0o604: (True, False, False, True),
         0o044: (False, True, True, True), 0o000: (False, False, False, False)}


@pytest.mark.parametrize("mode", MODES)
def test_a_path_is_read_as_its_sender_could(pictures, daemon, mode):
    os.chmod(pictures, 0o755)
    path = picture(pictures, mode)
    people = (client_of(daemon, ALICE, ALICE), client_of(daemon, BOB, STAFF),
              client_of(daemon, CAROL, CAROL, [1, STAFF]), client_of(daemon, CAROL, CAROL, [1]))
    assert tuple(may_read(client, path) for client in people) == MODES[mode]
    assert (kernel_lets(path, ALICE, ALICE, []), kernel_lets(path, BOB, STAFF, []),
            kernel_lets(path, CAROL, CAROL, [STAFF]),
            kernel_lets(path, CAROL, CAROL, [])) == MODES[mode]
    assert may_read(daemon.client(), path)  # root


def kernel_lets(path, uid, gid, groups):
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(uid)
            os._exit(0 if os.access(path, os.R_OK) else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("mode,member,other", [(0o711, True, True), (0o710, True, False),
                                               (0o700, False, False), (0o766, False, False)])
def test_folders_must_be_searchable(pictures, daemon, mode, member, other):
    path = picture(pictures, 0o644)
    os.chmod(pictures, mode)
    assert may_read(client_of(daemon, ALICE, ALICE), path)
    assert may_read(client_of(daemon, BOB, BOB, [STAFF]), path) == member
    assert may_read(client_of(daemon, BOB, BOB), path) == other
    hidden = client_of(daemon, BOB, BOB).request(generate(image_path=str(pictures / "nothing")))
    # No more is told than it could see.
    assert ("does not exist" in hidden.value["message"]) == other


def test_no_link_leads_anywhere(pictures, daemon):
    secret = picture(pictures, 0o600)
    os.chmod(pictures, 0o755)
    (pictures / "link").symlink_to(secret)
    (daemon.directory / "folder").symlink_to(pictures)
    (daemon.directory / "mine").write_bytes(png(7))
    (pictures / "out").symlink_to(daemon.directory / "mine")
    for client in (client_of(daemon, ALICE, ALICE), client_of(daemon, BOB, BOB)):
        for path in (pictures / "link", pictures / "out",
                     daemon.directory / "folder" / secret.name):
            error = client.err(generate(image_path=str(path)), "invalid-argument", "image_path")
            assert "symbolic link" in error["message"]
    os.mkfifo(pictures / "fifo")
    error = daemon.client().err(generate(image_path=str(pictures / "fifo")), "invalid-argument",
                                "image_path")
    assert "not a regular file" in error["message"]


def test_a_path_that_is_too_long_a_file(make_daemon):
    daemon = make_daemon(options={"limits.blob_bytes": "2K"}).start()
    path = daemon.directory / "big"
    path.write_bytes(jpeg(3000))
    error = daemon.client().err(generate(image_path=str(path)),
                                "too-long", "image_path")
    assert "blob_bytes" in error["message"]


class AsNobody(Daemon):
    def command_line(self, *arguments):
        return ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups",
                *super().command_line(*arguments)]


@pytest.fixture
def unprivileged(as_root, directory, sim):
    where = directory / "nobody"
    where.mkdir()
    os.chmod(directory, 0o755)
    os.chown(where, NOBODY, NOBODY)
    daemon = AsNobody(where, sim).start()
    yield daemon
    daemon.close()


def test_an_unprivileged_veod_says_what_it_may_not_read(unprivileged, directory):
    alice = client_of(unprivileged, ALICE, ALICE)
    folder = directory / "alice"
    folder.mkdir()
    os.chown(folder, ALICE, STAFF)
    closed, opened = picture(folder, 0o600, 1), picture(folder, 0o644, 2)
    assert may_read(alice, opened)
    line = generate(image_path=str(closed))
    assert "veod itself may not" in alice.err(line, "unavailable", "image_path")["message"]
    bob = client_of(unprivileged, BOB, BOB)
    assert "you may not" in bob.err(line, "invalid-argument", "image_path")["message"]
    os.chmod(folder, 0o700)
    line = generate(image_path=str(opened))
    assert "veod itself may not" in alice.err(line, "unavailable", "image_path")["message"]
    assert put_ok(alice, opened.read_bytes())
