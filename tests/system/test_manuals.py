"""The manual pages say what the programs do: what both have as a table is compared.

test_manual_examples.py runs the examples. veod-protocol(7) is made of proto/PROTOCOL.md, of which
test_protocol.py does both."""

import math
import os
import re
import shutil
import subprocess

import pytest

from harness import KEY, PATIENCE, VEOCTL, VEOD, VEOSIM, Daemon
from manuals import ROOT, items, section, source, subsections, words
from mcp_client import Mcp

CTL = source("veoctl.1")
CONF = source("veod.conf.5")
VEOD_PAGE = source("veod.8")
SIM = source("veosim.1")


def output_of(*command):
    environment = {"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "detect_leaks=1"}
    return subprocess.run(list(map(str, command)), capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=PATIENCE, env=environment)


def same_words(text):
    return " ".join(text.replace("…", "...").split())


# ---- options ----

OPTION = r"^  (?:(-\w), |    )?(--[a-z-]+)(?: (\S+))?(?: +(\S.*(?:\n {20,}.*)*))?$"


def help_options(text):
    """Of a --help: each option as it is written, and what it is for."""
    found = re.findall(OPTION, text, re.M)
    return [(f"{letter}, {name} {value}".lstrip(", ").strip(), same_words(what))
            for letter, name, value, what in found]


def page_options(text):
    def written(tag):
        tag = re.sub(r"Fl -?", lambda fl: "-" * (len(fl.group()) - 2), tag)
        return tag.replace(" Ar ", " ").replace(" , ", ", ")
    return [(written(tag), words(what)) for tag, what in items(text) if tag.startswith("Fl ")]


def compare_options(page, program):
    """In the same order, and what a page says of each begins with what the program says."""
    assert [name for name, _ in page] == [same_words(name) for name, _ in program]
    for (name, told), (_, expected) in zip(page, program):
        assert told.startswith(expected), f"{name}: expected {expected}"
    assert program


def test_options_of_veod():
    program = help_options(output_of(VEOD, "--help").stdout)
    # A value with a space has quotes around the key in --help; the page has it as it is.
    compare_options(page_options(section(VEOD_PAGE, "DESCRIPTION")), program)


def test_options_of_veosim():
    program = help_options(output_of(VEOSIM, "--help").stdout.split("\n\n")[1])
    assert len(program) > 20
    compare_options(page_options(section(SIM, "DESCRIPTION")), program)


def test_what_veosim_takes_in_a_prompt():
    text = output_of(VEOSIM, "--help").stdout.split("blanks:\n")[1].split("\n\n")[0]
    program = [(name, same_words(what)) for name, what in
               re.findall(r"^  (\S+) +(\S.*(?:\n {10,}.*)*)$", text, re.M)]
    told = [(tag[3:], words(what)) for tag, what in
            items(subsections(section(SIM, "DESCRIPTION"))["Prompts"])]
    assert program and told == program


def commands():
    text = output_of(VEOCTL, "help").stdout.split("\nOptions:\n")[0]
    return re.findall(r"^  (\w+) +\S", text, re.M)


def test_all_commands_of_veoctl_are_described_and_no_others():
    assert list(subsections(section(CTL, "COMMANDS"))) == commands()


def test_options_of_veoctl():
    text = output_of(VEOCTL, "help").stdout.split("\nOptions:\n")[1]
    compare_options(page_options(section(CTL, "DESCRIPTION")), help_options(text))


@pytest.mark.parametrize("command", subsections(section(CTL, "COMMANDS")))
def test_command_of_veoctl(command):
    """Its syntax, its summary, all that its --help says, and its options, in the same words."""
    text = subsections(section(CTL, "COMMANDS"))[command]
    usage, summary, more, options = re.fullmatch(
        rf"Usage: (.*)\n\n{command}: (.*?\.)\n(.*?)\nOptions:\n(.*)",
        output_of(VEOCTL, command, "--help").stdout, re.S).groups()
    told = words(text)
    assert told.startswith(f"{same_words(usage)} {summary[0].upper()}{same_words(summary[1:])}")
    for paragraph in more.split("\n\n"):
        assert same_words(paragraph) in told, f"expected:\n{same_words(paragraph)}"
    common = {name for name, _ in help_options(output_of(VEOCTL, "help").stdout)}
    own = [option for option in help_options(options) if option[0] not in common]
    if own or page_options(text):
        compare_options(page_options(text), own)


def test_commands_of_the_prompt():
    table = re.search(r"prompt_commands\[\] = \{\n(.*?)\n\};",
                      (ROOT / "proto/ctl/ask_prompt.c").read_text(), re.S).group(1)
    rows = re.findall(r'\{"(\w+)", "(.*?)", "(.*?)",', table)
    told = [(words("." + tag), words(text)) for tag, text in
            items(subsections(section(CTL, "COMMANDS"))["ask"]) if tag.startswith("Cm /")]
    assert rows and [name.split()[0] for name, _ in told] == [f"/{row[0]}" for row in rows]
    assert [what for _, what in told] == [row[2] for row in rows]


def test_tools_for_agents(daemon):
    with Mcp(daemon.socket) as mcp:
        reply = mcp.reply(mcp.request("tools/list"))
    tools = [tool["name"] for tool in reply["result"]["tools"]]
    told = re.findall(r"^\.Ql (\w+_\w+)(?: [,.])?$", subsections(section(CTL, "COMMANDS"))["mcp"],
                      re.M)
    assert told == tools


# ---- exit statuses, states, the environment ----


def test_exit_statuses_of_veoctl():
    header = (ROOT / "proto/ctl/exit.h").read_text()
    statuses = re.findall(r"^    EXIT_\w+ = (\d+),", header, re.M)
    assert len(statuses) >= 10
    assert [tag for tag, _ in items(section(CTL, "EXIT STATUS"))] == statuses


def test_exit_statuses_of_veod(directory):
    told = [tag for tag, _ in items(section(VEOD_PAGE, "EXIT STATUS"))]
    socket = ["-c", "/dev/null", "-o", f"daemon.socket={directory}/s"]
    nowhere = ["-o", f"daemon.state_directory={directory}/no/where"]
    assert told == [str(status.returncode) for status in (
        output_of(VEOD, "--help"),
        output_of("env", f"GEMINI_API_KEY={KEY}", VEOD, *socket, *nowhere),
        output_of(VEOD, "--no-such-option"),
        output_of(VEOD, *socket, "--check"))]


def test_states_of_a_job(client):
    states = client.ok("STATS")["states"]
    told = [tag[3:] for tag, _ in items(subsections(section(VEOD_PAGE, "DESCRIPTION"))["Jobs"])]
    assert sorted(told) == sorted(states)


# What libraries and programs that veod starts read.
OF_OTHERS = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID",
             "NO_PROXY", "no_proxy"}


@pytest.mark.parametrize("page, folders, others", [
    (VEOD_PAGE, ["daemon", "systemd"], OF_OTHERS | {"GEMINI_API_KEY"}),
    (CTL, ["proto"], set())], ids=["veod", "veoctl"])
def test_environment(page, folders, others):
    read = set(others)
    for folder in folders:
        for path in (ROOT / folder).rglob("*.c"):
            text = path.read_text()
            names = re.findall(r'(?:getenv|is_set)\("(\w+)"\)|"((?:[a-zA-Z]+_)?(?:proxy|PROXY))"|'
                               r'"([A-Z]+_DIRECTORY)"', text)
            read |= {name for names in names for name in names if name}
    told = re.findall(r"\w+", " ".join(
        tag[3:] for tag, _ in items(section(page, "ENVIRONMENT"))))
    assert set(told) == {name for name in read if not name.startswith("VEOD_FAULT")}
    assert len(told) == len(set(told))


def test_fields_of_the_journal():
    used = {name for path in (ROOT / "daemon").rglob("*.c")
            for name in re.findall(r'"(VEO_[A-Z]+)=?', path.read_text())}
    told = subsections(section(VEOD_PAGE, "DESCRIPTION"))["Logging"]
    assert set(re.findall(r"\bVEO_[A-Z]+", told)) == used


def test_units_are_there():
    page = VEOD_PAGE.replace("\\-", "-")
    told = set(re.findall(r"^\.Pa (veod\S*\.(?:service|socket|timer))", page, re.M))
    units = {path.name.removesuffix(".in") for path in (ROOT / "systemd").glob("veod*")}
    assert told and {re.sub("@NAME", "", name) for name in told} <= units
    assert units - {re.sub("@NAME", "", name) for name in told} <= {"veod-metrics.service"}


@pytest.mark.parametrize("page, told, name, path, unit", [
    (CTL, "of at least # characters", "ID_PREFIX_MIN", "proto/limits.h", 1),
    (VEOD_PAGE, "given up to # times", "OVERRIDES_MAX", "daemon/arguments.h", 1),
    (VEOD_PAGE, "for up to # seconds", "STOP_PATIENCE", "daemon/main.c", 1000),
    (CONF, "may be up to #, each", "CONFIG_PROVIDERS_MAX", "daemon/config.h", 1),
    (CONF, "name of up to # letters", "PROVIDER_NAME_MAX", "daemon/config.c", 1),
    (CONF, "up to # patterns", "CONFIG_GLOBS_MAX", "daemon/config.h", 1),
    (CONF, "at most #, as in all lists", "MODEL_WORDS_MAX", "daemon/core/model_table.h", 1),
    (CONF, "May be given # times", "MODEL_RULES_MAX", "daemon/core/model_table.h", 1),
    (CONF, "up to # KiB", "SYSTEM_PROMPT_MAX", "daemon/settings.c", 1024),
    (CONF, "may take # seconds", "TOKEN_COMMAND_MS", "daemon/io/token_command.h", 1000),
    (CONF, "again after # minutes", "COMMAND_LASTS_MS", "daemon/io/token.c", 60000),
    (CONF, "Every # seconds finished", "RETAIN_EVERY_MS", "daemon/engine/retain.c", 1000),
], ids=lambda value: value if re.fullmatch(r"[A-Z_]+", str(value)) else "")
def test_numbers_of_the_code(page, told, name, path, unit):
    defined = re.search(rf"^#define {name} +(\(?[\d* L]+\)?)", (ROOT / path).read_text(), re.M)
    amount, rest = divmod(math.prod(map(int, re.findall(r"\d+", defined.group(1)))), unit)
    assert rest == 0 and told.replace("#", str(amount)) in words(page)


# ---- the keys of veod.conf ----

UNITS = {"ms": 1, "s": 1000, "m": 60000, "h": 3600000, "d": 86400000,
         "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
DIALECTS = {
    "interactions": {},
    "interactions of a project": {"dialect": "interactions", "project": "p"},
    "predict": {},
    "vertex": {"project": "p", "location": "us-central1", "auth": "metadata"},
    "videos": {"base_url": "http://localhost:4000"},
}
DERIVED = ("dialect", "base_url", "api_version", "models", "location")


def parse_item(tag, text):
    name, value = re.match(r"Cm (\w+) = (.*)", tag).groups()
    told = words(text.split("\n.Bl ")[0])
    applies = re.search(r" (Applied by a reload|A change needs a restart)\.$", told)
    told = told[:applies.start()] if applies else told
    default = re.search(r"(?:Default (\S.*?)|Unset by default)"
                        r"(?:, from (\S+) to (\S+))?\.$", told)
    return name, {
        "kind": value, "text": told, "applies": applies and applies.group(1),
        "has_default": bool(default), "default": default and default.group(1),
        "range": default and default.groups()[1:]}


def sections_of_page():
    """Section by section what the page says of each key."""
    parts = subsections(section(CONF, "SECTIONS"))
    found = {}
    for title, text in parts.items():
        intro = words(text.split("\n.Bl ")[0])
        whole = re.search(r"(Applied by a reload|A change needs a restart)\.$", intro)
        assert whole, title
        keys = [parse_item(tag, body) for tag, body in items(text)]
        for _, key in keys:
            key["applies"] = key["applies"] or whole.group(1)
        found[title.strip("[]").split()[0]] = dict(keys)
    return found


PAGE = sections_of_page()
TOLD = [(part, name) for part, keys in PAGE.items() for name in keys]


def printed(*arguments):
    """Of --print-config: the keys of each section, an unset one being None."""
    done = output_of(VEOD, "-c", "/dev/null", *arguments, "--print-config")
    assert done.returncode == 0, done.stderr
    found, keys = {}, None
    for line in done.stdout.splitlines():
        if line.startswith("["):
            keys = found.setdefault(line.strip("[]"), {})
        elif " =" in line:
            name, _, value = line.partition(" =")
            keys[name.removeprefix("# ")] = value.strip() if not line.startswith("# ") else None
    return found


def amount(text):
    """A number in the units of a duration or a size: as the page has it, or a refusal."""
    number, unit = re.fullmatch(r"([\d.]+) ?([A-Za-z]*)", text).groups()
    return float(number) * UNITS[unit.removesuffix("iB") or "B"]


def same_value(told, value):
    if told == value:
        return True
    try:
        return amount(told) == amount(value)
    except AttributeError:
        return False


def test_all_keys_are_described_and_no_others():
    program = printed()
    models = program["model gemini-omni-1.1-flash"].keys() | {
        key for part in program for key in program[part] if part.startswith("model ")}
    for part, keys in PAGE.items():
        if part == "model":
            assert models <= set(keys), models - set(keys)
        else:
            assert list(keys) == list(program["provider gemini" if part == "provider" else part])
    assert [part.split()[0] for part in program if not part.startswith("model ")] and (
        {part.split()[0] for part in program} == set(PAGE))


@pytest.mark.parametrize("name", PAGE["model"])
def test_key_of_a_model_is_known(name):
    done = output_of(VEOD, "-c", "/dev/null", "-o", f"model x.{name}=", "--print-config")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("part, name", [told for told in TOLD if told[0] != "model"])
def test_type_range_and_default(part, name):
    """By what veod says of a value that no key takes."""
    key = PAGE[part][name]
    where = "provider gemini" if part == "provider" else part
    refused = output_of(VEOD, "-c", "/dev/null", "-o", f"{where}.{name}=? ", "--print-config")
    expected = re.search(rf"\] {name} must be (.*), not \"\? \"", refused.stderr).group(1)
    low, high = (re.search(r"from (\S+(?: [KMGTPi]*B)?) to (\S+(?: [KMGTPi]*B)?)", expected)
                 or [None, None, None]).groups() if " from " in expected else (None, None)
    kinds = {"a number": "Ar number", "a duration": "Ar duration", "a size": "Ar size",
             "dollars": "Ar dollars", "an octal mode": "Ar mode"}
    kind = next((kind for start, kind in kinds.items() if expected.startswith(start)), None)
    if kind:
        assert key["kind"] == kind
    elif expected.startswith("one of: "):
        assert key["kind"].removeprefix("Cm ").split(" | ") == expected.split()[2:]
    elif name != "temperature":  # a number, which is kept as text
        assert key["kind"] not in kinds.values()
    if low:
        assert key["range"] and key["range"] != (None, None), f"expected from {low} to {high}"
        assert same_value(key["range"][0], low) and same_value(key["range"][1], high)
    if (part, name) == ("provider", name) and name in DERIVED:
        assert not key["has_default"]
        return
    default = printed("-o", "provider gemini.dialect=interactions")[where][name]
    assert key["has_default"] and (default is None) == (key["default"] is None)
    assert default is None or same_value(key["default"], default), default


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_dialect_has_by_default(dialect):
    keys = {"dialect": dialect, **DIALECTS[dialect]}
    arguments = [word for key, value in keys.items()
                 for word in ("-o", f"provider x.{key}={value}")]
    value = printed(*arguments)["provider x"]
    for name in ("api_version", "models", "base_url", "location"):
        if name in keys or value[name] is None:
            continue
        told = PAGE["provider"][name]["text"]
        is_told = re.search(rf"(?<!\S){re.escape(value[name])}(?!\w)", told)
        assert is_told or (name == "base_url" and "Vertex AI's address" in told), name
    assert dialect.split()[0] in PAGE["provider"]["dialect"]["kind"]


class Elsewhere(Daemon):
    """All of it in a unit's directories, and nothing on the command line."""

    def __init__(self, directory, sim):
        places = {f"{name}_DIRECTORY": str(directory)
                  for name in ("RUNTIME", "STATE", "CONFIGURATION")}
        super().__init__(directory, sim, environment=places)
        self.socket = str(directory / "veod.sock")

    def write(self, more=""):
        url = self.sim.url
        (self.directory / "veod.conf").write_text(
            f"[provider gemini]\ndialect = interactions\nbase_url = {url}\n"
            f"[agent]\nbase_url = {url}\n{more}")

    def command_line(self, options=None, providers=None):
        return [VEOD]


@pytest.fixture
def elsewhere(directory, sim):
    daemon = Elsewhere(directory, sim)
    daemon.write()
    yield daemon.start()
    daemon.close()


IN_USE = "interactions"


def candidates(part, name, key, directory):
    """Values that differ from the one in use."""
    if key["kind"].startswith("Cm "):
        return [choice for choice in key["kind"][3:].split(" | ")
                if choice not in (key["default"], IN_USE)]
    if key["range"] and key["range"][0]:
        return [value for value in key["range"] if value != key["default"]]
    return ["0600", "1", "http://x.example", str(directory / "veod.conf"), "gs://x/y"]


NEEDS = {"token_command": "auth = command\n", "location": "project = p\n"}


def change(daemon, client, part, name):
    """Sets the key to another value, and gives the answer to RELOAD."""
    title = "provider gemini" if part == "provider" else part
    needs = NEEDS.get(name, "") if part == "provider" else ""
    for value in candidates(part, name, PAGE[part][name], daemon.directory):
        daemon.write(f"[{title}]\n{needs}{name} = {value}\n")
        reply = client.request("RELOAD")
        if reply.value.get("code") != "invalid-argument":
            return f"{title}.{name}", reply
    raise AssertionError(f"[{part}] {name}: {reply}")


def test_what_a_reload_applies(elsewhere):
    """Each key alone is changed, and applied or refused as the page says."""
    with elsewhere.client() as client:
        for part, name in [told for told in TOLD if told[0] != "model"]:
            key, reply = change(elsewhere, client, part, name)
            if PAGE[part][name]["applies"] == "Applied by a reload":
                assert reply.word == "OK" and key in reply.value["changed"], (key, reply)
            else:
                assert reply.value.get("code") == "conflict", (key, reply)
                assert key in reply.value["message"], (key, reply)
            elsewhere.write()
            client.ok("RELOAD")
        for name in PAGE["model"]:
            assert PAGE["model"][name]["applies"] == "Applied by a reload"
        elsewhere.write("[model x]\nnote = x\n")
        assert client.ok("RELOAD")["changed"] == ["model"]


# ---- veod-protocol(7) ----


def test_the_protocol_is_whole():
    """Its text is the protocol's, word by word; in examples, but for where lines are cut."""
    if not shutil.which("mandoc"):
        if os.environ.get("CI") == "true":
            pytest.fail("mandoc must be installed")
        pytest.skip("needs mandoc")
    text = (ROOT / "proto/PROTOCOL.md").read_text()
    made = subprocess.run(["awk", "-f", ROOT / "man/protocol.awk", ROOT / "proto/PROTOCOL.md"],
                          capture_output=True, check=True, env={"LC_ALL": "C"}).stdout
    page = subprocess.run(["mandoc", "-Tutf8", "-Owidth=200"], input=made, capture_output=True,
                          check=True).stdout.decode()
    page = re.sub(".\b", "", page)

    def squeezed(text):
        return re.sub(r"[\s‘’'`*|•]", "", text)
    told = squeezed(page)
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.M | re.S)
    rest = re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.M | re.S)
    rest = re.sub(r"^(#.*|\|[- |]*|\| *[a-z]+ \|.*)$", "", rest, flags=re.M)
    assert len(blocks) > 20
    for part in blocks + re.split(r"\n\n+", rest):
        for line in part.splitlines() if "|" in part else [part]:
            line = re.sub(r"^\* ", "", line, flags=re.M)
            if line.count(" | ") < 2:
                assert squeezed(line) in told, line
