"""METRICS and `veoctl metrics`: the format, and that the numbers are those of what happened."""

import datetime
import os
import re
import socket
import subprocess
import threading

import pytest

import ask
import exposition
from exposition import total, value
from harness import NOBODY, OMNI, PATIENCE, VEO, VEOCTL, Client, ctl, until
from real import ENVIRONMENTS, needs

LONG = "[sim: latency=300s]"
PROMTOOL = ENVIRONMENTS / "promtool" / "promtool"


def text_of(client):
    reply = client.request("METRICS")
    assert reply.word == "DATA", reply
    assert reply.value["mime"] == "text/plain; version=0.0.4"
    return client.read_bytes(reply.value["bytes"]).decode()


def metrics(daemon, uid=None):
    with Client(daemon.socket, uid=uid) as client:
        return exposition.read(text_of(client))


def promtool(*arguments, **more):
    result = subprocess.run([PROMTOOL, *map(str, arguments)], capture_output=True, text=True,
                            timeout=PATIENCE, **more)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


@pytest.fixture
def busy(sim, make_daemon):
    """A daemon that has seen something of everything."""
    daemon = make_daemon(options={**ask.agent_options(sim), "budget.daily_usd": "1000"},
                         providers={"veo": {"daily_budget_usd": "500"}}).start()
    sim.rules([
        {"on": "submit", "do": "status", "status": 503, "times": 1, "match": "crowded"},
        {"on": "submit", "do": "status", "status": 400, "match": "bad"},
        {"on": "submit", "do": "directive", "directive": "filter", "match": "famous"},
        {"on": "submit", "do": "reset-after", "match": "storm"},
        {"on": "poll", "do": "status", "status": 500, "times": 2, "match": "patience"},
    ])
    ids = [daemon.generate(f"a {word} cat {model[0]}", model=model)["id"]
           for word in ("plain", "crowded", "bad", "famous", "storm", "patience")
           for model in (OMNI, VEO)]
    daemon.jobs = {job["id"]: job for job in daemon.wait(*ids)}
    return daemon


# ---- the format ----


@pytest.mark.parametrize("text", [
    "a 1",                                                            # no end
    "a 1\n",                                                          # no TYPE
    "# TYPE a gauge\na 1\n",                                          # no HELP
    "# HELP a A.\n# TYPE a gauge\n# HELP a B.\n# TYPE a gauge\na 1\n",  # twice
    "# HELP a A.\n# TYPE a gauge\na 1\na 2\n",
    "# HELP a A.\n# TYPE a gauge\n\na 1\n",
    '# HELP a A.\n# TYPE a gauge\na{b="c"d="e"} 1\n',
    '# HELP a A.\n# TYPE a gauge\na{b="c",} 1\n',
    '# HELP a A.\n# TYPE a gauge\na{b="\\c"} 1\n',
    '# HELP a A.\n# TYPE a gauge\na{b="c",b="d"} 1\n',
    "# HELP a A.\n# TYPE a gauge\na null\n",
    "# HELP a A.\n# TYPE a gauge\na 0x10\n",
    "# HELP a A.\n# TYPE a counter\na 1\n",                           # not _total
    "# HELP a A.\n# TYPE a gauge\n# HELP b B.\n# TYPE b gauge\na 1\n",  # out of its family
    '# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 1\na_sum 1\na_count 1\n',
    '# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 2\na_bucket{le="+Inf"} 1\na_sum 1\n'
    "a_count 1\n",
    '# HELP a A.\n# TYPE a histogram\na_bucket{le="1"} 1\na_bucket{le="+Inf"} 1\na_sum 1\n'
    "a_count 2\n",
])
def test_the_reader_takes_nothing_else(text):
    with pytest.raises((AssertionError, KeyError)):
        exposition.read(text)


def test_the_reader_reads():
    families = exposition.read('# HELP a A.\n# TYPE a gauge\na{b="c\\"\\\\\\n,}"} -1e-06\n')
    assert value(families, "a", b='c"\\\n,}') == -1e-06


def test_the_format(busy):
    families = metrics(busy)
    assert len(families) > 50
    assert all(family.help.endswith(".") for family in families.values())
    assert all(name.startswith("veod_") for name in families)


@needs("promtool")
def test_promtool_finds_nothing(busy):
    with Client(busy.socket) as client:
        assert promtool("check", "metrics", input=text_of(client)) == ""


@needs("promtool")
def test_promtool_finds_something():
    """So that the other one means something."""
    with pytest.raises(AssertionError, match="_total"):
        promtool("check", "metrics", input="# HELP a A.\n# TYPE a counter\na 1\n")


def test_nothing_that_is_somebodys(busy):
    client = busy.client()
    words = text_of(client)
    for job in busy.jobs.values():
        assert job["id"] not in words and job.get("operation_name", "/") not in words
    assert " cat " not in words and not re.search(r"owner|uid|AIza", words)


# ---- the numbers ----


def test_they_agree_with_stats_and_with_the_simulator(sim, busy):
    client = busy.client()
    families, stats = exposition.read(text_of(client)), client.ok("STATS")
    seen = sim.stats()
    for state, count in stats["states"].items():
        assert value(families, "veod_jobs", state=state) == count, state
    for name in ("submissions", "polls", "poll_failures", "fetched_bytes"):
        assert value(families, f"veod_{name}_total") == stats[name] > 0, name
    for lane in ("calls", "transfers", "uploads", "chats"):
        assert value(families, "veod_http_requests_total", lane=lane) == stats["http"][lane]
    assert value(families, "veod_http_connections_total") == stats["http"]["connections"]
    assert value(families, "veod_store_commits_total") == stats["store"]["commits"]
    assert value(families, "veod_store_commit_seconds_count") == stats["store"]["commits"]
    assert value(families, "veod_store_batch_writes_sum") == stats["store"]["writes"]
    assert total(families, "veod_commands_total") == stats["commands"] - 1
    assert value(families, "veod_submissions_total") == seen["submissions"]
    assert total(families, "veod_provider_answers_total", request="submit") == seen["submissions"]
    assert total(families, "veod_provider_answers_total", request="submit", **{"class": "2xx"}) \
        == len([job for job in busy.jobs.values() if job["state"] in ("done", "filtered")])
    assert value(families, "veod_polls_total") == seen["polls"]
    assert total(families, "veod_provider_answers_total", request="poll") == seen["polls"]
    assert total(families, "veod_provider_answers_total", request="fetch", **{"class": "2xx"}) \
        == seen["downloads"] == value(families, "veod_fetched_results_total")


def test_they_agree_with_the_jobs(busy):
    families = metrics(busy)
    states = [job["state"] for job in busy.jobs.values()]
    assert {"done", "failed", "filtered", "uncertain"} == set(states)
    assert value(families, "veod_jobs_accepted_total") == len(states)
    for state in set(states):
        assert value(families, "veod_job_changes_total", state=state) == states.count(state), state
    for state in ("failed", "uncertain"):
        assert total(families, "veod_job_errors_total", state=state) == states.count(state)
    assert value(families, "veod_job_errors_total", state="uncertain", code="no-answer") == 2
    for code in ("invalid-argument", "invalid-request"):
        assert value(families, "veod_job_errors_total", state="failed", code=code) == 1, code
    done = [job for job in busy.jobs.values() if job["state"] == "done"]
    assert value(families, "veod_fetched_bytes_total") == \
        sum(file["bytes"] for job in done for file in job["files"])
    for name in ("veod_fetch_seconds", "veod_job_seconds"):
        assert value(families, f"{name}_count") == len(done), name
    assert value(families, "veod_queue_wait_seconds_count") == \
        value(families, "veod_job_changes_total", state="submitting")
    ran = [job for job in busy.jobs.values() if job["state"] in ("done", "filtered")]
    assert sum(value(families, "veod_generation_seconds_count", provider=name)
               for name in ("gemini", "veo")) == len([job for job in ran if "running_at" in job])
    assert value(families, "veod_provider_answers_total", provider="veo", request="submit",
                 **{"class": "5xx"}) == 1 or value(
        families, "veod_provider_answers_total", provider="gemini", request="submit",
        **{"class": "5xx"}) == 1


def test_counters_only_grow(sim, daemon):
    """Over jobs that go well and badly, are tried again, cancelled and forgotten."""
    sim.rules([
        {"on": "submit", "do": "status", "status": 429, "retry_after": "0", "times": 1},
        {"on": "submit", "do": "status", "status": 500, "chance": 0.2},
        {"on": "submit", "do": "reset-after", "chance": 0.2},
        {"on": "poll", "do": "status", "status": 503, "chance": 0.2},
        {"on": "download", "do": "truncate", "chance": 0.2},
    ])
    before, client = metrics(daemon), daemon.client()
    for turn in range(4):
        ids = [client.generate(f"cat {turn} {i}", model=(OMNI, VEO)[i % 2])["id"]
               for i in range(10)]
        assert not exposition.fallen(before, before := metrics(daemon))
        client.ok(f"CANCEL {client.generate(LONG)['id']}")
        for job in client.wait(*ids):
            if job["state"] == "uncertain" and turn % 2:
                client.ok(f"CANCEL {job['id']}")
            client.request(f"FORGET {job['id']}")
        client.err("RETRY nothing", "not-found")
        assert not exposition.fallen(before, before := metrics(daemon))
    assert value(before, "veod_jobs_accepted_total") == 44


def test_something_that_falls_is_noticed(daemon):
    before = metrics(daemon)
    daemon.restart()
    assert exposition.fallen(metrics_after_work(daemon), before)


def metrics_after_work(daemon):
    daemon.wait(daemon.generate()["id"])
    return metrics(daemon)


def test_the_queue_and_a_shut_gate(sim, daemon):
    families = metrics(daemon)
    assert value(families, "veod_queue_oldest_seconds") == 0
    sim.rules([{"on": "submit", "do": "status", "status": 429, "retry_after": "600", "times": 1}])
    id = daemon.generate("first")["id"]
    until(lambda: "turned veod away" in daemon.ok(f"WHY {id}")["text"], "the gate is shut")
    daemon.generate("second")
    place = {"provider": "gemini", "model": OMNI}
    families = metrics(daemon)
    assert value(families, "veod_queue_jobs") == 2
    assert value(families, "veod_provider_gate_shut", **place) == 1
    assert 0 < value(families, "veod_provider_gate_opens_seconds", **place) <= 600
    assert value(families, "veod_provider_in_flight", **place) == 0
    assert value(families, "veod_provider_answers_total", provider="gemini", request="submit",
                 **{"class": "429"}) == 1
    older = until(lambda: value(metrics(daemon), "veod_queue_oldest_seconds"), "it has waited")
    until(lambda: value(metrics(daemon), "veod_queue_oldest_seconds") > older, "it waits longer")


def test_what_may_not_start_yet_does_not_wait(daemon):
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    daemon.generate("later", not_before=moment.isoformat())
    assert value(metrics(daemon), "veod_queue_jobs") == 1
    assert value(metrics(daemon), "veod_queue_oldest_seconds") == 0


def test_in_flight(daemon):
    ids = [daemon.generate(LONG)["id"] for _ in range(3)]
    for id in ids:
        daemon.wait_state(id, "running")
    families = metrics(daemon)
    assert value(families, "veod_provider_in_flight", provider="gemini", model=OMNI) == 3
    assert value(families, "veod_in_flight") == value(families, "veod_jobs_live") == 3
    assert value(families, "veod_jobs", state="running") == 3


def test_a_provider_that_is_not_there(make_daemon):
    daemon = make_daemon(providers={"gemini": {"base_url": "http://127.0.0.1:9"}}).start()
    daemon.generate()
    place = {"provider": "gemini", "request": "submit"}
    families = until(lambda: (now := metrics(daemon)) and value(
        now, "veod_provider_answers_total", **place, **{"class": "unsent"}) and now, "it was tried")
    assert value(families, "veod_provider_answer_seconds_count", **place) == 0


def test_a_model_with_an_odd_name(make_daemon):
    daemon = make_daemon(providers={"gemini": {"models": "*"}}).start()
    name = 'odd"\\model'
    job = daemon.generate(model=name, force=True)
    daemon.wait(job["id"])
    assert (("veod_provider_gate_shut", frozenset({"provider": "gemini", "model": name}.items()))
            in metrics(daemon)["veod_provider_gate_shut"].samples)


def test_the_daemon_itself(daemon):
    families = metrics(daemon)
    version = daemon.ok("HELLO")["version"]
    assert value(families, "veod_build_info", version=version) == 1
    assert value(families, "veod_process_open_fds") > 5
    assert 2**20 < value(families, "veod_process_resident_memory_bytes") \
        < value(families, "veod_process_virtual_memory_bytes")
    assert value(families, "veod_process_cpu_seconds_total") > 0
    started = value(families, "veod_process_start_time_seconds")
    assert abs(started - os.stat(f"/proc/{daemon.pid}").st_ctime) < 10
    assert value(families, "veod_commands_total", verb="METRICS") == 1
    until(lambda: value(metrics(daemon), "veod_clients") == 1, "the others have gone")
    assert value(families, "veod_loop_busy_seconds_count") > 0
    assert value(families, "veod_loop_busy_max_seconds") * value(
        families, "veod_loop_busy_seconds_count") >= value(families, "veod_loop_busy_seconds_sum")


def test_refusals_are_counted(client, daemon):
    client.err("GENERATE {}", "invalid-argument")
    client.err("NONSENSE", "unknown-verb")
    client.err("STATUS 01KAQ3ZZZZ0123456789ABCDEF", "not-found")
    client.err('METRICS {"x":1}', "invalid-argument")
    families = metrics(daemon)
    for code, count in (("invalid-argument", 2), ("unknown-verb", 1), ("not-found", 1)):
        assert value(families, "veod_command_errors_total", code=code) == count, code
    assert value(families, "veod_commands_total", verb="GENERATE") == 1


@pytest.mark.skipif(os.environ.get("VEOD_FAULTS") != "1", reason="needs fault points")
def test_a_store_that_fails(daemon):
    assert value(metrics(daemon), "veod_store_failing") == 0
    daemon.terminate()
    daemon.start(faults="store.commit#1+=ENOSPC")
    with Client(daemon.socket) as client:
        client.err("GENERATE a cat", "disk-full")
    families = metrics(daemon)
    assert value(families, "veod_store_failing") == 1
    assert value(families, "veod_store_failed_commits_total") >= 1
    assert value(families, "veod_jobs_accepted_total") == 0
    daemon.expect_clean = False


def test_the_agent(asked):
    with Client(asked.socket) as client:
        turn = ask.Turn(client, "a cat " + ask.script({"calls": [ask.text("a cat")]},
                                                      {"text": "done"}))
        while not turn.end:
            turn.next()
        answer = turn.end.value
    families = metrics(asked)
    assert value(families, "veod_agent_turns_total") == 1
    assert value(families, "veod_agent_turns_ended_total", finish="answer") == 1
    assert value(families, "veod_agent_requests_total") == answer["rounds"]
    assert value(families, "veod_agent_answers_total", **{"class": "2xx"}) == answer["rounds"]
    assert value(families, "veod_agent_answer_seconds_count") == answer["rounds"]
    assert value(families, "veod_agent_tokens_total") == answer["tokens"]


# ---- money, and who may know of it ----


def test_money(busy):
    families = metrics(busy)
    charged = {}
    for job in busy.jobs.values():
        cost = job["cost"].get("charged_usd", 0)
        charged[job["provider"]] = charged.get(job["provider"], 0) + cost
    assert charged["veo"] > 0
    for provider, usd in charged.items():
        assert value(families, "veod_charged_dollars_total", provider=provider) \
            == pytest.approx(usd), provider
    today = {"veod_budget_charged_dollars": sum(charged.values()),
             "veod_budget_limit_dollars": 1000}
    for name, usd in today.items():
        assert value(families, name, **{"for": "all"}) == pytest.approx(usd), name
    spend = busy.ok("STATS")["spend"]
    reserved = value(families, "veod_budget_reserved_dollars", **{"for": "all"})
    assert reserved == pytest.approx(spend["reserved_usd"])
    assert value(families, "veod_budget_left_dollars", **{"for": "all"}) \
        == pytest.approx(1000 - spend["today_usd"] - reserved)
    of_veo = {"for": "provider", "provider": "veo"}
    assert value(families, "veod_budget_limit_dollars", **of_veo) == 500
    limits = families["veod_budget_limit_dollars"].samples
    assert len(limits) == 2, "a provider without a limit has none"


def test_what_turns_out_not_to_be_charged(busy):
    """The storms are presumed to cost their estimate once they are given up."""
    def spent(families):
        return total(families, "veod_charged_dollars_total") - total(
            families, "veod_credited_dollars_total")

    before = spent(metrics(busy))
    storms = [id for id, job in busy.jobs.items() if job["state"] == "uncertain"]
    for id in storms:
        busy.ok(f"FORGET {id}")
    after = metrics(busy)
    assert spent(after) == pytest.approx(busy.ok("COST")["charged_usd"])
    assert spent(after) >= before


def test_money_is_for_admins(busy, as_root):
    ours, theirs = metrics(busy), metrics(busy, uid=NOBODY)
    missing = set(ours) - set(theirs)
    assert missing == {name for name in ours
                       if re.match("veod_(charged|credited|budget)_", name)}
    assert len(missing) == 6
    assert total(theirs, "veod_jobs") == len(busy.jobs), "of all users"


# ---- the protocol ----


def test_many_at_once_and_nobody_reads(daemon):
    """More than what may wait for a client: it goes on as the client reads."""
    with Client(daemon.socket) as client:
        client.send("".join(f"@{i} METRICS\n" for i in range(200)).encode())
        daemon.ok("PING")
        seen = set()
        for _ in range(200):
            reply = client.read()
            assert reply.word == "DATA", reply
            exposition.read(client.read_bytes(reply.value["bytes"]).decode())
            seen.add(reply.tag)
        assert len(seen) == 200
        assert client.request("PING").value == {"pong": True}


def test_a_client_that_goes_away(daemon):
    for _ in range(20):
        client = daemon.client()
        client.send("".join(f"@{i} METRICS\n" for i in range(100)).encode())
        client.close()
    assert metrics(daemon)


# ---- veoctl ----


def test_veoctl_prints_them(busy):
    result = ctl(busy, "metrics")
    assert result.returncode == 0 and result.stderr == ""
    assert set(exposition.read(result.stdout)) == set(metrics(busy))
    assert ctl(busy, "metrics", "now").returncode == 2


def test_the_textfile(daemon, tmp_path):
    path = tmp_path / "veod.prom"
    path.write_text("old")
    result = ctl(daemon, "metrics", "--textfile", path)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    families = exposition.read(path.read_text())
    assert value(families, "veod_up") == 1 and "veod_jobs" in families
    assert path.stat().st_mode & 0o777 == 0o644
    inode = path.stat().st_ino
    assert ctl(daemon, "metrics", "--textfile", path).returncode == 0
    assert path.stat().st_ino != inode, "replaced, and not written over"
    daemon.terminate()
    result = ctl(daemon, "metrics", "--textfile", path)
    assert result.returncode == 4 and result.stderr
    families = exposition.read(path.read_text())
    assert set(families) == {"veod_up"} and value(families, "veod_up") == 0
    assert os.listdir(tmp_path) == ["veod.prom"]


def answer_by_half(listener):
    connection, _ = listener.accept()
    with connection:
        tag = connection.recv(1000).decode().split()[0]
        text = "# HELP a A.\n# TYPE a gauge\na 1\n"
        head = '{"bytes":1000,"mime":"text/plain; version=0.0.4"}'
        connection.sendall(f"{tag} DATA {head}\n{text}".encode())


def test_half_an_answer_is_none(programs, tmp_path, directory):
    path = tmp_path / "veod.prom"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "s"))
        listener.listen()
        listener.settimeout(PATIENCE)
        server = threading.Thread(target=answer_by_half, args=[listener])
        server.start()
        result = subprocess.run([VEOCTL, "--socket", directory / "s", "metrics", "--textfile", path],
                                capture_output=True, timeout=PATIENCE)
        server.join()
    assert result.returncode == 4 and result.stderr
    assert set(exposition.read(path.read_text())) == {"veod_up"}


def test_a_textfile_that_cannot_be_written(daemon, tmp_path):
    result = ctl(daemon, "metrics", "--textfile", tmp_path / "nowhere" / "veod.prom")
    assert result.returncode == 9 and "nowhere" in result.stderr
    (tmp_path / "veod.prom").mkdir()
    assert ctl(daemon, "metrics", "--textfile", tmp_path / "veod.prom").returncode == 9
    assert os.listdir(tmp_path) == ["veod.prom"]
