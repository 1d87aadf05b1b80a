"""contrib/examples, run as they are, against veod and a simulated model that thinks by a script."""

import hashlib
import json
import pathlib

import pytest

from ask import call, script, text
from examples import EXAMPLES, JPEG, Agent, gemini, python_agent, run, typescript_agent
from real import needs


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


@pytest.fixture(params=[
    pytest.param(python_agent, marks=needs("strands"), id="python"),
    pytest.param(typescript_agent, marks=needs("agents-js"), id="typescript")])
def agent(request, directory, daemon, sim):
    return Agent(request.param, gemini(sim.url), directory, daemon)


def test_agent_s_examples(agent, sim):
    said = agent.says()
    words, image, social = sim.operations()
    assert "golden retriever" in words["prompt"] and words["inputs"] == []
    [first_frame] = image["inputs"]
    assert first_frame["role"] == "image"
    assert first_frame["sha256"] == hashlib.sha256(JPEG).hexdigest()
    assert "steam" in image["prompt"]
    assert "white ceramic mug" in social["prompt"] and "9:16" in json.dumps(social["body"])
    assert said.count("completed") >= 3
    assert sim.stats()["chat_refused"] == 0


def test_agent_goes_on_after_its_model_failed(agent, daemon, sim):
    """What it made before is not made again: the conversation goes on."""
    said = agent.says("two videos, please " + script(
        {"calls": [text("a cat"), text("a dog", aspect_ratio="9:16")]},
        {"calls": [call("list_videos")], "errors": [{"status": 500}]},
        {"say": "Both are there."}))
    assert ASKING_AGAIN in said and "Both are there." in said
    assert sorted(operation["prompt"] for operation in sim.operations()) == ["a cat", "a dog"]
    assert [job["state"] for job in daemon.client().items("LIST")] == ["done", "done"]


def test_agent_hears_what_went_wrong(agent, sim):
    said = agent.says("a cat " + script(
        {"calls": [text("a cat", aspect_ratio="5:4")]},
        {"calls": [text("a cat [sim: filter]")]},
        {"say_results": True}))
    assert "aspect_ratio" in said and "filtered" in said
    assert sim.stats()["submissions"] == 1
