"""The alerts and the dashboard of contrib: that they go by metrics which there are, and say what they
should."""

import json
import pathlib
import re

from real import needs
from test_metrics import busy, metrics, promtool  # noqa: F401

ROOT = pathlib.Path(__file__).parents[2]


def used_in(text):
    """Names of families, and the labels that are asked of each."""
    for found in re.finditer(r"\b(veod_[a-z_]+)(?:\{([^}]*)\})?", text):
        name = re.sub(r"_(bucket|sum|count)$", "", found.group(1))
        yield name, set(re.findall(r'(\w+)=~?"', found.group(2) or ""))


def expressions():
    rules = (ROOT / "contrib/prometheus/veod.rules.yml").read_text()
    yield "rules", rules
    board = json.loads((ROOT / "contrib/grafana/veod.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"]


def test_rules_and_dashboard_name_what_there_is(busy):
    families = metrics(busy)
    known = {name: {label for _, labels in family.samples for label, _ in labels}
             for name, family in families.items()}
    known["veod_up"] = set()
    seen = set()
    for where, text in expressions():
        for name, labels in used_in(text):
            assert name in known, f"{where}: {name}"
            assert labels - {"instance", "le"} <= known[name], f"{where}: {name}{labels}"
            seen.add(name)
    assert len(seen) > 30


def test_values_of_labels_in_rules_and_dashboard(busy):
    """A misspelt state would be an alert that never comes."""
    families, checked = metrics(busy), 0
    for where, text in expressions():
        for found in re.finditer(r'\b(veod_[a-z_]+)\{([^}]*)\}', text):
            name = re.sub(r"_(bucket|sum|count)$", "", found.group(1))
            for label, given in re.findall(r'(state|class|request|for)=~?"([^"]*)"',
                                           found.group(2)):
                there = {dict(labels).get(label) for _, labels in families[name].samples}
                assert set(given.split("|")) <= there, f"{where}: {name} {label}={given}"
                checked += 1
    assert checked > 8


def test_panels_do_not_overlap():
    board = json.loads((ROOT / "contrib/grafana/veod.json").read_text())
    taken = {}
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, (panel["title"], taken[x, y])
                taken[x, y] = panel["title"]
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@needs("promtool")
def test_the_rules():
    folder = ROOT / "contrib/prometheus"
    promtool("check", "rules", "--lint-fatal", folder / "veod.rules.yml")
    promtool("test", "rules", folder / "veod.rules.test.yml")


@needs("promtool")
def test_the_dashboards_queries(tmp_path):
    """As expressions of rules, promtool reads them."""
    rules = [{"record": f"a:b{i}", "expr": text.replace("$__rate_interval", "1m")}
             for i, (where, text) in enumerate(expressions()) if where != "rules"]
    path = tmp_path / "rules.json"
    path.write_text(json.dumps({"groups": [{"name": "g", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", path)
