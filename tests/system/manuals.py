"""The manual pages as the tests read them: mdoc, of which only what those in man/ use is known."""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parents[2]
ESCAPES = {r"\-": "-", r"\&": "", r"\(dq": '"', r"\(aq": "'", r"\e": "\\", r"\(ga": "`"}


def source(name):
    return (ROOT / "man" / name).read_text()


def unescaped(text):
    for escape, character in ESCAPES.items():
        text = text.replace(escape, character)
    return text


def section(page, title):
    """From a .Sh to the next one."""
    found = re.search(rf"^\.Sh {re.escape(title)}\n(.*?)(?=^\.Sh |\Z)", page, re.M | re.S)
    assert found, title
    return found.group(1)


def subsections(page):
    """Name and text of each .Ss."""
    parts = re.findall(r"^\.Ss (.*?)\n(.*?)(?=^\.Ss |^\.Sh |\Z)", page, re.M | re.S)
    return {unescaped(name): text for name, text in parts}


def items(text):
    """Tag and text of each item of the outer lists; those of lists within are part of the text."""
    depth, found = 0, []
    for line in text.splitlines():
        depth += line.startswith(".Bl ")
        depth -= line == ".El"
        if depth == 1 and line.startswith(".It "):
            found.append((line[4:], []))
        elif found and depth >= 1 and not (depth == 1 and line.startswith(".Bl ")):
            found[-1][1].append(line)
    return [(tag, "\n".join(lines)) for tag, lines in found]


def words(text):
    """The text on one line, without macros."""
    lines = []
    for line in text.splitlines():
        macro = line.startswith(".")
        line = re.sub(r"^\.\w+ ?", "", line)
        if macro:
            line = re.sub(r"\b(Fl|Ar|Cm|Ns|Pa|Ql|Ic|Xr|Op) ", "", line)
            line = re.sub(r" ([.,;:])$", r"\1", line)
        lines.append(line)
    return unescaped(" ".join(" ".join(lines).split()))


def displays(text):
    """The lines of each literal display."""
    found = re.findall(r"^\.Bd -literal.*?\n(.*?)^\.Ed$", text, re.M | re.S)
    return [unescaped(display).splitlines() for display in found]
