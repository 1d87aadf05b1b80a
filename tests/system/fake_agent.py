"""What a scripted daemon says to ASK."""

import threading

import pytest

from scripted import ID, ID2, done, environment, job, run_bare
from terminal import Terminal

SESSION = "01JS0000000000000000000001"
SESSION2 = "01JS0000000000000000000002"
PATH = f"/var/lib/veod/videos/0/{ID}.mp4"
TEXT = "generate_video_from_text"
ARGUMENTS = {"prompt": "a golden retriever running through sunflowers", "aspect_ratio": "9:16",
             "resolution": "720p"}


class Turn:
    """What the fake daemon says in the course of one ASK."""

    def __init__(self, command, session=SESSION):
        self.command = command
        self.session = session

    def step(self, step, **members):
        self.command.event({"session": self.session, "step": step, **members})

    def asked(self):
        self.step("asked", text=self.command.object.get("text", "?"))

    def thinking(self, round=1):
        self.step("thinking", round=round, model="gemini-test")

    def calling(self, call=1, tool=TEXT, arguments=None):
        self.step("calling", call=call, tool=tool,
                  arguments=ARGUMENTS if arguments is None else arguments)

    def job(self, state, call=1, id=ID, **members):
        self.step("job", call=call, event=7, id=id, state=state, at="2026-11-23T01:00:00.000Z",
                  **members)

    def result(self, call=1, tool=TEXT, **result):
        self.step("result", call=call, tool=tool, result=result)

    def video(self, call=1, id=ID):
        for state in ("queued", "running", "done"):
            self.job(state, call, id)
        self.result(call, success=True, status="completed", job=id, duration_seconds=8,
                    path=f"/var/lib/veod/videos/0/{id}.mp4", cost_usd=3.2)

    def end(self, text="Here it is.", jobs=(), finish="answer", **members):
        text = {"text": text} if text is not None else {}
        self.command.ok({**text, "session": self.session, "jobs": list(jobs), "finish": finish,
                         "rounds": 2, "tokens": 345, **members})


def makes_a_video(command):
    turn = Turn(command)
    turn.asked()
    turn.thinking()
    turn.calling()
    turn.video()
    turn.thinking(2)
    turn.end(jobs=[done()])


def answers(text="Hello.", **members):
    def handler(command):
        turn = Turn(command)
        turn.asked()
        turn.thinking()
        turn.end(text, **members)
    return handler


class Cancellable:
    """A turn that goes on until it is cancelled."""

    def __init__(self, daemon, answer=True):
        self.asked = threading.Event()
        self.answer = answer
        self.turn = None
        daemon.on("ASK", self.handle)

    def handle(self, command):
        if command.object.get("cancel"):
            if self.answer:
                command.ok({"session": SESSION, "cancelled": True})
                self.turn.job("cancelled")
                self.turn.end(None, jobs=[job(state="cancelled"), done(ID2)], finish="cancelled")
        else:
            self.turn = Turn(command)
            self.turn.asked()
            self.turn.calling()
            self.turn.job("queued")
            self.asked.set()


@pytest.fixture
def state(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def ask(daemon, state):
    def run(*words, env=None, json=False, **options):
        env = env or environment(XDG_STATE_HOME=str(state), LC_ALL="C.UTF-8")
        return run_bare("--socket", daemon.path, *(["--json"] if json else []), "ask", *words,
                        env=env, **options)
    return run


@pytest.fixture
def terminal(daemon, state):
    started = []

    def open_one(*words, **options):
        members = {"XDG_STATE_HOME": str(state), "LC_ALL": "C.UTF-8", **options.pop("env", {})}
        it = Terminal(daemon.path, *words, env=environment(**members), **options)
        started.append(it)
        return it
    yield open_one
    for it in started:
        if it.process.poll() is None:
            it.process.kill()
            it.process.wait()
