"""Access tokens: where they come from, when they are renewed, and what waits for them."""

import json
import os
import re
import subprocess
import sys

import pytest

from harness import Sim, until

MODEL = "veo-3.1-generate-001"
OMNI2 = "gemini-omni-1.2-flash"
SOURCES = ("service-account", "metadata", "command")
SECRET = re.compile(r"ya29\.c\.sim-|PRIVATE KEY|eyJ[A-Za-z0-9_-]{10,}\.")
LONG = "[sim: latency=1h] "

# Prints a token as the metadata server gives it, and counts how often it was run.
FETCH = """import json, sys, urllib.request
with open(sys.argv[2], "a") as file:
    file.write("run\\n")
request = urllib.request.Request(sys.argv[1], headers={"Metadata-Flavor": "Google"})
print(json.load(urllib.request.urlopen(request))["access_token"])
"""


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    """A service account's private key, and the file with its public half."""
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(["openssl", "genrsa", "-out", folder / "key", "2048"], check=True,
                   capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", folder / "key", "-pubout", "-out", folder / "public"],
                   check=True, capture_output=True)
    return (folder / "key").read_text(), folder / "public"


@pytest.fixture
def sim(directory, key):
    return Sim(directory, "--service-account", str(key[1])).start()


@pytest.fixture(autouse=True)
def stop_sim(sim):
    yield
    sim.stop()


def write_account(directory, key, **changed):
    account = {"type": "service_account", "project_id": "p-1", "private_key_id": "k-1",
               "private_key": key, "client_email": "robot@p-1.iam.gserviceaccount.com", **changed}
    path = directory / "account.json"
    path.write_text(json.dumps(account, indent=2))
    path.chmod(0o600)
    return path


@pytest.fixture
def make(directory, sim, make_daemon, key):
    """A daemon with Vertex AI as a provider that gets its tokens from one of SOURCES."""

    def make(auth, options=None, **provider):
        keys = {"dialect": "vertex", "base_url": sim.url, "storage_url": sim.url,
                "project": "p-1", "location": "us-central1", "models": "veo-3.1-generate-001",
                "auth": auth, **provider}
        environment = {}
        if auth == "service-account":
            account = write_account(directory, key[0], token_uri=f"{sim.url}/token")
            keys.setdefault("credential_file", str(account))
        if auth == "metadata":
            environment["GCE_METADATA_HOST"] = sim.url.removeprefix("http://")
        if auth == "command" and "token_command" not in keys:
            (directory / "fetch.py").write_text(FETCH)
            keys["token_command"] = (
                f"{sys.executable} {directory}/fetch.py {sim.url}/computeMetadata/v1/instance/"
                f"service-accounts/default/token {directory}/runs")
        others = {"models": "veo-3.1-generate-preview"}
        return make_daemon(providers={"vertex": keys, "veo": others}, environment=environment,
                           options={"daemon.default_model": MODEL, **(options or {})}).start()

    return make


def tokens(sim):
    return sim.stats()["tokens"]


def all_told(daemon, *ids):
    """All that people can see of jobs."""
    return daemon.log() + "".join(
        json.dumps(daemon.ok(f"{verb} {id}")) for id in ids for verb in ("STATUS", "WHY"))


@pytest.mark.parametrize("results", ["inline", "storage"])
@pytest.mark.parametrize("auth", SOURCES)
def test_sources(make, sim, auth, results):
    storage = {"storage_uri": "gs://bucket/videos"} if results == "storage" else {}
    daemon = make(auth, **storage)
    ids = [daemon.generate()["id"] for _ in range(5)]
    jobs = daemon.wait(*ids)
    assert [job["state"] for job in jobs] == ["done"] * 5, jobs
    assert daemon.path_of(jobs[0]).read_bytes()[4:8] == b"ftyp"
    stats = tokens(sim)
    assert stats["issued"] == 1  # for all requests
    assert stats["bearer_ok"] >= 10 and stats["bearer_missing"] == stats["bearer_wrong"] == 0
    assert not SECRET.search(all_told(daemon, *ids))


@pytest.mark.parametrize("auth", SOURCES[:2])
def test_renewed_before_the_end(directory, make, key, sim, auth):
    sim.stop()
    sim.arguments += ["--token-seconds", "3"]
    sim.start()
    daemon = make(auth)
    id = daemon.generate("[sim: latency=8s] a cat")["id"]
    job, = daemon.wait(id)
    assert job["state"] == "done"
    stats = tokens(sim)
    assert stats["issued"] >= 3
    # A poll may be on its way when a token ends, but that is not how they are renewed.
    assert stats["bearer_wrong"] < stats["issued"] - 1


@pytest.mark.parametrize("auth", SOURCES)
def test_renewed_once_when_refused(make, sim, directory, auth):
    daemon = make(auth, options={"poll.min": "300ms", "poll.max": "300ms"})
    ids = [daemon.generate(LONG + "a cat")["id"] for _ in range(20)]
    for id in ids:
        daemon.wait_state(id, "running")
    before = tokens(sim)
    sim.call("POST", "/__revoke")
    until(lambda: tokens(sim)["bearer_ok"] >= before["bearer_ok"] + 40, "polls go on")
    after = tokens(sim)
    assert after["issued"] == before["issued"] + 1
    assert 1 <= after["bearer_wrong"] <= 20
    if auth == "command":
        assert (directory / "runs").read_text().count("run") == 2
    assert all(daemon.job(id)["state"] == "running" for id in ids)


def test_a_submission_finds_its_token_refused(make, sim):
    daemon = make("metadata")
    daemon.wait(daemon.generate()["id"])
    sim.call("POST", "/__revoke")
    job, = daemon.wait(daemon.generate()["id"])
    assert job["state"] == "done" and job["attempts"] == 1
    assert tokens(sim)["bearer_wrong"] == 1


def test_a_download_finds_its_token_refused(make, sim):
    daemon = make("metadata", storage_uri="gs://bucket/videos")
    sim.rules([{"on": "download", "do": "status", "status": 401, "times": 1}])
    job, = daemon.wait(daemon.generate()["id"])
    assert job["state"] == "done"
    assert tokens(sim)["issued"] == 2


def test_then_a_refusal_counts(make, sim, directory):
    """A token that is fresh and refused as well is not what is wrong."""
    (directory / "wrong.py").write_text(
        f"open('{directory}/runs', 'a').write('run\\n')\nprint('a-wrong-one')\n")
    daemon = make("command", token_command=f"{sys.executable} {directory}/wrong.py")
    ids = [daemon.generate()["id"] for _ in range(5)]
    for job in daemon.wait(*ids):
        assert job["state"] == "failed" and job["error"]["code"] == "unauthenticated", job
        assert job["error"]["provider"] == "vertex"
    assert (directory / "runs").read_text().count("run") == 2
    assert sim.operations() == []
    assert "a-wrong-one" not in all_told(daemon, *ids)


FAILING = {
    "service-account": "invalid_grant|status 503|internal_failure",
    "metadata": "status 503",
    "command": "ended with status 1",
}


@pytest.mark.parametrize("auth", SOURCES)
def test_a_failing_source_holds_jobs(make, sim, auth):
    sim.rules([{"on": "token", "do": "status", "status": 503}])
    daemon = make(auth)
    id = daemon.generate()["id"]
    why = until(lambda: re.search("waits for a token: .*(" + FAILING[auth] + ")",
                                  json.dumps(daemon.ok(f"WHY {id}"))), "WHY says so")
    assert why
    job = daemon.job(id)
    assert job["state"] == "queued" and job["attempts"] == 0
    assert sum(tokens(sim).values()) == 0  # nothing was asked without
    # Others are not held.
    assert daemon.wait(daemon.generate(model="veo-3.1-generate-preview")["id"])[0]["state"] == "done"
    sim.clear_rules()
    assert daemon.wait(id)[0]["state"] == "done"
    assert not SECRET.search(all_told(daemon, id))


def test_polls_rest_without_a_token(make, sim):
    daemon = make("metadata")
    id = daemon.generate("[sim: latency=2s] a cat")["id"]
    daemon.wait_state(id, "running")
    sim.rules([{"on": "token", "do": "status", "status": 503}])
    sim.call("POST", "/__revoke")
    until(lambda: "waits for a token: " in json.dumps(daemon.ok(f"WHY {id}")), "WHY says so")
    polls = daemon.job(id)["polls"]
    operation = daemon.job(id)["operation_name"]
    until(lambda: "status 503" in json.dumps(daemon.ok(f"WHY {id}")), "WHY says so")
    assert daemon.job(id)["polls"] == polls
    sim.clear_rules()
    job, = daemon.wait(id)
    assert job["state"] == "done" and job["operation_name"] == operation
    assert job["attempts"] == 1


def test_downloads_rest_without_a_token(make, sim):
    daemon = make("metadata", storage_uri="gs://bucket/videos")
    sim.rules([{"on": "token", "do": "status", "status": 503, "skip": 1},
               {"on": "download", "do": "status", "status": 401, "times": 1}])
    id = daemon.generate()["id"]
    until(lambda: "status 503" in json.dumps(daemon.ok(f"WHY {id}")), "WHY says so")
    assert "waits for a token: " in json.dumps(daemon.ok(f"WHY {id}"))
    assert daemon.job(id)["state"] == "fetching"
    sim.clear_rules()
    assert daemon.wait(id)[0]["state"] == "done"
    assert len(sim.operations()) == 1


def test_a_question_waits_for_a_token(make, sim):
    daemon = make("metadata")
    id = daemon.generate("[sim: latency=1h] a cat")["id"]
    name = daemon.wait_state(id, "running")["operation_name"]
    daemon.ok(f"CANCEL {id}")
    daemon.ok(f"FORGET {id}")
    daemon.restart()  # it has no token again
    assert daemon.ok(f"STATUS {name}")["operation_name"] == name
    sim.rules([{"on": "token", "do": "status", "status": 503}])
    daemon.restart()
    with daemon.client() as client:
        assert "waits for a token" in client.err(f"STATUS {name}", "unavailable")["message"]


def test_the_provider_is_told_to_cancel(make, sim):
    daemon = make("metadata", dialect="interactions", api_version="v1beta1", location="global",
                  models="gemini-omni-*", options={"daemon.default_model": OMNI2})
    id = daemon.generate(LONG + "a cat", provider="vertex")["id"]
    daemon.wait_state(id, "running")
    sim.rules([{"on": "token", "do": "status", "status": 503, "times": 1}])
    sim.call("POST", "/__revoke")
    daemon.ok(f"CANCEL {id}")
    until(lambda: sim.operations()[0]["cancelled"], "the provider knows")
    assert tokens(sim)["issued"] == 2


def test_no_token_for_others(make, sim):
    """Neither where a result is elsewhere, nor where one is redirected to."""
    daemon = make("metadata", storage_uri="gs://bucket/videos")
    sim.rules([{"on": "download", "do": "redirect", "times": 1}])
    assert daemon.wait(daemon.generate()["id"])[0]["state"] == "done"
    stats = sim.stats()
    assert stats["foreign_requests"] > 0 and stats["tokens"]["bearer_foreign"] == 0


def test_a_source_that_is_slow(make, sim, directory):
    """The loop goes on meanwhile, and an end doesn't wait for it."""
    daemon = make("command", token_command="/bin/sleep 600")
    id = daemon.generate()["id"]
    assert "waits for a token: it is being fetched" in json.dumps(daemon.ok(f"WHY {id}"))
    assert daemon.ok("PING") is not None
    daemon.terminate()


def test_ready_made(make, sim, directory):
    """auth = key with a credential that is an access token."""
    sim.stop()
    sim.arguments += ["--token", "ready-made-token"]
    sim.start()
    file = directory / "token"
    file.write_text("ready-made-token\n")
    file.chmod(0o600)
    daemon = make("key", credential_file=str(file))
    assert daemon.wait(daemon.generate()["id"])[0]["state"] == "done"
    assert tokens(sim)["issued"] == 0 and "ready-made" not in daemon.log()


@pytest.mark.parametrize("changed,words", [
    ({}, ""),
    ({"private_key": "none"}, "private_key"),
    ({"client_email": None}, "client_email"),
    ({"type": "authorized_user"}, "service_account"),
    ({"token_uri": "http://example.com/token"}, "token_uri"),
])
def test_check(directory, make_daemon, key, changed, words):
    account = write_account(directory, key[0], **changed)
    daemon = make_daemon(providers={"vertex": {
        "dialect": "vertex", "project": "p", "location": "us-central1", "auth": "service-account",
        "credential_file": str(account)}})
    result = subprocess.run([*daemon.command_line(), "--check"], capture_output=True, text=True,
                            env={**os.environ, "GEMINI_API_KEY": "x"}, timeout=60)
    assert result.returncode == (78 if words else 0), result.stderr
    assert words in result.stderr and not SECRET.search(result.stderr)
