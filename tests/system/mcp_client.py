"""A client of `veoctl mcp`, which checks every line that comes, and every result by its schema."""

import json
import queue
import re
import subprocess
import threading

import harness
from harness import PATIENCE, SANITIZER

LATEST = "2025-11-25"
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool}


def check(schema, value, path="$"):
    """What these schemas use of JSON Schema, and more: nothing that they don't name."""
    kind = schema.get("type")
    if kind in TYPES:
        assert isinstance(value, TYPES[kind]), f"{path}: {value!r} is no {kind}"
    elif kind in ("number", "integer"):
        assert isinstance(value, (int, float)) and not isinstance(value, bool), f"{path}: {value!r}"
        assert kind == "number" or value == int(value), f"{path}: {value!r}"
    if "enum" in schema:
        assert value in schema["enum"], f"{path}: {value!r}"
    assert value not in (None, ""), f"{path} is not absent"
    if isinstance(value, dict) and "properties" in schema:
        missing = set(schema.get("required", [])) - set(value)
        assert not missing, f"{path}: {missing} missing"
        for name, member in value.items():
            assert name in schema["properties"], f"{path}.{name} is not in the schema"
            check(schema["properties"][name], member, f"{path}.{name}")
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            check(schema["items"], item, f"{path}[{index}]")


class Mcp:
    """The process, with its pipes. `call` gives a result's structuredContent."""

    def __init__(self, socket, *arguments, uid=None, cwd=None, initialize=True, version=LATEST):
        extra = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        self.process = subprocess.Popen(
            harness.with_parent([harness.VEOCTL, "--socket", str(socket), "mcp",
                                 *map(str, arguments)]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=cwd,
            env={"PATH": "/usr/bin:/bin"}, **extra)
        self.last_id = 0
        self.replies = {}  # by id as JSON
        self.progress = {}  # by token: params
        self.lines = queue.Queue()
        self.errors = []
        self.reading = threading.Event()
        self.reading.set()
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._read_errors, daemon=True).start()
        self.schemas = {}
        if initialize:
            self.initialize(version)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        if kind:
            self.process.kill()
            self.process.wait(PATIENCE)
        else:
            self.close()

    def _read(self):
        for line in self.process.stdout:
            self.reading.wait()
            self.lines.put(line)
        self.lines.put(None)

    def _read_errors(self):
        for line in self.process.stderr:
            self.errors.append(line.decode(errors="replace"))

    def close(self):
        """End of input: the exit status must be 0, and standard error without complaints."""
        if self.process.poll() is None:
            self.process.stdin.close()
        status = self.process.wait(PATIENCE)
        errors = "".join(self.errors)
        assert status == 0 and not SANITIZER.search(errors), f"{status}: {errors}"

    # ---- messages ----

    def send_raw(self, data):
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def send(self, message):
        self.send_raw(json.dumps(message).encode() + b"\n")

    def notify(self, method, **params):
        self.send({"jsonrpc": "2.0", "method": method, "params": params})

    def request(self, method, params=None, id=None):
        """Sends it and gives its id."""
        if id is None:
            self.last_id += 1
            id = self.last_id
        self.send({"jsonrpc": "2.0", "id": id, "method": method,
                   **({} if params is None else {"params": params})})
        return id

    def take(self, timeout=PATIENCE):
        """The next message of the server's."""
        line = self.lines.get(timeout=timeout)
        assert line is not None, f"the server ended: {''.join(self.errors)}"
        assert line.endswith(b"\n") and len(line) < 10_000_000, line[:200]
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        if "method" in message:
            assert message["method"] == "notifications/progress" and "id" not in message
            self._take_progress(message["params"])
        else:
            assert set(message) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
        return message

    def _take_progress(self, params):
        told = self.progress.setdefault(json.dumps(params["progressToken"]), [])
        assert not told or params["progress"] > told[-1]["progress"]
        told.append(params)

    def reply(self, id, timeout=PATIENCE):
        """The answer to that request; what comes before it is kept."""
        while json.dumps(id) not in self.replies:
            message = self.take(timeout)
            if "id" in message:
                key = json.dumps(message["id"])
                assert key not in self.replies, f"answered twice: {message}"
                self.replies[key] = message
        return self.replies.pop(json.dumps(id))

    def quiet(self, seconds=0.3):
        """Whether nothing is answered for that long."""
        try:
            return "method" in self.take(seconds)
        except queue.Empty:
            return True

    def result(self, method, params=None):
        reply = self.reply(self.request(method, params))
        assert "result" in reply, reply
        return reply["result"]

    def error(self, method, params=None, id=None):
        reply = self.reply(self.request(method, params, id))
        assert "error" in reply, reply
        return reply["error"]["code"]

    # ---- MCP ----

    def initialize(self, version=LATEST):
        result = self.result("initialize", {
            "protocolVersion": version, "capabilities": {},
            "clientInfo": {"name": "test", "version": "1"}})
        self.version = result["protocolVersion"]
        self.notify("notifications/initialized")
        self.schemas = {tool["name"]: tool.get("outputSchema") for tool in self.tools()}
        return result

    def tools(self):
        result = self.result("tools/list")
        assert "nextCursor" not in result
        return result["tools"]

    def begin(self, tool, token=None, id=None, **arguments):
        meta = {} if token is None else {"_meta": {"progressToken": token}}
        self.last_id += 1
        self.sent_tools = getattr(self, "sent_tools", {})
        id = self.last_id if id is None else id
        self.sent_tools[json.dumps(id)] = tool
        return self.request("tools/call", {"name": tool, "arguments": arguments, **meta}, id)

    def end(self, id, timeout=PATIENCE):
        """The structured result of a call, checked in every way."""
        reply = self.reply(id, timeout)
        assert "result" in reply, reply
        return self.checked(reply["result"], self.sent_tools[json.dumps(id)])

    def checked(self, result, tool):
        content = result["content"]
        value = json.loads(content[0]["text"])
        assert content[0]["type"] == "text"
        assert result.get("isError", False) == (not value["success"]), result
        if self.version < "2025-06-18":
            assert "structuredContent" not in result and len(content) == 1, result
            return value
        assert result["structuredContent"] == value, result
        check(self.schemas[tool], value)
        links = content[1:]
        assert [link["uri"] for link in links] == [
            harness.pathlib.Path(file["path"]).as_uri() for file in value.get("files", [])]
        for link in links:
            assert link["type"] == "resource_link"
            assert link.get("mimeType", "video/mp4") == "video/mp4"
            assert re.search(r"/" + re.escape(link["name"]) + "$", link["uri"])
        return value

    def call(self, tool, token=None, **arguments):
        return self.end(self.begin(tool, token, **arguments))
