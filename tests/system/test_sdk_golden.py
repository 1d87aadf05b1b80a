"""What veod submits is what Google's own SDK submits when it is asked for the same.

Both submit to the simulator, through a recorder. tests/real/install installs the SDK: of
@google/genai the last 2.x, which still has `predict` for API keys, and 3.x for the rest.
"""

import base64
import collections
import contextlib
import http.client
import http.server
import json
import os
import pathlib
import subprocess
import threading

import pytest

from harness import KEY, PATIENCE, VEO, Daemon, Sim, short_directory, until

ENVIRONMENT = pathlib.Path(os.environ.get("VEOD_ENVIRONMENTS", "/nowhere"), "genai")
ASK = pathlib.Path(__file__).parents[1] / "real/genai/ask.mjs"
TOKEN = "ya29.a-token-for-both"
VERTEX_VEO = "veo-3.1-generate-001"
OMNI = "gemini-omni-1.2-flash"  # the first to take a seed

pytestmark = pytest.mark.skipif(
    not (ENVIRONMENT / "installed").exists(),
    reason="tests/real/install genai has installed no SDK")

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0" + bytes(range(250))
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + bytes(range(251))
WEBP = b"RIFF\x10\x01\0\0WEBPVP8 " + bytes(range(252))
MP4 = b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(range(253))


def coded(data):
    return base64.b64encode(data).decode()


def given(data, mime_type):
    """A file as GENERATE takes it."""
    return {"mime_type": mime_type, "data": coded(data)}


def image(data, mime_type):
    """A file as the SDK's generateVideos takes it."""
    return {"imageBytes": coded(data), "mimeType": mime_type}


def block(kind, data, mime_type):
    """A file as the SDK's interactions take it."""
    return {"type": kind, "data": coded(data), "mime_type": mime_type}


def text(words):
    return {"type": "text", "text": words}


# What GENERATE is asked for, and what the SDK is: the arguments of its call but for the model.
Case = collections.namedtuple("Case", "name fields request")

VEO_CASES = [
    Case("prompt", {}, {"source": {}}),
    Case("parameters",
         {"aspect_ratio": "9:16", "resolution": "1080p", "duration_seconds": 8,
          "negative_prompt": "rain", "person_generation": "allow_all", "sample_count": 1},
         {"source": {},
          "config": {"aspectRatio": "9:16", "resolution": "1080p", "durationSeconds": 8,
                     "negativePrompt": "rain", "personGeneration": "allow_all",
                     "numberOfVideos": 1}}),
    Case("image", {"image": given(PNG, "image/png")},
         {"source": {"image": image(PNG, "image/png")}}),
    Case("frames",
         {"image": given(JPEG, "image/jpeg"), "last_frame": given(PNG, "image/png"),
          "duration_seconds": 8},
         {"source": {"image": image(JPEG, "image/jpeg")},
          "config": {"lastFrame": image(PNG, "image/png"), "durationSeconds": 8}}),
    Case("references",
         {"reference_images": [given(PNG, "image/png"), given(JPEG, "image/jpeg")],
          "duration_seconds": 8},
         {"source": {},
          "config": {"durationSeconds": 8,
                     "referenceImages": [
                         {"image": image(PNG, "image/png"), "referenceType": "ASSET"},
                         {"image": image(JPEG, "image/jpeg"), "referenceType": "ASSET"}]}}),
]

VERTEX_CASES = [
    Case("samples",
         {"sample_count": 2, "seed": 4294967295, "generate_audio": False, "enhance_prompt": True},
         {"source": {},
          "config": {"numberOfVideos": 2, "seed": 4294967295, "generateAudio": False,
                     "enhancePrompt": True}}),
    Case("video", {"video": given(MP4, "video/mp4")},
         {"source": {"video": {"videoBytes": coded(MP4), "mimeType": "video/mp4"}}}),
]

OMNI_CASES = [
    Case("prompt", {}, {"input": "a cat"}),
    Case("format", {"aspect_ratio": "9:16", "resolution": "1080p", "duration_seconds": 4.5},
         {"input": "a cat",
          "response_format": {"aspect_ratio": "9:16", "resolution": "1080p", "duration": "4.5s"}}),
    Case("seed", {"seed": 7}, {"input": "a cat", "generation_config": {"seed": 7}}),
    Case("negative", {"negative_prompt": "rain, fog"},
         {"input": "a cat\n\nAvoid the following: rain, fog"}),
    Case("image", {"image": given(WEBP, "image/webp")},
         {"input": [block("image", WEBP, "image/webp"),
                    text("[# Sources <FIRST_FRAME>@Image1] a cat")],
          "generation_config": {"video_config": {"task": "image_to_video"}}}),
    Case("frames",
         {"image": given(JPEG, "image/jpeg"), "last_frame": given(PNG, "image/png")},
         {"input": [block("image", JPEG, "image/jpeg"), block("image", PNG, "image/png"),
                    text("[# Sources <FIRST_FRAME>@Image1 <LAST_FRAME>@Image2] a cat")],
          "generation_config": {"video_config": {"task": "image_to_video"}}}),
    Case("references",
         {"reference_images": [given(PNG, "image/png"), given(JPEG, "image/jpeg")]},
         {"input": [block("image", PNG, "image/png"), block("image", JPEG, "image/jpeg"),
                    text("[# References <IMAGE_REF_0>@Image1 <IMAGE_REF_1>@Image2] a cat")],
          "generation_config": {"video_config": {"task": "reference_to_video"}}}),
    Case("edit", {"video": given(MP4, "video/mp4")},
         {"input": [block("video", MP4, "video/mp4"),
                    text("[# Sources <VIDEO_0>@Video1] a cat")],
          "generation_config": {"video_config": {"task": "edit"}}}),
    Case("extend", {"video": given(MP4, "video/mp4"), "video_task": "extend"},
         {"input": [block("video", MP4, "video/mp4"),
                    text("[# Sources <VIDEO_0>@Video1] a cat")],
          "generation_config": {"video_config": {"task": "extend"}}}),
]


Request = collections.namedtuple("Request", "method path headers body")


def lower_reference_type(request):
    """The SDK's enumeration is in capitals; the guide's REST sample has it small."""
    for instance in (request.body or {}).get("instances", []):
        for reference in instance.get("referenceImages", []):
            reference["referenceType"] = reference["referenceType"].lower()
    return request


def without_default(request):
    """The SDK writes out that a poll's answer is not to be streamed, which is the default."""
    return request._replace(path=request.path.removesuffix("?stream=false"))


# How veod differs on purpose, with the reason; applied to the SDK's request.
DIFFERENCES = [lower_reference_type, without_default]

# The SDK's options, and veod's provider with the version that the SDK has in its paths.
SETUPS = {
    "predict": {"sdk": "genai-2", "call": "videos", "model": VEO, "cases": VEO_CASES,
                "options": {"apiKey": KEY},
                "provider": {"dialect": "predict"}},
    "vertex": {"sdk": "genai-3", "call": "videos", "model": VERTEX_VEO,
               "cases": VEO_CASES + VERTEX_CASES,
               "options": {"vertexai": True, "project": "p-1", "location": "us-central1",
                           "token": TOKEN},
               "provider": {"dialect": "vertex", "api_version": "v1beta1", "project": "p-1",
                            "location": "us-central1", "auth": "command",
                            "token_command": f"echo {TOKEN}"}},
    "interactions": {"sdk": "genai-3", "call": "interactions", "model": OMNI,
                     "cases": OMNI_CASES, "options": {"apiKey": KEY},
                     "provider": {"dialect": "interactions", "api_version": "v1"}},
    "vertex-interactions": {"sdk": "genai-3", "call": "interactions", "model": OMNI,
                            "cases": OMNI_CASES,
                            "options": {"vertexai": True, "project": "p-1", "location": "global",
                                        "token": TOKEN},
                            "provider": {"dialect": "interactions", "api_version": "v1beta1",
                                         "project": "p-1", "location": "global",
                                         "auth": "command", "token_command": f"echo {TOKEN}"}},
}


def kind_of(request):
    if request.path.endswith("/cancel"):
        return "Cancel"
    if "/files/" in request.path:
        return "File"
    if request.method == "GET" or request.path.endswith(":fetchPredictOperation"):
        return "Poll"
    return "Submission"


class Recorder:
    """Passes each request on to the simulator, and keeps it."""

    def __init__(self, sim):
        self.requests = []
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self):
                recorder.requests.append(Request(self.command, self.path, self.headers, None))
                self.relay(None)

            def do_POST(self):
                body = self.body()
                # An empty body and {} are the same to Google.
                recorder.requests.append(Request(self.command, self.path, self.headers,
                                                 json.loads(body or b"{}")))
                self.relay(body)

            def body(self):
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def relay(self, body):
                headers = {name: value for name, value in self.headers.items()
                           if name.lower() not in ("transfer-encoding", "content-length", "expect")}
                upstream = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=PATIENCE)
                with contextlib.closing(upstream):
                    upstream.request(self.command, self.path, body, headers)
                    response = upstream.getresponse()
                    data = response.read()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() in ("content-type", "location", "etag"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def take(self, kind="Submission"):
        """The first request of this kind since the last call."""
        found = [request for request in self.requests if kind_of(request) == kind]
        self.requests.clear()
        assert found, f"nothing of the kind {kind}"
        return found[0]

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


def ask_sdk(setup, url, request, call=""):
    """One call of the SDK; the base URL is its only difference from one at Google."""
    question = {"sdk": setup["sdk"], "call": setup["call"] + call, "request": request,
                "options": {**setup["options"], "httpOptions": {"baseUrl": url}}}
    asked = subprocess.run([ENVIRONMENT / "node", ASK], cwd=ENVIRONMENT, timeout=PATIENCE,
                           input=json.dumps([question]), capture_output=True, text=True,
                           env={"PATH": "/usr/bin:/bin", "HOME": str(ENVIRONMENT)})
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout) == [""]


def complete(setup, request):
    """With what veod asks for by itself, and so the SDK is asked for as well."""
    request = {"model": setup["model"], **request}
    if setup["call"] == "videos":
        return {**request, "source": {"prompt": "a cat", **request["source"]}}
    # In the background, because a connection that stays open for minutes is lost too easily; by
    # address, because an answer with the video inside is large. On Vertex AI addresses are of
    # Cloud Storage only, and the format is a list, as in all of its documentation's examples.
    on_vertex = "vertexai" in setup["options"]
    response_format = {"type": "video", "delivery": "inline" if on_vertex else "uri",
                       **request.get("response_format", {})}
    return {"background": True, "store": True, **request,
            "response_format": [response_format] if on_vertex else response_format}


@pytest.fixture(scope="module")
def recorder(programs):
    with short_directory() as directory, contextlib.ExitStack() as stack:
        sim = Sim(directory, "--token", TOKEN).start()
        stack.callback(sim.stop)
        recorder = Recorder(sim)
        stack.callback(recorder.stop)
        yield recorder


@pytest.fixture
def daemon(recorder, directory, name):
    provider = {"base_url": recorder.url, "models": "veo-* gemini-omni-*",
                **SETUPS[name]["provider"]}
    recorder.requests.clear()
    daemon = Daemon(directory, providers={"it": provider})
    daemon.start()
    yield daemon
    print(daemon.log()[-8000:])
    daemon.close()


def generate(daemon, setup, **fields):
    job = daemon.generate("a cat", provider="it", model=setup["model"], force=True, **fields)
    [job] = daemon.wait(job["id"])
    return job


def compare(ours, asked):
    for difference in DIFFERENCES:
        asked = difference(asked)
    assert ours.body == asked.body
    assert (ours.method, ours.path) == (asked.method, asked.path)
    for header in ("Authorization", "x-goog-api-key", "Content-Type"):
        assert header == "Content-Type" and not ours.body or (
            ours.headers.get(header) == asked.headers.get(header)), header


@pytest.mark.parametrize("name, case", [(name, case) for name, setup in SETUPS.items()
                                        for case in setup["cases"]],
                         ids=lambda value: getattr(value, "name", value))
def test_same_as_sdk(recorder, daemon, name, case):
    setup = SETUPS[name]
    ask_sdk(setup, recorder.url, complete(setup, case.request))
    asked = recorder.take()
    generate(daemon, setup, **case.fields)
    compare(recorder.take(), asked)


@pytest.mark.parametrize("name", ["predict"])
def test_extension(recorder, daemon, name):
    """By the address of an earlier result."""
    setup = SETUPS[name]
    earlier = generate(daemon, setup)
    recorder.take()
    generate(daemon, setup, video=earlier["id"])
    extended = recorder.take()
    request = {"source": {"video": {"uri": earlier["video_uri"]}}}
    ask_sdk(setup, recorder.url, complete(setup, request))
    compare(extended, recorder.take())


@pytest.mark.parametrize("name", ["interactions"])
@pytest.mark.parametrize("task, prompt", [
    (None, "a cat"), ("extend", "[# Sources <PREVIOUS_VIDEO>@Video1] a cat")])
def test_continuation(recorder, daemon, name, task, prompt):
    """By the id of an earlier interaction."""
    setup = SETUPS[name]
    earlier = generate(daemon, setup)
    recorder.take()
    generate(daemon, setup, video=earlier["id"], **({"video_task": task} if task else {}))
    continued = recorder.take()
    request = {"input": prompt, "previous_interaction_id": earlier["operation_name"]}
    if task:
        request["generation_config"] = {"video_config": {"task": task}}
    ask_sdk(setup, recorder.url, complete(setup, request))
    compare(continued, recorder.take())


@pytest.mark.parametrize("name", SETUPS)
def test_poll(recorder, daemon, name):
    setup = SETUPS[name]
    job = generate(daemon, setup)
    poll = recorder.take("Poll")
    ask_sdk(setup, recorder.url, job["operation_name"], "Poll")
    compare(poll, recorder.take("Poll"))


@pytest.mark.parametrize("name", ["interactions", "vertex-interactions"])
def test_cancel(recorder, daemon, name):
    """The other routes can't be told; neither could the SDK."""
    setup = SETUPS[name]
    prompt = "a cat [sim: latency=1h]"
    job = daemon.generate(prompt, provider="it", model=setup["model"], force=True)
    daemon.wait_state(job["id"], "running")
    daemon.ok(f"CANCEL {job['id']}")
    until(lambda: any(kind_of(request) == "Cancel" for request in recorder.requests), "CANCEL")
    job = daemon.job(job["id"])
    cancel = recorder.take("Cancel")
    ask_sdk(setup, recorder.url, job["operation_name"], "Cancel")
    compare(cancel, recorder.take("Cancel"))
