"""`veoctl mcp` as the official SDKs' clients see it: Python and TypeScript, 1.x and 2.x.

Each SDK has a driver in tests/real, a program that speaks to `veoctl mcp` by the SDK and does what
it reads from its standard input. The SDKs themselves compare each result with its tool's schema.
"""

import json
import pathlib
import shutil
import subprocess
import threading

import pytest

from harness import PATIENCE, VEOCTL, until, with_parent
from real import NO_WAY_OUT, REAL, needs, node, python, with_packages

PROTOCOL = "2025-11-25"
QUICK = 8  # seconds; an SDK whose probe gets no answer waits ten, or sixty
TOOLS = ["generate_video_from_text", "generate_video_from_image", "check_video_status",
         "wait_for_video", "list_videos", "cancel_video", "get_costs", "list_models"]
PNG = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0" + bytes(range(256)))

SDKS = [pytest.param(name, marks=needs(environment)) for name, environment in
        [("python-1", "strands"), ("python-2", "mcp2"), ("node-1", "agents-js"),
         ("node-2", "agents-js")]]


def driver(sdk, directory):
    language, generation = sdk.split("-")
    if language == "python":
        environment = "strands" if generation == "1" else "mcp2"
        return [python(environment), REAL / environment / "mcp_driver.py"]
    for source in (REAL / "agents-js").glob("*.mjs"):
        shutil.copy(source, directory)
    with_packages("agents-js", directory)
    return [node("agents-js"), directory / f"mcp{generation}_driver.mjs"]


class Driver:
    """`hello` is what it found when it connected."""

    def __init__(self, sdk, directory, daemon):
        self.errors = directory / "driver.log"
        with open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(
                with_parent([*driver(sdk, directory), VEOCTL, "mcp"]), text=True, cwd=directory,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors,
                env={"PATH": "/usr/bin:/bin", "HOME": str(directory),
                     "VEOD_SOCKET": daemon.socket, "ASAN_OPTIONS": "detect_leaks=1", **NO_WAY_OUT})
        self.watchdog = threading.Timer(PATIENCE, self.process.kill)
        self.watchdog.start()
        self.hello = self.read()
        self.schemas = {tool["name"]: tool["outputSchema"] for tool in self.hello["tools"]}

    def read(self):
        line = self.process.stdout.readline()
        assert line, self.errors.read_text()
        return json.loads(line)

    def ask(self, name, arguments=None, **more):
        asked = {"name": name, "arguments": arguments or {}, **more}
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return self.read()

    def call(self, name, arguments=None, fails=False):
        """The structured result of a call, and its links."""
        outcome = self.ask(name, arguments)
        assert "result" in outcome, outcome
        result = outcome["result"]
        assert bool(result.get("isError")) is fails, result
        structured = result["structuredContent"]
        # The schemas allow for more than they describe, in case it is there one day.
        assert set(structured) <= set(self.schemas[name]["properties"]), structured
        texts = [part["text"] for part in result["content"] if part["type"] == "text"]
        assert json.loads(texts[0]) == structured, result
        return structured, [part for part in result["content"] if part["type"] == "resource_link"]

    def close(self):
        """At the end of its input it lets `veoctl mcp` end, and ends."""
        self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        self.watchdog.cancel()
        assert status == 0 and "Sanitizer" not in self.errors.read_text(), self.errors.read_text()


@pytest.fixture(params=SDKS)
def client(request, directory, make_daemon):
    work = directory / "driver"
    work.mkdir()
    client = Driver(request.param, work, make_daemon().start())
    yield client
    client.process.kill()
    client.process.wait(PATIENCE)
    client.watchdog.cancel()


def check_hello(client):
    assert client.hello["protocol"] == PROTOCOL
    assert client.hello["server"]["name"] == "veod"
    assert client.hello["instructions"]
    assert client.hello["seconds"] < QUICK
    assert [tool["name"] for tool in client.hello["tools"]] == TOOLS
    # Gemini refuses a tool without, also behind LiteLLM.
    assert all(tool["inputSchema"]["properties"] for tool in client.hello["tools"])


def check_videos(client, directory):
    made, links = client.call("generate_video_from_text",
                              {"prompt": "a cat", "aspect_ratio": "9:16"})
    assert made["status"] == "completed" and made["aspect_ratio"] == "9:16", made
    [link] = links
    assert link["uri"] == pathlib.Path(made["path"]).as_uri() and link["mimeType"] == "video/mp4"
    assert pathlib.Path(made["path"]).read_bytes()[4:8] == b"ftyp"

    (directory / "driver/first frame.png").write_bytes(PNG)
    moved, _ = client.call("generate_video_from_image",
                           {"prompt": "it jumps", "image_path": "first frame.png"})
    assert moved["status"] == "completed" and moved["image_path"] == "first frame.png", moved

    for name in made["job"], made["operation_name"]:
        seen, links = client.call("check_video_status", {"operation_name": name})
        assert seen["status"] == "completed" and seen["path"] == made["path"] and len(links) == 1


def check_slow_video(client):
    slow, links = client.call("generate_video_from_text",
                              {"prompt": "a river [sim: latency=1h]", "wait": False})
    assert slow["status"] == "processing" and slow["success"] and not links, slow
    waited, _ = client.call("wait_for_video",
                            {"operation_name": slow["job"], "timeout_seconds": 0.1})
    assert waited["status"] == "processing", waited
    cancelled, _ = client.call("cancel_video", {"operation_name": slow["job"]})
    assert cancelled["status"] == "cancelled", cancelled


def check_lists(client):
    videos, _ = client.call("list_videos")
    assert [video["status"] for video in videos["videos"]] == ["cancelled", "completed",
                                                               "completed"]
    costs, _ = client.call("get_costs")
    assert costs["success"] and costs["rows"], costs
    models, _ = client.call("list_models")
    assert any("default_model" in model for model in models["models"])
    some, _ = client.call("list_models", {"model": "OMNI"})
    assert 0 < some["count"] < models["count"]
    assert all("omni" in model["model"] for model in some["models"])


def check_failures(client):
    filtered, _ = client.call("generate_video_from_text", {"prompt": "a cat [sim: filter]"},
                              fails=True)
    assert filtered["status"] == "filtered" and not filtered["success"]
    unknown, _ = client.call("check_video_status", {"operation_name": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
                             fails=True)
    assert unknown["code"] == "not-found"
    bad, _ = client.call("generate_video_from_text", {"prompt": "a cat", "aspect_ratio": "5:4"},
                         fails=True)
    assert bad["field"] == "aspect_ratio"
    assert client.ask("paint_picture")["error"]["code"] == -32602


def test_every_tool(client, directory):
    check_hello(client)
    check_videos(client, directory)
    check_slow_video(client)
    check_lists(client)
    check_failures(client)
    client.close()


def test_progress_and_cancel(client, sim):
    made = client.ask("generate_video_from_text", {"prompt": "a cat [sim: latency=1s]"})
    assert made["result"]["structuredContent"]["status"] == "completed", made
    steps = [step for step, _, _ in made["progress"]]
    assert steps and steps == sorted(set(steps)), made
    assert all(message for _, _, message in made["progress"]), made

    slow = client.ask("generate_video_from_text", {"prompt": "a river [sim: latency=1h]"},
                      cancel=True)
    assert slow["cancelled"] and slow["progress"] and "result" not in slow
    until(lambda: len(sim.operations("a river")) == 1, "the submission")
    videos, _ = client.call("list_videos")  # the connection is as good as before
    assert videos["videos"][0]["prompt"].startswith("a river")
    client.close()
