"""veod-metrics.timer, under a real systemd: run by tests/systemd/boot, after test_service.py or alone."""

import os
import pathlib
import re
import sys

import pytest

HERE = pathlib.Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "system")]

import exposition  # noqa: E402
from harness import until  # noqa: E402
from test_service import CONFIGURATION, drop_in, give_key, run, show, systemctl  # noqa: E402

FOLDER = pathlib.Path("/var/lib/prometheus/node-exporter")
FILE = FOLDER / "veod.prom"


@pytest.fixture(scope="module", autouse=True)
def enabled():
    if not (CONFIGURATION / "gemini-api-key").exists():
        run("cmake", "--install", os.environ["VEOD_BUILD"])
        run("systemd-sysusers")
        CONFIGURATION.mkdir(parents=True, exist_ok=True)
        give_key(CONFIGURATION)
    for unit in ("veod", "veod-metrics"):  # as in test_service.py
        folder = pathlib.Path(f"/etc/systemd/system/{unit}.service.d")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "sanitizer.conf").write_text(
            "[Service]\nEnvironment=ASAN_OPTIONS=detect_leaks=0\n")
    systemctl("daemon-reload")
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.chown(FOLDER, 65534, 65534)  # somebody's, but root's; as Debian has it
    FOLDER.chmod(0o755)
    FILE.unlink(missing_ok=True)
    systemctl("enable", "veod-metrics.timer")
    systemctl("restart", "veod.service")
    yield
    systemctl("disable", "--now", "veod-metrics.timer")


def read():
    return exposition.read(FILE.read_text())


def test_the_units_have_no_fault():
    out = run("systemd-analyze", "verify", "veod-metrics.timer", "veod-metrics.service")
    assert "veod-metrics" not in out, out


def test_it_runs_with_veod():
    """And the file is whole: what is charged is in it, as for admins."""
    assert show("ActiveState", "veod-metrics.timer") == "active"
    until(FILE.exists, "the timer")
    families = read()
    assert exposition.value(families, "veod_up") == 1
    assert "veod_charged_dollars_total" in families
    assert FILE.stat().st_mode & 0o777 == 0o644
    assert show("Result", "veod-metrics.service") == "success"
    assert os.listdir(FOLDER) == ["veod.prom"]


def test_it_neither_goes_on_without_veod_nor_starts_it():
    systemctl("start", "veod-metrics.service")  # so that it isn't due in the midst of it
    systemctl("stop", "veod.service")
    assert show("ActiveState", "veod-metrics.timer") == "inactive"
    assert show("ActiveState", "veod.service") == "inactive"
    systemctl("start", "veod.service")
    assert show("ActiveState", "veod-metrics.timer") == "active"


def test_it_says_that_veod_does_not_answer():
    with drop_in("Environment=VEOD_SOCKET=/run/veod/nobody", "veod-metrics.service"):
        systemctl("start", "veod-metrics.service")
    assert exposition.value(read(), "veod_up") == 0
    systemctl("start", "veod-metrics.service")
    assert exposition.value(read(), "veod_up") == 1


def test_it_may_do_little():
    out = run("systemd-analyze", "security", "--no-pager", "veod-metrics.service")
    figure = float(re.search(r"exposure level for \S+: ([\d.]+)", out).group(1))
    assert figure <= 2.0, out
