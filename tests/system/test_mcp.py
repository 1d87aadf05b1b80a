"""`veoctl mcp` with the real daemon and the simulated provider."""

import json
import os
import pathlib
import time

import pytest

from harness import NOBODY, OMNI, until
from mcp_client import LATEST, Mcp

PNG = b"\x89PNG\r\n\x1a\n" + bytes(200)
SLOW = "a slow river [sim: latency=60s]"
TOOLS = {"generate_video_from_text", "generate_video_from_image", "check_video_status",
         "wait_for_video", "list_videos", "cancel_video", "get_costs", "list_models"}


@pytest.fixture
def server(daemon):
    with Mcp(daemon.socket) as it:
        yield it


# ---- the protocol ----

@pytest.mark.parametrize("version", [LATEST, "2025-06-18", "2025-03-26", "2024-11-05",
                                     "2024-10-07"])
def test_versions_that_are_known(daemon, version):
    with Mcp(daemon.socket, initialize=False) as server:
        result = server.initialize(version)
        assert result["protocolVersion"] == version
        assert result["capabilities"] == {"tools": {}}
        assert result["serverInfo"]["name"] == "veod" and result["instructions"]
        for tool in server.tools():
            assert ("outputSchema" in tool) == ("title" in tool) == (version >= "2025-06-18")
            assert ("annotations" in tool) == (version >= "2025-03-26")
        assert server.call("generate_video_from_text", prompt="a cat")["status"] == "completed"
        assert not server.call("check_video_status", operation_name="none")["success"]


@pytest.mark.parametrize("version", ["2026-07-28", "1999-01-01", "", "latest"])
def test_versions_that_are_not(daemon, version):
    with Mcp(daemon.socket, initialize=False) as server:
        assert server.initialize(version)["protocolVersion"] == LATEST


def test_before_it_is_initialized(daemon):
    with Mcp(daemon.socket, initialize=False) as server:
        assert server.error("server/discover") == -32601
        assert server.error("initialize", {"protocolVersion": 3}) == -32602
        assert server.error("initialize") == -32602
        assert server.result("ping") == {}
        assert server.initialize()["protocolVersion"] == LATEST


def test_what_is_offered(server):
    tools = {tool["name"]: tool for tool in server.tools()}
    assert set(tools) == TOOLS
    for name, tool in tools.items():
        assert tool["title"] and len(tool["description"]) > 40
        assert set(tool["annotations"]) == {"title", "readOnlyHint", "destructiveHint",
                                            "idempotentHint", "openWorldHint"}
        for schema in (tool["inputSchema"], tool["outputSchema"]):
            assert schema["type"] == "object" and "additionalProperties" not in schema
            assert schema.get("required") != [] and schema["properties"]
            assert set(schema.get("required", [])) <= set(schema["properties"])
            assert all("description" in member for member in schema["properties"].values()
                       if member.get("type") != "array" or "items" not in member)
        assert tool["outputSchema"]["required"] == ["success"]
        assert tool["annotations"]["readOnlyHint"] == (
            name not in ("generate_video_from_text", "generate_video_from_image", "cancel_video"))
    assert tools["generate_video_from_image"]["inputSchema"]["required"] == ["prompt",
                                                                             "image_path"]
    assert server.error("tools/list", {"cursor": "2"}) == -32602


def test_ids_come_back_as_they_were(server):
    for id in (0, -1, 1.5, 2 ** 53, "", "7", "a \"quoted\" ü\n", "x" * 1000):
        assert server.reply(server.request("ping", id=id))["id"] == id
    server.send_raw(b'{"jsonrpc":"2.0","id":1e2,"method":"ping"}\n')
    assert b'"id":1e2' in server.lines.get(timeout=60)


@pytest.mark.parametrize("line, code, id", [
    (b"hello", -32700, None),
    (b"{", -32700, None),
    (b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}', -32700, None),
    (b"\xff\xfe", -32700, None),
    (b'{"a":"\x00"}', -32700, None),
    (b"[]", -32600, None),
    (b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', -32600, None),
    (b"7", -32600, None),
    (b'{"id":9,"method":"ping"}', -32600, 9),
    (b'{"jsonrpc":"1.0","id":"x","method":"ping"}', -32600, "x"),
    (b'{"jsonrpc":"2.0","id":9}', -32600, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":7}', -32600, 9),
    (b'{"jsonrpc":"2.0","id":null,"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":[1],"method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":"' + b"x" * 1100 + b'","method":"ping"}', -32600, None),
    (b'{"jsonrpc":"2.0","id":9,"method":"ping","params":[]}', -32602, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"resources/list"}', -32601, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"tools/call"}', -32602, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":7}}', -32602, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"rm"}}', -32602, 9),
    (b'{"jsonrpc":"2.0","id":9,"method":"tools/call","params":{"name":"list_models",'
     b'"arguments":[]}}', -32602, 9),
], ids=lambda value: value[:60].decode(errors="replace") if isinstance(value, bytes) else None)
def test_what_is_no_request(server, line, code, id):
    server.send_raw(line + b"\n")
    reply = server.take()
    assert reply["error"]["code"] == code and reply["id"] == id
    assert reply["error"]["message"] and "\n" not in reply["error"]["message"]
    assert server.result("ping") == {}


def test_a_line_that_is_too_long(server):
    server.send_raw(b'{"jsonrpc":"2.0","id":1,"method":"ping","params":{"x":"')
    server.send_raw(b"x" * (2 << 20) + b'"}}\n')
    assert server.take()["error"]["code"] == -32600
    value = server.call("generate_video_from_text", prompt="x" * 32768)
    assert value["status"] == "completed"


def test_what_is_not_answered(server):
    for message in ({"method": "notifications/initialized"}, {"method": "notifications/unknown"},
                    {"method": "notifications/cancelled", "params": {"requestId": 99}},
                    {"method": "notifications/cancelled", "params": {}},
                    {"method": "notifications/cancelled"}, {"method": "ping"},
                    {"method": "tools/call", "params": []}, {"id": 5, "result": {}},
                    {"id": None, "error": {"code": 1, "message": "x"}}):
        server.send({"jsonrpc": "2.0", **message})
    server.send_raw(b"\n  \n\r\n")
    assert server.quiet()
    server.send_raw(b'{"jsonrpc":"2.0","id":7,"method":"ping"}\r\n')
    assert server.reply(7)["result"] == {}


def test_a_message_in_pieces(server):
    for byte in b'{"jsonrpc":"2.0","id":7,"method":"ping"}\n':
        server.send_raw(bytes([byte]))
    assert server.reply(7)["result"] == {}


def test_end_of_input(daemon):
    server = Mcp(daemon.socket)
    server.begin("generate_video_from_text", prompt=SLOW)
    until(lambda: daemon.ok("STATS")["states"]["running"] == 1)
    server.send_raw(b'{"jsonrpc":"2.0","id":"last","method":"ping"}\n{"jsonrpc":')
    server.process.stdin.close()
    assert server.reply("last")["result"] == {}
    assert server.process.wait(60) == 0
    assert daemon.ok("STATS")["states"]["running"] == 1


# ---- the tools ----

def test_a_video_from_text(server, sim):
    value = server.call("generate_video_from_text", token="t", prompt="a cat",
                        aspect_ratio="9:16", resolution="720p", negative_prompt="dogs",
                        duration_seconds=5, model=OMNI, _meta={"trace": 1})
    assert value["success"] and value["status"] == "completed"
    assert pathlib.Path(value["path"]).stat().st_size == value["files"][0]["bytes"]
    assert value["video_uri"].startswith(sim.url) and value["cost_usd"] > 0
    assert (value["prompt"], value["aspect_ratio"], value["resolution"]) == (
        "a cat", "9:16", "720p")
    assert (value["negative_prompt"], value["duration_seconds"]) == ("dogs", 5)
    assert (value["model"], value["provider"]) == (OMNI, "gemini")
    states = [told["message"].split(":")[0] for told in server.progress['"t"']]
    assert "running" in states and states[-1] == "done"
    again = server.call("check_video_status", operation_name=value["operation_name"])
    assert again == server.call("check_video_status", operation_name=value["job"]) == value


def test_progress_has_an_estimate(server):
    for id in [server.begin("generate_video_from_text", prompt=f"cat {number}")
               for number in range(20)]:
        server.end(id)
    assert server.progress == {}
    server.call("generate_video_from_text", token=8, prompt="an owl [sim: latency=2s]")
    told = server.progress["8"]
    assert any("s of about" in params["message"] for params in told), told
    assert all(params.get("total", 1e9) > params["progress"] for params in told)


def test_a_video_from_an_image(daemon, sim):
    (daemon.directory / "here").mkdir()
    (daemon.directory / "here" / "a b.png").write_bytes(PNG)
    with Mcp(daemon.socket, cwd=daemon.directory / "here") as server:
        value = server.call("generate_video_from_image", prompt="it moves", image_path="a b.png",
                            aspect_ratio="16:9")
        assert value["status"] == "completed" and value["image_path"] == "a b.png"
        assert [image["role"] for image in sim.operations("it moves")[0]["inputs"]] == ["image"]
        value = server.call("generate_video_from_image", prompt="x", image_path="c.png")
        assert value["field"] == "image_path"
        assert value["error"].endswith(f"relative paths start at {daemon.directory / 'here'}")
        for path, problem in (("/etc/passwd", "first bytes"), (".", "regular file"),
                              ("/nowhere/x.png", "No such file"), ("/dev/zero", "regular file")):
            value = server.call("generate_video_from_image", prompt="x", image_path=path)
            assert (value["status"], value["code"]) == ("failed", "invalid-argument")
            assert problem in value["error"] and value["field"] == "image_path"
    assert len(sim.operations()) == 1


def test_an_image_that_is_not_the_users(daemon, as_root):
    secret = daemon.directory / "secret.png"
    secret.write_bytes(PNG)
    secret.chmod(0o600)
    with Mcp(daemon.socket, uid=NOBODY) as server:
        value = server.call("generate_video_from_image", prompt="x", image_path=str(secret))
        assert "Permission denied" in value["error"]
        value = server.call("generate_video_from_image", prompt="x", image_path="/etc/shadow")
        assert "Permission denied" in value["error"]
    assert daemon.ok("STATS")["submissions"] == 0


def test_jobs_are_the_users(daemon, as_root):
    id = daemon.generate("mine")["id"]
    with Mcp(daemon.socket, uid=NOBODY) as server:
        for tool in ("check_video_status", "wait_for_video", "cancel_video"):
            assert server.call(tool, operation_name=id)["code"] == "not-found"
        assert server.call("list_videos")["videos"] == []
        job = server.call("generate_video_from_text", prompt="theirs", wait=False)["job"]
    assert daemon.job(job)["owner"] == {"uid": NOBODY}
    with Mcp(daemon.socket) as server:  # an admin's agent sees the admin's own
        assert [video["job"] for video in server.call("list_videos")["videos"]] == [id]
        assert server.call("check_video_status", operation_name=job)["success"]


def test_arguments_that_a_model_can_mend(server):
    value = server.call("generate_video_from_text", prompt="a cat", aspect_ratio="square")
    assert value["field"] == "aspect_ratio" and "16:9" in value["error"]
    value = server.call("generate_video_from_text", prompt="a cat", aspect_ratio="1:1")
    assert not value["success"] and "1:1" in value["error"]
    value = server.call("generate_video_from_text")
    assert value["field"] == "prompt"
    value = server.call("generate_video_from_text", prompt="a cat", seed=1)
    assert value["field"] == "seed" and "aspect_ratio" in value["error"]
    value = server.call("generate_video_from_text", prompt="x" * 70000)
    assert value["code"] == "too-long"
    value = server.call("list_videos", state="nice")
    assert value["field"] == "state"
    value = server.call("list_videos", limit="many")
    assert value["field"] == "limit"
    value = server.call("wait_for_video", operation_name="x", timeout_seconds=-1)
    assert value["field"] == "timeout_seconds"
    assert server.call("wait_for_video")["field"] == "operation_name"
    assert "takes model" in server.call("list_models", all=True)["error"]
    assert server.call("get_costs", by="mood")["field"] == "by"


def test_videos_that_come_to_nothing(server):
    value = server.call("generate_video_from_text", prompt="x [sim: filter]")
    assert (value["status"], value["cost_usd"]) == ("filtered", 0)
    assert value["error"] and value["message"]
    value = server.call("generate_video_from_text", prompt="x [sim: fail=3]")
    assert value["status"] == "failed" and value["code"]
    assert server.call("check_video_status", operation_name=value["job"])["status"] == "failed"


def test_waiting_is_bounded(daemon):
    with Mcp(daemon.socket, "--wait", "200ms") as server:
        value = server.call("generate_video_from_text", prompt=SLOW)
        assert (value["success"], value["status"]) == (True, "processing")
        assert "wait_for_video" in value["message"]
        job = value["job"]
        value = server.call("wait_for_video", operation_name=job, timeout_seconds=0.1)
        assert value["status"] == "processing"
        assert server.call("check_video_status", operation_name=job, wait=True)[
            "status"] == "processing"
        value = server.call("wait_for_video", operation_name=job, timeout_seconds=0)
        assert value["status"] == "processing" and value["operation_name"] != job
        id = server.begin("wait_for_video", operation_name=job, timeout_seconds=1e9)
        assert server.call("cancel_video", operation_name=job)["status"] == "cancelled"
        assert server.end(id)["status"] == "cancelled"


def test_without_waiting(server):
    value = server.call("generate_video_from_text", prompt="a cat", wait=False)
    assert value["status"] == "processing" and value["operation_name"] == value["job"]
    value = server.call("wait_for_video", operation_name=value["job"])
    assert value["status"] == "completed"


def test_an_operation_that_no_job_has(server, daemon):
    value = server.call("generate_video_from_text", prompt="a cat")
    daemon.ok(f"FORGET {value['job']}")
    known = server.call("wait_for_video", operation_name=value["operation_name"])
    assert known == {"success": True, "status": "completed", "provider": "gemini",
                     "operation_name": value["operation_name"], "video_uri": value["video_uri"]}


def test_lists(server, daemon):
    server.call("generate_video_from_text", prompt="a cat")
    server.call("generate_video_from_text", prompt="x [sim: filter]")
    slow = daemon.generate(SLOW + "!" * 1000, labels={"set": "rivers"})["id"]
    videos = server.call("list_videos")
    assert [video["status"] for video in videos["videos"]] == ["processing", "filtered",
                                                               "completed"]
    assert videos["count"] == 3 and not videos["more"]
    assert len(videos["videos"][0]["prompt"]) <= 300
    for state, count in (("processing", 1), ("completed", 1), ("filtered", 1), ("held", 0)):
        assert server.call("list_videos", state=state)["count"] == count
    assert server.call("list_videos", limit=1)["more"]
    assert server.call("list_videos", label="set=rivers")["videos"][0]["job"] == slow
    assert server.call("list_videos", limit=1e9)["count"] == 3
    again = server.call("cancel_video", operation_name=slow)
    assert again["success"] and again["status"] == "cancelled"
    again = server.call("cancel_video", operation_name=slow)
    assert not again["success"] and again["code"] == "conflict"


def test_costs_and_models(server):
    charged = server.call("generate_video_from_text", prompt="a cat")["cost_usd"]
    costs = server.call("get_costs")
    assert costs["charged_usd"] == charged and costs["rows"][0]["jobs"] == 1
    assert server.call("get_costs", by="model", since="2026-01-01")["rows"][0]["model"] == OMNI
    assert server.call("get_costs", since="2099-01-01")["rows"] == []
    assert server.call("get_costs", since="tomorrow")["field"] == "since"
    models = server.call("list_models")
    assert models["count"] == len(models["models"]) > 3
    assert [model["model"] for model in models["models"] if "default_model" in model] == [OMNI]


def test_a_spent_budget(make_daemon):
    daemon = make_daemon(options={"budget.daily_usd": "0.5"}).start()
    with Mcp(daemon.socket) as server:
        value = server.call("generate_video_from_text", prompt="a cat")
        assert (value["status"], value["code"]) == ("failed", "budget-exceeded")
        daemon.options["budget.daily_usd"] = "1.5"
    daemon.restart()
    with Mcp(daemon.socket) as server:
        assert server.call("generate_video_from_text", prompt="a cat")["success"]
        value = server.call("generate_video_from_text", prompt="a dog")
        assert (value["status"], value["code"]) == ("held", "budget-exceeded")


# ---- copies ----

def test_videos_are_copied(daemon, sim):
    copies = daemon.directory / "my videos"
    copies.mkdir()
    with Mcp(daemon.socket, "--output", copies) as server:
        value = server.call("generate_video_from_text", prompt="a cat")
        copy = copies / f"{value['job']}.mp4"
        assert value["path"] == value["files"][0]["path"] == str(copy)
        theirs = daemon.path_of(daemon.job(value["job"]))
        assert copy.read_bytes() == theirs.read_bytes()
        copy.unlink()
        theirs.unlink()
        value = server.call("check_video_status", operation_name=value["job"])
        assert value["status"] == "completed" and value["path"] == str(theirs)
        assert f"The video could not be copied to {copies}" in value["message"]
        copy.write_bytes(bytes(value["files"][0]["bytes"]))
        value = server.call("check_video_status", operation_name=value["job"])
        assert value["path"] == str(copy) and "message" not in value
        assert os.listdir(copies) == [copy.name]


def test_copies_are_the_users(daemon, as_root):
    copies = daemon.directory / "copies"
    copies.mkdir()
    os.chown(copies, NOBODY, NOBODY)
    with Mcp(daemon.socket, "--output", copies, uid=NOBODY) as server:
        value = server.call("generate_video_from_text", prompt="a cat")
    assert os.stat(value["path"]).st_uid == NOBODY


@pytest.mark.parametrize("arguments, text", [
    (["--output", "/nowhere"], "No such file"), (["--output", "/etc/passwd"], "--output"),
    (["--wait", "60"], "at most 50"), (["--wait", "soon"], "duration"), (["x"], "no argument")])
def test_what_it_can_not_be_started_with(daemon, arguments, text):
    server = Mcp(daemon.socket, *arguments, initialize=False)
    assert server.process.wait(60) == 2
    until(lambda: text in "".join(server.errors))
    assert server.lines.get(timeout=60) is None


# ---- many, and what goes wrong ----

def test_sixty_calls_at_once(server, sim):
    ids = [server.begin("generate_video_from_text", token=number, prompt=f"cat {number}")
           for number in range(60)]
    values = [server.end(id) for id in ids]
    assert [value["prompt"] for value in values] == [f"cat {number}" for number in range(60)]
    assert all(value["status"] == "completed" for value in values)
    assert len({value["job"] for value in values}) == len(sim.operations()) == 60


def test_sixty_images_at_once(server, sim, directory):
    for number in range(60):
        (directory / f"{number}.png").write_bytes(PNG + bytes([number]))
    ids = [server.begin("generate_video_from_image", prompt=f"cat {number}",
                        image_path=str(directory / f"{number}.png")) for number in range(60)]
    assert server.result("ping") == {}
    assert all(server.end(id)["status"] == "completed" for id in ids)
    assert len({json.dumps(operation["inputs"]) for operation in sim.operations()}) == 60


def test_too_many_calls(server, daemon):
    ids = [server.begin("generate_video_from_text", prompt=SLOW + str(number))
           for number in range(64)]
    assert server.error("tools/call", {"name": "list_models"}) == -32000
    assert server.result("ping") == {}
    for id in ids:
        server.notify("notifications/cancelled", requestId=id)
    assert server.call("list_models")["success"]


def test_an_id_that_is_in_use(server):
    server.begin("generate_video_from_text", id="x", prompt=SLOW)
    assert server.error("tools/call", {"name": "list_models"}, id="x") == -32600
    assert "result" in server.reply(server.begin("list_models", id="y"))


def test_cancelled_while_it_runs(server, daemon):
    id = server.begin("generate_video_from_text", token=1, prompt=SLOW)
    until(lambda: daemon.ok("STATS")["states"]["running"] == 1)
    until(lambda: server.result("ping") == {} and any(
        told["message"] == "running" for told in server.progress.get("1", [])))
    server.notify("notifications/cancelled", requestId=id, reason="enough")
    assert server.result("ping") == {} and server.quiet()
    assert daemon.ok("STATS")["states"]["running"] == 1


def test_cancelled_while_it_is_queued(make_daemon):
    daemon = make_daemon(options={"limits.in_flight": "1"}).start()
    with Mcp(daemon.socket) as server:
        daemon.wait_state(daemon.generate(SLOW)["id"], "running")
        id = server.begin("generate_video_from_text", token=1, prompt="a cat")
        until(lambda: server.result("ping") == {} and server.progress.get("1"))
        server.notify("notifications/cancelled", requestId=id)
        until(lambda: daemon.ok("STATS")["states"]["cancelled"] == 1)
        at_once = server.begin("generate_video_from_text", prompt="a dog")
        server.notify("notifications/cancelled", requestId=at_once)
        assert server.result("ping") == {} and server.quiet()
        until(lambda: daemon.ok("STATS")["states"]["queued"] == 0)


def test_no_daemon(daemon, directory):
    with Mcp(directory / "nothing") as server:
        for tool, arguments in (("generate_video_from_text", {"prompt": "x"}), ("list_models", {}),
                                ("check_video_status", {"operation_name": "x"})):
            value = server.call(tool, **arguments)
            assert value["code"] == "unavailable"
            assert value["error"].startswith(f"no daemon at {directory / 'nothing'}: no such file")
        (directory / "x.png").write_bytes(PNG)
        value = server.call("generate_video_from_image", prompt="x",
                            image_path=str(directory / "x.png"))
        assert value["error"].startswith(f"no daemon at {directory / 'nothing'}: ")


def test_a_daemon_that_comes_later(make_daemon):
    daemon = make_daemon()
    with Mcp(daemon.socket) as server:
        assert server.call("list_models")["code"] == "unavailable"
        daemon.start()
        assert server.call("generate_video_from_text", prompt="a cat")["status"] == "completed"
        daemon.terminate()
        assert server.call("list_models")["code"] == "unavailable"
        daemon.start()
        assert server.call("list_models")["success"]


@pytest.mark.parametrize("how", ["terminate", "kill"])
def test_a_restart_in_the_middle(daemon, sim, how):
    with Mcp(daemon.socket) as server:
        ids = [server.begin("generate_video_from_text", prompt=f"{number} [sim: latency=3s]")
               for number in range(5)]
        until(lambda: daemon.ok("STATS")["states"]["running"] == 5)
        getattr(daemon, how)()
        assert server.result("ping") == {}
        daemon.start()
        values = [server.end(id) for id in ids]
        assert all(value["status"] == "completed" for value in values)
        assert len(sim.operations()) == 5


def test_a_client_that_does_not_read(server, daemon):
    """Nothing more is taken from it until it reads."""
    requests = 0
    stdin = server.process.stdin.fileno()
    os.set_blocking(stdin, False)
    server.reading.clear()
    refused_at = None
    while requests < 20000 and (not refused_at or time.monotonic() < refused_at + 0.5):
        line = json.dumps({"jsonrpc": "2.0", "id": f"r{requests}", "method": "tools/list"})
        try:
            assert os.write(stdin, line.encode() + b"\n") == len(line) + 1
            requests += 1
            refused_at = None
        except BlockingIOError:
            refused_at = refused_at or time.monotonic()
    assert requests < 20000
    os.set_blocking(stdin, True)
    server.reading.set()
    for number in range(requests):
        assert len(server.reply(f"r{number}")["result"]["tools"]) == len(TOOLS)
    assert server.call("list_models")["success"]
