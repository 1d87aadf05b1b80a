"""proto/PROTOCOL.md says what the daemon does: its transcripts are executed, and its tables are
held against the daemon's own."""

import datetime
import pathlib
import re

import pytest

from ask import agent_options

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXT = (ROOT / "proto" / "PROTOCOL.md").read_text()
LONG = {"on": "submit", "do": "directive", "directive": "latency=300s", "match": "slow"}
SURPRISES = [LONG, {"on": "submit", "do": "directive", "directive": "filter", "match": "famous"},
             {"on": "submit", "do": "reset-after", "match": "storm"}]


@pytest.fixture
def daemon(sim, make_daemon):
    return make_daemon(options=agent_options(sim)).start()


def section(title):
    """From this heading to the next one of any level."""
    found = re.search(rf"^#+ (?:\d+\. )?{title}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1)


def table(title):
    """The first column of a section's tables, without its heading."""
    rows = re.findall(r"^\| (`.*?`(?:, `.*?`)*) \|", section(title), re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(.*?)`", row)]


def transcripts():
    for found in re.finditer(r"^```transcript\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL):
        heading = re.findall(r"^#+ (?:\d+\. )?(.*)$", TEXT[:found.start()], re.MULTILINE)[-1]
        line = TEXT[:found.start()].count("\n") + 1
        yield pytest.param(found.group(1).splitlines(), id=f"{heading.replace(' ', '-')}:{line}")


def pattern_of(line, known):
    """A line as a pattern: `…` is anything, `<name>` a value, the same one at each place."""
    pattern, met = "", set()
    for part in re.split(r"(…|<\w+>)", line):
        if part == "…":
            pattern += ".*"
        elif not re.fullmatch(r"<\w+>", part):
            pattern += re.escape(part)
        elif part in known:
            pattern += re.escape(known[part])
        elif part in met:
            pattern += f"(?P={part[1:-1]})"
        else:
            met.add(part)
            pattern += rf'(?P<{part[1:-1]}>[^"\s,{{}}]+)'
    return re.compile(pattern)


def soon():
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


class Play:
    def __init__(self, client):
        self.client = client
        self.known = {"<soon>": soon()}
        self.skipping = False

    def fill_in(self, line):
        return re.sub(r"<\w+>", lambda name: self.known[name.group()], line)

    def expect(self, line):
        pattern = pattern_of(line, self.known)
        while True:
            got = self.client.read_line().decode()
            found = pattern.fullmatch(got)
            if found or not self.skipping:
                break
        assert found, f"expected {line}\ngot      {got}"
        self.skipping = False
        self.known.update({f"<{name}>": value for name, value in found.groupdict().items()})

    def step(self, line):
        who, _, text = line.partition(" ")
        if re.fullmatch(r"C: \(a PNG of \d+ bytes\)", line):
            self.client.send(b"\x89PNG\r\n\x1a\n".ljust(int(text.split()[-2]), b"\0"))
        elif who == "C:":
            self.client.send(self.fill_in(text))
        elif text == "…":
            self.skipping = True
        elif text == "(end)":
            assert self.client.at_end()
        elif re.fullmatch(r"\(<\w+> bytes\)", text):
            self.client.read_bytes(int(self.known[text.split()[0][1:]]))
        else:
            assert who == "S:", line
            self.expect(text)


@pytest.mark.parametrize("lines", transcripts())
def test_transcript(sim, client, lines):
    sim.rules(SURPRISES)
    play = Play(client)
    for line in lines:
        play.step(line)
    assert not play.skipping
    assert client.buffer == b"" or client.buffer.startswith(b"EVENT")


def test_a_wrong_transcript_is_noticed(client):
    for lines in (["C: PING", 'S: OK {"pong":false}'], ["C: PING x", 'S: OK {"pong":true}'],
                  ["C: PING", "S: …", 'S: OK {"text":…}', "C: PING"],
                  ["C: BATCH {}", 'S: ERR {"code":"<a>",…,"field":"<a>"}']):
        play = Play(client)
        client.timeout = 1
        with pytest.raises((AssertionError, TimeoutError)):
            for line in lines:
                play.step(line)


def test_all_verbs_are_described_and_no_others(client):
    verbs = [item["verb"] for item in client.items("HELP")]
    assert re.findall(r"^### (\w+)$", TEXT, re.MULTILINE) == verbs
    for verb in verbs:
        assert f"`{verb}" in section(verb), verb
    shown = set(re.findall(r"^C: (?:@\S+ )?(\w+)", TEXT, re.MULTILINE))
    assert {verb.upper() for verb in shown} >= set(verbs)


def test_all_error_codes_are_described_and_no_others():
    header = (ROOT / "proto" / "error.h").read_text()
    codes = re.findall(r'X\(\w+, "([a-z-]+)",\s*"([^"]+)"\)', header)
    assert len(codes) >= 14
    assert re.findall(r"^\| `([a-z-]+)` \| (.*?) \|$", section("Errors"), re.MULTILINE) == codes


def test_all_members_of_a_request_are_described_and_no_others():
    source = (ROOT / "daemon" / "core" / "request_read.c").read_text()
    members = re.findall(r'^    \{"(\w+)", read_\w+\},$', source, re.MULTILINE)
    assert "prompt" in members and table("GENERATE") == members


@pytest.mark.parametrize("verb", ["LIST", "WAIT"])
def test_all_described_members_of_an_argument_are_known(client, verb):
    """A bad value is refused, not the name."""
    assert table(verb)
    for name in table(verb):
        reply = client.request(f'{verb} {{"{name}":{{}}}}')
        assert reply.word == "ERR" and "has no member" not in reply.value["message"], name


def test_all_members_of_a_job_are_described(sim, client):
    sim.rules(SURPRISES)
    fields = {"priority": 1, "labels": {"a": "b"}, "key": "k", "output": "x.mp4",
              "max_attempts": 2, "negative_prompt": "rain"}
    for prompt in ("a cat", "a famous face", "a storm"):
        job = client.generate(prompt, **fields)
        client.wait(job["id"])
        fields = {}
    client.generate("later", not_before=soon())
    seen = {name for job in client.items("LIST") for name in job}
    described = set(table("Jobs")) | set(table("GENERATE"))
    assert seen <= described, seen - described


def test_the_limits_are_those_of_the_daemon(client):
    header = (ROOT / "proto" / "limits.h").read_text()
    limits = client.ok("HELLO")["limits"]
    assert f"at most {limits['line_bytes']} bytes" in section("Lines")
    assert f"at most {limits['reply_line_bytes']} bytes" in section("Lines")
    assert f"1 to {limits['prompt_bytes']} bytes" in section("GENERATE")
    assert f"1 to {limits['batch']} objects" in section("BATCH")
    assert f"At most {limits['commands']} commands" in section("Commands and replies")
    assert "version 1\n" in TEXT and "#define PROTOCOL_VERSION 1\n" in header


def test_every_state_is_named(client):
    for state in client.ok("STATS")["states"]:
        assert re.search(rf"\b{state}\b", section("Jobs")), state
