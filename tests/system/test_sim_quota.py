"""veosim alone: quotas, and the errors of each dialect."""

import subprocess
import time

import pytest

from sim_alone import PATIENCE, VEO, VEO2, VEOSIM, sim, start

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim", "start"]  # fixtures


def details_of(answer):
    return {detail["@type"].rsplit(".", 1)[1]: detail for detail in answer.error["details"]}


def videos(sim, prompt="x", **options):
    return sim.call("POST", "/v1/videos", {"model": VEO, "prompt": prompt}, key=None,
                    headers={"Authorization": "Bearer k"}, **options)


def test_window(start):
    sim = start("--quota", "3/1h")
    assert [sim.predict("x").status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert sim.predict("x", model=VEO2).status == 200  # each model has its own
    answer = sim.predict("x")
    assert answer.error["status"] == "RESOURCE_EXHAUSTED" and answer.error["code"] == 429
    details = details_of(answer)
    assert "PerMinute" in details["QuotaFailure"]["violations"][0]["quotaId"]
    assert "RetryInfo" not in details and "Retry-After" not in answer.headers
    stats = sim.stats()
    assert (stats["accepted"], stats["refused"], stats["throttled"]) == (4, 3, 3)
    sim.control("POST", "/__reset")
    assert sim.predict("x").status == 200


def test_window_ends(start):
    sim = start("--quota", "2/300ms", "--quota-retry-info")
    until = time.monotonic() + PATIENCE
    for _ in range(3):
        begun = time.monotonic()
        while (answer := sim.predict("x")).status == 200:
            assert time.monotonic() < until
        delay = details_of(answer)["RetryInfo"]["retryDelay"]
        assert delay.endswith("s") and 0 < float(delay[:-1]) <= 0.3
        time.sleep(float(delay[:-1]) + 0.001)
        assert sim.predict("x").status == 200, time.monotonic() - begun


def test_bucket(start):
    sim = start("--quota", "4/1h", "--quota-kind", "bucket", "--quota-retry-info")
    assert [sim.predict("x").status for _ in range(5)] == [200] * 4 + [429]
    delay = details_of(sim.predict("x"))["RetryInfo"]["retryDelay"]
    assert 800 < float(delay[:-1]) <= 900  # a quarter of an hour for one


def test_bucket_refills(start):
    sim = start("--quota", "5/500ms", "--quota-kind", "bucket", "--quota-retry-info")
    until = time.monotonic() + PATIENCE
    while (answer := sim.predict("x")).status == 200:
        assert time.monotonic() < until
    time.sleep(float(details_of(answer)["RetryInfo"]["retryDelay"][:-1]) + 0.001)
    assert sim.predict("x").status == 200


def test_other_shapes(start):
    sim = start("--quota", "1/1h", "--quota-retry-info")
    assert sim.interact("x").status == 200
    answer = sim.interact("x")
    assert answer.status == 429 and answer.error["code"] == "rate_limit_exceeded"
    assert set(answer.error) == {"code", "message"}
    assert 3000 < int(answer.headers["Retry-After"]) <= 3600
    assert videos(sim).status == 200
    answer = videos(sim)
    assert answer.status == 429 and answer.error["code"] == "429"


def test_what_is_refused_otherwise_does_not_count(start):
    sim = start("--quota", "1/1h")
    sim.rules({"on": "submit", "do": "status", "status": 503, "times": 2})
    statuses = [sim.predict("x").status for _ in range(3)]
    statuses.append(sim.predict("x", {"durationSeconds": "8"}).status)
    assert statuses == [503, 503, 200, 400] and sim.predict("x").status == 429


def test_in_flight(start):
    sim = start("--in-flight", "2")
    for _ in range(2):
        assert sim.predict("x [sim: latency=1h]").status == 200
    answer = sim.predict("x")
    assert answer.status == 429 and list(details_of(answer)) == ["Help"]
    assert sim.interact("x").status == 429
    assert sim.stats()["max_running"] == 2 and sim.stats()["throttled"] == 2


def test_in_flight_goes_on(start):
    sim = start("--in-flight", "1")
    sim.interact_to_end("x")
    sim.interact_to_end("y")
    assert sim.stats()["max_running"] == 1


# Errors


@pytest.mark.parametrize("quota,status,words", [
    ("minute", "RESOURCE_EXHAUSTED", "PerMinute"), ("day", "RESOURCE_EXHAUSTED", "PerDay"),
    ("spend", "RESOURCE_EXHAUSTED", "spend"),
])
def test_quota_rules(sim, quota, status, words):
    sim.rules({"on": "submit", "do": "status", "quota": quota})
    answer = sim.predict("x")
    assert answer.status == 429 and answer.error["status"] == status
    assert words in str(answer.error)
    code = "quota_exceeded" if quota == "day" else "rate_limit_exceeded"
    assert sim.interact("x").error["code"] == code
    assert videos(sim).error["code"] == "429"


STATUSES = [
    (400, "INVALID_ARGUMENT", "invalid_request"), (401, "UNAUTHENTICATED", "authentication"),
    (402, "RESOURCE_EXHAUSTED", "payment_required"), (403, "PERMISSION_DENIED", "permission_denied"),
    (404, "NOT_FOUND", "not_found"), (429, "RESOURCE_EXHAUSTED", "rate_limit_exceeded"),
    (500, "INTERNAL", "api_error"), (503, "UNAVAILABLE", "service_unavailable"),
]


@pytest.mark.parametrize("status,google,interactions", STATUSES)
def test_statuses(sim, status, google, interactions):
    sim.rules({"on": "submit", "do": "status", "status": status, "retry_after": "3"})
    predict, interact, gateway = sim.predict("x"), sim.interact("x"), videos(sim)
    assert [answer.status for answer in (predict, interact, gateway)] == [status] * 3
    assert predict.error["code"] == status and predict.error["status"] == google
    assert interact.error["code"] == interactions and set(interact.error) == {"code", "message"}
    assert set(gateway.error) == {"message", "type", "param", "code"}
    assert gateway.error["code"] == str(status) and gateway.headers["Retry-After"] == "3"


def test_reason(sim):
    sim.rules({"on": "submit", "do": "status", "status": 400, "reason": "API_KEY_INVALID"})
    assert details_of(sim.predict("x"))["ErrorInfo"]["reason"] == "API_KEY_INVALID"


@pytest.mark.parametrize("arguments", [
    ["--quota", "60"], ["--quota", "0/1m"], ["--quota", "60/"], ["--quota", "60/0"],
    ["--quota", "x/1m"], ["--quota-kind", "round"], ["--in-flight", "x"],
    ["--token-seconds", "x"], ["--videos-status", "round"],
])
def test_refuses_bad_arguments(arguments):
    result = subprocess.run([VEOSIM, *arguments], capture_output=True, timeout=PATIENCE)
    assert result.returncode == 2 and result.stderr
