"""Agents whose model is behind a real LiteLLM proxy: ASK, and those of contrib/examples.

The proxy reaches the simulated model in two ways: as Gemini, by generateContent, where it puts the
thought signatures into the calls' ids; and as a model of OpenAI's, whose messages it passes on.
"""

import contextlib

import pytest

from ask import Turn, ask, call, script, text
from examples import Agent, gemini, litellm, python_agent, typescript_agent
from harness import Daemon, Sim, short_directory
from litellm_proxy import GOOGLE_KEY, PROXY_KEY, Proxy
from real import NO_WAY_OUT, needs

GEMINI = "gemini-flash-latest"
OPENAI = "scripted"

pytestmark = needs("litellm")


@pytest.fixture(params=[GEMINI, OPENAI])
def model(request):
    return request.param


@pytest.fixture(scope="module")
def parts(programs):
    with short_directory() as directory, contextlib.ExitStack() as stack:
        sim = Sim(directory, "--key", GOOGLE_KEY).start()
        stack.callback(sim.stop)
        proxy = Proxy(directory, GEMINI_API_BASE=sim.url, GENERATE_API_BASE=f"{sim.url}/v1beta",
                      CHAT_API_BASE=f"{sim.url}/v1")
        stack.callback(proxy.stop)
        proxy.wait_ready()
        yield sim, proxy


@pytest.fixture
def sim(parts):
    sim, _ = parts
    sim.reset()
    sim.clear_rules()
    return sim


@pytest.fixture
def proxy(parts):
    return parts[1]


@pytest.fixture
def daemon(proxy, sim, directory, model):
    daemon = Daemon(directory, sim, options={
        "agent.base_url": f"{proxy.url}/v1", "agent.model": model,
        "agent.credential": "litellm-key"},
        environment={"GEMINI_API_KEY": GOOGLE_KEY, "LITELLM_KEY": PROXY_KEY, **NO_WAY_OUT})
    daemon.start()
    yield daemon
    try:
        daemon.close()
    finally:
        print(daemon.log()[-8000:], proxy.log_path.read_text()[-8000:], sep="\n---\n")


def test_one_tool(daemon, sim):
    turn = ask(daemon.client(), "A cat. " + script(
        {"calls": [text("a cat", aspect_ratio="9:16")], "text": "I make it."}, {"say": "There."}))
    answer = turn.ok()
    assert answer["text"] == "There." and answer["tokens"] > 0
    [job] = answer["jobs"]
    assert job["state"] == "done" and job["aspect_ratio"] == "9:16"
    assert daemon.path_of(job).read_bytes()[4:8] == b"ftyp"
    assert [event["text"] for event in turn.steps("text")] == ["I make it."]
    assert sim.stats()["chat_refused"] == 0
    assert PROXY_KEY not in daemon.log()


def test_parallel_tools(daemon, sim):
    answer = ask(daemon.client(), "Three. " + script(
        {"calls": [text("a cat"), text("a dog"), text("a fox", aspect_ratio="5:4")]},
        {"calls": [text("a fox", aspect_ratio="16:9")]},
        {"say_results": True})).ok()
    assert sorted(job["prompt"] for job in answer["jobs"]) == ["a cat", "a dog", "a fox"]
    assert {job["state"] for job in answer["jobs"]} == {"done"}
    assert "aspect_ratio" in answer["text"]
    assert sim.stats()["submissions"] == 3 and sim.stats()["chat_refused"] == 0


def test_three_turns(daemon, sim):
    """The signatures of earlier turns come back as well."""
    client = daemon.client()
    first = ask(client, "A cat. " + script({"calls": [text("a cat")]}, {"say": "There."})).ok()
    [job] = first["jobs"]
    second = ask(client, "How is it? " + script(
        {"calls": [call("check_video_status", operation_name=job["operation_name"])]},
        {"say_results": True}), session=first["session"]).ok()
    assert "completed" in second["text"]
    third = ask(client, "Another. " + script({"calls": [text("a dog")]}, {"say": "There, too."}),
                session=first["session"]).ok()
    assert third["text"] == "There, too." and len(third["jobs"]) == 1
    assert sim.stats()["submissions"] == 2 and sim.stats()["chat_refused"] == 0


def test_restart_in_the_middle(daemon, sim):
    turn = Turn(daemon.client(), "A cat. " + script(
        {"calls": [text("a cat [sim: latency=2s]")]}, {"say": "There."}))
    turn.until("job", state="running")
    daemon.kill()
    daemon.start()
    later = Turn(daemon.client(), session=turn.session)
    assert later.ok()["text"] == "There."
    assert sim.stats()["submissions"] == 1 and sim.stats()["chat_refused"] == 0


def test_rate_limit(daemon, sim):
    """The proxy asks three times by itself; then it is for the turn to wait, and to go on."""
    turn = ask(daemon.client(), "A cat. " + script(
        {"calls": [text("a cat")]},
        {"say": "There.", "errors": [{"status": 429, "retry_info": "0.2s", "times": 4}]}))
    assert turn.ok()["text"] == "There."
    assert turn.steps("retrying")
    assert sim.stats()["submissions"] == 1


def test_wrong_key(daemon, sim):
    """The proxy looks for unknown keys in a database, and has none."""
    daemon.terminate()
    daemon.start(environment={"LITELLM_KEY": "sk-of-somebody-else"})
    turn = ask(daemon.client(), "A cat.")
    assert "No connected db" in turn.err("unavailable")["message"]
    assert not turn.steps("retrying") and sim.stats()["chat_requests"] == 0


def test_wrong_key_of_the_proxy(daemon, sim):
    sim.rules([{"on": "chat", "do": "status", "status": 400,
                "message": "API key not valid. Please pass a valid API key."}])
    turn = ask(daemon.client(), "A cat.")
    assert "API key not valid" in turn.err("unavailable")["message"]
    assert not turn.steps("retrying") and sim.stats()["submissions"] == 0


def through_openai(proxy):
    return litellm(proxy.url, PROXY_KEY)


def through_gemini(proxy):
    return gemini(f"{proxy.url}/gemini", PROXY_KEY)


@pytest.mark.parametrize("model", [GEMINI], indirect=True)
@pytest.mark.parametrize("command, address", [
    pytest.param(python_agent, through_openai, marks=needs("strands"), id="python"),
    pytest.param(typescript_agent, through_gemini, marks=needs("agents-js"), id="typescript")])
def test_example(daemon, sim, proxy, directory, command, address):
    """As the examples' READMEs say that it is done."""
    said = Agent(command, address(proxy), directory, daemon).says("Two. " + script(
        {"calls": [text("a cat"), text("a dog")]}, {"calls": [call("list_videos")]},
        {"say": "Both are there."}))
    assert "Both are there." in said
    assert sim.stats()["submissions"] == 2 and sim.stats()["chat_refused"] == 0
