"""What the table of models knows, and what it refuses before it is sent."""

import json

import pytest

from harness import OMNI, VEO

VERTEX = "veo-3.1-generate-001"
SEED = "veo-3.0-generate-preview"


@pytest.fixture
def client(make_daemon, sim):
    """One provider is at Google's own address: nothing is sent to it here."""
    daemon = make_daemon(providers={
        "veo": {"models": "veo-* acme-*"},
        "google": {"dialect": "predict", "models": "models/veo-*",
                   "base_url": "https://generativelanguage.googleapis.com"},
        "lite": {"dialect": "predict", "models": "gemini/veo-3.1*", "base_url": sim.url}})
    daemon.start()
    return daemon.client()


def generate(**fields):
    return "GENERATE " + json.dumps({"prompt": "x", "dry_run": True, **fields})


def models(client):
    return {(item["model"], item["provider"]): item for item in client.items("MODELS")}


def test_all_models_are_listed(client):
    known = models(client)
    omni = known[OMNI, "gemini"]
    assert omni["state"] == "current" and omni["default_model"] == OMNI
    assert omni["durations"] == {"min": 3, "max": 10}
    assert omni["price_per_million_tokens"] == {"input": 1.5, "video": 17.5, "other": 9}
    veo = known[VERTEX, "veo"]
    assert veo["resolutions"] == ["720p", "1080p", "4k"] and veo["durations"] == [4, 6, 8]
    assert veo["inputs"] == ["image", "last_frame", "reference_images", "video"]
    assert veo["price_per_second"] == {"720p": 0.4, "1080p": 0.4, "4k": 0.6}
    assert veo["silent_price_per_second"] == {"720p": 0.2, "1080p": 0.2, "4k": 0.4}
    assert "when resolution=1080p|4k need duration_seconds=8" in veo["rules"]
    for model in (VEO, SEED, "veo-3.0-fast-generate-preview", "veo-2.0-generate-001"):
        assert known[model, "veo"]["state"] == "shut-down"
        assert known[model, "veo"]["replaced_by"] == OMNI
    assert set(known["acme-*", "veo"]) == {"model", "provider", "dialect"}  # nothing is known
    assert known["gemini/" + VERTEX, "lite"]["price_per_second"] == veo["price_per_second"]
    assert not any(model.startswith("gemini/veo-3.0") for model, _ in known)


def test_median_of_a_model_that_ran(make_daemon):
    daemon = make_daemon().start()
    daemon.wait(*[daemon.generate(f"a cat {i}")["id"] for i in range(9)])
    with daemon.client() as client:
        assert models(client)[OMNI, "gemini"]["median_ms"] > 0


REFUSED = [
    ({"aspect_ratio": "1:1"}, "aspect_ratio", "must be 16:9 or 9:16, not 1:1"),
    ({"duration_seconds": 11}, "duration_seconds", "from 3 to 10, not 11"),
    ({"resolution": "8k"}, "resolution", "360p"),
    ({"model": VEO, "aspect_ratio": "1:1"}, "aspect_ratio", "16:9 or 9:16"),
    ({"model": VEO, "duration_seconds": 5}, "duration_seconds", "4, 6 or 8, not 5"),
    ({"model": VEO, "resolution": "1080p", "duration_seconds": 6}, "duration_seconds",
     f"resolution 1080p of {VEO} needs duration_seconds 8, not 6; or leave resolution at 720p"),
    ({"model": VEO, "resolution": "360p"}, "resolution", "720p, 1080p or 4k"),
    ({"model": VEO, "sample_count": 2}, "sample_count", "at most 1 at once"),
    ({"model": SEED, "resolution": "4k"}, "resolution", "720p or 1080p"),
    ({"model": "veo-2.0-generate-001", "resolution": "720p"}, "resolution",
     "takes no resolution"),
    ({"model": "gemini/" + VEO, "resolution": "4k", "duration_seconds": 4}, "duration_seconds",
     "needs duration_seconds 8"),
]


@pytest.mark.parametrize("fields, field, says", REFUSED)
def test_what_is_known_to_be_refused_is_not_sent(client, fields, field, says):
    assert says in client.err(generate(**fields), "invalid-argument", field)["message"]
    jobs = {"jobs": [{"prompt": "x"}, {"prompt": "x", **fields}]}
    client.err("BATCH " + json.dumps(jobs), "invalid-argument", f"jobs.1.{field}")
    assert client.ok(generate(**fields, force=True))["dry_run"] is True
    assert client.items("LIST") == []


@pytest.mark.parametrize("fields", [
    {"model": VEO, "resolution": "1080p"},  # eight seconds are the default
    {"model": VEO, "resolution": "4k", "duration_seconds": 8, "aspect_ratio": "9:16"},
    {"model": VEO, "person_generation": "allow_all", "negative_prompt": "rain", "seed": 1},
    {"model": "veo-9", "aspect_ratio": "1:1", "duration_seconds": 60},
    {"model": "acme-1", "resolution": "8k"},
    {"duration_seconds": 3.5, "resolution": "360p"},
])
def test_what_is_not_known_to_be_refused_is_the_providers_to_say(client, fields):
    assert client.ok(generate(**fields))["dry_run"] is True


def test_a_model_that_google_shut_down(client):
    """Refused at Google's own host; others may serve it still."""
    error = client.err(generate(model="models/" + SEED), "invalid-argument", "model")
    assert "shut down by Google on 2025-11-12; use gemini-omni-1.1-flash" in error["message"]
    assert "note" not in client.ok(generate(model="models/" + VERTEX))
    forced = client.ok(generate(model="models/" + SEED, force=True))
    assert forced["provider"] == "google"
    assert "shut" in client.ok(generate(model=SEED))["note"]  # the gateway


@pytest.mark.parametrize("fields, usd", [
    ({}, 1.0136),
    ({"resolution": "4k", "duration_seconds": 3}, 0.91224),
    ({"model": VEO}, 3.2),
    ({"model": VERTEX, "generate_audio": False}, 1.6),
    ({"model": VERTEX, "resolution": "4k", "sample_count": 4}, 19.2),
    ({"model": SEED, "duration_seconds": 4}, 1.6),
    ({"model": "veo-9"}, None),
])
def test_a_dry_run_tells_the_price(client, fields, usd):
    assert client.ok(generate(**fields)).get("cost", {}).get("estimate_usd") == usd
