"""veod as it is installed, under a real systemd: run by tests/systemd/boot, whose files are nobody's.

Each case leaves the service running and the simulator without rules."""

import base64
import contextlib
import grp
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import sys
import threading

import pytest

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "system"))

import harness  # noqa: E402
from harness import KEY, Client, Sim, until  # noqa: E402

SOCKET = "/run/veod/veod.sock"
CONFIGURATION = pathlib.Path("/etc/veod")
UNITS = pathlib.Path("/usr/local/lib/systemd/system")
PEOPLE = ("alice", "bob", "carol")  # the first two are in the group
# A PNG of one pixel.
PICTURE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg"
           "==")

TEXT = """
[daemon]
{daemon}
[poll]
min = 50ms
max = 500ms
[retry]
base_delay = 100ms
[limits]
in_flight = {in_flight}
[provider gemini]
dialect = interactions
base_url = {url}
[agent]
base_url = {url}/v1beta/openai
"""


def run(*command, status=0, user=None, environment=None, patience=harness.PATIENCE):
    """Its output; `status` is what it must be, None: anything."""
    words = list(map(str, command))
    if user:
        words = ["setpriv", "--reuid", user, "--regid", user, "--init-groups", *words]
    done = subprocess.run(words, capture_output=True, text=True, timeout=patience,
                          stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    assert status is None or done.returncode == status, \
        f"{words}: {done.returncode}\n{done.stdout}{done.stderr}\n{journal()[-3000:]}"
    return done.stdout + done.stderr


def systemctl(*words, **more):
    return run("systemctl", *words, **more)


def show(name, unit="veod"):
    return systemctl("show", "--value", "-p", name, unit).strip()


def journal(unit="veod"):
    return subprocess.run(["journalctl", "--no-pager", "-o", "cat", "-u", unit],
                          capture_output=True, text=True).stdout


def veoctl(*words, user="alice", socket=SOCKET, **more):
    return run("/usr/local/bin/veoctl", "--socket", socket, *words, user=user, **more)


def uid_of(name):
    return pwd.getpwnam(name).pw_uid


def configure(sim, where=CONFIGURATION, in_flight=100, daemon=""):
    where.mkdir(parents=True, exist_ok=True)
    url = f"http://localhost:{sim.port}"  # a name, so that it is looked up
    (where / "veod.conf").write_text(TEXT.format(url=url, in_flight=in_flight, daemon=daemon))


def give_key(folder, owner=0):
    path = folder / "gemini-api-key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    os.chown(path, owner, owner)


@contextlib.contextmanager
def drop_in(text, unit="veod.service"):
    """More lines of its section; what is restarted has them."""
    folder = pathlib.Path(f"/run/systemd/system/{unit}.d")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "case.conf"
    path.write_text(f"[{unit.rpartition('.')[2].title()}]\n{text}\n")
    systemctl("daemon-reload")
    try:
        yield
    finally:
        path.unlink()
        systemctl("daemon-reload")


@pytest.fixture(scope="module")
def sim(tmp_path_factory):
    sim = Sim(tmp_path_factory.mktemp("sim"), "--key", KEY).start()
    yield sim
    sim.stop()


@pytest.fixture(scope="module", autouse=True)
def installed(sim):
    run("cmake", "--install", os.environ["VEOD_BUILD"])
    run("systemd-sysusers")
    for name in PEOPLE:
        groups = [] if name == "carol" else ["-G", "veod"]
        run("useradd", "--create-home", *groups, name)
        pathlib.Path(f"/home/{name}").chmod(0o755)
    configure(sim)
    give_key(CONFIGURATION)
    # A leak is looked for by ptrace, which the sandbox doesn't have.
    for scope, unit in (("system", "veod.service"), ("system", "veod@.service"),
                        ("system", "veod-metrics.service"),
                        ("user", "veod.service")):
        folder = pathlib.Path(f"/etc/systemd/{scope}/{unit}.d")
        folder.mkdir(parents=True)
        (folder / "sanitizer.conf").write_text(
            "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
    systemctl("daemon-reload")
    systemctl("enable", "--now", "veod.socket")
    yield
    assert not harness.SANITIZER.search(journal())


@pytest.fixture(autouse=True)
def no_rules(sim):
    yield
    sim.clear_rules()
    systemctl("reset-failed", "veod.service", status=None)


def generate(*prompts, **fields):
    """Ids of new jobs of root's."""
    with Client(SOCKET) as root:
        return [root.generate(prompt, **fields)["id"] for prompt in prompts]


def wait(*ids):
    with Client(SOCKET) as root:
        return root.wait(*ids)


def states(*ids):
    return {job["state"] for job in wait(*ids)}


def is_running(id):
    with Client(SOCKET) as root:
        return root.wait_state(id, "running")


# ---- start ----


def test_units_are_valid():
    for unit in ("veod.service", "veod.socket", "veod@x.service", "veod@x.socket",
                 "veod-metrics.service", "veod-metrics.timer"):
        assert run("systemd-analyze", "verify", "--man=no", unit) == ""


@pytest.mark.parametrize("unit", ["veod.service", "veod@x.service", "veod-metrics.service"])
def test_exposure(unit):
    text = run("systemd-analyze", "security", "--no-pager", unit)
    assert float(re.search(r"Overall exposure level.*: ([\d.]+)", text).group(1)) <= 1.5, text


def test_the_first_client_starts_it(sim):
    assert show("ActiveState") == "inactive" and show("UnitFileState") == "enabled"
    status = os.stat(SOCKET)
    assert oct(status.st_mode & 0o777) == "0o660"
    assert (pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name) == ("veod",) * 2
    out = pathlib.Path("/home/alice/cat.mp4")
    veoctl("generate", "--wait", "-o", out, "a cat")
    assert out.stat().st_size > 1000 and out.owner() == "alice"
    assert show("ActiveState") == "active" and show("NRestarts") == "0"
    assert re.search(r"^Uid:\s+(\d+)", process_status(), re.M).group(1) == str(uid_of("veod"))
    assert sim.stats()["submissions"] == 1


def process_status():
    return pathlib.Path(f"/proc/{show('MainPID')}/status").read_text()


def test_status_text():
    until(lambda: "1 done" in show("StatusText"), "the status of the first job")


def test_the_journal():
    """Found by their fields; and nothing in it is anybody's business."""
    (id,) = generate("a very private cat")
    assert states(id) == {"done"}

    def entries():
        lines = run("journalctl", "--no-pager", "-o", "json", f"VEO_JOB={id}").split("\n")
        return [json.loads(line) for line in lines if line]

    until(lambda: "done" in [entry.get("VEO_STATE") for entry in entries()], "the job's end")
    for entry in entries():
        assert entry["_SYSTEMD_UNIT"] == "veod.service" and entry["SYSLOG_IDENTIFIER"] == "veod"
        assert entry["VEO_UID"] == "0"
    assert "private" not in journal()


def test_only_the_group_may_connect():
    veoctl("ping", user="bob")
    veoctl("ping", user="root")
    veoctl("ping", user="carol", status=4)


def test_another_group():
    def restart():
        systemctl("stop", "veod.socket", "veod.service")
        systemctl("start", "veod.socket")

    with drop_in("SocketGroup=carol", "veod.socket"):
        restart()
        veoctl("ping", user="carol")
        veoctl("ping", user="bob", status=4)
        systemctl("reload", "veod")
    restart()


def test_each_sees_its_own():
    id = veoctl("generate", "a cat of alice's").strip()
    assert id in veoctl("list") and id not in veoctl("list", user="bob")
    veoctl("status", id, user="bob", status=3)
    assert id in veoctl("list", user="root")
    veoctl("wait", id)
    path = json.loads(veoctl("--json", "status", id))["files"][0]["path"]
    run("cp", path, "/home/alice/copy.mp4", user="alice")
    run("rm", "-f", path, user="alice", status=1)
    run("cp", path, "/home/bob/copy.mp4", user="bob", status=1)
    for closed in ("/var/lib/veod", "/var/lib/veod/videos", "/var/lib/veod/blobs",
                   "/run/credentials/veod.service"):
        run("ls", closed, user="bob", status=2)
    run("cat", "/var/lib/veod/jobs.db", user="bob", status=1)


def test_the_credential(sim):
    """Only by way of systemd: the file is root's, and the environment is free of it."""
    (id,) = generate("a cat")
    assert states(id) == {"done"}
    pid = show("MainPID")
    assert KEY.encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()
    run("cat", CONFIGURATION / "gemini-api-key", user="veod", status=1)
    keys = sim.stats()["keys"]
    assert keys["header_ok"] > 0 and keys["missing"] == keys["wrong"] == 0
    assert KEY not in journal()


# ---- the sandbox ----


def probe():
    """The installed unit, with another program in it."""
    text = (UNITS / "veod.service").read_text()
    text = re.sub(r"(?m)^ExecStart=.*$", f"ExecStart=/usr/bin/python3 /srv/probe.py "
                                         f"/var/lib/veod/probe", text)
    text = re.sub(r"(?m)^(Type|WatchdogSec|Restart|ExecReload|Wants)=.*\n", "", text)
    pathlib.Path("/run/systemd/system/veod-probe.service").write_text(
        text.replace("[Service]", "[Service]\nType=oneshot"))
    shutil.copy(HERE / "probe.py", "/srv/probe.py")
    for place in ("/home/alice/open", "/tmp/open", "/srv/open"):
        pathlib.Path(place).write_text("for all")
        os.chmod(place, 0o644)
    systemctl("daemon-reload")
    systemctl("start", "veod-probe")
    said = re.search(r"PROBE (\{.*\})", until(lambda: "PROBE" in journal("veod-probe")
                                              and journal("veod-probe"), "the probe"))
    return json.loads(said.group(1))


def test_sandbox():
    found = probe()
    allowed = {what for what, outcome in found.items() if outcome == "yes"}
    assert allowed == {"read srv", "read credential", "write state", "tcp socket",
                       "look a name up"}, found
    assert found["read home"] in ("EACCES", "ENOENT") and found["write usr"] == "EROFS", found
    assert found["raw socket"] == "EPERM" and found["packet socket"] == "EAFNOSUPPORT", found
    status = process_status()
    for line in (r"CapBnd:\s+0+$", r"CapAmb:\s+0+$", r"NoNewPrivs:\s+1$", r"Seccomp:\s+2$"):
        assert re.search(f"(?m)^{line}", status), (line, status)


def by_path(path):
    return "GENERATE " + json.dumps({"prompt": "it walks", "image_path": path})


def test_files_by_path():
    """What everybody may read is taken; a home is not to be seen until the operator says so."""
    for place in ("/srv/cat.png", "/home/alice/cat.png"):
        pathlib.Path(place).write_bytes(base64.b64decode(PICTURE))
        os.chmod(place, 0o644)
    veoctl("raw", by_path("/srv/cat.png"))
    assert "does not exist where veod looks" in veoctl("raw", by_path("/home/alice/cat.png"), status=None)
    veoctl("generate", "--wait", "-i", "/home/alice/cat.png", "it walks")
    with drop_in("ProtectHome=read-only"):
        systemctl("restart", "veod")
        veoctl("raw", by_path("/home/alice/cat.png"))
    systemctl("restart", "veod")


def test_a_folder_that_others_share(sim):
    """A user that stays can be given one."""
    folder = pathlib.Path("/srv/videos")
    folder.mkdir()
    shutil.chown(folder, "veod", "bob")
    folder.chmod(0o2750)
    configure(sim, daemon=f"output_directory = {folder}")
    with drop_in(f"ReadWritePaths={folder}"):
        systemctl("restart", "veod")
        (id,) = generate("a cat")
        assert states(id) == {"done"}
        path = next(folder.rglob("*.mp4"))
        run("cp", path, "/home/bob/cat.mp4", user="bob")
        run("cp", path, "/home/alice/other.mp4", user="alice", status=1)
    configure(sim)
    systemctl("restart", "veod")


# ---- reload ----


def test_reload(sim):
    pid = show("MainPID")
    configure(sim, in_flight=50)
    systemctl("reload", "veod")
    assert journal().count("read anew; changed: limits.in_flight") == 1
    configure(sim, in_flight=51)
    systemctl("kill", "-s", "HUP", "--kill-who=main", "veod")
    until(lambda: journal().count("read anew; changed: limits.in_flight") == 2, "the other way")
    until(lambda: show("SubState") == "running", "it is ready again")
    assert show("MainPID") == pid


def test_reload_of_a_mistake(sim):
    pid = show("MainPID")
    configure(sim, in_flight="many")
    line = (CONFIGURATION / "veod.conf").read_text().split("\n").index("in_flight = many") + 1
    systemctl("reload", "veod", status=1)
    assert f"veod.conf:{line}: " in journal()
    assert show("SubState") == "running" and show("MainPID") == pid
    (id,) = generate("a cat")
    assert states(id) == {"done"}
    configure(sim)
    systemctl("reload", "veod")


def test_start_with_a_mistake(sim):
    """Who waits is told after a while, and once it is mended a restart is enough."""
    systemctl("stop", "veod.socket", "veod.service")
    configure(sim, in_flight="many")
    systemctl("start", "veod.socket")
    before = journal().count("Starting")
    veoctl("ping", status=4)
    assert journal().count("Starting") <= before + 5
    assert show("ExecMainStatus") == "78"
    configure(sim)
    systemctl("restart", "veod")
    veoctl("ping")


# ---- the end, wanted or not ----


def test_stop_waits_for_the_answer_to_a_submission(sim):
    """Longer than TimeoutStopSec, which veod extends."""
    with drop_in("TimeoutStopSec=1s"):
        sim.rules([{"on": "submit", "do": "stall", "seconds": 4, "times": 1}])
        before = sim.stats()["submissions"]
        (id,) = generate("a cat")
        until(lambda: sim.stats()["submissions"] == before + 1, "it is sent")
        systemctl("stop", "veod")
        assert show("Result") == "success"
        assert states(id) == {"done"}  # started by this client
        assert sim.stats()["submissions"] == before + 1


def restarts():
    return int(show("NRestarts"))


def test_killed(sim):
    ids = generate(*[f"[sim: latency=3s] cat {i}" for i in range(10)])
    for id in ids:
        is_running(id)
    before, bought = restarts(), sim.stats()["submissions"]
    systemctl("kill", "-s", "KILL", "veod")
    until(lambda: restarts() > before, "it is started again")
    assert states(*ids) == {"done"}
    assert sim.stats()["submissions"] == bought


def test_watchdog(sim):
    with drop_in("WatchdogSec=3s"):
        systemctl("restart", "veod")
        ids = generate(*[f"[sim: latency=2s] cat {i}" for i in range(10)])
        for id in ids:
            is_running(id)
        before, bought = restarts(), sim.stats()["submissions"]
        os.kill(int(show("MainPID")), signal.SIGSTOP)
        until(lambda: restarts() > before, "it is killed and started again")
        assert "Watchdog timeout" in journal()
        assert states(*ids) == {"done"}
        assert sim.stats()["submissions"] == bought
    systemctl("restart", "veod")


class Knocking(threading.Thread):
    """Connects again and again; a connection that the old veod had may end, none may be refused."""

    def __init__(self):
        super().__init__()
        self.enough = threading.Event()
        self.answered, self.ended, self.refused = 0, 0, []

    def run(self):
        while not self.enough.is_set():
            try:
                one = Client(SOCKET)
            except OSError as error:
                self.refused.append(error)
                return
            with one:
                try:
                    assert one.request("PING").word == "OK"
                    self.answered += 1
                except (EOFError, ConnectionError, BrokenPipeError):
                    self.ended += 1


def test_restart_under_load():
    knocking = [Knocking() for _ in range(4)]
    for each in knocking:
        each.start()
    try:
        for _ in range(3):
            at = sum(each.answered for each in knocking)
            systemctl("restart", "veod")
            until(lambda: sum(each.answered for each in knocking) > at + 50, "it goes on")
    finally:
        for each in knocking:
            each.enough.set()
        for each in knocking:
            each.join(harness.PATIENCE)
    assert not [each.refused for each in knocking if each.refused]
    # Accepted and not yet answered: at most one of each, each time.
    assert sum(each.ended for each in knocking) <= 3 * len(knocking)


def test_without_its_key():
    """Said once, and not tried again and again."""
    os.rename(CONFIGURATION / "gemini-api-key", "/etc/veod/elsewhere")
    systemctl("stop", "veod.socket", "veod.service")
    systemctl("start", "veod.service", status=1)
    assert show("ExecMainStatus") == "78" and show("NRestarts") == "0"
    assert "gemini-api-key" in journal()
    os.rename("/etc/veod/elsewhere", CONFIGURATION / "gemini-api-key")
    systemctl("reset-failed", "veod.service")
    systemctl("start", "veod.socket", "veod.service")


# ---- others of its kind ----


def test_instance(sim):
    where = CONFIGURATION / "second"
    configure(sim, where)
    give_key(where)
    socket = "/run/veod-second/veod.sock"
    systemctl("enable", "--now", "veod@second.socket")
    veoctl("generate", "--wait", "-o", "/home/alice/second.mp4", "a cat", socket=socket)
    assert list(pathlib.Path("/var/lib/veod-second/videos").rglob("*.mp4"))
    assert show("ActiveState", "veod@second") == "active"
    id = veoctl("list", socket=socket).split()[0]
    veoctl("status", id, status=3)
    systemctl("reload", "veod@second")
    assert "read anew" in journal("veod@second")
    systemctl("disable", "--now", "veod@second.socket", "veod@second.service")


def test_metrics():
    """Into a folder that another user has; the timer is there while veod is."""
    folder = pathlib.Path("/var/lib/prometheus/node-exporter")
    folder.mkdir(parents=True)
    shutil.chown(folder, "carol", "carol")
    systemctl("start", "veod-metrics.service")
    text = (folder / "veod.prom").read_text()
    assert re.search(r"(?m)^veod_\w+(\{.*\})? [1-9]", text), text
    run("head", "-c1", folder / "veod.prom", user="carol")
    systemctl("enable", "veod-metrics.timer")
    systemctl("stop", "veod.socket", "veod.service")
    systemctl("start", "veod.socket", "veod.service")
    assert show("ActiveState", "veod-metrics.timer") == "active"
    systemctl("stop", "veod.socket", "veod.service")
    assert show("ActiveState", "veod-metrics.timer") == "inactive"
    systemctl("start", "veod.socket", "veod.service")
    systemctl("disable", "--now", "veod-metrics.timer")


def test_user_unit(sim):
    uid = uid_of("carol")
    runtime = pathlib.Path(f"/run/user/{uid}")
    runtime.mkdir(mode=0o700, parents=True)
    home = pathlib.Path("/home/carol")
    configure(sim, home / ".config/veod")
    give_key(home / ".config/veod", uid)
    run("chown", "-R", "carol:carol", runtime, home)
    # As logind would have it.
    pathlib.Path("/run/systemd/system/user-runtime-dir@.service").write_text(
        "[Service]\nType=oneshot\nExecStart=true\nRemainAfterExit=yes\n")
    systemctl("daemon-reload")
    systemctl("start", f"user@{uid}")
    own = {"user": "carol", "environment": {"HOME": str(home), "XDG_RUNTIME_DIR": str(runtime),
                                            "DBUS_SESSION_BUS_ADDRESS": ""}}
    try:
        assert run("systemd-analyze", "verify", "--user", "--man=no", "veod.service", **own) == ""
        systemctl("--user", "enable", "--now", "veod.socket", **own)
        run("/usr/local/bin/veoctl", "generate", "--wait", "-o", home / "cat.mp4", "a cat", **own)
        assert (home / "cat.mp4").stat().st_size > 1000
        assert systemctl("--user", "is-active", "veod.service", **own).strip() == "active"
        systemctl("--user", "reload", "veod.service", **own)
        # No other user has a way in.
        veoctl("ping", user="alice", socket=runtime / "veod/veod.sock", status=4)
        systemctl("--user", "stop", "veod.socket", "veod.service", **own)
    finally:
        systemctl("stop", f"user@{uid}")
