"""[agent]: what ASK needs, what it bounds, and what becomes of conversations."""

import json
import subprocess
import time

import pytest

from harness import KEY, NOBODY, until
from test_reload import Configured

OTHER_KEY = "the-other-key-of-the-tests"
CHECK = {"name": "check_video_status", "arguments": {"operation_name": "no-such"}}


def script(*steps, text="Do it."):
    return f"{text} [model: {json.dumps(steps)}]"


SLOW = script({"say": "At last.", "delay": "60s"})
FOR_EVER = script({"repeat": True, "calls": [CHECK]})


def ask(client, text=None, **members):
    """The last reply; the EVENTs before it are dropped."""
    if text is not None:
        members["text"] = text
    return client.request("ASK " + json.dumps(members))


def answer(client, text=None, **members):
    reply = ask(client, text, **members)
    assert reply.word == "OK", reply
    return reply.value


def refusal(client, code, text=None, **members):
    reply = ask(client, text, **members)
    assert reply.word == "ERR" and reply.value["code"] == code, reply
    return reply.value


def begin(client, text):
    """A turn that is under way: its session."""
    client.send("ASK " + json.dumps({"text": text}))
    while True:
        reply = client.read()
        assert reply.word == "EVENT", reply
        if reply.value["step"] == "thinking":
            return reply.value["session"]


@pytest.fixture
def make(make_daemon, sim):
    def make(**options):
        keys = {f"agent.{key}": value for key, value in options.items()}
        return make_daemon(options={"agent.base_url": sim.url + "/v1beta/openai", **keys})

    return make


@pytest.fixture
def configured(directory, sim):
    """A daemon with a file; write(lines of [agent])."""
    class Agent(Configured):
        def write(self, more=""):
            super().write(f"[agent]\nbase_url = {sim.url}/v1beta/openai\n{more}")

    daemon = Agent(directory, sim)
    yield daemon
    daemon.close()


def reload(daemon):
    return daemon.ok("RELOAD")["changed"]


def first_message(sim):
    return sim.call("GET", "/__chats")[-1]["messages"][0]


# ---- the credential ----


def test_a_missing_credential(make, sim):
    daemon = make(credential="other-key").start()
    with daemon.client() as client:
        why = refusal(client, "unavailable", "Hello")["message"]
        assert '[agent] no credential "other-key"' in why
        id = client.generate("a cat")["id"]  # all else works
        assert client.wait(id)[0]["state"] == "done"
    assert sim.stats()["chat_requests"] == 0
    daemon.restart(environment={"OTHER_KEY": KEY})
    with daemon.client() as client:
        assert answer(client, script({"say": "Good evening."}))["text"] == "Good evening."


def test_a_credential_that_others_can_read(make, directory):
    file = directory / "key"
    file.write_text(OTHER_KEY)
    file.chmod(0o644)
    daemon = make(credential="none", credential_file=file).start()
    with daemon.client() as client:
        why = refusal(client, "unavailable", "Hello")["message"]
        assert str(file) in why and "0600" in why and OTHER_KEY not in why


def test_the_check_of_the_configuration(make, directory):
    """Without a key only ASK is refused; a prompt that isn't there is a mistake."""
    daemon = make(credential="other-key")
    command = [*daemon.command_line(), "--check"]
    environment = {"GEMINI_API_KEY": KEY}
    assert subprocess.run(command, env=environment).returncode == 0
    command += ["-o", f"agent.system_prompt={directory}/none"]
    found = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert found.returncode == 78
    assert f"[agent] system_prompt {directory}/none: No such file or directory" in found.stderr


# ---- the system prompt ----


@pytest.mark.parametrize("content,why", [
    (None, "No such file or directory"), (b"\xff\xfe", "no text in UTF-8"), (b" \n", "empty"),
    (b"x" * 65537, "longer than 64 KiB")])
def test_a_bad_system_prompt(configured, directory, content, why):
    file = directory / "prompt.txt"
    if content is not None:
        file.write_bytes(content)
    configured.write(f"system_prompt = {file}\n")
    configured.spawn()
    assert configured.process.wait(60) == 78
    assert f"[agent] system_prompt {file}: {why}" in configured.log()


def test_another_system_prompt(configured, directory, sim):
    file = directory / "prompt.txt"
    configured.write()
    configured.start()
    with configured.client() as client:
        answer(client, script({"say": "x"}))
        assert "generate_video_from_text" in first_message(sim)["content"]
        file.write_text("You are a parrot. Today is {today}.\n")
        configured.write(f"system_prompt = {file}\nrounds = 7\n")
        assert reload(configured) == ["agent.system_prompt", "agent.rounds"]
        answer(client, script({"say": "x"}))
        assert first_message(sim)["role"] == "system"
        assert "You are a parrot. Today is 20" in first_message(sim)["content"]
        file.write_text("You are a cat.\n")
        assert reload(configured) == ["agent.system_prompt"]
        assert reload(configured) == []
        answer(client, script({"say": "x"}))
        assert "You are a cat." in first_message(sim)["content"]


def test_a_bad_system_prompt_changes_nothing(configured, directory, sim):
    file = directory / "prompt.txt"
    file.write_text("You are a cat.\n")
    configured.write(f"system_prompt = {file}\nrounds = 2\n")
    configured.start()
    file.write_bytes(b"\xff")
    configured.write(f"system_prompt = {file}\nrounds = 3\n")
    with configured.client() as client:
        why = client.err("RELOAD", "invalid-argument", "system_prompt")["message"]
        assert f"{file}: no text in UTF-8" in why
        assert answer(client, FOR_EVER)["rounds"] == 2
        assert "You are a cat." in first_message(sim)["content"]


# ---- what is read anew ----


def test_what_reload_changes(configured, sim):
    configured.write("rounds = 2\nmodel = scripted\ntemperature_models = scripted\n")
    configured.start()
    with configured.client() as client:
        reply = answer(client, FOR_EVER)
        assert (reply["finish"], reply["rounds"]) == ("rounds", 2)
        chat = sim.call("GET", "/__chats")[-1]
        assert (chat["model"], chat["temperature"], chat["max_tokens"]) == ("scripted", 0.7, 1000)
        configured.write("rounds = 4\nmax_tokens = 77\n")
        assert reload(configured) == ["agent.model", "agent.temperature_models",
                                      "agent.max_tokens", "agent.rounds"]
        reply = answer(client, FOR_EVER)
        assert (reply["finish"], reply["rounds"]) == ("rounds", 4)
        chat = sim.call("GET", "/__chats")[-1]
        assert (chat["model"], chat["max_tokens"]) == ("gemini-flash-latest", 77)
        assert "temperature" not in chat  # that model isn't known to take one


@pytest.mark.parametrize("key", ["base_url = http://127.0.0.1:1/v1", "credential = x",
                                 "credential_file = /x", "calls = 3"])
def test_what_needs_a_restart(configured, key):
    configured.write()
    configured.start()
    configured.write(f"{key}\nrounds = 3\n")
    with configured.client() as client:
        assert f"agent.{key.split()[0]}" in client.err("RELOAD", "conflict")["message"]
        assert answer(client, FOR_EVER)["rounds"] == 12


# ---- bounds ----


def test_too_many_conversations(configured):
    configured.write("conversations = 1\n")
    configured.start()
    with configured.client() as client, configured.client() as other:
        session = begin(client, SLOW)
        why = refusal(other, "too-many", "Hello")["message"]
        assert "[agent] conversations" in why and "1" in why
        configured.write("conversations = 2\n")
        assert reload(configured) == ["agent.conversations"]
        assert answer(other, script({"say": "Two."}))["text"] == "Two."
        configured.write("conversations = 1\n")
        assert reload(configured) == ["agent.conversations"]
        assert answer(other, session=session, cancel=True)["cancelled"]
        reply = client.read()
        assert reply.word == "OK" and reply.value["finish"] == "cancelled"
        assert answer(other, script({"say": "Free."}))["text"] == "Free."


def test_requests_at_once(make, sim):
    """More wait for their turn, and others' submissions and polls don't wait for them."""
    daemon = make(calls=2).start(options={"http.calls": 1})
    clients = [daemon.client() for _ in range(5)]
    for client in clients:
        client.send("ASK " + json.dumps({"text": script({"say": "x", "delay": "300ms"})}))
    until(lambda: sim.stats()["chat_now"] == 2, "two are asked")
    until(lambda: daemon.ok("STATS")["http"]["chats_waiting"] == 3, "three wait")
    assert daemon.wait(daemon.generate("a cat")["id"])[0]["state"] == "done"
    for client in clients:
        assert ask_end(client).value["text"] == "x"
    assert sim.stats()["chat_now_max"] == 2


def ask_end(client):
    while True:
        reply = client.read()
        if reply.word != "EVENT":
            return reply


def test_a_session_that_is_full(make):
    daemon = make(session_bytes="64K").start()
    with daemon.client() as client:
        text = script({"say": "Yes."}) + " " + "x" * 30000
        session = answer(client, text)["session"]
        assert answer(client, text, session=session)["text"] == "Yes."
        assert "[agent] session_bytes" in refusal(client, "too-long", text,
                                                  session=session)["message"]
        assert answer(client, session=session)["text"] == "Yes."  # the last answer is there
        assert answer(client, text)["session"] != session


# ---- sessions ----


def test_sessions_expire(make):
    daemon = make().start()
    with daemon.client() as client:
        session = answer(client, script({"say": "Good evening."}))["session"]
    daemon.restart()
    with daemon.client() as client:
        assert answer(client, session=session)["text"] == "Good evening."
    end = time.monotonic() + 60
    while True:
        daemon.restart(options={"agent.session_age": "1s"})
        with daemon.client() as client:
            reply = until(lambda: ask(client, session=session), "an answer")
        if reply.word == "ERR" or time.monotonic() > end:
            break
    assert reply.word == "ERR" and reply.value["code"] == "not-found"
    with daemon.client() as client:
        refusal(client, "not-found", "And now?", session=session)


def test_somebody_elses_session(make, as_root):
    """Not even an admin's: what is said to the agent is between it and its owner."""
    daemon = make().start()
    with daemon.client(NOBODY) as owner, daemon.client() as admin:
        for mine, other in ((owner, admin), (admin, owner)):
            session = answer(mine, script({"say": "A secret."}))["session"]
            for name in (session, session[:20]):
                refusal(other, "not-found", session=name)
                refusal(other, "not-found", "Go on.", session=name)
                refusal(other, "not-found", session=name, cancel=True)
            assert answer(mine, session=session)["text"] == "A secret."
        session = begin(owner, SLOW)
        refusal(admin, "not-found", session=session)
        refusal(admin, "not-found", session=session, cancel=True)
        with daemon.client(NOBODY) as again:
            assert answer(again, session=session, cancel=True)["cancelled"]
