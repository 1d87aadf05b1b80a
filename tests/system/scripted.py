"""A scripted daemon, and veoctl as the program under test (named by VEOCTL)."""

import hashlib
import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import threading
import time

import pytest

VEOCTL = os.environ.get("VEOCTL", "veoctl")
ID = "01JD0000000000000000000001"
ID2 = "01JD0000000000000000000002"
ID3 = "01JD0000000000000000000003"
HANG = 60  # seconds after which something is certainly wrong


def job(id=ID, state="queued", **members):
    return {"id": id, "state": state, "model": "veo-test", "prompt": "a dog",
            "created_at": "2026-11-22T10:00:00.000Z", **members}


def done(id=ID, **members):
    files = [{"path": f"/var/lib/veod/videos/0/{id}.mp4", "bytes": 5}]
    return job(id, "done", **{"files": files, **members})


def line(word, value, tag=None):
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return f"{'@' + tag + ' ' if tag else ''}{word} {text}\n".encode()


class Close(Exception):
    """Raised by a handler: the daemon closes the connection."""


class Command:
    """A line that came, and the means to answer it."""

    def __init__(self, daemon, connection, text, reader=None):
        self.daemon = daemon
        self.connection = connection
        self.reader = reader
        self.text = text
        self.tag = None
        rest = text
        if rest.startswith("@"):
            self.tag, _, rest = rest[1:].partition(" ")
        self.verb, _, self.argument = rest.partition(" ")

    @property
    def object(self):
        return json.loads(self.argument)

    def send(self, *parts):
        for part in parts:
            self.connection.sendall(part)

    def body(self):
        """What a PUT announces, hashed: (bytes, "sha256-…")."""
        left = total = int(self.argument.split()[0])
        digest = hashlib.sha256()
        while left:
            piece = self.reader.read(min(left, 1 << 20))
            if not piece:
                raise Close
            digest.update(piece)
            left -= len(piece)
        return total, "sha256-" + digest.hexdigest()

    def ok(self, value=None):
        self.send(line("OK", value if value is not None else {}, self.tag))

    def err(self, code, message="no", **members):
        self.send(line("ERR", {"code": code, "message": message, **members}, self.tag))

    def item(self, value):
        self.send(line("ITEM", value, self.tag))

    def event(self, value):
        self.send(line("EVENT", value, self.tag))

    def data(self, body, announced=None):
        announced = len(body) if announced is None else announced
        self.send(line("DATA", {"bytes": announced, "mime": "video/mp4"}, self.tag), body)


class Daemon:
    """Handlers by verb; a handler that is a list is used up one call at a time."""

    def __init__(self, path):
        self.path = str(path)
        self.handlers = {}
        self.commands = []
        self.connections = 0
        self.listener = None
        self.threads = []
        self.open_sockets = []

    def start(self):
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.path)
        self.listener.listen(16)
        self._spawn(self._accept, self.listener)

    def stop(self):
        """As a daemon that ends: nobody listens, and every connection is closed."""
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            os.unlink(self.path)
            self.listener = None
        for connection in self.open_sockets:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def on(self, verb, *handlers):
        self.handlers[verb] = list(handlers)

    def sent(self, verb):
        return [c for c in self.commands if c.verb == verb]

    def _spawn(self, function, *arguments):
        thread = threading.Thread(target=function, args=arguments, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _accept(self, listener):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open_sockets.append(connection)
            self._spawn(self._serve, connection)

    def _serve(self, connection):
        try:
            reader = connection.makefile("rb")
            for text in reader:
                self._handle(Command(self, connection, text.decode().rstrip("\n"), reader))
        except (Close, OSError, ValueError):
            pass
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        connection.close()

    def _handle(self, command):
        self.commands.append(command)
        handlers = self.handlers.get(command.verb)
        if not handlers:
            command.err("unknown-verb", f"no handler for {command.verb}")
            return
        handler = handlers.pop(0) if len(handlers) > 1 else handlers[0]
        handler(command)


def keeps_files(daemon):
    """PUT as the real daemon does it."""
    def put(command):
        total, blob = command.body()
        command.ok({"blob": blob, "bytes": total})
    daemon.on("PUT", put)


def lists(daemon, jobs):
    def handler(command):
        asked = command.object
        page = [j for j in jobs if "after" not in asked or j["id"] < asked["after"]]
        page = page[:asked["limit"]]
        for each in page:
            command.item(each)
        command.ok({"count": len(page)})
    daemon.on("LIST", handler)


def blob_of(data):
    return "sha256-" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def daemon(tmp_path):
    it = Daemon(tmp_path / "veod.sock")
    it.start()
    yield it
    it.stop()


class Result:
    def __init__(self, status, out, err):
        self.status = status
        self.bytes = out
        self.out = out.decode(errors="replace")
        self.err = err.decode(errors="replace")

    @property
    def objects(self):
        return [json.loads(text) for text in self.out.splitlines()]


def environment(**members):
    base = {k: v for k, v in os.environ.items()
            if k not in ("VEOD_SOCKET", "XDG_RUNTIME_DIR", "NO_COLOR", "COLUMNS")}
    base["TERM"] = "xterm"
    base.update(members)
    return base


def run_bare(*words, stdin=b"", env=None, cwd=None):
    done_process = subprocess.run([VEOCTL, *map(str, words)], input=stdin, capture_output=True,
                                  env=env or environment(), cwd=cwd, timeout=HANG)
    result = Result(done_process.returncode, done_process.stdout, done_process.stderr)
    assert "Sanitizer" not in result.err and "runtime error" not in result.err, result.err
    return result


@pytest.fixture
def veoctl(daemon):
    def run(*words, **options):
        return run_bare("--socket", daemon.path, *words, **options)
    return run


def is_sanitized():
    with open(VEOCTL, "rb") as program:
        return b"__asan_init" in program.read()


def peak_memory(process):
    """Waits for its end: the most it had in memory, in bytes, as seen now and then. (What wait4
    tells is at least what the test runner had when it forked.)"""
    peak = 0
    while process.poll() is None:
        with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
            found = re.search(r"^VmHWM:\s+(\d+) kB", status.read(), re.MULTILINE)
        peak = max(peak, int(found.group(1)) * 1024 if found else 0)
        time.sleep(0.002)
    return peak


def start(daemon, *words, **options):
    return subprocess.Popen([VEOCTL, "--socket", daemon.path, *map(str, words)],
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, env=environment(), **options)


def until(condition):
    end = time.monotonic() + HANG
    while not condition():
        assert time.monotonic() < end, "never came true"
        time.sleep(0.005)


def on_terminal(daemon, *words, columns=80, env=None):
    """Runs with standard output and error on a pseudo-terminal; gives (status, text)."""
    main, other = pty.openpty()
    import fcntl
    import struct
    import termios
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([VEOCTL, "--socket", daemon.path, *map(str, words)],
                               stdin=subprocess.DEVNULL, stdout=other, stderr=other,
                               env=env or environment())
    os.close(other)
    text = b""
    while select.select([main], [], [], HANG)[0]:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(main)
    return process.wait(HANG), text.decode()


def plain(text):
    return re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).replace("\r", "")
