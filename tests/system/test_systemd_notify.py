"""What veod says to a service manager and hears from it, and how it stops. The manager is the
test: a datagram socket for its words, a listening socket handed over."""

import json
import os
import signal
import socket
import subprocess
import threading
import time

import pytest

import harness
from harness import OMNI, VEO, Client, until
from invariants import MEDIA, check_all, check_bought_once, check_files, check_nothing_left


class Manager:
    """Keeps what is said to $NOTIFY_SOCKET."""

    def __init__(self, directory):
        self.path = str(directory / "notify")
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)
        self.said = []
        self.on_ready = None
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                text = self.socket.recv(65536).decode()
            except OSError:
                return
            if "READY=1" in text and self.on_ready:
                self.on_ready()
            self.said += text.split("\n")

    def count(self, line):
        return self.said.count(line)

    def last(self, name):
        return next((line.removeprefix(name + "=") for line in reversed(self.said)
                     if line.startswith(name + "=")), None)


@pytest.fixture
def manager(directory):
    manager = Manager(directory)
    yield manager
    manager.socket.close()


@pytest.fixture
def managed(make_daemon, manager):
    return make_daemon(environment={"NOTIFY_SOCKET": manager.path})


def test_ready_when_it_is(managed, manager):
    """At READY the socket answers, and all jobs are known."""
    managed.start()
    ids = [managed.generate(f"[sim: latency=20s] cat {i}", model=(OMNI, VEO)[i % 2])["id"]
           for i in range(20)]
    until(lambda: all(managed.job(id)["state"] == "running" for id in ids), "all are running")
    managed.kill()
    answers = []

    def look():
        with Client(managed.socket) as client:
            answers.append(client.ok("PING"))
            answers.extend(client.ok(f"STATUS {id}") for id in ids)

    manager.said.clear()
    manager.on_ready = look
    managed.spawn()
    until(lambda: "READY=1" in manager.said, "READY=1")
    assert len(answers) == 21
    assert {job["state"] for job in answers[1:]} == {"running"}
    assert manager.count("READY=1") == 1 and manager.count("STOPPING=1") == 0
    managed.ok("CANCEL " + json.dumps({"ids": ids}))


def test_status_tells_an_operator_something(managed, manager, sim):
    managed.start()
    id = managed.generate("[sim: latency=2s] a cat")["id"]
    until(lambda: "1 running" in (manager.last("STATUS") or ""), "a status")
    assert managed.wait(id)[0]["state"] == "done"
    until(lambda: "1 done" in manager.last("STATUS"), "another one")
    assert "0 running" in manager.last("STATUS")


def test_stopping(managed, manager):
    managed.start()
    assert "READY=1" in manager.said
    managed.terminate()
    assert manager.count("STOPPING=1") == 1
    assert manager.said.index("READY=1") < manager.said.index("STOPPING=1")
    assert int(manager.last("EXTEND_TIMEOUT_USEC")) >= 30_000_000


def test_never_ready_without_a_store(make_daemon, managed, manager):
    managed.start()
    until(lambda: "READY=1" in manager.said, "the first one is ready")
    manager.said.clear()
    other = make_daemon("other", options={"daemon.state_directory": str(managed.state)},
                        environment={"NOTIFY_SOCKET": manager.path})
    other.spawn()
    assert other.process.wait(harness.PATIENCE) != 0
    time.sleep(0.1)
    assert "READY=1" not in manager.said


def test_watchdog(managed, manager):
    """More often than is asked for, and only from a loop that turns."""
    managed.start(environment={"WATCHDOG_USEC": "400000"})
    until(lambda: manager.count("WATCHDOG=1") >= 4, "some signs of life", patience=10)
    os.kill(managed.pid, signal.SIGSTOP)
    time.sleep(0.1)
    count = manager.count("WATCHDOG=1")
    time.sleep(1)
    assert manager.count("WATCHDOG=1") == count
    os.kill(managed.pid, signal.SIGCONT)
    until(lambda: manager.count("WATCHDOG=1") > count, "it goes on")


def test_no_watchdog_unless_asked(managed, manager):
    managed.start(environment={"WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"})
    time.sleep(0.5)
    assert manager.count("WATCHDOG=1") == 0


# ---- a socket that is handed over ----


def spawn_with(daemon, *sockets):
    """As systemd does it: descriptors from 3 on, $LISTEN_FDS and $LISTEN_PID."""

    def hand_over():
        numbers = [os.dup(each.fileno()) for each in sockets]
        numbers = [os.dup2(number, 100 + i) for i, number in enumerate(numbers)]
        for i, number in enumerate(numbers):
            os.dup2(number, 3 + i)

    command = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh", *daemon.command_line()]
    environment = {"PATH": os.environ["PATH"], "GEMINI_API_KEY": harness.KEY,
                   "LISTEN_FDS": str(len(sockets)),
                   "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=8"}
    with open(daemon.log_path, "ab") as log:
        daemon.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            preexec_fn=hand_over, pass_fds=range(3, 3 + len(sockets)))


def listener(path):
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(64)
    return listening


def test_socket_activation(make_daemon, sim):
    """Who connects before the start is answered, and the socket outlives a restart."""
    daemon = make_daemon()
    with listener(daemon.socket) as listening:
        early = Client(daemon.socket)
        early.send("GENERATE an early cat")
        spawn_with(daemon, listening)
        id = early.read().value["id"]
        early.close()
        assert daemon.wait(id)[0]["state"] == "done"
        daemon.terminate()
        assert os.path.exists(daemon.socket)  # it is the manager's
        late = Client(daemon.socket)
        late.send(f"STATUS {id}")
        spawn_with(daemon, listening)
        assert late.read().value["state"] == "done"
        late.close()
        daemon.terminate()


@pytest.mark.parametrize("kind", ["two", "datagram", "connected"])
def test_wrong_sockets_are_refused(make_daemon, directory, kind):
    daemon = make_daemon()
    sockets = {
        "two": lambda: [listener(daemon.socket), listener(str(directory / "b"))],
        "datagram": lambda: [socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)],
        "connected": lambda: socket.socketpair()[:1],
    }[kind]()
    spawn_with(daemon, *sockets)
    assert daemon.process.wait(harness.PATIENCE) not in (0, -6, -11)
    assert "listening" in daemon.log()
    daemon.check_log()
    for each in sockets:
        each.close()


# ---- the stop ----


@pytest.mark.parametrize("model", [OMNI, VEO])
def test_stop_waits_for_the_answer_to_a_submission(make_daemon, sim, model):
    daemon = make_daemon().start()
    sim.rules([{"on": "submit", "do": "stall", "seconds": 2, "times": 1}])
    id = daemon.generate("a cat", model=model)["id"]
    until(lambda: sim.stats()["submissions"] == 1, "it is sent")
    daemon.terminate()
    daemon.start()
    assert "uncertain" not in daemon.log()
    assert daemon.wait(id)[0]["state"] == "done"
    check_all(daemon, sim, {id: "a cat"}, MEDIA.read_bytes())


def test_stop_sends_nothing_new(make_daemon, sim):
    """What waits for its turn goes back to the queue, and counts no attempt."""
    daemon = make_daemon(options={"http.calls": 2}).start()
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1, "times": 2}])
    accepted = {}
    for i in range(10):
        accepted[daemon.generate(f"cat {i}", max_attempts=1)["id"]] = f"cat {i}"
    until(lambda: sim.stats()["submissions"] == 2, "two are sent")
    daemon.terminate()
    assert sim.stats()["submissions"] == 2
    daemon.start()
    jobs = daemon.wait(*accepted)
    assert {(job["state"], job["attempts"]) for job in jobs} == {("done", 1)}
    check_all(daemon, sim, accepted)
    assert sim.stats()["submissions"] == 10


def test_stop_with_an_answer_that_never_comes(make_daemon, sim):
    """Its own time-out ends the wait."""
    daemon = make_daemon(options={"http.answer_timeout": "1s"}).start()
    sim.rules([{"on": "submit", "do": "stall", "seconds": 50, "times": 1}])
    id = daemon.generate("a cat")["id"]
    until(lambda: sim.stats()["submissions"] == 1, "it is sent")
    daemon.terminate()
    daemon.start()
    job = daemon.wait(id)[0]
    assert job["state"] == "uncertain" and job["error"]["code"] == "no-answer"
    assert sim.stats()["submissions"] == 1


def test_stop_while_a_cancelled_submission_is_on_its_way(make_daemon, sim):
    daemon = make_daemon().start()
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1, "times": 1}])
    id = daemon.generate("[sim: latency=30s] a cat")["id"]
    until(lambda: sim.stats()["submissions"] == 1, "it is sent")
    daemon.ok(f"CANCEL {id}")
    daemon.terminate()
    daemon.start()
    job = daemon.job(id)
    assert job["state"] == "cancelled" and "operation_name" in job


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_at_work(make_daemon, sim, number):
    """With jobs in all states, clients that wait, and one that doesn't read: status 0, no leak."""
    daemon = make_daemon(options={"limits.in_flight": 30}).start()
    sim.rules([{"on": "download", "do": "slow", "interval": "50ms", "match": "slow"}])
    accepted = {}
    for i in range(60):
        prompt = f"cat {i}" if i % 3 else f"slow cat {i} [sim: bytes=3000000]"
        accepted[daemon.generate(prompt, model=(OMNI, VEO)[i % 2])["id"]] = prompt
    waiting, watching = daemon.client(), daemon.client()
    waiting.send("WAIT " + json.dumps({"ids": list(accepted)}))
    watching.send("WATCH")
    half = daemon.client()
    half.send(b"GENERATE a cat without a line end")
    until(lambda: sim.stats()["downloads"] >= 5, "some downloads")
    process = daemon.process
    process.send_signal(number)
    process.send_signal(number)
    assert process.wait(harness.PATIENCE) == 0, daemon.log()[-4000:]
    daemon.check_log()
    assert not os.path.exists(daemon.socket)
    sim.clear_rules()
    daemon.start()
    jobs = daemon.wait(*accepted)
    assert {job["state"] for job in jobs} == {"done"}
    check_all(daemon, sim, accepted)


def test_stop_in_the_midst_of_a_download(make_daemon, sim):
    """What arrived stays, and is gone on with."""
    daemon = make_daemon().start()
    sim.rules([{"on": "download", "do": "stall", "seconds": 50, "after": 1_500_000, "times": 1}])
    id = daemon.generate("[sim: bytes=2000000] a cat")["id"]

    def parts():
        return [path.stat().st_size for path in daemon.videos.rglob(".*.part")]

    until(lambda: max(parts(), default=0) >= 1_000_000, "most of it")
    daemon.terminate()
    assert max(parts()) >= 1_400_000  # also what was still in memory
    daemon.start()
    job = daemon.wait(id)[0]
    assert job["state"] == "done"
    check_files(daemon, job)
    check_nothing_left(daemon, [job])
    assert sim.stats()["bytes_sent"] < 2_300_000
    check_bought_once(sim)


def test_stop_and_start_again_and_again(make_daemon, sim):
    """Ten stops at awkward moments; nothing is lost, and nothing is uncertain."""
    daemon = make_daemon().start()
    accepted = {}
    for round in range(10):
        for i in range(5):
            prompt = f"cat {round} {i}"
            accepted[daemon.generate(prompt, model=(OMNI, VEO)[i % 2])["id"]] = prompt
        time.sleep(0.03 * round)
        daemon.terminate()
        daemon.start()
    assert {job["state"] for job in daemon.wait(*accepted)} == {"done"}
    assert check_all(daemon, sim, accepted, MEDIA.read_bytes()) == []
    assert "interrupted" not in daemon.log()
