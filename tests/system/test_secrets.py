"""A provider may quote the key in its errors: nobody gets to see it. Nor does anybody else get it."""

import json
import pathlib

import pytest

from harness import KEY, OMNI, VEO, Sim, until

TOKEN = "ya29.the-secret-token-of-the-tests"
AGENT_KEY = "AIza-the-secret-key-of-the-agent"
VERTEX = "veo-3.1-fast-generate-001"


@pytest.fixture
def sim(directory):
    sim = Sim(directory, "--token", TOKEN, "--key", KEY).start()
    yield sim
    sim.stop()


@pytest.fixture
def mind(directory):
    """The agent's, elsewhere and with a key of its own."""
    where = directory / "mind"
    where.mkdir()
    mind = Sim(where, "--key", AGENT_KEY).start()
    yield mind
    mind.stop()


@pytest.fixture
def daemon(make_daemon, directory, sim, mind):
    command = directory / "token"
    command.write_text(f"#!/bin/sh\necho {TOKEN}\n")
    command.chmod(0o755)
    vertex = {"dialect": "vertex", "base_url": sim.url, "project": "p", "location": "us-central1",
              "auth": "command", "token_command": str(command), "models": VERTEX}
    agent = {"agent.base_url": mind.url + "/v1beta/openai", "agent.credential": "agent-key"}
    return make_daemon(providers={"veo": {"models": "veo-*-preview"}, "vertex": vertex},
                       options={"daemon.log_level": "debug", **agent},
                       environment={"AGENT_KEY": AGENT_KEY}).start()


def check_hidden(daemon, *shown):
    text = "".join(json.dumps(one) for one in shown) + daemon.log()
    for path in daemon.state.rglob("*"):
        if path.is_file():
            text += path.read_bytes().decode("latin1")
    assert "has been suspended" in text
    for secret in (KEY, TOKEN, AGENT_KEY):
        assert secret not in text


def ask(daemon, text):
    with daemon.client() as client:
        return client.exchange("ASK " + json.dumps({"text": text}))


@pytest.mark.parametrize("model", [OMNI, VEO, VERTEX])
@pytest.mark.parametrize("event", ["submit", "poll"])
def test_quoted_in_an_error(daemon, sim, event, model):
    secret = TOKEN if model == VERTEX else KEY
    sim.rules([{"on": event, "do": "status", "status": 403 if event == "submit" else 500,
                "message": f"Consumer 'api_key:{secret}' has been suspended."}])
    id = daemon.generate("a cat", model=model)["id"]
    if event == "submit":
        assert daemon.wait(id)[0]["state"] == "failed"
    until(lambda: "has been suspended" in daemon.ok(f"WHY {id}")["text"], "the reason")
    why, job = daemon.ok(f"WHY {id}"), daemon.job(id)
    assert f"'api_key:{'*' * len(secret)}'" in why["text"]
    daemon.kill()  # with all of it still in the store's files
    check_hidden(daemon, why, job)


def test_the_agents_key_quoted_in_an_error(daemon, mind):
    mind.rules([{"on": "chat", "do": "status", "status": 403,
                 "message": f"Consumer 'api_key:{AGENT_KEY}' has been suspended."}])
    replies = [reply.value for reply in ask(daemon, "Hello")]
    assert f"'api_key:{'*' * len(AGENT_KEY)}'" in replies[-1]["message"]
    arguments = pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_text()
    daemon.kill()
    check_hidden(daemon, replies, arguments)


def test_the_agents_key_quoted_in_what_is_tried_again(daemon, mind):
    mind.rules([{"on": "chat", "do": "status", "status": 503, "times": 1,
                 "message": f"Consumer 'api_key:{AGENT_KEY}' has been suspended."}])
    replies = [reply.value for reply in ask(daemon, "Hello")]
    assert replies[-1]["finish"] == "answer"
    assert any(reply.get("step") == "retrying" for reply in replies)
    daemon.kill()
    check_hidden(daemon, replies)


@pytest.mark.parametrize("to", ["another origin", "the same"])
def test_chats_follow_no_redirect(daemon, mind, to):
    rule = {"on": "chat", "do": "redirect"}
    if to == "the same":
        rule["location"] = mind.url + "/v1/chat/completions"
    mind.rules([rule])
    last = ask(daemon, "Hello")[-1]
    assert last.word == "ERR" and last.value["code"] == "unavailable"
    assert "302" in last.value["message"]
    stats = mind.stats()
    assert stats["foreign_requests"] == 0 and stats["keys"]["foreign"] == 0
    assert {chat["path"] for chat in mind.call("GET", "/__chats")} <= {
        "/v1beta/openai/chat/completions"}


def test_each_key_goes_to_its_own(daemon, sim, mind):
    """The agent's to the model, the provider's to the provider."""
    reply = ask(daemon, "A cat on a roof")[-1]
    assert reply.word == "OK" and reply.value["jobs"][0]["state"] == "done"
    for side in (sim, mind):
        keys = side.stats()["keys"]
        assert keys["header_ok"] > 0
        assert [keys[where] for where in ("in_url", "missing", "wrong", "foreign")] == [0] * 4
