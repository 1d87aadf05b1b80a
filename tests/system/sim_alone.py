"""What the tests of veosim alone are written with."""

import base64
import contextlib
import http.client
import json
import os
import signal
import subprocess
import time

import pytest

VEOSIM = os.environ.get("VEOSIM", "")

KEY = "a-key"
VEO = "veo-3.1-generate-preview"
LITE = "veo-3.1-lite-generate-preview"
VEO3 = "veo-3.0-generate-001"
VEO2 = "veo-2.0-generate-001"
OMNI = "gemini-omni-1.1-flash"
OMNI2 = "gemini-omni-1.2-flash"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode()
IMAGE = {"bytesBase64Encoded": PNG, "mimeType": "image/png"}
PATIENCE = 20  # seconds; no test should need it


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]


class Sim:
    def __init__(self, directory, *arguments):
        self.port_file = directory / "port"
        self.process = subprocess.Popen(
            [VEOSIM, "--quiet", "--die-with-parent", "--port-file", self.port_file, "--latency",
             "20ms", "--processing", "0", "--foreign-port", "0", "--seed", "1", *arguments])
        until = time.monotonic() + PATIENCE
        while not self.port_file.exists():
            assert self.process.poll() is None and time.monotonic() < until
            time.sleep(0.01)
        self.port = int(self.port_file.read_text())
        self.foreign_port = self.stats()["foreign_port"]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def call(self, method, path, body=None, headers=None, key=KEY, port=None):
        headers = dict(headers or {})
        if key is not None:
            headers["x-goog-api-key"] = key
        if body is not None and not isinstance(body, (str, bytes)):
            body = json.dumps(body)
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())

    def get(self, path, **options):
        return self.call("GET", path, **options)

    def control(self, method, path, body=None):
        answer = self.call(method, path, body, key=None)
        assert answer.status == 200, answer.body
        return answer.json

    def stats(self):
        return self.control("GET", "/__stats")

    def operations(self, query=""):
        return self.control("GET", "/__operations" + query)

    def rules(self, *rules):
        self.control("POST", "/__rules", list(rules))

    def predict(self, instance, parameters=None, model=VEO, **options):
        body = {"instances": [instance if isinstance(instance, dict) else {"prompt": instance}]}
        if parameters is not None:
            body["parameters"] = parameters
        return self.call("POST", f"/v1beta/models/{model}:predictLongRunning", body, **options)

    def interact(self, text, model=OMNI, **members):
        body = {"model": model, "input": text, "background": True, **members}
        return self.call("POST", "/v1beta/interactions", body)

    def poll_until(self, path, ended):
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.get(path)
            assert answer.status == 200, answer.body
            if ended(answer.json):
                return answer.json
            assert time.monotonic() < until
            time.sleep(0.01)

    def predict_to_end(self, *arguments, **options):
        name = self.predict(*arguments, **options).json["name"]
        return self.poll_until("/v1beta/" + name, lambda answer: answer.get("done"))

    def interact_to_end(self, text, **members):
        name = self.interact(text, **members).json["id"]
        return self.poll_until("/v1beta/interactions/" + name,
                               lambda answer: answer["status"] != "in_progress")

    def download(self, uri, **options):
        """Follows the one redirect."""
        answer = self.get(path_of(uri), **options)
        assert answer.status == 302, answer.body
        return self.get(path_of(answer.headers["Location"]), **options)

    def make_file(self, prompt="a cat", **options):
        return uri_of(self.predict_to_end(prompt, **options))

    def final_path(self, uri):
        return path_of(self.get(path_of(uri)).headers["Location"])


def path_of(uri):
    return "/" + uri.split("/", 3)[3]


def uri_of(operation):
    samples = operation["response"]["generateVideoResponse"]["generatedSamples"]
    return samples[0]["video"]["uri"]


def video_of(interaction):
    blocks = [block for step in interaction["steps"] if step["type"] == "model_output"
              for block in step["content"]]
    return next((block for block in blocks if block["type"] == "video"), None)


@pytest.fixture
def start(tmp_path):
    sims = []

    def start_one(*arguments):
        directory = tmp_path / str(len(sims))
        directory.mkdir()
        sims.append(Sim(directory, *arguments))
        return sims[-1]

    yield start_one
    statuses = [sim.stop() for sim in sims if sim.process.poll() is None]
    assert statuses == [0] * len(statuses)


@pytest.fixture
def sim(start):
    return start()
