"""veosim alone: it answers as the providers do, refuses what they refuse, misbehaves when it is
told to, and counts what it saw. Needs VEOSIM, the path of the program."""

import base64
import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time

import pytest

from sim_alone import (IMAGE, KEY, LITE, OMNI, OMNI2, PATIENCE, PNG, VEO, VEO2, VEO3, VEOSIM, Sim,
                       path_of, sim, start, uri_of, video_of)

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim", "start"]  # fixtures


# What it says of itself


def test_says_that_it_is_a_simulator(sim):
    text = subprocess.run([VEOSIM, "--help"], capture_output=True, text=True, check=True).stdout
    assert "simulator" in text and "loopback only" in text
    assert "simulator" in sim.get("/v1beta/models").headers["Server"]


def test_says_so_when_it_starts(tmp_path):
    with subprocess.Popen([VEOSIM], stderr=subprocess.PIPE, text=True) as process:
        assert "simulator" in process.stderr.readline()
        process.terminate()
        assert process.wait(PATIENCE) == 0


@pytest.mark.parametrize("arguments", [
    ["--listen", "0.0.0.0"], ["--listen", "192.168.1.1"], ["--listen", "::"], ["--port", "x"],
    ["--port", "70000"], ["--latency", "5s-2s"], ["--latency", "soon"], ["--delivery", "mail"],
    ["--outputs-shape", "round"], ["--video-bytes", "many"], ["--unknown"], ["more"],
])
def test_refuses_bad_arguments(arguments):
    result = subprocess.run([VEOSIM, *arguments], capture_output=True, timeout=PATIENCE)
    assert result.returncode == 2 and result.stderr


def test_refuses_a_port_that_is_taken(sim):
    result = subprocess.run([VEOSIM, "--port", str(sim.port)], capture_output=True,
                            timeout=PATIENCE)
    assert result.returncode == 1 and b"can't listen" in result.stderr


def test_ends_with_its_parent(tmp_path):
    script = f'"{VEOSIM}" --quiet --die-with-parent --port-file "{tmp_path}/port" & ' \
             f'while ! [ -e "{tmp_path}/port" ]; do sleep 0.01; done'
    subprocess.run(["sh", "-c", script], check=True, timeout=PATIENCE)
    port = int((tmp_path / "port").read_text())
    until = time.monotonic() + PATIENCE
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return
        assert time.monotonic() < until
        time.sleep(0.01)


# The legacy dialect


def test_predict(sim):
    submitted = sim.predict("a cat [sim: latency=1h]")
    assert submitted.status == 200 and list(submitted.json) == ["name"]
    assert submitted.json["name"].startswith(f"models/{VEO}/operations/")
    running = sim.get("/v1beta/" + submitted.json["name"])
    assert running.json == submitted.json
    ended = sim.predict_to_end("a dog")
    assert ended["done"] is True and "error" not in ended
    assert ended["response"]["@type"].endswith("PredictLongRunningResponse")
    assert uri_of(ended).startswith(f"http://127.0.0.1:{sim.port}/v1beta/files/")
    assert uri_of(ended).endswith(":download?alt=media")


def test_predict_two_samples(sim):
    ended = sim.predict_to_end("two", {"sampleCount": 2}, model=VEO2)
    assert len(ended["response"]["generateVideoResponse"]["generatedSamples"]) == 2
    ended = sim.predict_to_end("one left [sim: filter=partial]", {"sampleCount": 2}, model=VEO2)
    response = ended["response"]["generateVideoResponse"]
    assert len(response["generatedSamples"]) == 1 and response["raiMediaFilteredCount"] == 1


def test_predict_filtered(sim):
    response = sim.predict_to_end("x [sim: filter]")["response"]["generateVideoResponse"]
    assert response["raiMediaFilteredCount"] == 1 and "generatedSamples" not in response
    assert "Support codes: 58061214" in response["raiMediaFilteredReasons"][0]
    response = sim.predict_to_end("x [sim: filter=17301594]")["response"]["generateVideoResponse"]
    assert "17301594" in response["raiMediaFilteredReasons"][0]
    assert sim.predict_to_end("y [sim: filter=empty]")["response"]["generateVideoResponse"] == {}


def test_predict_failed(sim):
    ended = sim.predict_to_end("x [sim: fail=14]")
    assert ended["done"] and ended["error"]["code"] == 14 and "response" not in ended


def test_fails_only_the_first(sim):
    prompt = "x [sim: fail=13 fails=1]"
    assert "error" in sim.predict_to_end(prompt)
    assert "error" not in sim.predict_to_end(prompt)


def test_predict_encoded(sim):
    ended = sim.predict_to_end("x [sim: encoded]")
    video = ended["response"]["generateVideoResponse"]["generatedSamples"][0]["video"]
    assert base64.b64decode(video["encodedVideo"], validate=True)[4:8] == b"ftyp"
    assert video["encoding"] == "video/mp4" and "uri" not in video


PARAMETERS = [
    ({"aspectRatio": "9:16", "resolution": "1080p", "durationSeconds": 8}, VEO),
    ({"resolution": "4k", "personGeneration": "allow_all", "sampleCount": 1}, VEO),
    ({"durationSeconds": 4, "negativePrompt": "rain", "seed": 4294967295}, VEO),
    ({"durationSeconds": 6.0}, VEO),
    ({"durationSeconds": 7, "personGeneration": "dont_allow", "sampleCount": 2}, VEO2),
    ({"enhancePrompt": True}, VEO3),
    ({"image": IMAGE}, VEO),  # in the wrong place: ignored, as the real one does
]


@pytest.mark.parametrize("parameters,model", PARAMETERS)
def test_predict_takes_parameters(sim, parameters, model):
    assert sim.predict("a cat", parameters, model).status == 200


INSTANCES = [
    ({"prompt": "x", "image": IMAGE}, {"personGeneration": "allow_adult"}, VEO),
    ({"image": IMAGE}, None, VEO),
    ({"prompt": "x", "image": IMAGE, "lastFrame": IMAGE}, {"durationSeconds": 8}, VEO),
    ({"prompt": "x", "referenceImages": [{"image": IMAGE, "referenceType": "asset"}]}, None, VEO),
    # Misplaced and unknown members of an instance are ignored, as the real one does.
    ({"prompt": "x", "aspect_ratio": "1:1", "negative_prompt": 7, "input_image": {}}, None, VEO),
]


@pytest.mark.parametrize("instance,parameters,model", INSTANCES)
def test_predict_takes_instances(sim, instance, parameters, model):
    assert sim.predict(instance, parameters, model).status == 200


def test_predict_takes_its_own_video(sim):
    uri = sim.make_file()
    assert sim.predict({"prompt": "go on", "video": {"uri": uri}}).status == 200
    answer = sim.predict({"prompt": "go on", "video": {"uri": uri, "encoding": "video/mp4"}})
    assert answer.status == 400 and "encoding" in answer.error["message"]


def image_with(**members):
    return {"prompt": "x", "image": members}


PREDICT_REFUSALS = [
    ("string duration", "x", {"durationSeconds": "8"}, VEO, "needs to be a number"),
    ("odd duration", "x", {"durationSeconds": 5}, VEO, "durationSeconds"),
    ("long duration", "x", {"durationSeconds": 10}, VEO, "durationSeconds"),
    ("short duration", "x", {"durationSeconds": 4}, VEO2, "durationSeconds"),
    ("fractional duration", "x", {"durationSeconds": 4.5}, VEO, "durationSeconds"),
    ("1080p of 6 s", "x", {"resolution": "1080p", "durationSeconds": 6}, VEO,
     "1080p is not supported for a duration of 6 seconds"),
    ("4k of 4 s", "x", {"resolution": "4k", "durationSeconds": 4}, VEO, "4k is not supported"),
    ("4k", "x", {"resolution": "4k"}, LITE, "resolution"),
    ("resolution", "x", {"resolution": "720p"}, VEO2, "`resolution` isn't supported"),
    ("square", "x", {"aspectRatio": "1:1"}, VEO, "aspect ratio"),
    ("SDK's name", "x", {"numberOfVideos": 1}, VEO, "`numberOfVideos` isn't supported"),
    ("snake case", "x", {"aspect_ratio": "16:9"}, VEO, "`aspect_ratio` isn't supported"),
    ("audio", "x", {"generateAudio": True}, VEO, "`generateAudio` isn't supported"),
    ("enhance", "x", {"enhancePrompt": True}, VEO, "`enhancePrompt` isn't supported"),
    ("storage", "x", {"storageUri": "gs://x"}, VEO, "`storageUri` isn't supported"),
    ("negative of lite", "x", {"negativePrompt": "y"}, LITE, "`negativePrompt` isn't supported"),
    ("two samples", "x", {"sampleCount": 2}, VEO, "sampleCount"),
    ("adults of text", "x", {"personGeneration": "allow_adult"}, VEO,
     "allow_adult for personGeneration is currently not supported"),
    ("all of image", {"prompt": "x", "image": IMAGE}, {"personGeneration": "allow_all"}, VEO,
     "allow_all for personGeneration is currently not supported"),
    ("seed", "x", {"seed": 4294967296}, VEO, "seed"),
    ("parameters' type", "x", [], VEO, "`parameters`"),
    ("no prompt", {}, None, VEO, "prompt is empty"),
    ("prompt's type", {"prompt": 7}, None, VEO, "needs to be a string"),
    ("inlineData", image_with(inlineData={"mimeType": "image/png", "data": PNG}), None, VEO,
     "`inlineData` isn't supported"),
    ("imageBytes", image_with(imageBytes=PNG, mimeType="image/png"), None, VEO,
     "`imageBytes` isn't supported"),
    ("gcsUri", image_with(gcsUri="gs://x", mimeType="image/png"), None, VEO,
     "`gcsUri` isn't supported"),
    ("no type", image_with(bytesBase64Encoded=PNG), None, VEO, "`mimeType`"),
    ("gif", image_with(bytesBase64Encoded=PNG, mimeType="image/gif"), None, VEO, "`mimeType`"),
    ("not base64", image_with(bytesBase64Encoded="%%%%", mimeType="image/png"), None, VEO,
     "base64"),
    ("last frame only", {"prompt": "x", "lastFrame": IMAGE}, None, VEO, "use case"),
    ("last frame of 6 s", {"prompt": "x", "image": IMAGE, "lastFrame": IMAGE},
     {"durationSeconds": 6}, VEO, "use case"),
    ("last frame of 3", {"prompt": "x", "image": IMAGE, "lastFrame": IMAGE}, None, VEO3,
     "`lastFrame` isn't supported"),
    ("references of lite", {"prompt": "x", "referenceImages": [
        {"image": IMAGE, "referenceType": "asset"}]}, None, LITE, "isn't supported"),
    ("four references", {"prompt": "x", "referenceImages": [
        {"image": IMAGE, "referenceType": "asset"}] * 4}, None, VEO, "referenceImages"),
    ("upright references", {"prompt": "x", "referenceImages": [
        {"image": IMAGE, "referenceType": "asset"}]}, {"aspectRatio": "9:16"}, VEO, "use case"),
    ("foreign video", {"prompt": "x", "video": {"uri": "https://example.com/x.mp4"}}, None, VEO,
     "video.uri"),
    ("directive", "x [sim: latncy=3s]", None, VEO, "latncy"),
]


@pytest.mark.parametrize("instance,parameters,model,words",
                         [row[1:] for row in PREDICT_REFUSALS],
                         ids=[row[0] for row in PREDICT_REFUSALS])
def test_predict_refuses(sim, instance, parameters, model, words):
    answer = sim.predict(instance, parameters, model)
    assert answer.status == 400
    assert answer.error["code"] == 400 and answer.error["status"] == "INVALID_ARGUMENT"
    assert words in answer.error["message"]
    stats = sim.stats()
    assert (stats["submissions"], stats["accepted"], stats["refused"]) == (1, 0, 1)


BODIES = [
    b"", b"{", b"[]", b'{"instances":[]}', b'{"instances":[{"prompt":"x"},{"prompt":"y"}]}',
    b'{"instances":{"prompt":"x"}}', b'{"instances":[{"prompt":"x"}],"more":1}',
]


@pytest.mark.parametrize("body", BODIES)
def test_predict_refuses_bodies(sim, body):
    answer = sim.call("POST", f"/v1beta/models/{VEO}:predictLongRunning", body)
    assert answer.status == 400 and answer.error["status"] == "INVALID_ARGUMENT"


def test_refuses_other_content_types(sim):
    answer = sim.predict("x", headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 400 and "Content-Type" in answer.error["message"]


def test_models_and_routes(sim):
    names = [model["name"] for model in sim.get("/v1beta/models").json["models"]]
    assert "models/" + VEO in names and "models/" + OMNI in names
    model = sim.get("/v1/models/" + VEO).json
    assert model["supportedGenerationMethods"] == ["predictLongRunning"]
    assert sim.get("/v1beta/models/" + OMNI).json["supportedGenerationMethods"] == [
        "generateContent"]
    for method in "predictLongRunning", "generateContent":
        answer = sim.call("POST", f"/v1beta/models/{OMNI}:{method}", {})
        assert answer.status == 400
        assert answer.error["message"] == "This model only supports Interactions API."


@pytest.mark.parametrize("method,path", [
    ("GET", "/"), ("GET", "/v1beta/nothing"), ("GET", "/v2/models"), ("POST", "/v1beta/models"),
    ("GET", "/v1beta/models/veo-9"), ("POST", "/models/veo-9:predictLongRunning"),
    ("POST", f"/models/{VEO}:predictLongRunning"), ("POST", "/v1beta/models/veo-3.1-generate-001"
                                                    ":predictLongRunning"),
    ("GET", f"/v1beta/models/{VEO}/operations/unknown"), ("GET", "/v1beta/files/unknown"),
    ("GET", "/v1beta/files/unknown:download?alt=media"), ("POST", f"/v1beta/models/{VEO}:dance"),
    ("GET", "/download/v1beta/files/unknown:download?alt=media"), ("GET", "/media/unknown"),
])
def test_not_found(sim, method, path):
    answer = sim.call(method, path, {} if method == "POST" else None)
    assert answer.status == 404
    assert answer.error["code"] == 404 and answer.error["status"] == "NOT_FOUND"


def test_models_that_are_gone(start):
    sim = start("--gone", "veo-*")
    answer = sim.predict("x")
    assert answer.status == 404 and "no longer available" in answer.error["message"]
    assert sim.get("/v1beta/models/" + VEO).status == 404
    names = [model["name"] for model in sim.get("/v1beta/models").json["models"]]
    assert names == ["models/" + OMNI, "models/" + OMNI2]


# Interactions


def test_interaction_in_background(sim):
    created = sim.interact("a cat [sim: latency=1h]")
    assert created.status == 200 and created.json["id"].startswith("v1_")
    assert created.json["status"] == "in_progress" and "steps" not in created.json
    running = sim.get("/v1beta/interactions/" + created.json["id"])
    assert running.json["status"] == "in_progress"
    ended = sim.interact_to_end("a dog", response_format={"type": "video", "duration": "8s"})
    assert ended["object"] == "interaction" and ended["status"] == "completed"
    video = base64.b64decode(video_of(ended)["data"], validate=True)
    assert video[4:8] == b"ftyp" and video_of(ended)["mime_type"] == "video/mp4"
    tokens = {"modality": "video", "tokens": 8 * 5792}
    assert ended["usage"]["output_tokens_by_modality"] == [tokens]


@pytest.mark.parametrize("resolution,duration,tokens", [
    ("360p", "3s", 5793), ("720p", "10s", 57920), ("1080p", "8s", 69504), ("4k", "5s", 86880),
    ("360p", "3.5s", 6759),
])
def test_interaction_usage(sim, resolution, duration, tokens):
    ended = sim.interact_to_end("x", response_format={"resolution": resolution,
                                                      "duration": duration})
    assert ended["usage"]["total_output_tokens"] == tokens


def test_interaction_in_foreground(sim):
    begun = time.monotonic()
    answer = sim.interact("a cat [sim: latency=300ms]", background=False)
    assert time.monotonic() - begun >= 0.3
    assert answer.json["status"] == "completed" and video_of(answer.json)["data"]
    unstored = sim.interact("a cat", background=False, store=False)
    assert unstored.json["status"] == "completed" and "id" not in unstored.json


def test_interaction_by_uri(sim):
    ended = sim.interact_to_end("x [sim: processing=200ms]", response_format={"delivery": "uri"})
    uri = video_of(ended)["uri"]
    state = path_of(uri).split(":")[0]
    file = sim.get(state).json
    assert file["state"] == "PROCESSING" and file["mimeType"] == "video/mp4"
    early = sim.download(uri)
    assert early.status == 400 and early.error["status"] == "FAILED_PRECONDITION"
    file = sim.poll_until(state, lambda answer: answer["state"] != "PROCESSING")
    assert file["state"] == "ACTIVE" and file["downloadUri"] == uri
    assert len(sim.download(uri).body) == int(file["sizeBytes"])


def test_public_base(start):
    base = "https://generativelanguage.googleapis.com"
    sim = start("--public-base", base)
    uri = sim.make_file()
    assert uri.startswith(base + "/v1beta/files/") and sim.download(uri).body[4:8] == b"ftyp"
    location = sim.get(path_of(uri)).headers["Location"]
    assert location.startswith(f"http://127.0.0.1:{sim.port}/download/")
    assert sim.predict({"prompt": "on", "video": {"uri": uri}}).status == 200


def test_file_that_fails(sim):
    ended = sim.interact_to_end("x [sim: processing=fail]", response_format={"delivery": "uri"})
    file = sim.get(path_of(video_of(ended)["uri"]).split(":")[0]).json
    assert file["state"] == "FAILED" and file["error"]["code"] == 13


def test_delivery_and_shape_overridden(start):
    sim = start("--delivery", "uri", "--outputs-shape", "old", "--public-base", "http://example.com")
    ended = sim.interact_to_end("x")
    assert "steps" not in ended
    assert ended["outputs"][0]["uri"].startswith("http://example.com/v1beta/files/")
    assert "data" in sim.interact_to_end("x [sim: delivery=inline]")["outputs"][0]


@pytest.mark.parametrize("directive,status,code", [
    ("fail", "failed", "api_error"), ("fail=14", "failed", "service_unavailable"),
    ("fail=quota_exceeded", "failed", "quota_exceeded"), ("filter=safety", "failed", "safety"),
    ("status=budget_exceeded", "budget_exceeded", None), ("filter", "completed", None),
])
def test_interaction_ends_badly(sim, directive, status, code):
    ended = sim.interact_to_end(f"x [sim: {directive}]")
    assert ended["status"] == status
    assert ended.get("errors", [{}])[0].get("code") == code
    assert "steps" not in ended or video_of(ended) is None


def test_interaction_cancelled_and_deleted(sim):
    path = "/v1beta/interactions/" + sim.interact("x [sim: latency=1h]").json["id"]
    assert sim.call("POST", path + "/cancel", {}).json["status"] == "cancelled"
    assert sim.get(path).json["status"] == "cancelled"
    assert sim.call("DELETE", path).json == {}
    for answer in sim.get(path), sim.call("POST", path + "/cancel", {}), sim.call("DELETE", path):
        assert answer.status == 404 and answer.error["code"] == "not_found"
    ended = sim.interact_to_end("y")
    answer = sim.call("POST", f"/v1beta/interactions/{ended['id']}/cancel", {})
    assert answer.status == 400 and answer.error["code"] == "failed_precondition"
    stats = sim.stats()
    assert stats["cancels"] == 3 and stats["running"] == 0 and stats["max_running"] == 1


def test_interaction_held_open_and_cancelled_by_reset(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
    body = json.dumps({"model": OMNI, "input": "x [sim: latency=1h]"})
    with contextlib.closing(connection):
        connection.request("POST", "/v1beta/interactions", body,
                           {"x-goog-api-key": KEY, "Content-Type": "application/json"})
        until = time.monotonic() + PATIENCE
        while sim.stats()["running"] == 0:
            assert time.monotonic() < until
        sim.control("POST", "/__reset")
        assert connection.getresponse().status == 499


TEXT = {"type": "text", "text": "x"}
OMNI_IMAGE = {"type": "image", "data": PNG, "mime_type": "image/png"}

INTERACTIONS = [
    {"input": [OMNI_IMAGE, TEXT],
     "generation_config": {"video_config": {"task": "image_to_video"}}},
    {"input": [{"type": "user_input", "content": [TEXT]}]},
    {"response_format": [{"type": "video", "aspect_ratio": "9:16"}]},
    {"response_format": {"duration": "10s", "resolution": "4k", "delivery": "inline"}},
    {"response_format": {"duration": "15s"}, "model": OMNI2, "generation_config": {"seed": 7}},
    {"response_modalities": ["video"], "labels": {"a": "b"}, "service_tier": "standard"},
]


@pytest.mark.parametrize("members", INTERACTIONS)
def test_interactions_takes(sim, members):
    body = {"model": OMNI, "input": "x", "background": True, **members}
    answer = sim.call("POST", "/v1beta/interactions", body)
    assert answer.status == 200, answer.body


def test_interactions_takes_what_came_before(sim):
    before = sim.interact_to_end("x", response_format={"delivery": "uri"})
    extend = {"video_config": {"task": "extend"}}
    assert sim.interact("more", previous_interaction_id=before["id"],
                        generation_config=extend).status == 200
    video = {"type": "video", "uri": video_of(before)["uri"]}
    assert sim.interact([video, TEXT], generation_config=extend).status == 200
    running = sim.interact("x [sim: latency=1h]").json["id"]
    answer = sim.interact("more", previous_interaction_id=running)
    assert answer.status == 400 and answer.error["code"] == "failed_precondition"


INTERACTION_REFUSALS = [
    ("unknown member", {"negative_prompt": "y"}, 400, "parameter_unknown", "negative_prompt"),
    ("camel case", {"responseFormat": {}}, 400, "parameter_unknown", "responseFormat"),
    ("sample count", {"response_format": {"sample_count": 2}}, 400, "parameter_unknown",
     "sample_count"),
    ("system", {"system_instruction": "y"}, 400, "invalid_request", "not supported"),
    ("temperature", {"generation_config": {"temperature": 1}}, 400, "invalid_request",
     "temperature"),
    ("seed of 1.1", {"generation_config": {"seed": 1}}, 400, "invalid_request", "seed"),
    ("number of seconds", {"response_format": {"duration": 8}}, 400, "invalid_request", "8s"),
    ("no unit", {"response_format": {"duration": "8"}}, 400, "invalid_request", "8s"),
    ("too short", {"response_format": {"duration": "2s"}}, 400, "invalid_request",
     "between 3s and 10s"),
    ("too long", {"response_format": {"duration": "10.5s"}}, 400, "invalid_request",
     "between 3s and 10s"),
    ("too long for 1.2", {"model": OMNI2, "response_format": {"duration": "16s"}}, 400,
     "invalid_request", "between 3s and 15s"),
    ("square", {"response_format": {"aspect_ratio": "1:1"}}, 400, "invalid_request", "16:9"),
    ("resolution", {"response_format": {"resolution": "480p"}}, 400, "invalid_request", "720p"),
    ("delivery", {"response_format": {"delivery": "mail"}}, 400, "invalid_request", "delivery"),
    ("gcs", {"response_format": {"gcs_uri": "gs://x"}}, 400, "invalid_request", "gcs_uri"),
    ("format's type", {"response_format": {"type": "audio"}}, 400, "invalid_request", "video"),
    ("upper case", {"response_modalities": ["VIDEO"]}, 400, "invalid_request", "modalities"),
    ("empty text", {"input": ""}, 400, "invalid_request", "empty"),
    ("no text", {"input": [OMNI_IMAGE]}, 400, "invalid_request", "no text"),
    ("input's type", {"input": 7}, 400, "invalid_request", "input"),
    ("audio", {"input": [{"type": "audio", "data": PNG}, TEXT]}, 400, "invalid_request",
     "Audio"),
    ("no mime type", {"input": [{"type": "image", "data": PNG}, TEXT]}, 400, "invalid_request",
     "mime_type"),
    ("not base64", {"input": [{**OMNI_IMAGE, "data": "%%"}, TEXT]}, 400, "invalid_request",
     "base64"),
    ("data and uri", {"input": [{**OMNI_IMAGE, "uri": "https://x/files/y"}, TEXT]}, 400,
     "invalid_request", "one of"),
    ("veo's image", {"input": [{"type": "image", "bytesBase64Encoded": PNG}, TEXT]}, 400,
     "parameter_unknown", "bytesBase64Encoded"),
    ("foreign video", {"input": [{"type": "video", "uri": "https://youtu.be/x"}, TEXT]}, 400,
     "invalid_request", "Files API"),
    ("task without image", {"generation_config": {"video_config": {"task": "image_to_video"}}},
     400, "invalid_request", "needs an image"),
    ("task without video", {"generation_config": {"video_config": {"task": "extend"}}}, 400,
     "invalid_request", "previous_interaction_id"),
    ("unknown task", {"generation_config": {"video_config": {"task": "dance"}}}, 400,
     "invalid_request", "task"),
    ("not stored", {"store": False}, 400, "invalid_request", "store"),
    ("background's type", {"background": "yes"}, 400, "invalid_request", "boolean"),
    ("unknown previous", {"previous_interaction_id": "v1_x"}, 404, "not_found", "previous"),
    ("unknown model", {"model": "gemini-omni-9"}, 404, "model_not_found", "gemini-omni-9"),
    ("veo", {"model": VEO}, 400, "invalid_request", "Interactions API"),
    ("directive", {"input": "x [sim: dance]"}, 400, "invalid_request", "dance"),
]


@pytest.mark.parametrize("members,status,code,words",
                         [row[1:] for row in INTERACTION_REFUSALS],
                         ids=[row[0] for row in INTERACTION_REFUSALS])
def test_interactions_refuses(sim, members, status, code, words):
    body = {"model": OMNI, "input": "x", "background": True, **members}
    answer = sim.call("POST", "/v1beta/interactions", body)
    assert answer.status == status, answer.body
    assert set(answer.error) == {"code", "message"} and answer.error["code"] == code
    assert words in answer.error["message"]
    assert sim.stats()["accepted"] == 0 and sim.stats()["refused"] == 1


# Keys


def test_keys(start):
    sim = start("--key", KEY)
    missing = sim.predict("x", key=None)
    assert missing.status == 403 and missing.error["status"] == "PERMISSION_DENIED"
    wrong = sim.predict("x", key="wrong")
    assert wrong.status == 400 and wrong.error["details"][0]["reason"] == "API_KEY_INVALID"
    for key in None, "wrong", "":
        answer = sim.call("GET", "/v1beta/interactions/v1_x", key=key)
        assert answer.status == 401 and answer.error["code"] == "authentication"
    assert sim.get("/v1beta/models?key=" + KEY, key=None).status == 200
    assert sim.predict("x").status == 200
    assert sim.stats()["keys"] == {"header_ok": 1, "in_url": 1, "missing": 3, "wrong": 2,
                                   "foreign": 0}


def test_any_key_will_do(sim):
    assert sim.predict("x", key="whatever").status == 200
    assert sim.predict("x", key="").status == 403


# Downloads


def test_download(sim):
    uri = sim.make_file()
    link = sim.get(path_of(uri))
    assert link.status == 302 and link.error["code"] == 302
    location = link.headers["Location"]
    assert location.startswith(f"http://127.0.0.1:{sim.port}/download/v1beta/files/")
    assert sim.get(path_of(uri), key=None).status == 403
    assert sim.get(path_of(location), key=None).status == 403
    answer = sim.get(path_of(location))
    assert answer.status == 200 and answer.headers["Content-Type"] == "video/mp4"
    assert answer.headers["ETag"] and answer.body[4:8] == b"ftyp"
    assert sim.get(path_of(uri).split("?")[0]).status == 400


@pytest.mark.parametrize("value,part", [
    ("bytes=0-", slice(0, None)), ("bytes=100-199", slice(100, 200)), ("bytes=-50", slice(-50, None)),
    ("bytes=5000-999999999", slice(5000, None)), ("bytes=-999999999", slice(0, None)),
])
def test_ranges(sim, value, part):
    path = sim.final_path(sim.make_file())
    whole = sim.get(path).body
    answer = sim.get(path, headers={"Range": value})
    begin, end, _ = part.indices(len(whole))
    assert answer.status == 206 and answer.body == whole[part]
    assert answer.headers["Content-Range"] == f"bytes {begin}-{end - 1}/{len(whole)}"


def test_ranges_refused_and_ignored(sim):
    path = sim.final_path(sim.make_file())
    whole = sim.get(path)
    beyond = sim.get(path, headers={"Range": f"bytes={len(whole.body)}-"})
    assert beyond.status == 416
    assert beyond.headers["Content-Range"] == f"bytes */{len(whole.body)}"
    for value in "bytes=x-", "bytes=9-3", "lines=1-2", "bytes=1-2,4-5", "bytes=-":
        assert sim.get(path, headers={"Range": value}).status == 200
    changed = {"Range": "bytes=5-", "If-Range": '"other"'}
    assert sim.get(path, headers=changed).status == 200
    same = {"Range": "bytes=5-", "If-Range": whole.headers["ETag"]}
    assert sim.get(path, headers=same).status == 206


def test_padded_video(sim):
    size = 3 * 1024 * 1024 + 7
    path = sim.final_path(sim.make_file(f"x [sim: bytes={size}]"))
    whole = sim.get(path).body
    assert len(whole) == size
    parts = [sim.get(path, headers={"Range": f"bytes={at}-{at + 999_999}"}).body
             for at in range(0, size, 1_000_000)]
    assert b"".join(parts) == whole


def test_padded_video_inline(sim):
    size = 100_001
    inline = sim.interact_to_end(f"x [sim: bytes={size}]")
    data = base64.b64decode(video_of(inline)["data"], validate=True)
    linked = sim.interact_to_end(f"y [sim: bytes={size} delivery=uri]")
    assert data == sim.download(video_of(linked)["uri"]).body and len(data) == size


def test_video_bytes_option(start):
    sim = start("--video-bytes", "50K")
    assert len(sim.download(sim.make_file()).body) == 51200


@pytest.mark.parametrize("options,shape,size", [
    ("", (192, 108), None), ("9:16", (108, 192), None), ("", (192, 108), 200_000),
])
def test_video_is_real(sim, tmp_path, options, shape, size):
    if not shutil.which("ffprobe"):
        assert os.environ.get("CI") != "true", "CI needs ffprobe"
        pytest.skip("no ffprobe")
    prompt = f"x [sim: bytes={size}]" if size else "x"
    parameters = {"aspectRatio": options} if options else None
    file = tmp_path / "x.mp4"
    file.write_bytes(sim.download(uri_of(sim.predict_to_end(prompt, parameters))).body)
    assert size is None or file.stat().st_size == size
    probe = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", file],
        capture_output=True, text=True, check=True, timeout=60)
    video, audio = json.loads(probe.stdout)["streams"]
    assert not probe.stderr
    assert (video["codec_name"], audio["codec_name"]) == ("h264", "aac")
    assert (video["width"], video["height"]) == shape and int(video["nb_read_frames"]) == 24


@pytest.mark.parametrize("kind,begin", [
    ("html", b"<!DOCTYPE html>"), ("json", b'{"error"'), ("empty", b""), ("cut", b"\0\0\0 ftyp"),
])
def test_video_that_is_none(sim, kind, begin):
    answer = sim.download(sim.make_file(f"x [sim: video={kind}]"))
    assert answer.status == 200 and answer.body.startswith(begin)


def test_video_of_noise(sim):
    body = sim.download(sim.make_file("x [sim: video=garbage]")).body
    assert b"ftyp" not in body and len(body) == 20000


def test_file_that_is_gone(sim):
    uri = sim.make_file("x [sim: gone]")
    assert sim.get(path_of(uri)).status == 404


def test_foreign_origin(sim):
    uri = sim.make_file("x [sim: foreign]")
    assert uri.startswith(f"http://127.0.0.1:{sim.foreign_port}/media/")
    fetch = {"key": None, "port": sim.foreign_port}
    assert sim.get(path_of(uri), **fetch).body[4:8] == b"ftyp"
    assert sim.stats()["keys"]["foreign"] == 0
    for leak in {"Authorization": "Bearer x"}, {"x-goog-api-key": "x"}, {"Cookie": "a=b"}:
        sim.get(path_of(uri), headers=leak, **fetch)
    sim.get(path_of(uri) + "?key=x", **fetch)
    assert sim.stats()["keys"]["foreign"] == 4
    assert sim.get("/v1beta/models", port=sim.foreign_port).status == 404
    assert sim.get("/__stats", port=sim.foreign_port).status == 404


# Rules


def accepted(sim):
    return sim.stats()["accepted"]


@pytest.mark.parametrize("shape,check", [
    ("google", lambda answer: answer.error["status"] == "RESOURCE_EXHAUSTED"),
    ("interactions", lambda answer: answer.error["code"] == "rate_limit_exceeded"),
    ("openai", lambda answer: answer.error["code"] == "429" and "param" in answer.error),
    ("array", lambda answer: answer.json[0]["error"]["code"] == 429),
    ("html", lambda answer: b"<html" in answer.body),
    ("empty", lambda answer: answer.body == b""),
])
def test_rule_status_shapes(sim, shape, check):
    sim.rules({"on": "submit", "do": "status", "status": 429, "shape": shape})
    answer = sim.predict("x")
    assert answer.status == 429 and check(answer)
    assert accepted(sim) == 0 and sim.stats()["refused"] == 1


def test_rule_status_details(sim):
    sim.rules({"on": "submit", "do": "status", "status": 429, "retry_info": "22s",
               "retry_after": 7, "quota_id": "GenerateRequestsPerDay", "message": "Enough."})
    answer = sim.predict("x")
    details = {detail["@type"].rsplit(".", 1)[1]: detail for detail in answer.error["details"]}
    assert details["RetryInfo"]["retryDelay"] == "22s" and "Help" in details
    quota = details["QuotaFailure"]["violations"][0]
    assert quota["quotaId"] == "GenerateRequestsPerDay"
    assert answer.headers["Retry-After"] == "7" and answer.error["message"] == "Enough."
    sim.rules({"on": "submit", "do": "status", "status": 429})
    details = sim.predict("x").error["details"]
    assert not any("RetryInfo" in detail["@type"] for detail in details)
    sim.rules({"on": "submit", "do": "status", "status": 429, "code": "quota_exceeded"})
    assert sim.interact("x").error == {"code": "quota_exceeded",
                                       "message": "You exceeded your current quota."}


def test_rule_counts(sim):
    sim.rules({"on": "submit", "do": "status", "status": 503, "match": "cat", "skip": 1,
               "times": 2})
    statuses = [sim.predict(prompt).status for prompt in ("cat", "dog", "cat", "dog", "cat", "cat")]
    assert statuses == [200, 200, 503, 200, 503, 200]
    assert sim.control("GET", "/__rules") == [
        {"do": "status", "match": "cat", "skipped": 1, "hits": 2}]
    sim.control("DELETE", "/__rules")
    assert sim.predict("cat").status == 200 and sim.control("GET", "/__rules") == []


def test_rule_first_one_wins(sim):
    sim.rules({"on": "submit", "do": "status", "status": 500, "times": 1},
              {"on": "any", "do": "status", "status": 503})
    assert [sim.predict("x").status for _ in range(2)] == [500, 503]


def test_rule_by_path(sim):
    sim.rules({"on": "submit", "do": "status", "status": 500, "match": "/v1/"})
    body = {"instances": [{"prompt": "x"}]}
    assert sim.predict("x").status == 200
    assert sim.call("POST", f"/v1/models/{VEO}:predictLongRunning", body).status == 500


def test_rule_chance(sim):
    sim.rules({"on": "submit", "do": "status", "status": 500, "chance": 0.5})
    statuses = {sim.predict("x").status for _ in range(60)}
    assert statuses == {200, 500}


@pytest.mark.parametrize("match", [None, "predictLongRunning", "cat"])
def test_rule_reset_before(sim, match):
    rule = {"on": "submit", "do": "reset-before", "times": 1}
    sim.rules({**rule, "match": match} if match else rule)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        sim.predict("a cat")
    assert accepted(sim) == 0 and sim.stats()["submissions"] == 1 == sim.stats()["refused"]
    assert sim.predict("a cat").status == 200


def test_rule_reset_before_skips(sim):
    sim.rules({"on": "submit", "do": "reset-before", "skip": 1, "times": 1})
    assert sim.predict("x").status == 200
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        sim.predict("x")
    assert sim.predict("x").status == 200


@pytest.mark.parametrize("submit", [Sim.predict, Sim.interact])
def test_rule_reset_after(sim, submit):
    sim.rules({"on": "submit", "do": "reset-after"})
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        submit(sim, "x")
    assert accepted(sim) == 1 and len(sim.operations()) == 1


def test_rule_status_though_accepted(sim):
    sim.rules({"on": "submit", "do": "status", "status": 502, "shape": "html", "accept": True})
    assert sim.predict("x").status == 502
    assert accepted(sim) == 1


def test_rule_stall(sim):
    sim.rules({"on": "submit", "do": "stall", "seconds": 0.3})
    begun = time.monotonic()
    assert sim.predict("x").status == 200
    assert time.monotonic() - begun >= 0.3


def test_stalled_and_stopped(start):
    sim = start()
    sim.rules({"on": "submit", "do": "stall", "seconds": "1h"})
    with socket.create_connection(("127.0.0.1", sim.port), PATIENCE) as stalled:
        body = b'{"instances":[{"prompt":"x"}]}'
        stalled.sendall(b"POST /v1beta/models/%s:predictLongRunning HTTP/1.1\r\nHost: x\r\n"
                        b"Content-Type: application/json\r\nx-goog-api-key: k\r\n"
                        b"Content-Length: %d\r\n\r\n%s" % (VEO.encode(), len(body), body))
        until = time.monotonic() + PATIENCE
        while accepted(sim) == 0:
            assert time.monotonic() < until
        assert sim.stop() == 0


def test_rule_stall_within_a_download(sim):
    path = sim.final_path(sim.make_file())
    whole = sim.get(path).body
    sim.rules({"on": "download", "do": "stall", "seconds": "300ms", "after": 1000})
    begun = time.monotonic()
    assert sim.get(path).body == whole
    assert time.monotonic() - begun >= 0.3


def test_rule_slow(sim):
    name = sim.predict("x [sim: latency=1h]").json["name"]
    sim.rules({"on": "poll", "do": "slow", "interval": "3ms"})
    begun = time.monotonic()
    assert sim.get("/v1beta/" + name).json == {"name": name}
    assert time.monotonic() - begun >= 0.003 * len(name)


@pytest.mark.parametrize("size", [None, 1000])
def test_rule_truncate(sim, size):
    path = sim.final_path(sim.make_file())
    whole = sim.get(path).body
    rule = {"on": "download", "do": "truncate"}
    sim.rules({**rule, "bytes": size} if size else rule)
    with pytest.raises(http.client.IncompleteRead) as caught:
        sim.get(path)
    size = size or len(whole) // 2
    assert caught.value.partial == whole[:size] and caught.value.expected == len(whole) - size
    assert sim.stats()["downloads"] == 2 and sim.stats()["downloads_complete"] == 1


def test_rule_truncated_submission_was_accepted(sim):
    sim.rules({"on": "submit", "do": "truncate"})
    with pytest.raises(http.client.IncompleteRead):
        sim.predict("x")
    assert accepted(sim) == 1


def test_rule_garbage_empty_no_name(sim):
    for kind in "garbage", "empty":
        sim.rules({"on": "submit", "do": kind})
        answer = sim.predict("x")
        assert answer.status == 200
        with pytest.raises(ValueError):
            json.loads(answer.body)
    sim.rules({"on": "submit", "do": "no-name"})
    for answer in sim.predict("x"), sim.interact("x"):
        assert answer.status == 200 and "name" not in answer.json and "id" not in answer.json
    assert accepted(sim) == 4


def test_rule_wrong_type(sim):
    name = sim.predict("x").json["name"]
    sim.rules({"on": "any", "do": "wrong-type"})
    assert sim.predict("x").json["name"] == 42
    assert sim.get("/v1beta/" + name).json["done"] == "yes"


def test_rule_huge(sim):
    sim.rules({"on": "submit", "do": "huge", "bytes": 5_000_000})
    assert len(sim.predict("x").json["padding"]) == 5_000_000


def test_rule_huge_without_end(sim):
    sim.rules({"on": "submit", "do": "huge", "bytes": 0})
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("POST", f"/v1beta/models/{VEO}:predictLongRunning",
                           '{"instances":[{"prompt":"x"}]}',
                           {"x-goog-api-key": KEY, "Content-Type": "application/json"})
        response = connection.getresponse()
        assert response.headers["Transfer-Encoding"] == "chunked"
        assert len(response.read(3_000_000)) == 3_000_000


def test_rule_redirect(sim):
    uri = sim.make_file()
    path = sim.final_path(uri)
    sim.rules({"on": "download", "do": "redirect"})
    answer = sim.get(path)
    target = f"http://127.0.0.1:{sim.foreign_port}/media/"
    assert answer.status == 302 and answer.headers["Location"].startswith(target)
    sim.control("DELETE", "/__rules")
    foreign = sim.get(path_of(answer.headers["Location"]), key=None, port=sim.foreign_port)
    assert foreign.body == sim.get(path).body
    sim.rules({"on": "submit", "do": "redirect", "location": "https://example.com/x"})
    assert sim.predict("x").headers["Location"] == "https://example.com/x"
    assert accepted(sim) == 1


def test_rule_not_a_video(sim):
    path = sim.final_path(sim.make_file())
    sim.rules({"on": "download", "do": "not-a-video"})
    assert b"<html" in sim.get(path).body
    sim.rules({"on": "download", "do": "not-a-video", "type": "json"})
    assert sim.get(path).error["code"] == 302
    sim.rules({"on": "download", "do": "content-type"})
    answer = sim.get(path)
    assert answer.headers["Content-Type"].startswith("text/html") and answer.body[4:8] == b"ftyp"


def test_rule_no_range(sim):
    path = sim.final_path(sim.make_file())
    sim.rules({"on": "download", "do": "no-range"})
    assert sim.get(path, headers={"Range": "bytes=5-"}).status == 200


def test_rule_expired(sim):
    name = sim.predict("x").json["name"]
    sim.rules({"on": "poll", "do": "expired"})
    assert sim.get("/v1beta/" + name).error["status"] == "NOT_FOUND"


def test_rule_on_files_and_cancels(sim):
    ended = sim.interact_to_end("x", response_format={"delivery": "uri"})
    sim.rules({"on": "file", "do": "status", "status": 500},
              {"on": "cancel", "do": "status", "status": 503})
    assert sim.get(path_of(video_of(ended)["uri"]).split(":")[0]).status == 500
    path = "/v1beta/interactions/" + sim.interact("x [sim: latency=1h]").json["id"]
    assert sim.call("POST", path + "/cancel", {}).status == 503
    assert sim.get(path).json["status"] == "in_progress"


def test_rule_directive(sim):
    sim.rules({"on": "submit", "do": "directive", "directive": "fail=14", "times": 1})
    assert sim.predict_to_end("x")["error"]["code"] == 14
    assert "error" not in sim.predict_to_end("x")


@pytest.mark.parametrize("rules", [
    {}, [{}], [{"on": "submit"}], [{"do": "status"}], [{"on": "submit", "do": "dance"}],
    [{"on": "sleep", "do": "status"}], [{"on": "submit", "do": "status", "stauts": 500}],
    [{"on": "submit", "do": "status", "status": "500"}], [{"on": "submit", "do": "status",
                                                          "status": 99}],
    [{"on": "submit", "do": "directive", "directive": "latncy=1s"}], [7],
    [{"on": "submit", "do": "status", "chance": 2}],
])
def test_rules_refused(sim, rules):
    sim.rules({"on": "submit", "do": "status", "status": 503})
    assert sim.call("POST", "/__rules", rules).status == 400
    assert sim.predict("x").status == 503  # the old ones stay


# Counting


def test_stats(sim):
    name = sim.predict("a cat").json["name"]
    sim.poll_until("/v1beta/" + name, lambda answer: answer.get("done"))
    uri = uri_of(sim.get("/v1beta/" + name).json)
    size = len(sim.download(uri).body)
    sim.predict("a cat")
    sim.predict("a cat [sim: again]")
    sim.predict("a cat [sim: again]")
    sim.predict("x", {"seconds": 8})
    stats = sim.stats()
    assert (stats["submissions"], stats["accepted"], stats["refused"]) == (5, 4, 1)
    assert stats["duplicates"] == 1 and stats["polls_after_end"] == 1
    assert (stats["downloads"], stats["downloads_complete"]) == (1, 1)
    assert stats["bytes_sent"] == size
    assert stats["keys"]["header_ok"] == stats["requests"] == stats["connections"]["total"]
    sim.control("POST", "/__reset")
    assert not sim.stats()["submissions"] and sim.operations() == []
    assert sim.get("/v1beta/" + name).status == 404


def test_stats_do_not_count_themselves(sim):
    sim.operations()
    stats = sim.stats()
    assert stats["requests"] == 0 and stats["connections"] == {"total": 0, "now": 0}


def test_connections_are_kept(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
    with contextlib.closing(connection):
        for _ in range(3):
            connection.request("GET", "/v1beta/models", headers={"x-goog-api-key": KEY})
            connection.getresponse().read()
        assert sim.stats()["connections"] == {"total": 1, "now": 1}


def test_most_at_once(sim):
    for number in range(3):
        sim.predict(f"{number} [sim: latency=1h]")
    stats = sim.stats()
    assert (stats["running"], stats["max_running"]) == (3, 3)


def test_operations(sim):
    ended = sim.predict_to_end("a cat")
    sim.download(uri_of(ended))
    sim.interact("a dog [sim: latency=1h]")
    cat, dog = sim.operations()
    assert cat["body"] == {"instances": [{"prompt": "a cat"}]}
    assert cat["name"] == ended["name"] and cat["prompt"] == "a cat" and cat["model"] == VEO
    assert cat["finished_at"] - cat["submitted_at"] >= 20
    assert cat["polls"] >= 1 and cat["downloads"] == 1 and 0 <= cat["first_poll_after_ms"]
    assert (cat["dialect"], dog["dialect"]) == ("predict", "interactions")
    assert "finished_at" not in dog and dog["cancelled"] is False and dog["polls"] == 0
    assert cat["files"][0] in uri_of(ended)
    assert sim.operations("?prompt=dog") == [dog] and len(sim.operations("?limit=1")) == 1


def test_many_operations(sim):
    connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
    headers = {"x-goog-api-key": KEY, "Content-Type": "application/json"}
    names = set()
    with contextlib.closing(connection):
        for number in range(1000):
            body = json.dumps({"instances": [{"prompt": f"cat {number}"}]})
            connection.request("POST", f"/v1beta/models/{VEO}:predictLongRunning", body, headers)
            names.add(json.loads(connection.getresponse().read())["name"])
    assert len(names) == 1000 and sim.stats()["duplicates"] == 0
    assert {operation["name"] for operation in sim.operations()} == names
