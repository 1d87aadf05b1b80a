"""`veoctl mcp` against a scripted daemon: what the real one does once in a blue moon."""

import json
import time

import pytest

from mcp_client import Mcp
from scripted import ID, Close, daemon, done, job, keeps_files, until  # noqa: F401

RUNNING = job(state="running", operation_name="v1_abc",
              progress={"elapsed_ms": 30000, "expected_ms": 60000})


@pytest.fixture
def start(daemon):
    servers = []

    def begin(*arguments, **options):
        servers.append(Mcp(daemon.path, *arguments, **options))
        return servers[-1]

    yield begin
    for server in servers:
        server.close()


def waits(daemon, *jobs):
    """WAIT answers with each of these in turn, the last one from then on."""
    daemon.on("WAIT", *[lambda c, job=job: c.ok({"jobs": [job], "timed_out": False})
                        for job in jobs])


def hang_up(command):
    raise Close


def test_a_lost_answer_buys_nothing_twice(daemon, start):
    daemon.on("GENERATE", hang_up, hang_up, lambda c: c.ok(job(existing=True)))
    waits(daemon, done())
    value = start().call("generate_video_from_text", prompt="a dog")
    assert value["status"] == "completed"
    sent = daemon.sent("GENERATE")
    assert len(sent) == 3 and len({c.object["key"] for c in sent}) == 1


def test_each_call_has_its_key(daemon, start):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    server = start()
    for _ in range(3):
        server.call("generate_video_from_text", prompt="a dog", wait=False)
    assert len({c.object["key"] for c in daemon.sent("GENERATE")}) == 3


def test_a_wait_goes_on_where_it_broke(daemon, start):
    def late(command):
        time.sleep(0.2)
        raise Close

    daemon.on("GENERATE", lambda c: c.ok(job()))
    daemon.on("WAIT", late, lambda c: c.err("draining"),
              lambda c: c.ok({"jobs": [done()], "timed_out": False}))
    value = start().call("generate_video_from_text", prompt="a dog")
    assert value["status"] == "completed" and len(daemon.sent("GENERATE")) == 1
    times = [c.object["timeout_seconds"] for c in daemon.sent("WAIT")]
    assert len(times) == 3 and 45 >= times[0] > times[1] > times[2] > 30


def test_a_daemon_that_stays_away(daemon, start):
    daemon.on("GENERATE", lambda c: c.ok(job()))
    daemon.on("WAIT", lambda c: daemon.stop())
    server = start("--wait", "100ms")
    value = server.call("generate_video_from_text", prompt="a dog")
    assert value["status"] == "processing" and value["job"] == ID
    assert server.call("list_models")["code"] == "unavailable"


def test_an_answer_that_never_comes(daemon, start):
    daemon.on("GENERATE", lambda c: None)
    daemon.on("MODELS", lambda c: None)
    server = start("--timeout", "200ms")
    value = server.call("generate_video_from_text", prompt="a dog")
    assert value["code"] == "unavailable"
    assert "doesn't answer; it may have accepted the video" in value["error"]
    value = server.call("list_models")
    assert value["error"].endswith("doesn't answer")


def test_a_daemon_that_breaks_again_and_again(daemon, start):
    daemon.on("GENERATE", hang_up)
    server = start("--timeout", "500ms")
    value = server.call("generate_video_from_text", prompt="a dog")
    assert value["code"] == "unavailable" and daemon.connections > 1
    assert server.result("ping") == {}


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\xff\n", b"OK {\n",
                                      b"x" * (2 << 20)])
def test_what_is_no_answer(daemon, start, nonsense):
    daemon.on("MODELS", lambda c: c.send(nonsense), lambda c: c.ok({"count": 0}))
    value = start().call("list_models")
    assert value == {"success": True, "models": [], "count": 0}


def test_an_error_about_the_connection(daemon, start):
    def refuse(command):
        command.tag = None
        command.err("too-many", "64 clients of yours are connected")
        raise Close

    daemon.on("MODELS", refuse)
    value = start().call("list_models")
    assert (value["code"], value["error"]) == ("too-many", "64 clients of yours are connected")


def test_a_cancellation_that_was_heard(daemon, start):
    daemon.on("CANCEL", hang_up,
              lambda c: c.err("conflict", "a job that is cancelled can't be cancelled"))
    daemon.on("STATUS", lambda c: c.ok(job(state="cancelled")))
    value = start().call("cancel_video", operation_name=ID)
    assert value["success"] and value["status"] == "cancelled"


def test_progress_and_its_end(daemon, start):
    def events(command):
        for number, state in enumerate(("submitting", "running", "fetching", "done")):
            command.event({"event": number, "id": ID, "state": state})
            time.sleep(0.1)
        command.ok({"jobs": [done()], "timed_out": False})

    daemon.on("STATUS", lambda c: c.ok(RUNNING))
    daemon.on("WAIT", events)
    server = start()
    server.call("wait_for_video", token="t", operation_name="v1_abc")
    told = server.progress['"t"']
    assert [params["message"].split(":")[0] for params in told][-2:] == ["fetching", "done"]
    assert told[0]["message"] == "running: 30 s of about 60 s"
    assert told[0]["total"] == pytest.approx(30, abs=5)
    assert server.quiet()


def test_a_late_answer_to_what_was_cancelled(daemon, start):
    waiting = []
    daemon.on("STATUS", lambda c: c.ok(RUNNING))
    daemon.on("WAIT", waiting.append)
    daemon.on("MODELS", lambda c: c.ok({"count": 0}))
    server = start()
    id = server.begin("wait_for_video", operation_name=ID)
    until(lambda: waiting)
    server.notify("notifications/cancelled", requestId=id)
    assert server.result("ping") == {}
    waiting[0].ok({"jobs": [done()], "timed_out": False})
    assert server.call("list_models")["success"]
    assert not daemon.sent("HOLD") and not daemon.sent("CANCEL")


def test_only_what_is_queued_is_cancelled(daemon, start):
    waiting = []
    daemon.on("GENERATE", lambda c: c.ok(job()))
    daemon.on("WAIT", waiting.append)
    daemon.on("HOLD", lambda c: c.err("conflict"), lambda c: c.ok(job(state="held")))
    daemon.on("CANCEL", lambda c: c.ok(job(state="cancelled")))
    server = start()
    for number in range(2):
        id = server.begin("generate_video_from_text", prompt="a dog")
        until(lambda: len(waiting) == number + 1)
        server.notify("notifications/cancelled", requestId=id)
        until(lambda: len(daemon.sent("HOLD")) == number + 1)
    until(lambda: daemon.sent("CANCEL"))
    waiting[0].event({"event": 9, "id": ID, "state": "running"})
    assert len(daemon.sent("CANCEL")) == 1 and server.quiet()


def test_a_cancelled_generation_whose_answer_is_lost(daemon, start):
    asked = []
    daemon.on("GENERATE", asked.append)
    server = start()
    id = server.begin("generate_video_from_text", prompt="a dog")
    until(lambda: asked)
    server.notify("notifications/cancelled", requestId=id)
    assert server.result("ping") == {}
    daemon.stop()
    assert server.quiet()


def test_an_image_on_its_way(daemon, start, tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    keeps_files(daemon)
    put = daemon.handlers["PUT"][0]
    daemon.on("PUT", hang_up, put)
    daemon.on("GENERATE", lambda c: c.err("invalid-argument", "no", field="image"))
    value = start(cwd=tmp_path).call("generate_video_from_image", prompt="x", image_path="a.png")
    assert (value["code"], value["field"]) == ("invalid-argument", "image_path")
    assert daemon.sent("GENERATE")[0].object["image"].startswith("sha256-")


def test_an_image_that_nobody_takes(daemon, start, tmp_path):
    (tmp_path / "a.png").write_bytes(b"picture")
    going = []
    daemon.on("PUT", going.append)
    daemon.on("MODELS", lambda c: c.ok({"count": 0}))
    server = start(cwd=tmp_path)
    id = server.begin("generate_video_from_image", prompt="x", image_path="a.png")
    until(lambda: going)
    assert server.call("list_models")["success"], "the others don't wait for it"
    server.notify("notifications/cancelled", requestId=id)
    assert server.result("ping") == {} and server.quiet()
    assert not daemon.sent("GENERATE")


def test_a_copy_that_breaks_off(daemon, start, tmp_path):
    daemon.on("STATUS", lambda c: c.ok(done()))
    daemon.on("GET", lambda c: c.err("unavailable", "the file can't be opened"))
    value = start("--output", tmp_path).call("check_video_status", operation_name=ID)
    assert value["status"] == "completed" and value["path"].startswith("/var/lib/veod")
    assert "the file can't be opened" in value["message"]
    daemon.on("GET", lambda c: c.data(b"video"))
    value = start("--output", tmp_path).call("check_video_status", operation_name=ID)
    assert value["path"] == str(tmp_path / f"{ID}.mp4") and "message" not in value
    assert (tmp_path / f"{ID}.mp4").read_bytes() == b"video"


def test_several_files(daemon, start, tmp_path):
    files = [{"path": f"/v/{ID}.mp4", "bytes": 5}, {"path": f"/v/{ID}-1.mp4", "bytes": 5}]
    daemon.on("STATUS", lambda c: c.ok(job(state="done", files=files)))
    daemon.on("GET", lambda c: c.data(b"%05d" % c.object["file"]))
    value = start("--output", tmp_path).call("check_video_status", operation_name=ID)
    assert [file["path"] for file in value["files"]] == [str(tmp_path / f"{ID}.mp4"),
                                                         str(tmp_path / f"{ID}-1.mp4")]
    assert (tmp_path / f"{ID}-1.mp4").read_bytes() == b"00001"


def test_long_lists_are_cut(daemon, start):
    def models(command):
        for number in range(400):
            command.item({"model": f"m{number}", "provider": "p", "note": '"' * 10000})
        command.ok({"count": 400})

    daemon.on("MODELS", models)
    value = start().call("list_models")
    assert 50 < value["count"] == len(value["models"]) < 400


def test_states_to_come(daemon, start):
    daemon.on("STATUS", lambda c: c.ok(job(state="polishing", new={"a": [1]})))
    value = start().call("check_video_status", operation_name=ID)
    assert value["success"] and value["status"] == "processing"


def test_text_that_could_break_a_line(daemon, start):
    prompt = "a\nb\r\n\u2028 \"quoted\" \\ \u0085 \x7f é 🐈"
    daemon.on("GENERATE", lambda c: c.ok(job(prompt=c.object["prompt"])))
    value = start().call("generate_video_from_text", prompt=prompt, wait=False)
    assert value["prompt"] == prompt
    assert json.loads(daemon.sent("GENERATE")[0].argument)["prompt"] == prompt
