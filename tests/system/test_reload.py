"""RELOAD and SIGHUP: a new configuration while the daemon runs, or none at all."""

import json
import os
import signal
import socket

import pytest

from harness import NOBODY, OMNI, VEO, Daemon, until

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="clients of other users need root")

BASE = """
[daemon]
default_model = {model}
socket_mode = 0666
[provider gemini]
dialect = interactions
base_url = {url}
[provider veo]
dialect = predict
base_url = {url}
"""


class Configured(Daemon):
    """A daemon with a file that can be written anew."""

    def __init__(self, directory, sim):
        super().__init__(directory, sim)
        self.file = directory / "veod.conf"

    def write(self, more="", base=None):
        base = BASE if base is None else base
        self.file.write_text(base.format(url=self.sim.url, model=OMNI) + more)

    def command_line(self, options=None, providers=None):
        line = super().command_line(options, providers)
        mine = ("daemon.socket=", "daemon.state_directory=", "daemon.output_directory=",
                "poll.min=")
        pairs = [("-o", value) for value in line[4::2] if value.startswith(mine)]
        return [line[0], "-c", str(self.file), *(word for pair in pairs for word in pair)]


@pytest.fixture
def daemon(directory, sim):
    daemon = Configured(directory, sim)
    daemon.write()
    yield daemon.start()
    daemon.close()


def reload(daemon):
    return daemon.ok("RELOAD")["changed"]


def refused(daemon, code):
    with daemon.client() as client:
        return client.err("RELOAD", code)["message"]


def test_nothing_changed(daemon):
    assert reload(daemon) == []


def test_what_can_change_is_named_and_applied(daemon):
    daemon.write("""
[limits]
jobs = 7
in_flight = 3
deadline = 1h
client_commands = 17
[retry]
max_attempts = 5
on_uncertain = retry
[poll]
max = 20s
[output]
max_age = 30d
[budget]
daily_usd = 12.50
[provider veo]
weight = 3
rate_per_minute = 60
in_flight = 5
daily_budget_usd = 7
[model veo-3.1-generate-preview]
prices = *:0.50
""")
    assert reload(daemon) == [
        "limits.in_flight", "limits.jobs", "limits.client_commands", "limits.deadline",
        "output.max_age", "budget.daily_usd", "poll.max", "retry.max_attempts",
        "retry.on_uncertain", "provider veo.weight", "provider veo.rate_per_minute",
        "provider veo.in_flight", "provider veo.daily_budget_usd", "model"]
    limits = daemon.ok("HELLO")["limits"]
    assert (limits["jobs"], limits["in_flight"], limits["commands"]) == (7, 3, 17)
    job = daemon.generate("a cat", model=VEO)
    assert job["deadline_seconds"] == 3600 and job["cost"] == {"estimate_usd": 4}
    with daemon.client() as client:
        budgets = client.exchange("COST")[-1].value["budgets"]
    assert [(budget["for"], budget["daily_usd"]) for budget in budgets] == [
        ("all", 12.5), ("provider", 7)]
    assert "the configuration was read anew; changed: limits.in_flight" in daemon.log()
    assert reload(daemon) == []  # and back again
    daemon.write()
    assert "budget.daily_usd" in reload(daemon)
    assert daemon.ok("HELLO")["limits"]["jobs"] == 100000


def test_jobs_that_run_meanwhile_are_not_disturbed(daemon, sim):
    """Their requests keep what they borrow of the old configuration."""
    jobs = [daemon.generate(f"a {i} [sim: latency=1s]") for i in range(20)]
    for age in range(1, 6):
        daemon.write(f"[output]\nmax_age = {age}d\n[model gemini-omni-*]\nprices = *:0.{age}\n"
                     f"[retry]\non_uncertain = {'retry' if age % 2 else 'hold'}\n")
        assert "output.max_age" in reload(daemon)
    assert all(job["state"] == "done" for job in daemon.wait(*[job["id"] for job in jobs]))
    assert len(sim.operations()) == 20


@pytest.mark.parametrize("text, code, says", [
    ("[budget]\ndaily_usd = lots\n", "invalid-argument", "veod.conf:12: [budget] daily_usd"),
    ("[limits]\njobz = 1\n", "invalid-argument", 'unknown key "jobz"'),
    ("[model x]\nrule = if so\n", "invalid-argument", "[model x] rule must be"),
    ("[model x]\nsilent_prices = *:1\n", "invalid-argument", "[model x] silent_prices"),
    ("nonsense\n", "invalid-argument", "veod.conf:11: expected [section]"),
    ("[daemon]\nadmin_group = root\n", "conflict", "daemon.admin_group"),
    ("[http]\ncalls = 3\n", "conflict", "http.calls"),
    ("[provider veo]\ncredential = other\n", "conflict", "provider veo.credential"),
    ("[provider third]\ndialect = predict\n", "conflict", "provider third"),
])
def test_an_error_leaves_all_as_it_was(daemon, text, code, says):
    daemon.write("[limits]\njobs = 7\n" if code == "conflict" else "", None)
    daemon.file.write_text(daemon.file.read_text() + text)
    message = refused(daemon, code)
    assert says in message
    assert daemon.ok("HELLO")["limits"]["jobs"] == 100000
    assert "was not read anew" in daemon.log()
    daemon.write()
    assert reload(daemon) == []
    daemon.wait(daemon.generate("a cat")["id"])


def test_a_file_that_is_gone(daemon):
    daemon.file.unlink()
    assert "No such file" in refused(daemon, "unavailable")
    daemon.wait(daemon.generate("a cat")["id"])


def test_parts_beside_the_file_are_read_as_well(daemon):
    parts = daemon.directory / "veod.conf.d"
    parts.mkdir()
    (parts / "10-money.conf").write_text("[budget]\nowner_daily_usd = 1\n")
    assert reload(daemon) == ["budget.owner_daily_usd"]
    (parts / "20-money.conf").write_text("[budget]\nowner_daily_usd = much\n")
    assert "20-money.conf:2" in refused(daemon, "invalid-argument")


@as_root
def test_only_admins_reload(daemon):
    daemon.write("[limits]\njobs = 7\n")
    with daemon.client(uid=NOBODY) as client:
        client.err("RELOAD", "forbidden")
    assert daemon.ok("HELLO")["limits"]["jobs"] == 100000


def test_it_takes_no_argument(daemon):
    with daemon.client() as client:
        client.err('RELOAD {"now":true}', "invalid-argument")


def test_sighup_does_the_same(daemon):
    daemon.write("[limits]\njobs = 7\n")
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: daemon.ok("HELLO")["limits"]["jobs"] == 7, "the new limit")
    daemon.write("[limits]\njobs = none\n")
    os.kill(daemon.pid, signal.SIGHUP)
    until(lambda: "was not read anew" in daemon.log(), "the refusal")
    assert daemon.ok("HELLO")["limits"]["jobs"] == 7


def test_raising_a_budget_releases_at_once(daemon, sim):
    daemon.write("[budget]\nowner_daily_usd = 4\n")
    reload(daemon)
    jobs = [daemon.generate(f"a {i}", model=VEO) for i in range(3)]
    assert [job["state"] for job in jobs] == ["queued", "held", "held"]
    daemon.write("[budget]\nowner_daily_usd = 7\n")
    reload(daemon)
    daemon.wait_state(jobs[1]["id"], "done")
    assert daemon.job(jobs[2]["id"])["state"] == "held"
    daemon.write()
    reload(daemon)
    daemon.wait_state(jobs[2]["id"], "done")
    assert len(sim.operations()) == 3


def test_systemd_is_told(directory, sim):
    path = str(directory / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(path)
        notify.settimeout(60)
        daemon = Configured(directory, sim)
        daemon.environment["NOTIFY_SOCKET"] = path
        daemon.write()
        daemon.start()
        try:
            heard = []

            def hear(word):
                while True:
                    heard.append(notify.recv(4096).decode())
                    if word in heard[-1]:
                        return heard[-1]

            hear("READY=1")
            reload(daemon)
            message = hear("RELOADING=1")
            assert int(message.split("MONOTONIC_USEC=")[1]) > 0
            hear("READY=1")
        finally:
            daemon.close()


def test_prices_of_the_table_can_be_seen_and_changed(daemon):
    daemon.write("[model veo-3.1-generate-preview]\nprices = 720p:0.11\nnote = ours\n"
                 "[model veo-new-*]\nprices = *:2\ndurations = 5\ndefault_duration = 5\n")
    assert reload(daemon) == ["model"]
    with daemon.client() as client:
        models = {item["model"]: item for item in client.items("MODELS")}
        known = models[VEO]
        assert known["price_per_second"] == {"720p": 0.11} and known["note"] == "ours"
        assert known["durations"] == [4, 6, 8]  # as shipped
        assert models["veo-new-*"]["price_per_second"] == {"*": 2}
        client.err("GENERATE " + json.dumps({"prompt": "x", "model": "veo-new-1",
                                             "duration_seconds": 6}),
                   "invalid-argument", "duration_seconds")
        assert client.generate("x", model="veo-new-1")["cost"] == {"estimate_usd": 10}
