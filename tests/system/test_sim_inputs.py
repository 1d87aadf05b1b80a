"""veosim alone: images and videos that come with a submission."""

import base64
import concurrent.futures
import hashlib
import json
import pathlib
import socket
import time

import pytest

from sim_alone import (KEY, LITE, OMNI, PATIENCE, VEO, VEO3, VEOSIM, path_of, sim, start, uri_of,
                       video_of)

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim", "start"]  # fixtures

MIB = 1 << 20
HEADS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/webp": b"RIFF\x10\x00\x00\x00WEBP",
    "image/gif": b"GIF89a",
    "video/mp4": b"\x00\x00\x00\x20ftypisom",
}


def bytes_of(mime_type, size=200):
    head = HEADS[mime_type]
    return head + bytes(number * 7 % 251 for number in range(size - len(head)))


def base64_of(data):
    return base64.b64encode(data).decode()


def image(mime_type="image/png", data=None, said=None):
    """As predict has it."""
    return {"bytesBase64Encoded": base64_of(data or bytes_of(mime_type)),
            "mimeType": said or mime_type}


def block(mime_type="image/png", data=None, said=None):
    """As interactions has it."""
    return {"type": mime_type.split("/")[0], "data": base64_of(data or bytes_of(mime_type)),
            "mime_type": said or mime_type}


def noted(data, role, mime_type):
    return {"role": role, "mime_type": mime_type, "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest()}


def shown(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}


def text(prompt="x"):
    return {"type": "text", "text": prompt}


def last_operation(sim):
    return sim.operations()[-1]


@pytest.mark.parametrize("mime_type", ["image/png", "image/jpeg", "image/webp"])
def test_image_to_predict(sim, mime_type):
    data = bytes_of(mime_type)
    assert sim.predict({"prompt": "x", "image": image(mime_type)}).status == 200
    operation = last_operation(sim)
    assert operation["inputs"] == [noted(data, "image", mime_type)]
    assert operation["body"] == {"instances": [
        {"prompt": "x", "image": {"bytesBase64Encoded": shown(data), "mimeType": mime_type}}]}
    assert operation["path"] == f"/v1beta/models/{VEO}:predictLongRunning"
    assert operation["body_bytes"] > len(data)


def test_frames_and_references(sim):
    first, last = bytes_of("image/png"), bytes_of("image/jpeg", 300)
    sim.predict({"prompt": "x", "image": image(data=first),
                 "lastFrame": image("image/jpeg", last)})
    assert last_operation(sim)["inputs"] == [noted(first, "image", "image/png"),
                                             noted(last, "last_frame", "image/jpeg")]
    references = [{"image": image(), "referenceType": "asset"}] * 3
    assert sim.predict({"prompt": "x", "referenceImages": references}).status == 200
    assert [entry["role"] for entry in last_operation(sim)["inputs"]] == ["reference"] * 3
    uri = sim.make_file()
    assert sim.predict({"prompt": "on", "video": {"uri": uri}}).status == 200
    assert last_operation(sim)["inputs"] == [{"role": "video", "uri": uri}]


def test_image_in_the_wrong_place_is_no_input(sim):
    assert sim.predict("x", {"image": image()}).status == 200
    assert last_operation(sim)["inputs"] == []


@pytest.mark.parametrize("instance,words", [
    ({"image": image("image/png", said="image/jpeg")}, "mimeType"),
    ({"image": image("image/jpeg", said="image/png")}, "mimeType"),
    ({"image": image("image/png", data=b"no image at all")}, "mimeType"),
    ({"image": image("image/gif")}, "mimeType"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": ""}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": base64_of(HEADS["image/png"])[:-1]}},
     "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": "iVBO Rw0K"}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": "iVBO=w0K"}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": "iVBORw0KGgo=" * 2}}, "base64"),
    ({"image": {"mimeType": "image/png",
                "bytesBase64Encoded": base64_of(bytes_of("image/png", 3070)) + "AAAA"}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": "iVBORw0KGgo_"}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": 7}}, "base64"),
    ({"image": {"mimeType": "image/png", "bytesBase64Encoded": {"sha256": "x", "bytes": 1}}},
     "base64"),
    ({"image": {"data": "", "mimeType": "image/png"}}, "`data` isn't supported"),
    ({"image": {"fileUri": "", "mimeType": "image/png"}}, "`fileUri` isn't supported"),
    ({"image": image(), "lastFrame": image(said="image/jpeg")}, "last_frame"),
    ({"referenceImages": [{"image": image(), "referenceType": "style"}]}, "referenceType"),
    ({"video": {"uri": "https://example.com/v", "encodedVideo": "x"}}, "encodedVideo"),
    ({"video": {"gcsUri": "gs://b/v"}}, "`gcsUri` isn't supported"),
])
def test_predict_refuses_inputs(sim, instance, words):
    answer = sim.predict({"prompt": "x", **instance})
    assert answer.status == 400 and answer.error["status"] == "INVALID_ARGUMENT"
    assert words in answer.error["message"], answer.error


def test_refusals_by_model(sim):
    uri = sim.make_file()
    assert "`video`" in sim.predict({"prompt": "x", "video": {"uri": uri}},
                                    model=LITE).error["message"]
    assert "`video`" in sim.predict({"prompt": "x", "video": {"uri": uri}},
                                    model=VEO3).error["message"]
    answer = sim.predict({"prompt": "x", "video": {"uri": uri}}, {"durationSeconds": 6})
    assert "use case" in answer.error["message"]
    answer = sim.predict({"prompt": "x", "video": {"uri": uri}}, {"resolution": "1080p"})
    assert "use case" in answer.error["message"]


# Base64 that is taken as it arrives, and not kept


@pytest.mark.parametrize("escaped", [False, True])
@pytest.mark.parametrize("size", [49_000, 49_152, 100_000, 3 * MIB + 1])
def test_long_base64(sim, size, escaped):
    data = bytes_of("image/png", size)
    body = json.dumps({"instances": [{"prompt": "a \"cat\" \\ <3", "image": image(data=data)}]})
    if escaped:
        body = body.replace("/", "\\/")
    answer = sim.call("POST", f"/v1beta/models/{VEO}:predictLongRunning", body)
    assert answer.status == 200, answer.body
    operation = last_operation(sim)
    assert operation["inputs"] == [noted(data, "image", "image/png")]
    assert operation["body"]["instances"][0]["prompt"] == "a \"cat\" \\ <3"
    assert operation["body"]["instances"][0]["image"]["bytesBase64Encoded"] == shown(data)
    assert operation["body_bytes"] == len(body)


@pytest.mark.parametrize("spoil", [
    lambda letters: letters[:-1], lambda letters: letters[:200_000] + "%" + letters[200_001:],
    lambda letters: letters[:200_000] + "=" + letters[200_001:], lambda letters: letters + "AAAA",
    lambda letters: letters[:200_000] + "\n" * 4 + letters[200_000:],
])
def test_long_base64_that_is_none(sim, spoil):
    letters = spoil(base64_of(bytes_of("image/png", 300_001)))
    answer = sim.predict({"prompt": "x", "image": {"bytesBase64Encoded": letters,
                                                   "mimeType": "image/png"}})
    assert answer.status == 400 and "base64" in answer.error["message"]


@pytest.mark.parametrize("prompt", ["words and more, " * 20_000, "\\\"" * 50_000,
                                    "é" * 100_000, "a b" + "x" * 200_000],
                         ids=["words", "escapes", "accents", "letters"])
def test_long_text_stays(sim, prompt):
    assert sim.predict(prompt).status == 200
    assert last_operation(sim)["prompt"] == prompt


def test_a_long_string_in_pieces(sim):
    data = bytes_of("image/png", 200_000)
    body = json.dumps({"instances": [{"prompt": "\\", "image": image(data=data)}]}).encode()
    with socket.create_connection(("127.0.0.1", sim.port), PATIENCE) as stream:
        stream.sendall(b"POST /v1beta/models/%s:predictLongRunning HTTP/1.1\r\nHost: x\r\n"
                       b"Content-Type: application/json\r\nx-goog-api-key: k\r\n"
                       b"Content-Length: %d\r\n\r\n" % (VEO.encode(), len(body)))
        for at in range(0, len(body), 997):
            stream.sendall(body[at:at + 997])
        assert b"200 OK" in stream.recv(1000)
    assert last_operation(sim)["inputs"] == [noted(data, "image", "image/png")]


def test_too_large(sim):
    answer = sim.predict({"prompt": "x", "image": image(data=bytes_of("image/png") +
                                                        bytes(20 * MIB))})
    assert answer.status == 400 and "exceeds" in answer.error["message"]
    video = block("video/mp4", HEADS["video/mp4"] + bytes(40 * MIB))
    answer = sim.interact([video, text()], generation_config={"video_config": {"task": "edit"}})
    assert answer.status == 200, answer.body


def test_a_hundred_images_at_once(sim):
    """The simulator's memory doesn't hold them."""
    data = bytes_of("image/jpeg", 1000) + bytes(6 * MIB)
    head, tail = json.dumps({"instances": [{"prompt": "@", "image": image("image/jpeg", data)}]}
                            ).split("@")
    status = pathlib.Path(f"/proc/{sim.process.pid}/status")

    def memory():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) * 1024

    before = memory()

    def submit(number):
        return sim.call("POST", f"/v1beta/models/{VEO}:predictLongRunning",
                        f"{head}{number}{tail}").status

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        assert list(pool.map(submit, range(100))) == [200] * 100
    assert memory() - before < 100 * MIB
    wanted = [noted(data, "image", "image/jpeg")]
    assert all(operation["inputs"] == wanted for operation in sim.operations())


# Interactions


@pytest.mark.parametrize("mime_type", ["image/png", "image/jpeg", "image/webp"])
def test_image_to_interactions(sim, mime_type):
    data = bytes_of(mime_type, 70_000)
    assert sim.interact([block(mime_type, data), text()]).status == 200
    operation = last_operation(sim)
    assert operation["inputs"] == [noted(data, "image", mime_type)]
    assert operation["body"]["input"][0] == {"type": "image", "data": shown(data),
                                             "mime_type": mime_type}
    assert operation["path"] == "/v1beta/interactions"


def test_video_to_interactions(sim):
    data = bytes_of("video/mp4")
    edit = {"video_config": {"task": "edit"}}
    assert sim.interact([block("video/mp4"), text()], generation_config=edit).status == 200
    assert last_operation(sim)["inputs"] == [noted(data, "video", "video/mp4")]
    before = sim.interact_to_end("x", response_format={"delivery": "uri"})
    uri = video_of(before)["uri"]
    assert sim.interact([{"type": "video", "uri": uri, "mime_type": "video/mp4"}, text()],
                        generation_config=edit).status == 200
    assert last_operation(sim)["inputs"] == [{"role": "video", "mime_type": "video/mp4",
                                              "uri": uri}]


@pytest.mark.parametrize("content,words", [
    (block(said="image/jpeg"), "mime_type"), (block("image/gif"), "mime_type"),
    (block("video/mp4", said="video/webm"), "mime_type"),
    ({"type": "video", "data": base64_of(HEADS["image/png"]), "mime_type": "video/mp4"},
     "mime_type"),
    ({"type": "image", "data": "", "mime_type": "image/png"}, "base64"),
])
def test_interactions_refuses_inputs(sim, content, words):
    answer = sim.interact([content, text()])
    assert answer.status == 400 and answer.error["code"] == "invalid_request"
    assert words in answer.error["message"]


TAGS = [
    ("<FIRST_FRAME> a cat", 1, ["image"]),
    ("[# Sources <FIRST_FRAME>@Image1 <LAST_FRAME>@Image2] a cat", 2, ["image", "last_frame"]),
    ("[# Sources <FIRST_FRAME>@Image2 <LAST_FRAME>@Image1] a cat", 2, ["last_frame", "image"]),
    ("from <FIRST_FRAME> to <LAST_FRAME>", 2, ["image", "last_frame"]),
    ("[# References <IMAGE_REF_0>@Image1] <IMAGE_REF_0> runs", 1, ["reference"]),
    ("[# References <IMAGE_REF_0>@Image2] <IMAGE_REF_0> runs", 2, ["image", "reference"]),
    ("<IMAGE_REF_1> and <IMAGE_REF_0>", 2, ["reference", "reference"]),
    ("a <SOMETHING> @Imagery @ <IMAGE_REF_> 3 < 4", 0, []),
]


@pytest.mark.parametrize("prompt,images,roles", TAGS)
def test_tags(sim, prompt, images, roles):
    answer = sim.interact([block()] * images + [text(prompt)])
    assert answer.status == 200, answer.body
    assert [entry["role"] for entry in last_operation(sim)["inputs"]] == roles


@pytest.mark.parametrize("prompt,images", [
    ("<FIRST_FRAME> a cat", 0), ("<FIRST_FRAME>@Image2 a cat", 1), ("<IMAGE_REF_1>", 1),
    ("[# References <IMAGE_REF_0>@Image3]", 2), ("as in @Image2", 1), ("as in @Image0", 1),
    ("<LAST_FRAME> a cat", 2), ("from <FIRST_FRAME> to <LAST_FRAME>", 1), ("<VIDEO_0>", 1),
    ("[# Sources <VIDEO_0>@Video1]", 0), ("<PREVIOUS_VIDEO>@Video1", 0), ("<VIDEO_REF_0>", 0),
])
def test_tags_without_their_image(sim, prompt, images):
    answer = sim.interact([block()] * images + [text(prompt)])
    assert answer.status == 400 and answer.error["code"] == "invalid_request"


def test_tags_of_videos(sim):
    before = sim.interact_to_end("x")["id"]
    extend = {"video_config": {"task": "extend"}}
    answer = sim.interact("go on with <PREVIOUS_VIDEO>", previous_interaction_id=before,
                          generation_config=extend)
    assert answer.status == 200, answer.body
    edit = {"video_config": {"task": "edit"}}
    assert sim.interact([block("video/mp4"), text("[# Sources <VIDEO_0>@Video1] in blue")],
                        generation_config=edit).status == 200


def test_references_by_task(sim):
    task = {"video_config": {"task": "reference_to_video"}}
    sim.interact([block(), block("image/jpeg"), text()], generation_config=task)
    assert [entry["role"] for entry in last_operation(sim)["inputs"]] == ["reference"] * 2


# The seed's route


SEED_MODEL = "veo-3.0-generate-preview"


def seed(sim, **members):
    return sim.call("POST", f"/models/{SEED_MODEL}:predictLongRunning",
                    {"instances": [{"prompt": "x", **members}]})


def test_seed_route(start):
    sim = start("--seed-route")
    data = bytes_of("image/jpeg")
    created = seed(sim, negative_prompt="rain", aspect_ratio="9:16", resolution="1080p",
                   input_image={"mime_type": "image/jpeg", "data": base64_of(data)})
    assert created.status == 200, created.body
    ended = sim.poll_until("/" + created.json["name"], lambda answer: answer.get("done"))
    assert sim.download(uri_of(ended)).body[4:8] == b"ftyp"
    operation = last_operation(sim)
    assert operation["inputs"] == [noted(data, "image", "image/jpeg")]
    assert operation["path"] == f"/models/{SEED_MODEL}:predictLongRunning"
    assert operation["body"]["instances"][0]["negative_prompt"] == "rain"
    assert sim.predict("x", model=SEED_MODEL).status == 200


@pytest.mark.parametrize("members", [
    {"input_image": {"mime_type": "image/jpeg", "data": base64_of(HEADS["image/png"])}},
    {"input_image": {"mimeType": "image/png", "data": base64_of(HEADS["image/png"])}},
    {"image": {}}, {"aspect_ratio": "1:1"}, {"resolution": "4k"}, {"prompt": ""},
    {"aspectRatio": "16:9"}, {"negative_prompt": 7},
])
def test_seed_route_refuses(start, members):
    answer = seed(start("--seed-route"), **members)
    assert answer.status == 400 and answer.error["status"] == "INVALID_ARGUMENT"


def test_seed_model_that_is_gone(start):
    sim = start("--seed-route", "--gone", "@(veo-3.0-*|veo-2*)")
    answer = seed(sim)
    assert answer.status == 404 and "no longer available" in answer.error["message"]
    assert sim.predict("x").status == 200


def test_operations_show_what_was_sent(sim):
    body = {"model": OMNI, "input": "x", "background": True, "labels": {"a": "ü\n"}}
    assert sim.call("POST", "/v1/interactions", json.dumps(body, indent=1)).status == 200
    operation = last_operation(sim)
    assert operation["body"] == body and operation["path"] == "/v1/interactions"
    assert operation["submitted_at"] <= time.time() * 1000
    assert sim.stats()["keys"]["header_ok"] == 1 and KEY not in json.dumps(operation)
