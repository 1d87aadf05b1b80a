"""What the tests of ASK share: a daemon whose agent is veosim's scripted model, and its scripts."""

import contextlib
import json
import sqlite3

from harness import PATIENCE, Client

LONG = "[sim: latency=300s]"
MODEL = "gemini-flash-latest"


def agent_options(sim, **more):
    options = {"agent.base_url": f"{sim.url}/v1beta/openai", "agent.model": MODEL}
    options.update({f"agent.{name}": value for name, value in more.items()})
    return options


def script(*steps):
    """Goes into a user's words: what the model does, step by step."""
    return "[model: " + json.dumps(list(steps)) + "]"


def call(tool, **arguments):
    return {"name": tool, "arguments": arguments}


def text(prompt, **arguments):
    return call("generate_video_from_text", prompt=prompt, **arguments)


def check(operation, **arguments):
    return call("check_video_status", operation_name=operation, **arguments)


def set_back(daemon):
    """The only session's turn began a day ago; its id. The daemon is down."""
    with contextlib.closing(sqlite3.connect(daemon.state / "jobs.db")) as db:
        [(session, turn)] = db.execute("SELECT id, turn FROM sessions").fetchall()
        turn = json.loads(turn)
        turn["started_at"] -= 86400000
        db.execute("UPDATE sessions SET turn = ?", (json.dumps(turn),))
        db.commit()
    return session


class Turn:
    """An ASK's replies, as they come; several ones of a connection differ by their tags."""

    def __init__(self, client, words=None, tag="", **members):
        self.client = client
        self.tag = tag
        self.events = []
        self.end = None
        if words is not None:
            members["text"] = words
        client.send(f"{'@' + tag + ' ' if tag else ''}ASK " + json.dumps(members))

    def next(self, timeout=None):
        reply = self.client.read(timeout)
        assert reply.tag == (self.tag or None), reply
        if reply.word == "EVENT":
            self.events.append(reply.value)
        else:
            self.end = reply
        return reply

    def until(self, step, count=1, **members):
        """Reads up to the count-th EVENT of this step and with these members, from here on."""
        while True:
            reply = self.next()
            assert reply.word == "EVENT", reply
            value = reply.value
            if value["step"] == step and all(value.get(k) == v for k, v in members.items()):
                count -= 1
                if not count:
                    return value

    def finish(self, timeout=PATIENCE):
        while self.end is None:
            self.next(timeout)
        return self.end

    def ok(self, finish="answer"):
        end = self.finish()
        assert end.word == "OK", end
        assert end.value["finish"] == finish, end
        return end.value

    def err(self, code):
        end = self.finish()
        assert end.word == "ERR" and end.value["code"] == code, end
        return end.value

    @property
    def session(self):
        return self.events[0]["session"]

    def steps(self, name=None):
        """The names of all steps, or those of one name."""
        if name is None:
            return [event["step"] for event in self.events]
        return [event for event in self.events if event["step"] == name]


def ask(client, words, **members):
    turn = Turn(client, words, **members)
    turn.finish()
    return turn


def cancel(daemon, session):
    """Who cancels hears of nothing else."""
    with Client(daemon.socket) as client:
        [reply] = client.exchange("ASK " + json.dumps({"session": session, "cancel": True}))
    assert reply.word == "OK", reply
    return reply.value


def check_goes_on(daemon, session):
    """The model still takes the history."""
    turn = ask(daemon.client(), script({"say": "Here again."}), session=session)
    assert turn.ok()["text"] == "Here again."
