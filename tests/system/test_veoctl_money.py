"""veoctl against a scripted daemon: prices, models, costs, and the configuration read anew."""

import csv
import io
import os
import pwd

import pytest

from scripted import (ID, daemon, done, job, on_terminal, plain, start,  # noqa: F401
                      veoctl)

DRY = {"dry_run": True, "provider": "gemini", "dialect": "interactions", "prompt": "a dog",
       "cost": {"estimate_usd": 0.4},
       "request": {"method": "POST", "url": "https://x.example/v1/i",
                   "body": {"model": "m", "input": [{"text": "a \u202e dog"}], "none": {}}}}
HELD = {"code": "budget-exceeded", "message": "the daily budget of $5 is spent until 00:00 UTC"}


def test_a_dry_run_shows_price_and_request(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(DRY))
    result = veoctl("generate", "--dry-run", "--wait", "a dog")
    assert result.status == 0
    assert daemon.sent("GENERATE")[0].object == {"prompt": "a dog", "dry_run": True}
    assert result.out == """provider: gemini (interactions)
POST https://x.example/v1/i
{
  "model": "m",
  "input": [
    {
      "text": "a \\u202e dog"
    }
  ],
  "none": {}
}
estimated price: $0.40
nothing was sent
"""
    assert veoctl("--json", "generate", "--dry-run", "a dog").objects == [DRY]


def test_a_dry_run_without_a_price(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok({k: v for k, v in DRY.items() if k != "cost"}))
    assert "estimated price: unknown\n" in veoctl("generate", "--dry-run", "a dog").out


@pytest.mark.parametrize("usd, text", [
    (0.4, "$0.40"), (12, "$12.00"), (0.0042, "$0.0042"), (0, "$0.00"), (1234.5678, "$1234.5678"),
    (0.1234567, "$0.123457")])
def test_amounts(daemon, veoctl, usd, text):
    daemon.on("STATUS", lambda c: c.ok(done(cost={"charged_usd": usd})))
    assert f"cost.charged_usd: {text}\n" in veoctl("status", ID).out


def test_status_tells_estimate_charge_and_reason(daemon, veoctl):
    daemon.on("STATUS", lambda c: c.ok(job(ID, "held", cost={"estimate_usd": 0.4}, error=HELD)))
    out = veoctl("status", ID).out
    assert "cost.estimate_usd: $0.40\n" in out and HELD["message"] in out


def test_generate_held_by_a_budget_says_so(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.ok(job(ID, "held", error=HELD)))
    result = veoctl("generate", "a dog")
    assert result.status == 0 and result.out == ID + "\n"
    assert f"{ID} is held: {HELD['message']}" in result.err and "veoctl release" not in result.err


def test_generate_on_a_terminal_tells_the_price(daemon):
    daemon.on("GENERATE", lambda c: c.ok(job(cost={"estimate_usd": 0.4})))
    assert plain(on_terminal(daemon, "generate", "a dog")[1]) == f"{ID}\nestimated price: $0.40\n"
    daemon.on("WAIT", lambda c: c.ok({"jobs": [done(cost={"charged_usd": 0.35})],
                                      "timed_out": False}))
    assert plain(on_terminal(daemon, "generate", "--wait", "a dog")[1]).endswith(
        "charged: $0.35\n")


def test_generate_dearer_than_the_budget(daemon, veoctl):
    daemon.on("GENERATE", lambda c: c.err("budget-exceeded", "it costs $9 of $5"))
    result = veoctl("generate", "a dog")
    assert (result.status, result.out) == (8, "")
    assert result.err == "veoctl: generate: it costs $9 of $5 (budget-exceeded)\n"


# ---- models ----

VEO = {"model": "veo-3.1-generate-preview", "provider": "gateway", "dialect": "predict",
       "state": "preview", "resolutions": ["720p", "1080p", "4k"], "durations": [4, 6, 8],
       "inputs": ["image", "last_frame", "reference_images", "video"],
       "price_per_second": {"720p": 0.4, "4k": 0.6}, "silent_price_per_second": {"*": 0.2},
       "median_ms": 61234}
OLD = {"model": "veo-3.0-generate-preview", "provider": "gateway", "dialect": "predict",
       "state": "shut-down", "since": "2025-11-12", "replaced_by": "veo-3.1-generate-preview",
       "resolutions": ["720p"], "durations": {"min": 3, "max": 10}}
OMNI = {"model": "gemini-omni-1.1-flash", "provider": "gemini", "dialect": "interactions",
        "default_model": "gemini-omni-1.1-flash", "state": "current", "resolutions": [],
        "price_per_million_tokens": {"input": 0.3, "video": 17.5}}


def offers(daemon, *models):
    def handler(command):
        for model in models:
            command.item(model)
        command.ok({"count": len(models)})
    daemon.on("MODELS", handler)


def test_models_piped(daemon, veoctl):
    offers(daemon, VEO, OLD, OMNI)
    assert veoctl("models").out == (
        "veo-3.1-generate-preview\tgateway\tpreview\t720p,1080p,4k\t4,6,8\t0.20-0.60\t"
        "image,last_frame,reference_images,video\t1m1s\t\n"
        "veo-3.0-generate-preview\tgateway\tshut-down\t720p\t3-10\t\t\t\t"
        "veo-3.1-generate-preview\n"
        "gemini-omni-1.1-flash\tgemini\tcurrent\t\t\tby tokens\t\t\t\n")
    assert veoctl("--json", "models").objects == [VEO, OLD, OMNI]


def test_models_on_a_terminal(daemon):
    offers(daemon, VEO, {**OLD, "provider": "other"}, OLD, OMNI)
    code, text = on_terminal(daemon, "models", columns=140)
    rows = plain(text).splitlines()
    assert code == 0
    assert rows[0].split() == ["MODEL", "PROVIDER", "STATE", "RESOLUTIONS", "SECONDS", "$/S",
                               "INPUTS", "MEDIAN"]
    assert rows[5:] == ["veo-3.0-generate-preview was shut down on 2025-11-12; take "
                        "veo-3.1-generate-preview", "gemini-omni-1.1-flash is the default"]


@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
def test_models_fit_the_terminal(daemon, columns):
    offers(daemon, VEO, OLD)
    rows = plain(on_terminal(daemon, "models", columns=columns)[1]).splitlines()[:3]
    assert all(len(row) <= columns for row in rows), rows
    assert rows[1].startswith(VEO["model"]) and "preview" in rows[1][25:]
    assert ("MEDIAN" in rows[0]) == (columns >= 100)


def test_prices_are_rounded_for_people(daemon, veoctl):
    offers(daemon, {"model": "m", "price_per_second": {"a": 0.033793, "b": 0.30408}})
    assert veoctl("models").out.split("\t")[5] == "0.033793-0.30408"
    assert plain(on_terminal(daemon, "models")[1]).splitlines()[1] == "m      0.034-0.30"


def test_models_that_nothing_is_known_of(daemon):
    offers(daemon, {"model": "veo-*", "provider": "p", "dialect": "predict"})
    assert plain(on_terminal(daemon, "models")[1]) == "MODEL  PROVIDER\nveo-*  p\n"


# ---- cost ----

DAYS = [{"day": "2026-11-21", "jobs": 12, "charged_usd": 9.6, "presumed_usd": 0},
        {"day": "2026-11-22", "jobs": 3, "charged_usd": 2.4, "presumed_usd": 0.8}]
SUMS = {"count": 2, "jobs": 15, "charged_usd": 12, "presumed_usd": 0.8, "reserved_usd": 1.6,
        "budgets": [{"for": "all", "daily_usd": 25, "charged_usd": 2.4, "reserved_usd": 1.6,
                     "left_usd": 21},
                    {"for": "provider", "provider": "gemini", "daily_usd": 5, "left_usd": 0},
                    {"for": "owner", "owner": 7, "daily_usd": 5, "left_usd": 4.5}]}


def costs(daemon, rows=DAYS, **sums):
    def handler(command):
        for row in rows:
            command.item(row)
        command.ok({**SUMS, **sums})
    daemon.on("COST", handler)


def test_cost_piped(daemon, veoctl):
    costs(daemon)
    result = veoctl("cost")
    assert result.out == "2026-11-21\t12\t9.6\t0\n2026-11-22\t3\t2.4\t0.8\n"
    assert daemon.sent("COST")[0].object == {}
    assert veoctl("--json", "cost").objects == [*DAYS, SUMS]


def test_cost_on_a_terminal(daemon):
    costs(daemon)
    code, text = on_terminal(daemon, "cost")
    assert code == 0
    assert plain(text) == """DAY         JOBS  CHARGED  OF IT UNSURE
2026-11-21    12    $9.60             -
2026-11-22     3    $2.40         $0.80
in all: $12.00, $0.80 of it perhaps not charged by the provider; \
reserved for jobs that haven't ended: $1.60
today's budget: $21.00 left of $25.00
today's budget of provider gemini: $0.00 left of $5.00
today's budget of owner 7: $4.50 left of $5.00
"""


def test_cost_asks_for_what_was_asked(daemon, veoctl):
    costs(daemon, [])
    veoctl("cost", "--by", "label:set", "--since", "2026-11-01", "--until",
           "2026-12-01T00:00:00+01:00", "--owner", 7)
    assert daemon.sent("COST")[0].object == {
        "by": "label:set", "since": "2026-11-01T00:00:00.000Z",
        "until": "2026-11-30T23:00:00.000Z", "owner": 7}


def test_cost_of_owners(daemon, veoctl):
    uid = os.getuid()
    costs(daemon, [{"owner": uid, "jobs": 1, "charged_usd": 1, "presumed_usd": 0}])
    assert veoctl("cost", "--by", "owner").out == f"{uid}\t1\t1\t0\n"
    rows = plain(on_terminal(daemon, "cost", "--by", "owner")[1]).splitlines()
    assert rows[0].split()[0] == "OWNER" and rows[1].split()[0] == pwd.getpwuid(uid).pw_name


def test_cost_as_csv(daemon, veoctl):
    values = ['plain', 'with "quotes"', "with, comma", "two\nlines", "ümlaut", ""]
    rows = [{"label": "set", "value": value, "jobs": 1, "charged_usd": 0.4, "presumed_usd": 0}
            for value in values] + [{"label": "set", "jobs": 1, "charged_usd": 1, "presumed_usd": 1}]
    costs(daemon, rows)
    result = veoctl("cost", "--by", "label:set", "--csv")
    assert result.bytes.startswith(b"value,jobs,charged_usd,presumed_usd\r\nplain,1,0.4,0\r\n"
                                   b'"with ""quotes""",1,0.4,0\r\n"with, comma",1,')
    assert result.bytes.endswith(b"\r\n")
    read = list(csv.reader(io.StringIO(result.bytes.decode(), newline="")))
    assert [row[0] for row in read[1:]] == [*values, ""]
    assert read[1][1:] == ["1", "0.4", "0"] and len({len(row) for row in read}) == 1


@pytest.mark.parametrize("words, status, message", [
    (["cost", "x"], 2, "takes options only"), (["cost", "--since", "x"], 2, "--since: expected"),
    (["--json", "cost", "--csv"], 2, "only one"), (["reload", "x"], 2, "takes no argument")])
def test_what_is_no_question(veoctl, words, status, message):
    result = veoctl(*words)
    assert result.status == status and message in result.err


def test_cost_refused(daemon, veoctl):
    daemon.on("COST", lambda c: c.err("invalid-argument", "by must be day", field="by"))
    result = veoctl("cost", "--by", "moon")
    assert (result.status, result.out) == (2, "") and "by must be day" in result.err


# ---- reload ----


def test_reload(daemon, veoctl):
    daemon.on("RELOAD", lambda c: c.ok({"changed": ["budget.daily_usd", "poll.max"]}),
              lambda c: c.ok({"changed": []}),
              lambda c: c.err("conflict", "provider gemini.base_url needs a restart"),
              lambda c: c.err("forbidden", "RELOAD is for operators"))
    assert veoctl("reload").out == "changed: budget.daily_usd\nchanged: poll.max\n"
    assert veoctl("reload").out == "nothing has changed\n"
    for message in ("needs a restart", "operators"):
        result = veoctl("reload")
        assert result.status == 8 and message in result.err
