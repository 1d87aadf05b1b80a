"""A provider may quote the key in its errors: nobody gets to see it."""

import json

import pytest

from harness import KEY, OMNI, VEO, Sim, until

TOKEN = "ya29.the-secret-token-of-the-tests"
VERTEX = "veo-3.1-fast-generate-001"


@pytest.fixture
def sim(directory):
    sim = Sim(directory, "--token", TOKEN).start()
    yield sim
    sim.stop()


@pytest.fixture
def daemon(make_daemon, directory, sim):
    command = directory / "token"
    command.write_text(f"#!/bin/sh\necho {TOKEN}\n")
    command.chmod(0o755)
    vertex = {"dialect": "vertex", "base_url": sim.url, "project": "p", "location": "us-central1",
              "auth": "command", "token_command": str(command), "models": VERTEX}
    return make_daemon(providers={"veo": {"models": "veo-*-preview"}, "vertex": vertex},
                       options={"daemon.log_level": "debug"}).start()


def check_hidden(daemon, *shown):
    text = "".join(json.dumps(one) for one in shown) + daemon.log()
    for path in daemon.state.rglob("*"):
        if path.is_file():
            text += path.read_bytes().decode("latin1")
    assert "has been suspended" in text
    for secret in (KEY, TOKEN):
        assert secret not in text


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
