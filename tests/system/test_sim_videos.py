"""veosim alone: a gateway's /v1/videos."""

import hashlib
import json
import time
import urllib.parse

import pytest

from sim_alone import KEY, OMNI, VEO, VEO2, VEOSIM, Sim, start

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["start"]  # a fixture

PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100
JPEG = b"\xff\xd8\xff\xe0" + b"x" * 100
BEARER = {"Authorization": "Bearer " + KEY}
BOUNDARY = "a-boundary"


def path_of_id(id):
    return "/v1/videos/" + urllib.parse.quote(id, safe="")


class Gateway(Sim):
    def call(self, method, path, body=None, headers=None, **options):
        options.setdefault("key", None)
        return super().call(method, path, body, {**BEARER, **(headers or {})}, **options)

    def create(self, prompt="x", **members):
        return self.call("POST", "/v1/videos", {"model": VEO, "prompt": prompt, **members})

    def send_form(self, fields, file=None):
        parts = [(f'name="{name}"', "", str(value).encode()) for name, value in fields.items()]
        if file:
            data, mime_type = file
            kind = f"\r\nContent-Type: {mime_type}" if mime_type else ""
            parts.append(('name="input_reference"; filename="i"', kind, data))
        body = b"".join(b"--%s\r\nContent-Disposition: form-data; %s%s\r\n\r\n%s\r\n" %
                        (BOUNDARY.encode(), name.encode(), kind.encode(), data)
                        for name, kind, data in parts) + b"--%s--\r\n" % BOUNDARY.encode()
        return self.call("POST", "/v1/videos", body,
                         {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})

    def to_end(self, prompt="x", **members):
        created = self.create(prompt, **members)
        assert created.status == 200, created.body
        while True:
            video = self.get(path_of_id(created.json["id"])).json
            if video["status"] not in ("queued", "in_progress"):
                return video
            time.sleep(0.01)

    def content(self, id, **headers):
        return self.get(path_of_id(id) + "/content", headers=headers)


@pytest.fixture
def open_gateway(tmp_path):
    opened = []

    def open_one(*arguments):
        opened.append(Gateway(tmp_path, "--key", KEY, *arguments))
        return opened[-1]

    yield open_one
    assert [gateway.stop() for gateway in opened] == [0] * len(opened)


@pytest.fixture
def gateway(open_gateway):
    return open_gateway()


def test_json(gateway):
    created = gateway.create("a cat [sim: latency=1h]", seconds="4", size="720x1280").json
    assert created["object"] == "video" and created["status"] == "queued"
    assert created["seconds"] == "4" and created["size"] == "720x1280" and created["model"] == VEO
    running = gateway.get(path_of_id(created["id"])).json
    assert running["status"] == "in_progress" and running["progress"] == 0
    assert gateway.content(created["id"]).status == 400
    ended = gateway.to_end("a dog", seconds=8, size="1920x1080")
    assert ended["status"] == "completed" and ended["progress"] == 100
    assert ended["size"] == "1920x1080" and ended["usage"] == {"duration_seconds": 8}
    whole = gateway.content(ended["id"])
    assert whole.headers["Content-Type"] == "video/mp4" and whole.body[4:8] == b"ftyp"
    assert gateway.content(ended["id"], Range="bytes=9-").body == whole.body[9:]
    operation = gateway.operations()[0]
    assert operation["dialect"] == "videos" and operation["path"] == "/v1/videos"
    assert operation["body"] == {"model": VEO, "prompt": "a cat [sim: latency=1h]",
                                 "seconds": "4", "size": "720x1280"}


def test_ids_must_be_encoded(gateway):
    id = gateway.to_end()["id"]
    assert id.startswith("video_") and "/" in id and "+" in id
    assert gateway.get(path_of_id(id)).status == 200
    assert gateway.get("/v1/videos/" + id).status == 404
    assert gateway.get("/v1/videos/" + id + "/content").status == 404
    assert gateway.get(path_of_id(id + "x")).status == 404


@pytest.mark.parametrize("size", [108, 300_000])
@pytest.mark.parametrize("mime_type", ["image/png", None, "application/octet-stream"])
def test_form(gateway, mime_type, size):
    image = PNG + bytes(size - len(PNG))
    answer = gateway.send_form({"model": "gemini/" + VEO, "prompt": "ä \"cat\"", "seconds": "8",
                                "aspect_ratio": "9:16", "negative_prompt": "7"},
                               (image, mime_type))
    assert answer.status == 200, answer.body
    assert answer.json["size"] == "720x1280" and answer.json["model"] == VEO
    operation, = gateway.operations()
    digest = hashlib.sha256(image).hexdigest()
    assert operation["inputs"] == [{"role": "image", "mime_type": "image/png",
                                    "bytes": len(image), "sha256": digest}]
    body = operation["body"]
    reference = body.pop("input_reference")
    assert (reference["sha256"], reference["bytes"]) == (digest, len(image))
    assert body == {"model": "gemini/" + VEO, "prompt": "ä \"cat\"", "seconds": "8",
                    "aspect_ratio": "9:16", "negative_prompt": "7"}
    assert operation["prompt"] == "ä \"cat\"" and operation["body_bytes"] > len(image)


def test_form_with_a_long_prompt(gateway):
    prompt = "a long story, " * 30_000
    assert gateway.send_form({"model": VEO, "prompt": prompt}).status == 200
    assert gateway.operations()[0]["prompt"] == prompt


TAKES = [{"seed": 7}, {"resolution": "1080p"}, {"personGeneration": "allow_all"},
         {"aspect_ratio": "16:9", "negative_prompt": "rain"}, {"size": "640x480"},
         {"model": "vertex_ai/" + VEO2, "seconds": "5"}]


@pytest.mark.parametrize("members", TAKES)
def test_takes(gateway, members):
    assert gateway.create(**members).status == 200


REFUSES = [
    ({"seconds": "5"}, 400, "durationSeconds"), ({"seconds": "long"}, 400, "number"),
    ({"seconds": "4", "size": "1920x1080"}, 400, "1080p"), ({"prompt": ""}, 400, "empty"),
    ({"aspect_ratio": "1:1"}, 400, "aspect ratio"), ({"n": 2}, 400, "`n`"),
    ({"input_reference": "x.png"}, 400, "file"), ({"metadata": {}}, 400, "neither"),
    ({"model": "veo-9"}, 404, "veo-9"), ({"model": ""}, 400, "model"),
    ({"model": OMNI}, 400, "Interactions"), ({"prompt": "x [sim: dance]"}, 400, "dance"),
]


@pytest.mark.parametrize("members,status,words", REFUSES)
def test_refuses(gateway, members, status, words):
    answer = gateway.create(**members)
    assert answer.status == status and answer.error["code"] == str(status)
    assert words in answer.error["message"], answer.error
    assert gateway.stats()["accepted"] == 0 and gateway.stats()["refused"] == 1


@pytest.mark.parametrize("file", [(JPEG, "image/png"), (b"no image", "image/png"),
                                  (b"no image", None), (PNG, "image/gif"), (b"", "image/png")])
def test_form_refuses(gateway, file):
    answer = gateway.send_form({"model": VEO, "prompt": "x"}, file)
    assert answer.status == 400 and answer.error["type"]


def test_form_that_is_broken(gateway):
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    for body in b"", b"nonsense", b"--a-boundary\r\nContent-Disposition: form-data; name=\"pro":
        assert gateway.call("POST", "/v1/videos", body, headers).status == 400
    assert gateway.call("POST", "/v1/videos", b"x",
                        {"Content-Type": "multipart/form-data"}).status == 400
    twice = gateway.create(aspect_ratio="9:16", size="720x1280")
    assert twice.status == 400 and "twice" in twice.error["message"]


@pytest.mark.parametrize("directive,code", [("filter", "rai_media_filtered"), ("fail=14", "14")])
def test_ends_badly(gateway, directive, code):
    video = gateway.to_end(f"x [sim: {directive}]")
    assert video["status"] == "failed" and video["error"]["code"] == code
    assert gateway.content(video["id"]).status == 400


@pytest.mark.parametrize("arguments,more", [(["--videos-status", "old"], ""), ([], ", completed")])
@pytest.mark.parametrize("directive", ["filter", "fail=14"])
def test_called_completed(open_gateway, arguments, more, directive):
    gateway = open_gateway(*arguments)
    video = gateway.to_end(f"x [sim: {directive}{more}]")
    assert video["status"] == "completed" and "error" not in video
    content = gateway.content(video["id"])
    assert content.status == 200 and content.headers["Content-Type"].startswith("application/json")
    assert content.json["done"] is True
    good = gateway.to_end("y")
    assert gateway.content(good["id"]).body[4:8] == b"ftyp"


def test_called_completed_by_a_rule(gateway):
    gateway.rules({"on": "submit", "do": "directive", "directive": "filter completed"})
    assert gateway.to_end()["status"] == "completed"


def test_keys(gateway):
    for headers in {"Authorization": "Bearer wrong"}, {"Authorization": KEY}:
        answer = gateway.call("POST", "/v1/videos", {"model": VEO, "prompt": "x"}, headers)
        assert answer.status == 401 and answer.error["code"] == "401"
    own = {"Authorization": "", "x-litellm-api-key": "Bearer " + KEY}
    assert gateway.call("POST", "/v1/videos", {"model": VEO, "prompt": "x"}, own).status == 200
    assert gateway.create().status == 200
    keys = gateway.stats()["keys"]
    assert (keys["header_ok"], keys["wrong"], keys["missing"]) == (2, 1, 1)
    assert KEY not in json.dumps(gateway.operations())


def test_content_of_another_kind(gateway):
    id = gateway.to_end()["id"]
    gateway.rules({"on": "download", "do": "not-a-video", "type": "json"})
    assert gateway.content(id).error["code"] == 302
    gateway.rules({"on": "poll", "do": "status", "status": 500})
    assert gateway.get(path_of_id(id)).error["code"] == "500"


def test_other_dialects_stay_apart(start, gateway):
    sim = start()
    name = sim.interact("x").json["id"]
    assert sim.get(path_of_id(name), key=None, headers=BEARER).status == 404
    id = gateway.create().json["id"]
    answer = gateway.get("/v1beta/interactions/" + urllib.parse.quote(id, safe=""), key=KEY)
    assert answer.status == 404
