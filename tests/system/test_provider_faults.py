"""Providers that misbehave in every way that veosim knows: each job ends in a state and in words
that an operator understands, nothing is bought twice, and the daemon goes on."""

import json
import pathlib
import socket
import time

import pytest

import harness
from harness import KEY, OMNI, VEO, until
from invariants import (MEDIA, check_all, check_bought_once, check_files, check_nothing_left,
                        list_jobs)

MODELS = pytest.mark.parametrize("model", [OMNI, VEO])
WORDS = "the provider's very own words"
SANITIZED = harness.VEOD and b"__asan_init" in pathlib.Path(harness.VEOD).read_bytes()


@pytest.fixture
def quick(make_daemon):
    """A daemon that isn't patient; the key must appear in none of its words."""
    daemon = make_daemon(options={"http.stall_timeout": "700ms", "http.answer_timeout": "1500ms",
                                  "retry.base_delay": "20ms", "retry.max_delay": "100ms",
                                  "poll.max": "100ms"})
    yield daemon.start()
    assert KEY not in daemon.log()
    assert KEY.encode() not in (daemon.state / "jobs.db").read_bytes()


def end_of(daemon, prompt="a cat", **fields):
    return daemon.wait(daemon.generate(prompt, **fields)["id"])[0]


# ---- submissions ----

SUBMIT = {"on": "submit"}
GATES = {
    "429": {"do": "status", "status": 429},
    "429 with RetryInfo": {"do": "status", "status": 429, "retry_info": "0.6s",
                           "shape": "google"},
    "429 with Retry-After": {"do": "status", "status": 429, "retry_after": "1"},
    "429 from a gateway": {"do": "status", "status": 429, "shape": "html"},
    "503": {"do": "status", "status": 503},
    "503 from a gateway": {"do": "status", "status": 503, "shape": "html"},
    "503 with Retry-After": {"do": "status", "status": 503, "retry_after": "1"},
}


@MODELS
@pytest.mark.parametrize("name", GATES)
def test_turned_away_at_a_gate(quick, sim, model, name):
    """More often than there are attempts, for none is used up."""
    rule = GATES[name]
    times = 2 if "with" in name else 5
    sim.rules([{**SUBMIT, **rule, "times": times}])
    begun = time.monotonic()
    job = end_of(quick, model=model, max_attempts=1)
    assert job["state"] == "done", job
    assert job["attempts"] == 1
    assert sim.stats()["submissions"] == times + 1
    least = {"429 with RetryInfo": 1.2, "429 with Retry-After": 2, "503 with Retry-After": 2}
    assert time.monotonic() - begun >= least.get(name, 0) - 0.05
    check_bought_once(sim)


def test_gate_is_shut_for_all(quick, sim):
    """Others wait with the first: few submissions knock at a shut gate."""
    sim.rules([{**SUBMIT, "do": "status", "status": 429, "retry_after": "8", "times": 1}])
    first = quick.generate("the first")["id"]
    until(lambda: "turned veod away" in quick.ok(f"WHY {first}")["text"], "the gate is shut")
    others = [quick.generate(f"other {i}")["id"] for i in range(20)]
    assert {job["state"] for job in quick.wait(first, *others)} == {"done"}
    assert sim.stats()["submissions"] == 22
    assert quick.log().count("nothing is submitted for") == 1


@MODELS
def test_refused_for_good(quick, sim, model):
    rule = {**SUBMIT, "do": "status", "status": 500, "message": WORDS}
    sim.rules([rule])
    job = end_of(quick, model=model)
    assert job["state"] == "failed" and WORDS in job["error"]["message"]
    assert job["attempts"] == 3 and sim.stats()["submissions"] == 3
    sim.rules([{**rule, "times": 2}])
    job = end_of(quick, "another cat", model=model)
    assert job["state"] == "done" and job["attempts"] == 3


@MODELS
def test_rejected(quick, sim, model):
    """In all the shapes that errors have."""
    cases = [(status, shape) for status in (400, 401, 403, 404, 409, 413, 422)
             for shape in ("google", "interactions", "array", "openai")]
    sim.rules([{**SUBMIT, "do": "status", "status": status, "shape": shape, "message": WORDS,
                "match": f"<{status} {shape}>"} for status, shape in cases])
    ids = [quick.generate(f"<{status} {shape}> cat", model=model)["id"] for status, shape in cases]
    for job in quick.wait(*ids):
        assert job["state"] == "failed"
        assert WORDS in job["error"]["message"]
        assert job["error"]["provider"] == ("gemini" if model == OMNI else "veo")
        assert "_" not in job["error"]["code"] and job["error"]["code"].islower()
    assert sim.stats()["submissions"] == len(cases)


def test_no_credit(quick, sim):
    sim.rules([{**SUBMIT, "do": "status", "status": 402, "message": WORDS, "times": 1}])
    job = end_of(quick)
    assert job["state"] == "held" and WORDS in job["error"]["message"]
    quick.ok(f"RELEASE {job['id']}")
    job = quick.wait(job["id"])[0]
    assert job["state"] == "done" and "error" not in job and job["attempts"] == 1


# What it says, and whether the operation exists at the provider.
UNHEARD = {
    "500 of a gateway": ({"do": "status", "status": 500, "shape": "html"}, "500", False),
    "500 of a proxy": ({"do": "status", "status": 500, "shape": "openai"}, None, False),
    "500 without a body": ({"do": "status", "status": 500, "shape": "empty"}, "500", False),
    "502": ({"do": "status", "status": 502, "shape": "html"}, "502", False),
    "504": ({"do": "status", "status": 504, "shape": "html"}, "504", False),
    "504 in its own words": ({"do": "status", "status": 504, "message": WORDS}, WORDS, False),
    "408": ({"do": "status", "status": 408, "shape": "html"}, "408", False),
    "reset before": ({"do": "reset-before"}, "no complete answer", False),
    "reset after": ({"do": "reset-after"}, "no complete answer", True),
    "garbage": ({"do": "garbage"}, '{"name"', True),
    "empty": ({"do": "empty"}, None, True),
    "no name": ({"do": "no-name"}, None, True),
    "wrong types": ({"do": "wrong-type"}, None, True),
    "cut short": ({"do": "truncate"}, "no complete answer", True),
    "huge": ({"do": "huge", "bytes": 8_000_000}, "longer than", True),
    "stall": ({"do": "stall", "seconds": 5}, "no complete answer", True),
    "stall within": ({"do": "stall", "seconds": 5, "after": 10}, "no complete answer", True),
}


@MODELS
def test_unheard(quick, sim, model):
    """Nobody knows; so veod does nothing until it's told, not even after a restart."""
    sim.rules([{**SUBMIT, **rule, "times": 1, "match": f"<{name}>"}
               for name, (rule, _, _) in UNHEARD.items()])
    ids = {quick.generate(f"<{name}> cat", model=model)["id"]: name for name in UNHEARD}
    for job in quick.wait(*ids):
        name = ids[job["id"]]
        words = UNHEARD[name][1]
        assert job["state"] == "uncertain", job
        assert words is None or words in job["error"]["message"], job
        assert job["error"]["message"]
        assert len(sim.operations(f"<{name}>")) == UNHEARD[name][2]
    assert sim.stats()["submissions"] == len(ids)
    quick.restart()
    assert {quick.job(id)["state"] for id in ids} == {"uncertain"}
    assert sim.stats()["submissions"] == len(ids)
    quick.ok("RETRY " + json.dumps({"ids": list(ids)}))
    for job in quick.wait(*ids):
        assert job["state"] == "done" and job["attempts"] == 2 and "error" not in job, job
        check_files(quick, job, MEDIA.read_bytes())
    assert sim.stats()["submissions"] == 2 * len(ids)


@pytest.mark.parametrize("name", ["reset after", "502", "no name"])
def test_uncertain_may_be_retried_by_itself(make_daemon, sim, name):
    """[retry] on_uncertain = retry: within max_attempts."""
    daemon = make_daemon(options={"retry.on_uncertain": "retry"}).start()
    rule = UNHEARD[name][0]
    sim.rules([{**SUBMIT, **rule, "times": 1}])
    job = end_of(daemon)
    assert job["state"] == "done" and job["attempts"] == 2
    sim.rules([{**SUBMIT, **rule}])
    job = end_of(daemon, "another cat")
    assert job["state"] == "failed" and job["attempts"] == 3
    assert sim.stats()["submissions"] == 5


def test_uncertain_can_be_cancelled(quick, sim):
    sim.rules([{**SUBMIT, "do": "reset-after", "times": 1}])
    job = end_of(quick)
    assert quick.ok(f"CANCEL {job['id']}")["state"] == "cancelled"
    assert sim.stats()["submissions"] == 1


@MODELS
def test_submission_is_never_redirected(quick, sim, model):
    sim.rules([{**SUBMIT, "do": "redirect"}])
    job = end_of(quick, model=model)
    assert job["state"] == "failed" and "redirect" in job["error"]["message"]
    assert sim.stats()["submissions"] == 1
    assert sim.stats()["foreign_requests"] == 0


def test_provider_of_this_network(make_daemon, sim):
    """Its own address may be a private one behind a name, as that of a proxy in a container."""
    name = socket.gethostname()
    try:
        if name == "localhost" or not socket.gethostbyname(name).startswith("127."):
            pytest.skip("this machine's name is no address of its own")
    except OSError:
        pytest.skip("this machine's name is unknown to it")
    url = f"http://{name}:{sim.port}"
    daemon = make_daemon(providers={"gemini": {"base_url": url}, "veo": {"base_url": url}}).start()
    for model in (OMNI, VEO):
        assert end_of(daemon, f"cat {model}", model=model)["state"] == "done"


def test_nobody_listens(make_daemon, sim):
    """Nothing is lost, and nothing is used up."""
    daemon = make_daemon().start()
    sim.stop()
    ids = [daemon.generate(f"cat {i}", model=(OMNI, VEO)[i % 2], max_attempts=1)["id"]
           for i in range(10)]
    until(lambda: any("error" in daemon.job(id) for id in ids), "a try")
    assert {daemon.job(id)["state"] for id in ids} <= {"queued", "submitting"}
    daemon.restart()
    sim.start()
    jobs = daemon.wait(*ids)
    assert {(job["state"], job["attempts"]) for job in jobs} == {("done", 1)}
    assert sim.stats()["submissions"] == 10
    check_bought_once(sim)


def test_nobody_listens_for_too_long(make_daemon, sim):
    daemon = make_daemon(options={"retry.connect_for": "1s"}).start()
    sim.stop()
    job = end_of(daemon)
    assert job["state"] == "failed" and job["error"]["code"] == "unreachable"
    sim.start()
    daemon.ok(f"RETRY {job['id']}")
    assert daemon.wait(job["id"])[0]["state"] == "done"


# ---- polls ----

POLLS = {
    **{str(status): {"do": "status", "status": status}
       for status in (400, 401, 403, 404, 408, 429, 500, 503)},
    "429 with Retry-After": {"do": "status", "status": 429, "retry_after": "1"},
    "502 of a gateway": {"do": "status", "status": 502, "shape": "html"},
    "openai": {"do": "status", "status": 500, "shape": "openai"},
    "array": {"do": "status", "status": 400, "shape": "array"},
    "no body": {"do": "status", "status": 500, "shape": "empty"},
    "expired": {"do": "expired"},
    "reset before": {"do": "reset-before"},
    "reset after": {"do": "reset-after"},
    "garbage": {"do": "garbage"},
    "empty": {"do": "empty"},
    "wrong types": {"do": "wrong-type"},
    "cut short": {"do": "truncate"},
    "huge": {"do": "huge", "bytes": 8_000_000},
    "stall": {"do": "stall", "seconds": 3},
    "stall within": {"do": "stall", "seconds": 3, "after": 5},
    "redirect": {"do": "redirect"},
}


@MODELS
def test_no_poll_fails_a_job(quick, sim, model):
    """All of them, one job each."""
    sim.rules([{"on": "poll", **rule, "match": f"<{name}>", "times": 2}
               for name, rule in POLLS.items()])
    accepted = {}
    for name in POLLS:
        prompt = f"<{name}> cat"
        accepted[quick.generate(prompt, model=model)["id"]] = prompt
    jobs = quick.wait(*accepted)
    assert {job["prompt"]: job["state"] for job in jobs} == dict.fromkeys(accepted.values(), "done")
    check_all(quick, sim, accepted, MEDIA.read_bytes())
    assert sim.stats()["submissions"] == len(POLLS)
    assert sim.stats()["keys"]["foreign"] == 0


def test_why_tells_what_a_poll_said(quick, sim):
    sim.rules([{"on": "poll", "do": "status", "status": 500, "message": WORDS}])
    id = quick.generate("[sim: latency=10ms] a cat")["id"]
    until(lambda: WORDS in quick.ok(f"WHY {id}")["text"], "the words")
    assert quick.job(id)["state"] == "running"
    sim.clear_rules()
    assert quick.wait(id)[0]["state"] == "done"


def test_late_result_is_not_bought_again(quick, sim):
    job = end_of(quick, "[sim: latency=3s] a cat", deadline_seconds=2)
    assert job["state"] == "expired" and "operation_name" in job
    assert "may still run" in job["error"]["message"]
    quick.ok(f"RETRY {job['id']}")
    job = quick.wait(job["id"])[0]
    assert job["state"] == "done"
    assert sim.stats()["submissions"] == 1
    check_files(quick, job, MEDIA.read_bytes())


# ---- operations ----


@MODELS
def test_operation_fails_for_now(quick, sim, model):
    job = end_of(quick, "[sim: fail=13, fails=2] a cat", model=model)
    assert job["state"] == "done" and job["attempts"] == 3
    job = end_of(quick, "[sim: fail=13] another cat", model=model)
    assert job["state"] == "failed" and job["attempts"] == 3 and job["error"]["retryable"]
    assert sim.stats()["submissions"] == 6


@MODELS
def test_operation_fails_for_good(quick, sim, model):
    job = end_of(quick, "[sim: fail=3] a cat", model=model)
    assert job["state"] == "failed" and job["attempts"] == 1, job
    assert not job["error"]["retryable"]
    assert sim.stats()["submissions"] == 1


@MODELS
@pytest.mark.parametrize("how", ["filter", "filter=empty"])
def test_filtered(quick, sim, model, how):
    if model == OMNI and how == "filter=empty":
        how = "filter=prohibited_content"
    job = end_of(quick, f"[sim: {how}] a cat", model=model)
    assert job["state"] == "filtered" and job["error"]["message"]
    assert sim.stats()["submissions"] == 1
    assert not list(quick.videos.rglob("*.mp4"))


# ---- downloads ----

SIZE = 400_000
LOADS = {
    "reset before": {"do": "reset-before", "times": 2},
    "reset after": {"do": "reset-after", "times": 2},
    "403 once": {"do": "status", "status": 403, "times": 1},
    "401 once": {"do": "status", "status": 401, "times": 1},
    "404 twice": {"do": "status", "status": 404, "times": 2},
    "429": {"do": "status", "status": 429, "times": 4},
    "500": {"do": "status", "status": 500, "times": 4},
    "502": {"do": "status", "status": 502, "shape": "html", "times": 4},
    "cut short": {"do": "truncate", "bytes": 100_000, "times": 3},
    "cut at once": {"do": "truncate", "bytes": 1, "times": 3},
    "stall": {"do": "stall", "seconds": 3, "times": 1},
    "stall within": {"do": "stall", "seconds": 3, "after": 50_000, "times": 2},
    "not a video": {"do": "not-a-video", "times": 2},
    "not a video, but json": {"do": "not-a-video", "type": "json", "times": 2},
    "html by its type": {"do": "content-type", "times": 2},
    "no type": {"do": "content-type", "type": "none"},
    "garbage": {"do": "garbage", "times": 2},
    "empty": {"do": "empty", "times": 2},
    "huge json": {"do": "huge", "bytes": 6_000_000, "times": 2},
    "no range": {"do": "no-range"},
    "elsewhere": {"do": "redirect", "times": 1},
}


@MODELS
def test_no_download_is_given_up_early(directory, quick, sim, model):
    """All of them, one job each; the generations are bought once."""
    sim.rules([{"on": "download", **rule, "match": f"<{name}>"} for name, rule in LOADS.items()])
    accepted = {}
    for name in LOADS:
        prompt = f"<{name}> cat [sim: bytes={SIZE}]"
        accepted[quick.generate(prompt, model=model)["id"]] = prompt
    jobs = quick.wait(*accepted)
    assert {job["prompt"]: job["state"] for job in jobs} == dict.fromkeys(accepted.values(), "done")
    assert {job["files"][0]["bytes"] for job in jobs} == {SIZE}
    assert len({job["files"][0]["sha256"] for job in jobs}) == 1
    check_all(quick, sim, accepted)
    stats = sim.stats()
    assert stats["submissions"] == len(LOADS)
    assert stats["foreign_requests"] > 0 and stats["keys"]["foreign"] == 0
    assert stats["keys"]["in_url"] == 0


@MODELS
def test_download_is_resumed(quick, sim, model):
    """What arrived isn't sent again, not even after a restart."""
    size = 2_000_000
    sim.rules([{"on": "download", "do": "truncate", "bytes": 400_000, "times": 3}])
    job = end_of(quick, f"[sim: bytes={size}] a cat", model=model)
    assert job["state"] == "done" and job["files"][0]["bytes"] == size
    check_files(quick, job)
    sent = sim.stats()["bytes_sent"]
    assert size <= sent < size + 200_000, sent


def test_download_is_resumed_after_a_kill(quick, sim):
    size = 2_000_000
    sim.rules([{"on": "download", "do": "stall", "seconds": 60, "after": 1_500_000, "times": 1}])
    id = quick.generate(f"[sim: bytes={size}] a cat")["id"]

    def part_size():
        return max([path.stat().st_size for path in quick.videos.rglob(".*.part")], default=0)

    until(lambda: part_size() > 1_000_000, "most of it is there")
    quick.kill()
    have = part_size()
    quick.start()
    job = quick.wait(id)[0]
    assert job["state"] == "done"
    check_files(quick, job)
    check_nothing_left(quick, [job])
    assert sim.stats()["bytes_sent"] < 1_500_000 + (size - have) + 200_000
    assert sim.stats()["submissions"] == 1


@MODELS
def test_server_without_ranges(quick, sim, model):
    """Then it is loaded again from the start, and the file is whole all the same."""
    sim.rules([{"on": "download", "do": "truncate", "bytes": 300_000, "times": 1},
               {"on": "download", "do": "no-range"}])
    job = end_of(quick, "[sim: bytes=600000] a cat", model=model)
    assert job["state"] == "done" and job["files"][0]["bytes"] == 600_000
    check_files(quick, job)


@MODELS
def test_foreign_result_gets_no_key(quick, sim, model):
    job = end_of(quick, "[sim: foreign] a cat", model=model)
    assert job["state"] == "done"
    check_files(quick, job, MEDIA.read_bytes())
    assert sim.stats()["foreign_requests"] >= 1
    assert sim.stats()["keys"]["foreign"] == 0


LOST = {
    "gone": ("[sim: gone] a cat", None),
    "404": ("a cat", {"do": "status", "status": 404, "times": 3}),
    "not a video": ("[sim: video=html] a cat", None),
    "garbage": ("[sim: video=garbage] a cat", None),
    "json": ("[sim: video=json] a cat", None),
    "nothing": ("[sim: video=empty] a cat", None),
}


@MODELS
@pytest.mark.parametrize("name", LOST)
def test_result_that_cannot_be_had(quick, sim, model, name):
    """It fails, and RETRY asks for the same result again: it is paid for."""
    prompt, rule = LOST[name]
    sim.rules([{"on": "download", **rule}] if rule else [])
    job = end_of(quick, prompt, model=model)
    assert job["state"] == "failed" and job["error"]["retryable"], job
    assert not [path for path in quick.videos.rglob("*") if path.is_file()]
    quick.ok(f"RETRY {job['id']}")
    job = quick.wait(job["id"])[0]
    assert job["state"] == ("done" if rule else "failed")
    assert sim.stats()["submissions"] == 1
    assert job["attempts"] == 1


def test_endless_redirects(quick, sim):
    here = sim.url + "/v1beta/files/loop:download?alt=media"
    sim.rules([{"on": "download", "do": "redirect", "location": here, "times": 12}])
    job = end_of(quick)
    assert job["state"] in ("done", "failed")
    assert sim.stats()["submissions"] == 1
    assert sim.stats()["downloads"] < 60


@pytest.mark.parametrize("where", ["file:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/",
                                   "https://127.0.0.1:1/x"])
def test_redirect_to_what_is_no_place_for_videos(quick, sim, where):
    sim.rules([{"on": "download", "do": "redirect", "location": where, "times": 2}])
    job = end_of(quick)
    assert job["state"] == "done"
    check_files(quick, job, MEDIA.read_bytes())


def test_larger_than_allowed(make_daemon, sim):
    daemon = make_daemon(options={"limits.result_bytes": "100K", "retry.base_delay": "10ms",
                                  "retry.max_delay": "20ms"}).start()
    job = end_of(daemon, "[sim: bytes=500000] a cat")
    assert job["state"] == "failed" and "result_bytes" in job["error"]["message"]
    assert not [path for path in daemon.videos.rglob("*") if path.is_file()]
    assert sim.stats()["submissions"] == 1


# ---- videos inside the answer ----


@pytest.fixture
def inline_sim(directory):
    sims = []

    def start(size):
        where = directory / "inline"
        where.mkdir()
        sim = harness.Sim(where, "--delivery", "inline", "--video-bytes", str(size)).start()
        sims.append(sim)
        return sim

    yield start
    for sim in sims:
        sim.stop()


def test_large_video_inside_the_answer(make_daemon, inline_sim):
    """It is decoded as it arrives: memory doesn't grow with it."""
    sim = inline_sim(20_000_000)
    daemon = make_daemon()
    daemon.sim = sim
    daemon.start()
    before = daemon.memory("VmHWM")
    accepted = {daemon.generate(f"cat {i}")["id"]: f"cat {i}" for i in range(2)}
    jobs = daemon.wait(*accepted)
    assert {job["state"] for job in jobs} == {"done"}
    assert {job["files"][0]["bytes"] for job in jobs} == {20_000_000}
    check_all(daemon, sim, accepted)
    assert SANITIZED or daemon.memory("VmHWM") - before < 24 << 20


@pytest.mark.parametrize("rule", [{"do": "truncate", "bytes": 300_000}, {"do": "reset-after"},
                                  {"do": "stall", "seconds": 3, "after": 200_000}])
def test_answer_with_the_video_breaks_off(make_daemon, inline_sim, rule):
    sim = inline_sim(500_000)
    daemon = make_daemon(options={"http.stall_timeout": "500ms"})
    daemon.sim = sim
    daemon.start()
    sim.rules([{"on": "poll", **rule, "skip": 1, "times": 3}])
    job = end_of(daemon)
    assert job["state"] == "done" and job["files"][0]["bytes"] == 500_000
    check_files(daemon, job)
    check_nothing_left(daemon, [job])
    assert sim.stats()["submissions"] == 1


# ---- all at once ----


def test_a_bad_day(quick, sim):
    """Everything goes wrong now and then, and everything ends."""
    chance = 0.15
    sim.rules([
        {**SUBMIT, "do": "status", "status": 429, "chance": chance},
        {**SUBMIT, "do": "status", "status": 503, "chance": chance},
        {"on": "poll", "do": "status", "status": 500, "chance": chance},
        {"on": "poll", "do": "garbage", "chance": chance},
        {"on": "poll", "do": "reset-after", "chance": chance},
        {"on": "download", "do": "truncate", "chance": chance},
        {"on": "download", "do": "status", "status": 503, "chance": chance},
        {"on": "download", "do": "reset-before", "chance": chance},
    ])
    prompts = [f"cat {i}" for i in range(100)]
    made = quick.ok("BATCH " + json.dumps({"jobs": [
        {"prompt": prompt, "model": (OMNI, VEO)[i % 2]} for i, prompt in enumerate(prompts)]}))
    accepted = {job["id"]: prompt for job, prompt in zip(made["jobs"], prompts)}
    assert {job["state"] for job in quick.wait(*accepted)} == {"done"}
    check_all(quick, sim, accepted, MEDIA.read_bytes())
    assert len(list_jobs(quick)) == 100
