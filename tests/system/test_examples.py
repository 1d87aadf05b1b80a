"""contrib/examples, run as they are, against veod and a simulated model that thinks by a script."""

import collections
import hashlib
import json
import pathlib
import shutil
import subprocess

import pytest

from harness import KEY, PATIENCE, VEOCTL
from real import NO_WAY_OUT, needs, node, python, with_packages

EXAMPLES = pathlib.Path(__file__).parents[2] / "contrib/examples"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + bytes(range(251))


def run(command, daemon, cwd=None, env=None, timeout=PATIENCE):
    return subprocess.run(
        list(map(str, command)), cwd=cwd, timeout=timeout, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "VEOD_SOCKET": daemon.socket, **(env or {})})


@pytest.fixture
def daemon(make_daemon):
    return make_daemon().start()


CLIENTS = ["client.py", "client.sh"]


@pytest.mark.parametrize("client", CLIENTS)
def test_client(daemon, sim, client):
    done = run([EXAMPLES / client, 'a "cat" on [sim: latency=2s]', "a  wall\nQUIT"], daemon)
    assert done.returncode == 0, done.stderr
    path = pathlib.Path(done.stdout.removesuffix("\n"))
    assert path.read_bytes()[4:8] == b"ftyp"
    assert done.stderr.splitlines()[-1].endswith("done")
    [operation] = sim.operations()
    between = "\n" if client == "client.py" else " "
    assert operation["prompt"] == f'a "cat" on [sim: latency=2s] a  wall{between}QUIT'


@pytest.mark.parametrize("client", CLIENTS)
def test_client_without_video(daemon, client):
    done = run([EXAMPLES / client, "a cat [sim: fail=3]"], daemon)
    assert done.returncode == 1 and done.stdout == ""
    assert "failed" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("client", CLIENTS)
def test_client_refused(daemon, sim, client):
    done = run([EXAMPLES / client, ""], daemon)
    assert done.returncode == 1 and done.stdout == ""
    assert "prompt" in done.stderr
    assert sim.stats()["submissions"] == 0


# ---- the agents, with a model that does what the user's words say it does ----

ASKING_AGAIN = "Asking again in 5 s."


def script(*steps):
    return f"[model: {json.dumps(steps)}]"


def call(tool, **arguments):
    return {"name": tool, "arguments": arguments}


def python_agent(directory):
    return [python("strands"), EXAMPLES / "strands-python/main.py"]


def typescript_agent(directory):
    copy = directory / "strands-typescript"
    shutil.copytree(EXAMPLES / "strands-typescript", copy)
    with_packages("agents-js", copy)
    return [node("agents-js"), copy / "main.ts"]


def gemini(sim):
    return {"GOOGLE_GEMINI_BASE_URL": sim.url, "GEMINI_API_KEY": KEY}


def litellm(sim):
    return {"OPENAI_BASE_URL": f"{sim.url}/v1", "OPENAI_API_KEY": KEY}


# `requests`: how often the client of the model asks before it gives up.
Kind = collections.namedtuple("Kind", "command model requests")
PYTHON = pytest.param(Kind(python_agent, gemini, 1), marks=needs("strands"), id="python")
PYTHON_LITELLM = pytest.param(Kind(python_agent, litellm, 3), marks=needs("strands"),
                              id="python-litellm")
TYPESCRIPT = pytest.param(Kind(typescript_agent, gemini, 1), marks=needs("agents-js"),
                          id="typescript")


class Agent:
    """Works in a folder with the image that one of the examples begins with."""

    def __init__(self, kind, directory, daemon, sim):
        self.requests = kind.requests
        self.command = kind.command(directory)
        self.daemon = daemon
        self.folder = directory / "work"
        (directory / "bin").mkdir()
        (directory / "bin/veoctl").symlink_to(VEOCTL)
        (self.folder / "images").mkdir(parents=True)
        (self.folder / "images/coffee_cup.jpg").write_bytes(JPEG)
        self.environment = {"PATH": f"{directory}/bin:/usr/bin:/bin", "HOME": str(directory),
                            **kind.model(sim), **NO_WAY_OUT}

    def says(self, *words):
        done = run([*self.command, *words], self.daemon, self.folder, self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture
def agent(request, directory, daemon, sim):
    return Agent(request.param, directory, daemon, sim)


@pytest.mark.parametrize("agent", [PYTHON, TYPESCRIPT], indirect=True)
def test_agent_s_examples(agent, sim):
    said = agent.says()
    text, image, social = sim.operations()
    assert "golden retriever" in text["prompt"] and text["inputs"] == []
    [first_frame] = image["inputs"]
    assert first_frame["role"] == "image"
    assert first_frame["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert "steam" in image["prompt"]
    assert "white ceramic mug" in social["prompt"] and "9:16" in json.dumps(social["body"])
    assert said.count("completed") >= 3
    assert sim.stats()["chat_refused"] == 0


@pytest.mark.parametrize("agent", [PYTHON_LITELLM, TYPESCRIPT], indirect=True)
def test_agent_goes_on_after_its_model_failed(agent, daemon, sim):
    """What it made before is not made again: the conversation goes on."""
    said = agent.says("two videos, please " + script(
        {"calls": [call("generate_video_from_text", prompt="a cat"),
                   call("generate_video_from_text", prompt="a dog", aspect_ratio="9:16")]},
        {"calls": [call("list_videos")], "errors": [{"status": 500, "times": agent.requests}]},
        {"say": "Both are there."}))
    assert ASKING_AGAIN in said and "Both are there." in said
    assert sorted(operation["prompt"] for operation in sim.operations()) == ["a cat", "a dog"]
    assert [job["state"] for job in daemon.client().items("LIST")] == ["done", "done"]


@pytest.mark.parametrize("agent", [PYTHON, TYPESCRIPT], indirect=True)
def test_agent_hears_what_went_wrong(agent, sim):
    said = agent.says("a cat " + script(
        {"calls": [call("generate_video_from_text", prompt="a cat", aspect_ratio="5:4")]},
        {"calls": [call("generate_video_from_text", prompt="a cat [sim: filter]")]},
        {"say_results": True}))
    assert "aspect_ratio" in said and "filtered" in said
    assert sim.stats()["submissions"] == 1
