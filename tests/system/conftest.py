"""Fixtures of the system tests: a simulator and a daemon for each test."""

import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import ask  # noqa: E402
import harness  # noqa: E402


@pytest.fixture(scope="session")
def programs():
    for name in ("VEOD", "VEOCTL", "VEOSIM"):
        if not os.access(getattr(harness, name), os.X_OK):
            pytest.exit(f"{name} must name the built program; ctest does so", returncode=2)


@pytest.fixture
def directory(programs,tmp_path):
    """Short, unlike tmp_path; what is in it at a failure is shown by its daemon's log."""
    with harness.short_directory() as path:
        yield path


@pytest.fixture
def sim(directory):
    sim = harness.Sim(directory)
    sim.start()
    yield sim
    sim.stop()


@pytest.fixture
def make_daemon(directory, sim, request):
    """A daemon that is not started yet; all of one test share state and socket, unless told."""
    daemons = []

    def make(where=None, **arguments):
        where = directory / where if where else directory
        where.mkdir(exist_ok=True)
        daemon = harness.Daemon(where, sim, **arguments)
        daemons.append(daemon)
        return daemon

    yield make
    failures = []
    for daemon in daemons:
        if request.node.stash.get(FAILED, False):
            print(f"--- {daemon.log_path}\n{daemon.log()[-8000:]}")
        try:
            daemon.close()
        except Exception as error:  # the other daemons are to end as well
            failures.append(error)
            if daemon.alive:
                daemon.kill()
    if failures:
        raise failures[0]


@pytest.fixture
def daemon(make_daemon):
    return make_daemon().start()


@pytest.fixture
def client(daemon):
    return daemon.client()


@pytest.fixture
def make_asked(sim, make_daemon):
    """A daemon with an agent, not started; the keys are those of [agent]."""
    def make(options=None, **more):
        return make_daemon(options={**ask.agent_options(sim, **more), **(options or {})})
    return make


@pytest.fixture
def asked(make_asked):
    return make_asked().start()


@pytest.fixture
def asking(asked):
    return asked.client()


@pytest.fixture
def as_root():
    """For what needs several users."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("must run as root, to become other users")
        pytest.skip("needs root, to become other users")


FAILED = pytest.StashKey()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.stash[FAILED] = outcome.get_result().failed
