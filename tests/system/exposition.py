"""Reads Prometheus' text format, version 0.0.4, and takes nothing that the format doesn't allow, nor
what it advises against: prometheus.io/docs/instrumenting/exposition_formats."""

import collections
import math
import re

Family = collections.namedtuple("Family", "name type help samples")

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?(?:e[+-]?\d+)?|Inf)|NaN", re.IGNORECASE)
HEAD = re.compile(rf"# (HELP|TYPE) ({NAME}) (.*)")
SAMPLE = re.compile(rf"({NAME})(?:\{{(.*)\}})? (\S+)")
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,(?=.)|$)')
ESCAPE = {"\\\\": "\\", '\\"': '"', "\\n": "\n"}


def read_labels(text):
    labels, at = {}, 0
    while at < len(text):
        found = LABEL.match(text, at)
        assert found, f"not labels: {text!r}"
        name, value = found.groups()
        assert name not in labels, f"{name} twice: {text}"
        labels[name] = re.sub(r'\\[\\"n]', lambda part: ESCAPE[part.group()], value)
        at = found.end()
    return labels


def read_number(text):
    assert NUMBER.fullmatch(text), f"not a number: {text!r}"
    return float(text)


def suffixes(kind):
    return ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)


def read(text):
    """Families by name; samples by (name, labels as a frozenset of pairs)."""
    assert text.endswith("\n"), "the last line has no end"
    families, helps, family = {}, {}, None
    for line in text[:-1].split("\n"):
        head = HEAD.fullmatch(line)
        if head and head.group(1) == "HELP":
            assert head.group(2) not in helps, f"a second HELP: {line}"
            assert head.group(3), f"no help: {line}"
            helps[head.group(2)] = head.group(3)
        elif head:
            name, kind = head.group(2, 3)
            assert name not in families, f"a second TYPE: {line}"
            assert kind in ("counter", "gauge", "histogram"), line
            assert name in helps, f"no HELP before: {line}"
            family = families[name] = Family(name, kind, helps[name], {})
        else:
            found = SAMPLE.fullmatch(line)
            assert found, f"not a sample: {line!r}"
            name, labels, value = found.groups()
            assert family and name in [family.name + end for end in suffixes(family.type)], \
                f"out of its family: {line}"
            key = (name, frozenset(read_labels(labels or "").items()))
            assert key not in family.samples, f"twice: {line}"
            family.samples[key] = read_number(value)
    assert set(helps) == set(families), "HELP without TYPE"
    for family in families.values():
        check(family)
    return families


def check(family):
    if family.type == "counter":
        assert family.name.endswith("_total"), f"{family.name} is a counter"
        assert all(value >= 0 for value in family.samples.values()), family
    else:
        assert not family.name.endswith(("_total", "_count", "_sum", "_bucket")), family.name
    if family.type == "histogram":
        check_histograms(family)
    names = {frozenset(label for label, _ in labels) for _, labels in family.samples}
    assert not any("le" in group for group in names) or family.type == "histogram", family.name


def check_histograms(family):
    series = collections.defaultdict(dict)
    for (name, labels), value in family.samples.items():
        rest = frozenset(pair for pair in labels if pair[0] != "le")
        bound = dict(labels).get("le")
        assert (bound is not None) == name.endswith("_bucket"), (name, labels)
        series[rest][name if bound is None else read_number(bound)] = value
    for rest, values in series.items():
        bounds = [bound for bound in values if isinstance(bound, float)]
        assert bounds == sorted(bounds) and bounds[-1] == math.inf, (family.name, rest, bounds)
        counts = [values[bound] for bound in bounds]
        assert counts == sorted(counts) and counts[0] >= 0, (family.name, rest, counts)
        assert values[f"{family.name}_count"] == counts[-1], (family.name, rest)
        assert values[f"{family.name}_sum"] >= 0, (family.name, rest)


def value(families, name, **labels):
    """Of one sample; 0 if it isn't there, though its family is."""
    family = families[re.sub(r"_(bucket|sum|count)$", "", name) if name not in families else name]
    return family.samples.get((name, frozenset(labels.items())), 0)


def total(families, name, **labels):
    """Of all samples of a family that have these labels, and others."""
    return sum(number for (_, has), number in families[name].samples.items()
               if frozenset(labels.items()) <= has)


def fallen(before, after):
    """What must only grow, and didn't: of counters and histograms."""
    found = []
    for family in before.values():
        for key, number in family.samples.items():
            now = after.get(family.name, Family("", "", "", {})).samples.get(key, -1)
            if family.type != "gauge" and now < number:
                found.append((key, number, now))
    return found
