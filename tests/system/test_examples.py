"""contrib/examples, run as they are, against veod and a simulated model that thinks by a script."""

import json
import os
import pathlib
import subprocess

import pytest

from harness import KEY, PATIENCE, VEOCTL

EXAMPLES = pathlib.Path(__file__).parents[2] / "contrib/examples"


def run(command, daemon, cwd=None, env=None, timeout=PATIENCE):
    return subprocess.run(
        list(map(str, command)), cwd=cwd, timeout=timeout, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "VEOD_SOCKET": daemon.socket, **(env or {})})


@pytest.fixture
def daemon(make_daemon):
    return make_daemon().start()


CLIENTS = ["client.py", "client.sh"]


@pytest.mark.parametrize("client", CLIENTS)
def test_client(daemon, sim, client):
    done = run([EXAMPLES / client, 'a "cat" on [sim: latency=2s]', "a  wall\nQUIT"], daemon)
    assert done.returncode == 0, done.stderr
    path = pathlib.Path(done.stdout.removesuffix("\n"))
    assert path.read_bytes()[4:8] == b"ftyp"
    assert done.stderr.splitlines()[-1].endswith("done")
    [operation] = sim.operations()
    between = "\n" if client == "client.py" else " "
    assert operation["prompt"] == f'a "cat" on [sim: latency=2s] a  wall{between}QUIT'


@pytest.mark.parametrize("client", CLIENTS)
def test_client_without_video(daemon, client):
    done = run([EXAMPLES / client, "a cat [sim: fail=3]"], daemon)
    assert done.returncode == 1 and done.stdout == ""
    assert "failed" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("client", CLIENTS)
def test_client_refused(daemon, sim, client):
    done = run([EXAMPLES / client, ""], daemon)
    assert done.returncode == 1 and done.stdout == ""
    assert "prompt" in done.stderr
    assert sim.stats()["submissions"] == 0
