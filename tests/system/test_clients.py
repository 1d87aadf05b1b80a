"""Clients that behave badly, or leave: the others notice nothing, and nothing is kept for them.
Then the socket itself, and the secret."""

import base64
import datetime
import json
import os
import pathlib
import select
import signal
import socket
import stat
import subprocess
import time

import pytest

import harness
from harness import KEY, NOBODY, OMNI, VEO, Client, until

MIB = 1024 * 1024
LONG = " [sim: latency=300s]"


def later(seconds=3600):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def fill(daemon, count, size=30000):
    """Jobs with long prompts, which wait: what a reply can be made long with."""
    with daemon.client() as client:
        for number in range(count):
            client.generate(f"{number} " + "x" * size, not_before=later())


def others_are_served(daemon):
    """The longest that another client waited for a PING and a STATUS of nothing."""
    started = time.monotonic()
    with daemon.client() as client:
        client.ok("PING")
        client.err("STATUS 7ZZZZZZZ", "not-found")
    waited = time.monotonic() - started
    assert waited < 1, f"another client waited {waited:.2f} s"


def grown(daemon, before):
    return daemon.memory() - before


def clients_of(daemon):
    return daemon.ok("STATS")["clients"] - 1


def no_descriptor_leaks(daemon, before):
    until(lambda: daemon.descriptors() <= before, f"descriptors back to {before}", patience=20)


# ---- readers that don't read ----


def test_list_without_reading(daemon):
    fill(daemon, 150)
    with daemon.client() as warm:
        warm.items('LIST {"limit":1000}')
    before = daemon.memory()
    stopped = daemon.client()
    stopped.send('LIST {"limit":1000}\n' * 100)
    for _ in range(10):
        others_are_served(daemon)
        time.sleep(0.05)
    assert grown(daemon, before) < 48 * MIB
    stopped.close()
    until(lambda: clients_of(daemon) == 0, "the client is gone")


def test_many_lists_at_once_without_reading(daemon):
    fill(daemon, 100)
    before = daemon.memory()
    stopped = daemon.client()
    stopped.send("".join(f'@{n} LIST {{"limit":1000}}\n' for n in range(250)).encode())
    for _ in range(10):
        others_are_served(daemon)
        time.sleep(0.05)
    assert grown(daemon, before) < 64 * MIB


def test_a_slow_reader_of_many_lists_gets_all_of_them(daemon):
    fill(daemon, 60)
    client = daemon.client()
    client.send("".join(f'@{n} LIST {{"limit":1000}}\n' for n in range(8)).encode())
    time.sleep(0.5)
    counts, ended = {}, 0
    while ended < 8:
        reply = client.read()
        if reply.word == "OK":
            assert counts[reply.tag] == reply.value["count"] == 60
            ended += 1
        counts[reply.tag] = counts.get(reply.tag, 0) + 1


def test_list_of_jobs_that_grow_when_escaped(daemon):
    """A control byte takes six in a reply: a page of such is larger than a client's room."""
    client = daemon.client()
    ids = [client.ok("GENERATE \x01" + "\x02" * 32760)["id"] for _ in range(30)]
    items = client.items("LIST")
    assert [item["id"] for item in items] == ids[::-1]
    assert items[0]["prompt"] == "\x01" + "\x02" * 32760


def test_watch_without_reading(daemon):
    fill(daemon, 20)
    before = daemon.memory()
    stopped = [daemon.client() for _ in range(20)]
    for client in stopped:
        client.send('WATCH {"from":0}')
    with daemon.client() as busy:
        ids = [job["id"] for job in busy.items("LIST")]
        for _ in range(100):
            busy.ok("HOLD " + json.dumps({"ids": ids}))
            busy.ok("RELEASE " + json.dumps({"ids": ids}))
        others_are_served(daemon)
        assert grown(daemon, before) < 64 * MIB
        last = busy.ok("WATCH")["from"]
    events = 0
    stopped[0].read()
    while events < last:
        reply = stopped[0].read()
        events += 1
        assert reply.value["event"] == events


def test_get_without_reading(daemon):
    job, = daemon.wait(daemon.generate("a cat [sim: bytes=40M]")["id"])
    with daemon.client() as warm:
        warm.get(job["id"])
    before = daemon.memory()
    stopped = [daemon.client() for _ in range(10)]
    for client in stopped:
        client.send(f"GET {job['id']}")
    for _ in range(10):
        others_are_served(daemon)
        time.sleep(0.05)
    assert grown(daemon, before) < 48 * MIB
    whole = pathlib.Path(job["files"][0]["path"]).read_bytes()
    reply = stopped[0].read()
    assert stopped[0].read_bytes(reply.value["bytes"]) == whole


def test_commands_without_reading_answers(daemon):
    """Once the answers pile up, no more commands are taken: the sender blocks."""
    before = daemon.memory()
    stopped = daemon.client()
    stopped.socket.setblocking(False)
    sent, line, end = 0, b"HELP\n" * 1000, time.monotonic() + 10
    while time.monotonic() < end:
        try:
            sent += stopped.socket.send(line)
        except BlockingIOError:
            if not select.select([], [stopped.socket], [], 0.5)[1]:
                break
    else:
        pytest.fail(f"{sent} bytes of commands were taken")
    others_are_served(daemon)
    assert grown(daemon, before) < 48 * MIB


def test_who_reads_nothing_for_long_is_dropped(make_daemon):
    daemon = make_daemon(options={"limits.client_stall": "1s"}).start()
    fill(daemon, 100)
    stopped, idle = daemon.client(), daemon.client()
    stopped.send('LIST {"limit":1000}\n' * 50)
    until(lambda: clients_of(daemon) == 1, "the stopped client is dropped", patience=20)
    assert "read nothing" in daemon.log()
    assert idle.ok("PING")


@pytest.mark.parametrize("size", ["10K", "8M"])
def test_lists_and_events_go_on_after_a_get(daemon, size):
    done, = daemon.wait(daemon.generate(f"a cat [sim: bytes={size}]")["id"])
    with daemon.client() as client:
        client.ok("BATCH " + json.dumps({"jobs": [{"prompt": "x", "not_before": later()}] * 150}))
    for _ in range(5):
        client = daemon.client(timeout=20)
        client.send(f"@w WATCH {{\"from\":0}}\n@g GET {done['id']}\n"
                    "@l LIST {\"limit\":1000}\n@v WATCH {\"from\":0}")
        events, listed = {"w": 0, "v": 0}, 0
        while events["w"] < 155 or events["v"] < 155 or not listed:
            reply = client.read()
            if reply.word == "DATA":
                client.read_bytes(reply.value["bytes"])
            elif reply.word == "EVENT":
                events[reply.tag] += 1
            elif reply.tag == "l" and reply.word == "OK":
                listed = reply.value["count"]
        assert listed == 151
        client.close()


# ---- writers ----


def test_a_byte_at_a_time(daemon):
    client = daemon.client()
    for byte in "@a GENERATE ü 猫\r\n@b PING\n".encode():
        client.send(bytes([byte]))
    replies = {reply.tag: reply.value for reply in (client.read(), client.read())}
    assert replies["a"]["prompt"] == "ü 猫" and replies["b"]["pong"]


def test_ten_megabytes_without_a_line_end(daemon):
    before = daemon.memory()
    client = daemon.client()
    for _ in range(160):
        client.send(b"x" * 65536)
    others_are_served(daemon)
    assert grown(daemon, before) < 8 * MIB
    client.send(b"\nPING\n")
    error = client.read()
    assert error.value["code"] == "too-long" and str(160 * 65536) in error.value["message"]
    assert client.read().value == {"pong": True}


@pytest.mark.parametrize("length, word", [(65535, "OK"), (65536, "OK"), (65537, "ERR"),
                                          (65538, "ERR")])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_the_longest_line(daemon, length, word, end):
    client = daemon.client()
    client.send(b"PING ".ljust(length, b"x") + end + b"PING\n")
    reply = client.read()
    assert reply.word == word and (word == "OK" or reply.value["code"] == "too-long")
    assert client.read().value == {"pong": True}


def test_a_long_line_among_answers_in_order(daemon):
    client = daemon.client()
    client.send(b"PING 1\n" + b"y" * 100000 + b"\nPING 2\n\0\nPING 3\n")
    replies = [client.read() for _ in range(5)]
    assert [r.value.get("text") or r.value["code"] for r in replies] == [
        "1", "too-long", "2", "bad-request", "3"]


def test_many_commands_in_one_write(daemon):
    client = daemon.client()
    client.send(b"".join(b"PING %d\n" % n for n in range(20000)))
    for number in range(20000):
        assert client.read().value["text"] == str(number)


def test_a_thousand_idle_clients(daemon):
    daemon.wait(daemon.generate("a cat")["id"])
    before, memory = daemon.descriptors(), daemon.memory()
    idle = [Client(daemon.socket) for _ in range(1000)]
    others_are_served(daemon)
    until(lambda: clients_of(daemon) == 1000, "all are taken")
    assert grown(daemon, memory) < 48 * MIB
    assert daemon.wait(daemon.generate("a cat")["id"])[0]["state"] == "done"
    for client in idle[::100]:
        client.ok("PING")
    for client in idle:
        client.close()
    no_descriptor_leaks(daemon, before)


def test_more_clients_than_the_limit(make_daemon):
    daemon = make_daemon(options={"limits.clients": 5}).start()
    kept = []
    while len(kept) < 5:  # the clients of the start may still be leaving
        client = daemon.client()
        try:
            if client.request("PING").word == "OK":
                kept.append(client)
        except (OSError, EOFError):
            pass
    refused = daemon.client()
    reply = refused.read()
    assert reply.word == "ERR" and reply.value["code"] == "too-many"
    assert "[limits] clients" in reply.value["message"] and refused.at_end()
    kept[0].close()
    until(lambda: daemon.answers(), "there is room again")


def test_when_descriptors_run_out(make_daemon):
    """accept() fails; who is connected is served, and it goes on once there are descriptors."""
    daemon = make_daemon().start()
    first = daemon.client()
    first.ok("PING")
    limit = daemon.descriptors() + 5
    subprocess.run(["prlimit", f"--nofile={limit}:{limit}", "--pid", str(daemon.pid)], check=True)
    more = [Client(daemon.socket) for _ in range(20)]
    started = time.monotonic()
    first.ok("PING")
    assert time.monotonic() - started < 1
    cpu = cpu_ticks(daemon)
    time.sleep(1)
    assert cpu_ticks(daemon) - cpu < os.sysconf("SC_CLK_TCK") // 2, "it spins"
    for client in more:
        client.close()
    until(lambda: daemon.answers(), "new clients are served again", patience=20)
    assert first.ok("PING")


def cpu_ticks(daemon):
    fields = pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


BAD_JSON = [
    b"{", b"{}}", b"{]", b"{\"prompt\"}", b"{\"prompt\":}", b"{\"prompt\":\"a\",}", b"{,}",
    b"{\"prompt\":\"a\"", b"{\"prompt\":\"a}", b"{'prompt':'a'}", b"{prompt:\"a\"}",
    b"{\"prompt\":\"a\"} x", b"{\"prompt\":\"a\"}{}", b"{\"prompt\":\"a\",\"prompt\":\"a\"}",
    b"{\"prompt\":\"a\",\"pr\\u006fmpt\":\"b\"}", b"{\"prompt\":nul}", b"{\"prompt\":tru}",
    b"{\"prompt\":\"a\",\"seed\":01}", b"{\"prompt\":\"a\",\"seed\":1.}",
    b"{\"prompt\":\"a\",\"seed\":.5}",
    b"{\"prompt\":\"a\",\"seed\":+1}", b"{\"prompt\":\"a\",\"seed\":0x1}",
    b"{\"prompt\":\"a\",\"seed\":NaN}", b"{\"prompt\":\"a\",\"seed\":Infinity}",
    b"{\"prompt\":\"a\",\"seed\":1e}", b"{\"prompt\":\"a\",\"seed\":--1}",
    b"{\"prompt\":\"\\x\"}", b"{\"prompt\":\"\\u12\"}", b"{\"prompt\":\"\\u12G4\"}",
    b"{\"prompt\":\"\\ud800\"}", b"{\"prompt\":\"\\udc00\\ud800\"}", b"{\"prompt\":\"\\ud800x\"}",
    b"{\"prompt\":\"a\tb\"}", b"{\"prompt\":\"a\x01\"}", b"{\"prompt\":\"a\" \"b\"}",
    b"{\"prompt\" \"a\"}", b"{\"prompt\"::\"a\"}", b"{\"prompt\":\"a\";}", b"{1:2}", b"{null:1}",
    b"{\"labels\":" + b"[" * 5000, b"{\"labels\":" + b"[" * 40 + b"]" * 40 + b"}",
    b"{\"labels\":" + b"{\"a\":" * 5000, b"{\"labels\":[" + b"1," * 30000 + b"]}",
    b"{//x\n", b"{/**/}", b"{\"prompt\":\"a\"}\x0b", b"{\"a\":[}", b"{\"a\":{]}}", b"{\"\\\":1}",
]


def test_malformed_json_of_every_kind(sim, daemon):
    client = daemon.client()
    for text in BAD_JSON:
        for verb in (b"GENERATE ", b"LIST ", b"WAIT "):
            client.send(verb + text.rstrip(b"\n") + b"\n")
            reply = client.read()
            assert reply.word == "ERR", (text[:60], reply)
            assert reply.value["code"] in ("bad-request", "invalid-argument"), (text[:60], reply)
            if verb == b"GENERATE ":
                assert reply.value["code"] == "bad-request", (text[:60], reply)
    assert client.items("LIST") == [] and sim.stats()["submissions"] == 0


@pytest.mark.parametrize("line", [
    b"\0", b"PING \0", b"GENERATE a\0b", b"PI\0NG", b"\xff", b"PING \xff\xfe", b"GENERATE \xc3",
    b"GENERATE \xc0\xaf", b"GENERATE \xed\xa0\x80", b"GENERATE \xf4\x90\x80\x80",
    b"GENERATE {\"prompt\":\"\xff\"}", b"GENERATE \xe7\x8c", b"@\xff PING", b"\x80\x80\x80"])
def test_nul_and_invalid_utf8(daemon, line):
    client = daemon.client()
    client.send(line + b"\nPING\n")
    assert client.read().value["code"] == "bad-request"
    assert client.read().value == {"pong": True}
    assert client.items("LIST") == []


@pytest.mark.parametrize("line", [b"", b" ", b"\t", b"\r", b"   \t "])
def test_empty_lines(daemon, line):
    client = daemon.client()
    client.send(line + b"\nPING\n")
    assert client.read().value["code"] == "bad-request"
    assert client.read().value == {"pong": True}


def test_an_empty_line_while_another_command_is_answered(daemon):
    client = daemon.client()
    client.send("WAIT " + client.generate("a cat")["id"] + "\n\n\r\n\nPING")
    words = [client.read().word for _ in range(5)]
    assert words == ["OK", "ERR", "ERR", "ERR", "OK"]


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1", b"POST /v1 HTTP/1.0", b"PRI * HTTP/2.0"])
def test_who_speaks_http_is_told(daemon, line):
    client = daemon.client()
    client.send(line + b"\r\n")
    reply = client.read()
    assert reply.value["code"] == "bad-request" and "HTTP" in reply.value["message"]


def test_noise(daemon):
    """Random bytes, from a fixed seed: every line gets one answer, and the daemon lives."""
    import random
    source = random.Random(7)
    client = daemon.client()
    lines = 0
    for _ in range(300):
        line = bytes(source.choice(b"{}[]\":,@ \\\0\xff\xc3aPING0") for _ in range(
            source.randrange(1, 80)))
        client.send(line + b"\n")
        lines += 1
    client.send(b"PING the end\n")
    answers = 0
    while True:
        reply = client.read()
        if reply.value.get("text") == "the end":
            break
        answers += 1
    assert answers == lines


# ---- clients that leave ----


def test_a_half_closed_client_gets_its_answers(daemon):
    client = daemon.client()
    client.send("GENERATE a cat\n@p PING\nPING")
    client.shut()
    replies = [client.read() for _ in range(3)]
    job = next(reply for reply in replies if "id" in reply.value)
    assert sorted(reply.tag or "" for reply in replies) == ["", "", "p"] and client.at_end()
    waiter = daemon.client()
    waiter.send(f"WAIT {job.value['id']}\nGET {job.value['id']}")
    waiter.shut()
    assert waiter.read().value["jobs"][0]["state"] == "done"
    assert waiter.read_bytes(waiter.read().value["bytes"])[4:8] == b"ftyp"
    assert waiter.at_end()


def test_what_has_no_line_end_is_told(daemon):
    client = daemon.client()
    client.send(b"PING\nGENERATE a cat")
    client.shut()
    assert client.read().word == "OK"
    assert client.read().value["code"] == "bad-request"
    assert client.at_end() and daemon.client().items("LIST") == []


def test_a_client_that_says_nothing(daemon):
    before = daemon.descriptors()
    for _ in range(20):
        daemon.client().close()
    silent = daemon.client()
    silent.shut()
    assert silent.at_end()
    silent.close()
    no_descriptor_leaks(daemon, before)


LEAVING = {
    "wait": "WAIT {slow}", "tagged waits": "@a WAIT {slow}\n@b WAIT {slow}\n@c WAIT {slow}",
    "wait and more": "WAIT {slow}\nPING\nPING", "watch": "WATCH",
    "watch from 0": 'WATCH {{"from":0}}',
    "get": "GET {done}", "gets": "@a GET {done}\n@b GET {done}\nGET {done}", "list": "LIST",
    "lists": 'LIST {{"limit":1000}}\n@b LIST\n@c LIST', "why": "WHY {slow}\n@a WHY {done}",
    "status": "@a STATUS v1_none\n@b STATUS {done}\nSTATUS {slow} {done}",
    "generate": 'GENERATE {{"prompt":"left","key":"k"}}', "half a line": "@a WAIT {slow}\nPIN",
    "everything": '@a WATCH {{"from":0}}\n@b GET {done}\n@c LIST\n@d WAIT {slow}\n'
                  '@e HELP\nWHY {slow}',
    "output": 'GENERATE {{"prompt":"left","output":"left.mp4","key":"k"}}', "hold": "HOLD {slow}",
}


@pytest.mark.parametrize("half", [False, True], ids=["closed", "half closed first"])
@pytest.mark.parametrize("command", LEAVING.values(), ids=LEAVING.keys())
def test_a_client_that_vanishes(daemon, command, half):
    slow = daemon.generate("slow" + LONG)["id"]
    done = daemon.generate("done [sim: bytes=4M]")["id"]
    daemon.wait(done)
    daemon.wait_state(slow, "running")
    daemon.ok("PING")
    before = daemon.descriptors()
    for pause in (0, 0, 0, 0.001, 0.005, 0.02, 0.05, 0.1) * 3:
        with Client(daemon.socket) as client:
            text = command.format(slow=slow, done=done)
            client.send(text if not text.endswith("PIN") else text.encode())
            if half:
                client.shut()
            time.sleep(pause)
    others_are_served(daemon)
    no_descriptor_leaks(daemon, before + 2)  # connections to the provider may be kept
    until(lambda: clients_of(daemon) == 0, "no client is left", patience=20)


def test_a_client_that_is_killed_while_much_is_written_to_it(daemon):
    fill(daemon, 100)
    before = daemon.descriptors()
    for _ in range(20):
        with Client(daemon.socket) as client:
            client.send('LIST {"limit":1000}\n' * 3)
            client.read_line()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    no_descriptor_leaks(daemon, before)


def test_jobs_of_a_client_that_left_go_on(daemon):
    with Client(daemon.socket) as client:
        client.send("GENERATE a cat")
        job = client.read().value
    assert daemon.wait(job["id"])[0]["state"] == "done"


@pytest.mark.parametrize("verb", ["LIST", "WATCH {\"from\":0}", "WHY {id}", "STATUS 7ZZZZZZZ",
                                  "GET 7ZZZZZZZ", "WAIT 7ZZZZZZZ"])
def test_a_store_that_cannot_be_read(make_daemon, verb):
    if os.environ.get("VEOD_FAULTS", "1") == "0":
        pytest.skip("built without fault points")
    daemon = make_daemon()
    daemon.start()
    job = daemon.generate("a cat", not_before=later())
    daemon.terminate()
    daemon.start(faults="store.read#*=EIO")
    client = daemon.client()
    for _ in range(3):
        reply = client.exchange(verb.replace("{id}", job["id"]))[0]
        if verb.startswith("WATCH"):
            assert reply.word == "OK"
            reply = client.read()
        assert reply.word == "ERR" and reply.value["code"] == "unavailable", reply
    assert client.ok("PING") and client.ok(f"STATUS {job['id']}")["state"] == "queued"


# ---- the socket, and the daemon's place ----


def test_two_daemons_on_one_state_directory(make_daemon):
    first = make_daemon().start()
    second = make_daemon(options={"daemon.socket": first.socket + "2"})
    second.log_path = second.directory / "second.log"
    second.spawn()
    assert second.process.wait(harness.PATIENCE) != 0
    assert str(second.state) in second.log() and first.ok("PING")


def test_two_daemons_on_one_socket(make_daemon):
    first = make_daemon().start()
    second = make_daemon("other", options={"daemon.socket": first.socket})
    second.spawn()
    assert second.process.wait(harness.PATIENCE) != 0
    assert first.socket in second.log()
    assert first.ok("HELLO") and os.path.exists(first.socket)


def test_a_stale_socket_is_replaced(daemon):
    daemon.kill()
    assert os.path.exists(daemon.socket)
    daemon.start()
    assert daemon.ok("PING")
    daemon.terminate()
    assert not os.path.exists(daemon.socket)


def test_what_is_no_socket_is_not_replaced(make_daemon):
    daemon = make_daemon()
    pathlib.Path(daemon.socket).write_text("precious")
    daemon.spawn()
    assert daemon.process.wait(harness.PATIENCE) != 0
    assert pathlib.Path(daemon.socket).read_text() == "precious" and daemon.socket in daemon.log()


@pytest.mark.parametrize("mode", ["0600", "0660", "0666"])
def test_the_sockets_mode(make_daemon, mode):
    daemon = make_daemon(options={"daemon.socket_mode": mode}).start()
    assert stat.S_IMODE(os.stat(daemon.socket).st_mode) == int(mode, 8)


def test_the_sockets_mode_keeps_others_out(make_daemon, as_root):
    daemon = make_daemon(options={"daemon.socket_mode": "0660"}).start()
    with pytest.raises(PermissionError):
        daemon.client(uid=NOBODY)


def test_the_sockets_group(make_daemon, as_root):
    import grp
    group = grp.getgrgid(NOBODY).gr_name
    daemon = make_daemon(options={"daemon.socket_group": group,
                                  "daemon.socket_mode": "0660"}).start()
    assert os.stat(daemon.socket).st_gid == NOBODY
    assert daemon.client(uid=NOBODY).ok("HELLO")["admin"] is False


def test_members_of_the_admin_group_are_admins(make_daemon, as_root):
    import grp
    group = grp.getgrgid(NOBODY).gr_name
    daemon = make_daemon(options={"daemon.admin_group": group}).start()
    job = daemon.generate("of root" + LONG)
    other = daemon.client(uid=NOBODY)
    reply = other.ok("HELLO")
    if not reply["admin"]:
        pytest.skip("supplementary groups only, and the client has none")
    assert other.ok(f"CANCEL {job['id']}")["state"] == "cancelled"


def test_a_stop_answers_what_it_can_and_ends(daemon):
    slow = daemon.generate("slow" + LONG)["id"]
    clients = [daemon.client() for _ in range(5)]
    for client, line in zip(clients, (f"WAIT {slow}", "WATCH", f"@a WAIT {slow}", "LIST", "")):
        if line:
            client.send(line)
    daemon.wait_state(slow, "running")
    daemon.terminate()
    with pytest.raises(EOFError):
        while True:
            clients[0].read()
    daemon.start()
    assert daemon.job(slow)["state"] == "running"


def test_sigint_stops_it_too(daemon):
    daemon.process.send_signal(signal.SIGINT)
    assert daemon.process.wait(harness.PATIENCE) == 0


# ---- the secret ----


def test_the_key_is_seen_by_its_provider_only(sim, make_daemon):
    daemon = make_daemon(options={"daemon.log_level": "debug"}).start()
    client = daemon.client(timeout=30)
    sim.rules([{"on": "poll", "do": "status", "status": 500, "times": 1},
               {"on": "submit", "do": "status", "status": 403, "match": "refused"}])
    jobs = [client.generate("a cat"), client.generate("a dog", model=VEO),
            client.generate("far [sim: foreign]"), client.generate("far [sim: foreign]", model=VEO),
            client.generate("refused"), client.generate("b [sim: fail=3]", model=VEO),
            client.generate("c [sim: encoded]", model=VEO)]
    said = [json.dumps(client.ok("GENERATE " + json.dumps(
        {"prompt": "x", "model": model, "dry_run": True}))) for model in (OMNI, VEO)]
    said.append(json.dumps(client.wait(*[job["id"] for job in jobs])))
    for job in jobs:
        said.append(json.dumps(client.ok(f"WHY {job['id']}")))
    for line in ("STATS", "HELLO", "MODELS", "LIST", "HELP"):
        said += [json.dumps(reply.value) for reply in client.exchange(line)]
    client.send('@w WATCH {"from":0}')
    while not said[-1].startswith('{"event"') or client.buffer:
        said.append(json.dumps(client.read().value))
    stats = sim.stats()
    assert stats["keys"]["header_ok"] > 10 and stats["foreign_requests"] >= 2
    assert [stats["keys"][where] for where in ("in_url", "missing", "wrong", "foreign")] == [0] * 4
    places = {"replies": "\n".join(said).encode(), "the log": daemon.log().encode(),
              "the arguments": pathlib.Path(f"/proc/{daemon.pid}/cmdline").read_bytes()}
    daemon.terminate()
    for path in [*daemon.state.rglob("*"), *daemon.videos.rglob("*")]:
        if path.is_file():
            places[str(path)] = path.read_bytes()
    assert any(name.startswith(str(daemon.state)) for name in places)
    for name, content in places.items():
        for secret in (KEY.encode(), base64.b64encode(KEY.encode())[:-4],
                       KEY.encode().hex().encode()):
            assert secret not in content, name


def test_the_key_from_a_file(sim, make_daemon):
    daemon = make_daemon(providers={"gemini": {"credential": "of-the-file"}})
    path = daemon.directory / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    daemon.providers["gemini"]["credential_file"] = str(path)
    daemon.start()
    assert daemon.wait(daemon.generate("a cat")["id"])[0]["state"] == "done"
    assert sim.stats()["keys"]["header_ok"] > 0
    daemon.terminate()
    path.chmod(0o644)
    daemon.spawn()
    assert daemon.process.wait(harness.PATIENCE) != 0
    assert "0600" in daemon.log() and KEY not in daemon.log()


def test_the_key_from_the_credentials_directory(sim, make_daemon):
    daemon = make_daemon()
    folder = daemon.directory / "credentials"
    folder.mkdir()
    (folder / "gemini-api-key").write_text(KEY)
    daemon.environment = {"CREDENTIALS_DIRECTORY": str(folder), "GEMINI_API_KEY": "another"}
    daemon.start()
    assert daemon.wait(daemon.generate("a cat")["id"])[0]["state"] == "done"


def test_without_a_key_it_says_where_it_looked(make_daemon):
    daemon = make_daemon(environment={"GEMINI_API_KEY": ""})
    daemon.spawn()
    assert daemon.process.wait(harness.PATIENCE) != 0
    assert "gemini-api-key" in daemon.log() or "GEMINI_API_KEY" in daemon.log()
