"""What the system tests are written with: the simulated provider, the daemon, and a client.

Each waits with a bound, and ends what it started. VEOD, VEOCTL and VEOSIM name the programs.
"""

import collections
import contextlib
import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

VEOD = os.environ.get("VEOD", "")
VEOCTL = os.environ.get("VEOCTL", "")
VEOSIM = os.environ.get("VEOSIM", "")

PATIENCE = 60  # seconds after which something is certainly wrong
KEY = "AIza-the-secret-key-of-the-tests"
OMNI = "gemini-omni-1.1-flash"
VEO = "veo-3.1-generate-preview"
NOBODY = 65534
ENDED = ("done", "filtered", "failed", "expired", "cancelled")
SANITIZER = re.compile(r"ERROR: (Address|Leak)Sanitizer|LeakSanitizer|runtime error:.*|SUMMARY: .*")

DEFAULTS = {
    "daemon.socket_mode": "0666",  # for clients of other users
    "poll.min": "50ms",
    "poll.max": "500ms",
    "retry.base_delay": "100ms",
    "retry.max_delay": "1s",
}


def until(condition, what="the condition", patience=PATIENCE, interval=0.01):
    """The first true value of condition(), asked again and again."""
    end = time.monotonic() + patience
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, f"{what}: not within {patience} s"
        time.sleep(interval)


def with_parent(command):
    """The command, ended by the kernel if the test runner is killed."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


class Sim:
    """veosim on a free port."""

    def __init__(self, directory, *arguments, latency="100ms-200ms", processing="20ms"):
        self.directory = pathlib.Path(directory)
        self.arguments = ["--latency", latency, "--processing", processing, *arguments]
        self.port = 0
        self.process = None

    def start(self):
        port_file = self.directory / "sim.port"
        port_file.unlink(missing_ok=True)
        with open(self.directory / "sim.log", "ab") as log:
            self.process = subprocess.Popen(
                [VEOSIM, "--die-with-parent", "--quiet", "--port-file", str(port_file), "--port",
                 str(self.port), "--foreign-port", "0", "--seed", "1", *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until(lambda: port_file.exists() or self.process.poll() is not None, "veosim")
        assert self.process.poll() is None, (self.directory / "sim.log").read_text()
        self.port = int(port_file.read_text())
        return self

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(PATIENCE)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        with contextlib.closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body),
                               {"Content-Type": "application/json"} if body is not None else {})
            response = connection.getresponse()
            text = response.read()
        assert response.status == 200, text
        return json.loads(text) if text.strip() else None

    def stats(self):
        return self.call("GET", "/__stats")

    def operations(self, prompt=""):
        """What was accepted: name, prompt, body, polls, …, in the order of acceptance."""
        return [operation for operation in self.call("GET", "/__operations")
                if prompt in operation["prompt"]]

    def rules(self, rules):
        self.call("POST", "/__rules", rules)

    def clear_rules(self):
        self.call("DELETE", "/__rules")

    def reset(self):
        self.call("POST", "/__reset")


class Daemon:
    """veod with both providers at the simulator. Paths are short: a socket's may have 107 bytes."""

    def __init__(self, directory, sim=None, options=None, providers=None, environment=None):
        self.directory = pathlib.Path(directory)
        self.socket = str(self.directory / "s")
        self.state = self.directory / "state"
        self.videos = self.directory / "videos"
        self.log_path = self.directory / "veod.log"
        self.sim = sim
        self.options = dict(options or {})
        self.providers = {name: dict(keys) for name, keys in (providers or {}).items()}
        self.environment = dict(environment or {})
        self.process = None
        self.clients = []
        self.expect_clean = True  # checked by close()

    def command_line(self, options=None, providers=None):
        url = self.sim.url if self.sim else "http://127.0.0.1:9"
        keys = {
            "daemon.socket": self.socket,
            "daemon.state_directory": str(self.state),
            "daemon.output_directory": str(self.videos),
            "daemon.default_model": OMNI,
            **DEFAULTS,
            "provider gemini.dialect": "interactions",
            "provider gemini.base_url": url,
            "provider veo.dialect": "predict",
            "provider veo.base_url": url,
            "agent.base_url": f"{url}/v1beta/openai",  # not the shipped one, whatever is asked
            **self.options,
            **(options or {}),
        }
        for name, more in [*self.providers.items(), *(providers or {}).items()]:
            keys.update({f"provider {name}.{key}": value for key, value in more.items()})
        overrides = [part for key, value in keys.items() for part in ("-o", f"{key}={value}")]
        return [VEOD, "-c", "/dev/null", *overrides]

    def spawn(self, faults=None, options=None, providers=None, environment=None):
        """Starts the process and waits for nothing."""
        variables = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "GEMINI_API_KEY": KEY,
            "ASAN_OPTIONS": "detect_leaks=1:quarantine_size_mb=8",
            "UBSAN_OPTIONS": "print_stacktrace=1",
            **self.environment,
            **(environment or {}),
        }
        if faults:
            variables["VEOD_FAULT"] = faults
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                with_parent(self.command_line(options, providers)), env=variables,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return self

    def start(self, faults=None, options=None, providers=None, environment=None):
        self.spawn(faults, options, providers, environment)
        return self.wait_ready()

    def answers(self):
        try:
            with Client(self.socket, timeout=PATIENCE) as client:
                return client.request("PING").word == "OK"
        except OSError:
            return False

    def wait_ready(self):
        until(lambda: self.process.poll() is not None or self.answers(), "veod answers")
        assert self.process.poll() is None, self.log()
        return self

    @property
    def pid(self):
        return self.process.pid

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def client(self, uid=None, timeout=PATIENCE):
        client = Client(self.socket, uid=uid, timeout=timeout)
        self.clients.append(client)
        return client

    def kill(self):
        """As a power cut, but for the disk."""
        self.process.kill()
        self.process.wait(PATIENCE)

    def terminate(self):
        """SIGTERM; the exit status must be 0, and the log without a sanitizer's report."""
        if self.process.poll() is None:
            self.process.terminate()
        status = self.process.wait(PATIENCE)
        assert status == 0, f"exit status {status}\n{self.log()}"
        self.check_log()

    def wait_killed(self, patience=PATIENCE):
        """Until a fault point has killed it."""
        assert self.process.wait(patience) == -signal.SIGKILL, self.log()

    def restart(self, **arguments):
        self.terminate()
        return self.start(**arguments)

    def close(self):
        for client in self.clients:
            client.close()
        if self.alive and self.expect_clean:
            self.terminate()
        elif self.alive:
            self.kill()
        if self.process:
            self.check_log()

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def check_log(self):
        found = SANITIZER.search(self.log())
        assert not found, f"a sanitizer complains:\n{self.log()[-8000:]}"

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def memory(self, name="VmRSS"):
        """Bytes."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE).group(1)) * 1024

    def generate(self, prompt="a cat", **fields):
        with Client(self.socket) as client:
            return client.generate(prompt, **fields)

    def ok(self, line, **arguments):
        with Client(self.socket) as client:
            return client.ok(line, **arguments)

    def job(self, id):
        return self.ok(f"STATUS {id}")

    def wait(self, *ids, patience=PATIENCE):
        """The jobs, once all have ended (or are held or uncertain)."""
        with Client(self.socket, timeout=patience + 10) as client:
            return client.wait(*ids, patience=patience)

    def wait_state(self, id, *states, patience=PATIENCE):
        """The job, once it is in one of these states."""
        with Client(self.socket) as client:
            return client.wait_state(id, *states, patience=patience)

    def path_of(self, job, index=0):
        """Where a job's result is."""
        path = pathlib.Path(job["files"][index]["path"])
        return path if path.is_absolute() else self.videos / path


Reply = collections.namedtuple("Reply", "tag word value")


def connect_as(path, uid):
    """A connected socket of which the kernel says that it is this user's: a child connects it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            connected = socket.socket(socket.AF_UNIX)
            connected.connect(path)
            socket.send_fds(theirs, [b"+"], [connected.fileno()])
        except OSError as error:
            theirs.send(str(error.errno).encode())
        finally:
            os._exit(0)
    theirs.close()
    with ours:
        message, descriptors, _, _ = socket.recv_fds(ours, 16, 1)
    os.waitpid(child, 0)
    if not descriptors:
        raise OSError(int(message or b"0"), f"connect as uid {uid}")
    return socket.socket(fileno=descriptors[0])


class Client:
    """One connection. request(), ok(), err() and items() are for untagged commands."""

    def __init__(self, path, uid=None, timeout=PATIENCE):
        if uid is None:
            self.socket = socket.socket(socket.AF_UNIX)
            # Not by settimeout(): a connect that doesn't block fails where the queue is full.
            bound = struct.pack("ll", int(timeout) + 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, bound)
            self.socket.connect(str(path))
            self.socket.settimeout(timeout)
        else:
            self.socket = connect_as(str(path), uid)
            self.socket.settimeout(timeout)
        self.timeout = timeout
        self.buffer = bytearray()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def shut(self):
        """No more commands; answers still arrive."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, line):
        """A line (str), or bytes as they are."""
        self.socket.sendall(line if isinstance(line, bytes) else line.encode() + b"\n")

    def _receive(self, end):
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no reply")
        self.socket.settimeout(left)
        try:
            part = self.socket.recv(1 << 16)
        finally:
            self.socket.settimeout(self.timeout)
        if not part:
            raise EOFError(f"the daemon closed the connection; unread: {bytes(self.buffer[:200])}")
        self.buffer += part

    def read_line(self, timeout=None):
        """Bytes without the line end. EOFError, TimeoutError."""
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        searched = 0
        while True:
            at = self.buffer.find(b"\n", searched)
            if at >= 0:
                break
            searched = len(self.buffer)
            self._receive(end)
        line = bytes(self.buffer[:at])
        del self.buffer[:at + 1]
        return line

    def read_bytes(self, count, timeout=None):
        end = time.monotonic() + (self.timeout if timeout is None else timeout)
        while len(self.buffer) < count:
            self._receive(end)
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def read(self, timeout=None):
        """The next reply: (tag or None, word, object). The form of every line is checked."""
        line = self.read_line(timeout).decode()
        found = re.fullmatch(r"(?:@(\S+) )?(OK|ERR|ITEM|EVENT|DATA) (\{.*\})", line)
        assert found, f"not a reply: {line!r}"
        value = json.loads(found.group(3))
        assert all(member not in (None, "") for member in value.values()), f"not absent: {line}"
        if found.group(2) == "ERR":
            more = {"session", "jobs"} if "session" in value else set()  # a turn that failed
            assert {"code", "message"} <= set(value) <= {"code", "message", "field"} | more, line
        return Reply(found.group(1), found.group(2), value)

    def quiet(self, seconds=0.2):
        """Whether nothing arrives for that long."""
        try:
            return not self.read(timeout=seconds)
        except TimeoutError:
            return True

    def at_end(self, timeout=None):
        """Whether the daemon closes the connection before it says anything more."""
        try:
            self.read_line(timeout)
            return False
        except (EOFError, ConnectionResetError):
            return True

    def exchange(self, line, timeout=None):
        """All replies to one untagged command; the last one is the OK, ERR or DATA."""
        self.send(line)
        replies = [self.read(timeout)]
        while replies[-1].word not in ("OK", "ERR", "DATA"):
            replies.append(self.read(timeout))
        return replies

    def request(self, line, timeout=None):
        return self.exchange(line, timeout)[-1]

    def ok(self, line, timeout=None):
        reply = self.request(line, timeout)
        assert reply.word == "OK", reply
        return reply.value

    def err(self, line, code, field=None, timeout=None):
        reply = self.request(line, timeout)
        assert reply.word == "ERR" and reply.value["code"] == code, reply
        assert field is None or reply.value.get("field") == field, reply
        return reply.value

    def items(self, line, timeout=None):
        replies = self.exchange(line, timeout)
        assert replies[-1].word == "OK", replies[-1]
        assert replies[-1].value["count"] == len(replies) - 1
        return [reply.value for reply in replies[:-1]]

    def generate(self, prompt="a cat", **fields):
        return self.ok("GENERATE " + json.dumps({"prompt": prompt, **fields}))

    def wait(self, *ids, patience=PATIENCE):
        reply = self.ok("WAIT " + json.dumps({"ids": list(ids), "timeout_seconds": patience}),
                        timeout=patience + 10)
        assert not reply["timed_out"], reply
        return reply["jobs"]

    def wait_state(self, id, *states, patience=PATIENCE):
        def look():
            job = self.ok(f"STATUS {id}")
            last[0] = job
            return job if job["state"] in states else None

        last = [None]
        try:
            return until(look, f"{id} in {states}", patience)
        except AssertionError:
            raise AssertionError(f"not in {states}: {last[0]}") from None

    def get(self, id, **members):
        """A result's bytes, and the object of the DATA line."""
        reply = self.request("GET " + json.dumps({"id": id, **members}))
        assert reply.word == "DATA", reply
        return self.read_bytes(reply.value["bytes"]), reply.value


@contextlib.contextmanager
def short_directory():
    """Everybody may pass it: clients of other users connect to the socket in it."""
    path = pathlib.Path(tempfile.mkdtemp(prefix="veod-", dir="/tmp"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def ctl(daemon, *arguments, timeout=PATIENCE, uid=None, input=None):
    """Runs veoctl; status, output and errors are in what is returned."""
    command = [VEOCTL, "--socket", daemon.socket, *map(str, arguments)]
    if uid is not None:
        command = ["setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups", *command]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, input=input,
                          stdin=None if input is not None else subprocess.DEVNULL)
