"""The examples of the manual pages are run, and configurations in them are read. A command that is
typed after `#` would change the machine: those are not run."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess

import pytest

from ask import agent_options
from harness import KEY, PATIENCE, VEOCTL, VEOD, VEOSIM
from manuals import displays, section, source

CTL = source("veoctl.1")
CONF = source("veod.conf.5")
VEOD_PAGE = source("veod.8")
SIM = source("veosim.1")
PNG = b"\x89PNG\r\n\x1a\n".ljust(70, b"\0")
JOBS = '"A cat"\n{"prompt":"A dog","aspect_ratio":"9:16","labels":{"set":"pets"}}\n'


def examples(page):
    for display in displays(section(page, "EXAMPLES")):
        if display[0].startswith("$ "):
            yield display


def parts(display):
    """Each command, and what it is to print."""
    found = []
    for line in display:
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif line.startswith("> "):
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", [])
        else:
            found[-1][1].append(line)
    return found


def pattern(lines):
    """`...` is any number of lines, or, within a line, anything."""
    whole = "".join(r"(?:.*\n)*?" if line == "..." else
                    ".*".join(re.escape(part) for part in line.split("...")) + r"\n"
                    for line in lines)
    return re.compile(whole)


def run_shell(lines, directory, environment):
    """What it says; it ends with all that it has started."""
    shell = subprocess.Popen(["bash"], cwd=directory, env=environment, text=True,
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
    try:
        return shell.communicate(lines, timeout=2 * PATIENCE)[0]
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait(PATIENCE)


def play(display, directory, environment):
    """All commands of a display in one shell: what each has said on standard output, or if it
    failed on standard error, and its status."""
    lines = "".join(f"exec 2>error.{number}\n{command}\necho \"@@@ $?\"\n"
                    for number, (command, _) in enumerate(parts(display)))
    output = run_shell(lines, directory, environment)
    said = re.findall(r"(.*?)@@@ (\d+)\n", output, re.S)
    assert len(said) == len(parts(display)), output
    return [(text if status == "0" else (directory / f"error.{number}").read_text(), int(status))
            for number, (text, status) in enumerate(said)]


def check(display, said):
    for (command, expected), (text, status) in zip(parts(display), said):
        assert (status == 0) != ("bad.conf" in command), f"$ {command}\n{text}\nstatus {status}"
        assert pattern(expected).fullmatch(text), f"$ {command}\n{text}"


@pytest.fixture
def workplace(directory):
    """Where the examples are run, with the files that they name."""
    place = directory / "w"
    programs = place / "bin"
    programs.mkdir(parents=True)
    for program in (VEOD, VEOCTL, VEOSIM):
        (programs / pathlib.Path(program).name).symlink_to(program)
    for name in ("cat.png", "hat.png"):
        (place / name).write_bytes(PNG)
    (place / "jobs.jsonl").write_text(JOBS)
    (place / "veod.conf").write_text("[budget]\ndaily_usd = 50\nowner_daily_usd = 10\n")
    (place / "bad.conf").write_text("[budget]\ndayly_usd = 50\n")
    return place


def environment_at(workplace, **more):
    return {"PATH": f"{workplace}/bin:/usr/bin:/bin", "XDG_STATE_HOME": str(workplace / "state"),
            "CONFIGURATION_DIRECTORY": str(workplace / "none"), "GEMINI_API_KEY": KEY,
            "ASAN_OPTIONS": "detect_leaks=1", **more}


def test_examples_of_veoctl(sim, make_daemon, workplace):
    daemon = make_daemon(options=agent_options(sim)).start()
    environment = environment_at(workplace, VEOD_SOCKET=daemon.socket)
    for display in examples(CTL):
        check(display, play(display, workplace, environment))
    assert (workplace / "costs.csv").read_bytes().startswith(b"owner,jobs,charged_usd")
    assert {path.name for path in workplace.glob("*.mp4")} >= {"cat.mp4", "boat.mp4", "more.mp4"}


@pytest.mark.parametrize("display", [*examples(VEOD_PAGE), *examples(SIM)],
                         ids=lambda display: display[0][:40])
def test_examples_of_veod_and_veosim(workplace, display):
    check(display, play(display, workplace, environment_at(workplace)))


@pytest.mark.parametrize("display", displays(section(CONF, "EXAMPLES")),
                         ids=lambda display: display[0])
def test_examples_of_veod_conf(directory, display):
    """What they set is what veod has then."""
    (directory / "veod.conf").write_text("\n".join(display) + "\n")
    done = subprocess.run([VEOD, "-c", directory / "veod.conf", "--print-config"], text=True,
                          capture_output=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    shown = set(done.stdout.splitlines())
    for line in display:
        if line.startswith("[") or line.startswith("credential_file"):
            assert line in shown, line


def test_a_wrong_example_is_noticed(workplace):
    environment = environment_at(workplace)
    for display in (["$ echo a", "b"], ["$ false"], ["$ echo a", "a", "b"], ["$ printf 'a\\nb\\n'",
                                                                           "a"]):
        with pytest.raises(AssertionError):
            check(display, play(display, workplace, environment))
