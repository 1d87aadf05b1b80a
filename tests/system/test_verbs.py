"""Every verb and every member of its argument, good and bad, against the real daemon."""

import datetime
import hashlib
import json
import os
import pathlib
import re
import time

import pytest

from harness import ENDED, KEY, NOBODY, OMNI, VEO, until

LONG = " [sim: latency=300s]"  # an operation that runs for the whole test


def dump(value):
    return json.dumps(value, ensure_ascii=False)


def at(seconds):
    """A time from now, as the protocol writes it."""
    moment = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def refused(client, line, code, field=None):
    error = client.err(line, code)
    assert error.get("field") == field, f"{line!r}: {error}"
    return error["message"]


def body_of(sim, prompt):
    operation, = sim.operations(prompt)
    return operation["body"]


# ---- GENERATE ----


def test_generate_by_text(sim, client):
    job = client.ok("GENERATE a golden retriever, running \"through\" sunflowers")
    assert job["state"] == "queued" and job["model"] == OMNI and job["owner"]["uid"] == os.getuid()
    assert job["prompt"] == "a golden retriever, running \"through\" sunflowers"
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{26}", job["id"])
    done, = client.wait(job["id"])
    assert done["state"] == "done", done
    assert body_of(sim, "sunflowers")["input"] == job["prompt"]


def test_verbs_in_any_letter_case_and_with_a_carriage_return(client):
    client.send(b"generate a cat\r\nPiNg\r\n")
    assert client.read().value["prompt"] == "a cat"
    assert client.read().value == {"pong": True}


def test_generate_sends_all_that_interactions_takes_and_nothing_else(sim, client):
    bare = client.generate("bare")
    full = client.generate("full", aspect_ratio="9:16", resolution="720p", duration_seconds=8,
                           negative_prompt="rain")
    assert {job["state"] for job in client.wait(bare["id"], full["id"])} == {"done"}
    assert body_of(sim, "bare") == {
        "model": OMNI, "input": "bare", "background": True, "store": True,
        "response_format": {"type": "video", "delivery": "uri"}}
    body = body_of(sim, "full")
    assert body["response_format"] == {"type": "video", "delivery": "uri", "aspect_ratio": "9:16",
                                       "resolution": "720p", "duration": "8s"}
    assert body["input"].startswith("full") and "rain" in body["input"]


@pytest.mark.parametrize("field, value", [
    ("sample_count", 2), ("person_generation", "allow_all"), ("generate_audio", True),
    ("enhance_prompt", False)])
def test_interactions_has_no_place_for(client, field, value):
    refused(client, "GENERATE " + dump({"prompt": "a cat", field: value}), "invalid-argument",
            field)


def test_generate_sends_all_that_predict_takes_and_nothing_else(sim, client):
    bare = client.generate("bare", model=VEO)
    fields = {"aspect_ratio": "16:9", "resolution": "1080p", "duration_seconds": 8,
              "negative_prompt": "rain", "person_generation": "allow_all", "seed": 7}
    full = client.generate("full", model=VEO, **fields)
    for job in client.wait(bare["id"], full["id"]):
        assert job["state"] == "done", job
    shown = client.ok(f"STATUS {full['id']}")
    assert {name: shown[name] for name in fields} == fields
    assert body_of(sim, "bare") == {"instances": [{"prompt": "bare"}]}
    assert body_of(sim, "full") == {
        "instances": [{"prompt": "full"}],
        "parameters": {"aspectRatio": "16:9", "resolution": "1080p", "durationSeconds": 8,
                       "negativePrompt": "rain", "personGeneration": "allow_all", "seed": 7}}


def test_predict_puts_the_other_fields_where_they_belong(client):
    answer = client.ok("GENERATE " + dump({
        "prompt": "x", "model": VEO, "dry_run": True, "sample_count": 2, "generate_audio": False,
        "enhance_prompt": True, "duration_seconds": 5.5, "force": True}))
    assert answer["request"]["body"]["parameters"] == {
        "sampleCount": 2, "generateAudio": False, "enhancePrompt": True, "durationSeconds": 5.5}


def test_what_the_provider_refuses_fails_with_its_words(sim, client):
    job = client.generate("a cat", model=VEO, aspect_ratio="1:1", force=True)
    failed, = client.wait(job["id"])
    assert failed["state"] == "failed" and failed["error"]["provider"] == "veo"
    assert failed["error"]["code"] == "invalid-argument" and not failed["error"]["retryable"]
    assert "aspect" in failed["error"]["message"].lower()
    assert "files" not in failed and failed["attempts"] == 1


def test_several_samples_are_several_files(daemon, client):
    job = client.generate("a cat", model="veo-2.0-generate-001", sample_count=2)
    done, = client.wait(job["id"])
    assert done["state"] == "done", done
    names = [pathlib.Path(file["path"]).name for file in done["files"]]
    assert names == [f"{job['id']}.mp4", f"{job['id']}-1.mp4"]
    for index, file in enumerate(done["files"]):
        data, head = client.get(job["id"], file=index)
        assert data == pathlib.Path(file["path"]).read_bytes() and head["file"] == index
    refused(client, "GET " + dump({"id": job["id"], "file": 2}), "invalid-argument", "file")


BAD_FIELDS = [
    ("prompt", ""), ("prompt", "  \n\t"), ("prompt", 1), ("prompt", None), ("prompt", ["a"]),
    ("prompt", {}), ("prompt", True), ("prompt", "x" * (32 * 1024 + 1)), ("prompt", "a\0b"),
    ("model", ""), ("model", "no-such-model"), ("model", "a b"), ("model", 3), ("model", "ä"),
    ("model", "x" * 129), ("model", "../x"),
    ("provider", "none"), ("provider", "veo"), ("provider", ""), ("provider", 1),
    ("aspect_ratio", "16x9"), ("aspect_ratio", "16:"), ("aspect_ratio", "0:0"),
    ("aspect_ratio", 1.5), ("aspect_ratio", "16:9 "), ("aspect_ratio", "-1:9"),
    ("aspect_ratio", " 16:9"), ("aspect_ratio", "16: 9"), ("aspect_ratio", "+16:9"),
    ("resolution", ""), ("resolution", 720), ("resolution", "7 p"), ("resolution", "x" * 17),
    ("duration_seconds", "8"), ("duration_seconds", 0), ("duration_seconds", -8),
    ("duration_seconds", 3601), ("duration_seconds", True),
    ("negative_prompt", ""), ("negative_prompt", 5),
    ("seed", -1), ("seed", 2**32), ("seed", 1.5), ("seed", "7"), ("seed", False),
    ("sample_count", 0), ("sample_count", 5), ("sample_count", "1"), ("sample_count", 1.5),
    ("person_generation", ""), ("person_generation", True),
    ("generate_audio", "yes"), ("generate_audio", 1), ("enhance_prompt", "no"),
    ("enhance_prompt", None),
    ("priority", 101), ("priority", -101), ("priority", "high"), ("priority", 0.5),
    ("labels", []), ("labels", "a"), ("labels", {"a": 1}), ("labels", {"": "a"}),
    ("labels", {"a b": "c"}), ("labels", {"a": ""}), ("labels", {"a": "x" * 129}),
    ("labels", {"x" * 129: "a"}), ("labels", {f"l{n}": "v" for n in range(17)}),
    ("key", ""), ("key", 1), ("key", "x" * 257),
    ("output", ""), ("output", "/etc/x.mp4"), ("output", "../x.mp4"), ("output", "a/../../x.mp4"),
    ("output", "a/.."), ("output", ".hidden"), ("output", "a/.b/c.mp4"), ("output", "a//b.mp4"),
    ("output", "a/"), ("output", "a\nb.mp4"), ("output", "a\x7fb"), ("output", "a\\b"),
    ("output", "."), ("output", ".."), ("output", 1), ("output", "x" * 241),
    ("not_before", "tomorrow"), ("not_before", 5), ("not_before", "2026-13-01T00:00:00Z"),
    ("not_before", "2026-11-22"), ("not_before", ""),
    ("deadline_seconds", 0), ("deadline_seconds", -1), ("deadline_seconds", "60"),
    ("deadline_seconds", 2592001), ("deadline_seconds", 0.5),
    ("max_attempts", 0), ("max_attempts", 101), ("max_attempts", "3"), ("max_attempts", 1.5),
    ("force", "yes"), ("force", 1), ("dry_run", "true"), ("dry_run", 1), ("dry_run", None),
    ("promt", "a"), ("Prompt", "a"), ("id", "x"), ("jobs", []), ("", "x"),
]


def test_generate_refuses_each_bad_value_and_says_which(sim, client):
    wrong = []
    for field, value in BAD_FIELDS:
        reply = client.request("GENERATE " + dump({"prompt": "a cat", field: value}))
        # Whose provider was named but doesn't take the model: the model is to blame.
        blamed = "model" if (field, value) == ("provider", "veo") else field or None
        if (reply.word != "ERR" or reply.value["code"] != "invalid-argument" or
                reply.value.get("field") != blamed or len(reply.value["message"]) > 320):
            wrong.append((field, str(value)[:40], reply))
    assert not wrong, "\n".join(map(str, wrong))
    refused(client, "GENERATE {}", "invalid-argument", "prompt")
    refused(client, "GENERATE", "invalid-argument", "prompt")
    assert client.items("LIST") == [] and sim.stats()["submissions"] == 0


@pytest.mark.parametrize("prompt", [
    "x", "x" * (32 * 1024), "üñî 猫 🐈‍⬛ \u2028 \u200f", "tab\tnew\nline \\ \" / <b>&amp;",
    "\x01\x1b[31m",
    "%s%n%d", "'; DROP TABLE job; --", "{\"not\":\"json\"", "\ufeffbom", "\ufffe"])
def test_a_prompt_is_kept_as_it_is(sim, client, prompt):
    job = client.generate(prompt)
    assert job["prompt"] == prompt
    done, = client.wait(job["id"])
    assert done["state"] == "done" and done["prompt"] == prompt
    assert client.items("LIST")[0]["prompt"] == prompt
    assert sim.operations()[0]["body"]["input"] == prompt


def test_generate_takes_the_limits_themselves(client):
    for field, value in [("priority", 100), ("priority", -100), ("max_attempts", 100),
                         ("key", "x" * 256), ("output", "x" * 236 + ".mp4"),
                         ("deadline_seconds", 2592000), ("deadline_seconds", 1.5),
                         ("labels", {f"l{n:0>126}": "v" * 128 for n in range(16)}),
                         ("not_before", at(60)), ("force", True), ("output", "a/b/c d ü.mp4")]:
        job = client.ok("GENERATE " + dump({"prompt": "a cat" + LONG, field: value}))
        if field != "not_before":
            assert job[field] == value
        client.ok(f"CANCEL {job['id']}")


def test_key_makes_a_submission_idempotent(sim, daemon, client):
    first = client.generate("a cat", key="order 7", aspect_ratio="16:9")
    again = client.ok('GENERATE {"key":"order 7","aspect_ratio":"16:9","prompt":"a cat"}')
    assert again["id"] == first["id"] and again["existing"] is True and "existing" not in first
    refused(client, 'GENERATE {"prompt":"a dog","key":"order 7"}', "conflict", "key")
    refused(client, 'GENERATE {"prompt":"a cat","key":"order 7","aspect_ratio":"9:16"}',
            "conflict", "key")
    client.wait(first["id"])
    daemon.restart()
    with_key = daemon.generate("a cat", key="order 7", aspect_ratio="16:9")
    assert with_key["id"] == first["id"] and with_key["state"] == "done"
    assert sim.stats()["submissions"] == 1
    daemon.ok(f"FORGET {first['id']}")
    assert daemon.generate("a dog", key="order 7")["id"] != first["id"]


def test_key_sent_twice_at_once(sim, client):
    """The second comes before the first is on disk."""
    line = dump({"prompt": "a cat", "key": "k"})
    other = dump({"prompt": "a dog", "key": "k"})
    client.send("".join(f"@{n} GENERATE {line}\n" for n in range(20)).encode() +
                f"@x GENERATE {other}\n".encode())
    replies = [client.read() for _ in range(21)]
    jobs = [reply.value for reply in replies if reply.word == "OK"]
    errors = {reply.tag: reply.value for reply in replies if reply.word == "ERR"}
    assert len({job["id"] for job in jobs}) == 1 and len(jobs) == 20
    assert errors["x"]["code"] == "conflict"
    client.wait(jobs[0]["id"])
    assert sim.stats()["submissions"] == 1


def test_key_in_batches(client):
    refused(client, 'BATCH {"jobs":[{"prompt":"a","key":"k"},{"prompt":"a","key":"k"}]}',
            "conflict", "key")
    assert client.items("LIST") == []
    first = client.generate("a", key="k")
    answer = client.ok('BATCH {"jobs":[{"prompt":"a","key":"k"},{"prompt":"b","key":"l"}]}')
    assert answer["jobs"][0] == {"id": first["id"], "existing": True}
    assert "existing" not in answer["jobs"][1]
    refused(client, 'BATCH {"jobs":[{"prompt":"c"},{"prompt":"other","key":"k"}]}', "conflict",
            "key")
    assert len(client.items("LIST")) == 2


def test_output_names_the_file(daemon, client):
    job = client.generate("a cat", output="holiday/2026/cat.mp4")
    done, = client.wait(job["id"])
    path = daemon.videos / str(os.getuid()) / "holiday/2026/cat.mp4"
    assert done["state"] == "done" and pathlib.Path(done["files"][0]["path"]) == path
    assert path.read_bytes()[4:8] == b"ftyp"
    refused(client, 'GENERATE {"prompt":"x","output":"holiday/2026/cat.mp4"}', "conflict", "output")
    refused(client, 'BATCH {"jobs":[{"prompt":"x"},'
                    '{"prompt":"x","output":"holiday/2026/cat.mp4"}]}', "conflict", "output")


def test_two_jobs_with_one_output_never_overwrite(daemon, client):
    first = client.generate("first [sim: latency=50ms]", output="cat.mp4")
    second = client.request('GENERATE {"prompt":"second [sim: latency=400ms]","output":"cat.mp4"}')
    done, = client.wait(first["id"])
    assert done["state"] == "done"
    before = pathlib.Path(done["files"][0]["path"]).stat()
    if second.word == "OK":
        other, = client.wait(second.value["id"])
        assert not other.get("files") or other["files"][0]["path"] != done["files"][0]["path"]
    else:
        assert second.value["code"] == "conflict"
    after = pathlib.Path(done["files"][0]["path"]).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_one_output_twice_in_a_batch_is_a_conflict(client):
    refused(client, 'BATCH {"jobs":[{"prompt":"a","output":"x.mp4"},'
                    '{"prompt":"b","output":"x.mp4"}]}', "conflict", "output")
    assert client.items("LIST") == []


def test_output_through_a_symlink_is_not_written(daemon, client, tmp_path):
    mine = daemon.videos / str(os.getuid())
    mine.mkdir(parents=True)
    (mine / "out").symlink_to(tmp_path)
    (mine / "link.mp4").symlink_to(tmp_path / "x.mp4")
    refused(client, 'GENERATE {"prompt":"x","output":"link.mp4"}', "conflict", "output")
    reply = client.request('GENERATE {"prompt":"x","output":"out/cat.mp4"}')
    if reply.word == "OK":
        ended, = client.wait(reply.value["id"])
        assert ended["state"] == "failed", ended
    assert list(tmp_path.iterdir()) == []


def test_priority_goes_first_then_age(sim, make_daemon):
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    client = daemon.client()
    first = client.generate("first [sim: latency=500ms]")
    client.wait_state(first["id"], "running")
    jobs = [client.generate(f"p{priority}-{number} [sim: latency=10ms]", priority=priority)
            for number in range(2) for priority in (-100, 0, 100, 5)]
    for job in client.wait(*[job["id"] for job in jobs], patience=60):
        assert job["state"] == "done"
    order = [operation["prompt"].split()[0] for operation in sim.operations()]
    assert order == ["first", "p100-0", "p100-1", "p5-0", "p5-1", "p0-0", "p0-1", "p-100-0",
                     "p-100-1"]
    assert sim.stats()["max_running"] == 1


def test_not_before_waits(sim, client):
    job = client.generate("later", not_before=at(1.5))
    soon = client.generate("soon")
    client.wait(soon["id"])
    waiting = client.ok(f"STATUS {job['id']}")
    assert waiting["state"] == "queued" and "starts_at" in waiting
    assert "submitted in" in client.ok(f"WHY {job['id']}")["text"]
    done, = client.wait(job["id"])
    assert done["state"] == "done" and done["submitted_at"] >= done["not_before"]
    past = client.generate("past", not_before="2020-01-01T00:00:00Z")
    assert client.wait(past["id"])[0]["state"] == "done"


def test_not_before_survives_a_restart(sim, daemon):
    job = daemon.generate("later", not_before=at(2))
    daemon.kill()
    daemon.start()
    assert daemon.job(job["id"])["state"] == "queued"
    done, = daemon.wait(job["id"])
    assert done["state"] == "done" and done["submitted_at"] >= done["not_before"]


def test_not_before_the_deadline_only(client):
    """It could only expire."""
    refused(client, "GENERATE " + dump({"prompt": "x", "not_before": at(120),
                                        "deadline_seconds": 60}), "invalid-argument", "not_before")


def test_deadline_expires_what_runs_and_what_waits(sim, make_daemon):
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    client = daemon.client()
    runs = client.generate("runs" + LONG, deadline_seconds=2)
    waits = client.generate("waits", deadline_seconds=1)
    for job in client.wait(runs["id"], waits["id"]):
        assert job["state"] == "expired", job
        assert job["ended_at"] >= job["deadline_at"] and job["error"]["message"]
    assert not sim.operations("waits")


def test_retry_of_an_expired_job_takes_its_late_result(sim, client):
    job = client.generate("late [sim: latency=1500ms]", deadline_seconds=1)
    assert client.wait(job["id"])[0]["state"] == "expired"
    client.ok(f"RETRY {job['id']}")
    done, = client.wait(job["id"])
    assert done["state"] == "done" and sim.stats()["submissions"] == 1, done


@pytest.mark.parametrize("wanted", [1, 2])
def test_max_attempts(sim, client, wanted):
    job = client.generate("breaks [sim: fail=13]", max_attempts=wanted, model=VEO)
    failed, = client.wait(job["id"])
    assert failed["state"] == "failed" and failed["attempts"] == wanted, failed
    assert failed["error"]["retryable"] and sim.stats()["submissions"] == wanted
    assert len(client.ok(f"WHY {job['id']}")["attempts"]) == wanted


def test_max_attempts_by_default_is_three(sim, client):
    failed, = client.wait(client.generate("breaks [sim: fail=13]", model=VEO)["id"])
    assert failed["attempts"] == 3 and failed["state"] == "failed"


@pytest.mark.parametrize("model", [OMNI, VEO])
def test_dry_run_sends_nothing(sim, daemon, client, model):
    requests = sim.stats()["requests"]
    answer = client.ok("GENERATE " + dump({"prompt": "a cat", "model": model, "dry_run": True}))
    assert answer["dry_run"] is True and "id" not in answer and "state" not in answer
    assert answer["request"]["method"] == "POST" and answer["request"]["url"].startswith(sim.url)
    assert KEY not in dump(answer)
    real = client.generate("a cat", model=model)
    client.wait(real["id"])
    assert sim.operations()[0]["body"] == answer["request"]["body"]
    assert len(client.items("LIST")) == 1
    assert not client.ok("GENERATE " + dump({"prompt": "x", "dry_run": False})).get("dry_run")
    assert requests < sim.stats()["requests"]


def test_dry_run_of_a_key_that_exists_shows_the_request(client):
    client.generate("a cat", key="k")
    assert client.ok('GENERATE {"prompt":"a dog","key":"k","dry_run":true}')["dry_run"]


def test_no_more_jobs_than_the_limit(make_daemon):
    daemon = make_daemon(options={"limits.jobs": 3, "limits.in_flight": 1}).start()
    client = daemon.client()
    jobs = [client.generate(f"{n}" + LONG) for n in range(3)]
    message = refused(client, "GENERATE one more", "too-many")
    assert "3" in message and "limits" in message
    refused(client, 'BATCH {"jobs":[{"prompt":"x"}]}', "too-many")
    client.ok(f"CANCEL {jobs[2]['id']}")
    assert client.ok("GENERATE one more")["state"] == "queued"


# ---- BATCH ----


def test_batch(sim, client):
    answer = client.ok("BATCH " + dump({"jobs": [
        {"prompt": f"number {n}", "model": VEO if n % 2 else OMNI} for n in range(20)]}))
    ids = [job["id"] for job in answer["jobs"]]
    assert answer["count"] == 20 and ids == sorted(set(ids))
    done = client.wait(*ids)
    assert [job["prompt"] for job in done] == [f"number {n}" for n in range(20)]
    assert {job["state"] for job in done} == {"done"}


def test_batch_accepts_all_or_none(sim, client):
    message = refused(client, 'BATCH {"jobs":[{"prompt":"a"},{"prompt":"b","seed":-1}]}',
                      "invalid-argument", "jobs.1.seed")
    assert "1" in message
    for jobs, field in [('[{"prompt":"a"},{}]', "jobs.1.prompt"), ("[]", "jobs"), ("{}", "jobs"),
                        ('"a"', "jobs"), ("null", "jobs"),
                        ('[{"prompt":"a","model":"none"}]', "jobs.0.model"),
                        ('[{"prompt":"a","dry_run":true}]', "jobs.0.dry_run")]:
        refused(client, f'BATCH {{"jobs":{jobs}}}', "invalid-argument", field)
    for element in ("[1]", '["a"]', "[[]]", "[null]"):
        refused(client, f'BATCH {{"jobs":{element}}}', "invalid-argument", "jobs.0")
    refused(client, 'BATCH {"jobs":[{"prompt":"a"}],"more":1}', "invalid-argument", "more")
    refused(client, "BATCH {}", "invalid-argument", "jobs")
    refused(client, "BATCH", "invalid-argument", "jobs")
    refused(client, "BATCH a cat", "invalid-argument")
    assert client.items("LIST") == [] and sim.stats()["submissions"] == 0


def test_batch_of_a_thousand_and_of_one_more(make_daemon):
    client = make_daemon(options={"limits.in_flight": 1}).start().client()
    line = "BATCH " + dump({"jobs": [{"prompt": "x"}] * 1000})
    answer = client.ok(line)
    assert answer["count"] == 1000 and len({job["id"] for job in answer["jobs"]}) == 1000
    message = refused(client, "BATCH " + dump({"jobs": [{"prompt": "x"}] * 1001}),
                      "invalid-argument", "jobs")
    assert "1000" in message and "1001" in message


# ---- STATUS ----


def test_status_by_id_prefix_and_operation(client):
    job = client.generate("a cat", model=VEO)
    done, = client.wait(job["id"])
    for name in (job["id"], job["id"][:20], job["id"].lower(), job["id"][:24].lower(),
                 done["operation_name"]):
        assert client.ok(f"STATUS {name}") == done, name
        assert client.ok("STATUS " + dump({"id": name})) == done
    assert client.items(f"STATUS {job['id']} {done['operation_name']}") == [done, done]
    assert client.items("STATUS " + dump({"ids": [job["id"]]})) == [done]


def test_status_refuses(client):
    jobs = client.ok('BATCH {"jobs":[{"prompt":"a"},{"prompt":"b"}]}')["jobs"]
    common = os.path.commonprefix([job["id"] for job in jobs])
    message = refused(client, f"STATUS {common}", "invalid-argument", "id")
    assert "several" in message
    refused(client, f"STATUS {jobs[0]['id'][:3]}", "invalid-argument", "id")
    refused(client, "STATUS 7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "not-found", "id")
    refused(client, "STATUS nothing-like-it", "not-found", "id")
    refused(client, f"STATUS {jobs[0]['id']} 7ZZZZZZZ", "not-found", "id")
    for argument in ("", "{}", '{"id":1}', '{"id":null}', '{"id":"abc"}', '{"ids":"abcd"}',
                     '{"ids":[1]}', '{"id":"abcd","ids":["abcd"]}', '{"id":["abcd"]}'):
        refused(client, f"STATUS {argument}", "invalid-argument", "id")
    refused(client, 'STATUS {"ids":[]}', "invalid-argument", "ids")
    refused(client, "STATUS " + dump({"ids": ["abcdef"] * 1001}), "invalid-argument", "ids")
    refused(client, 'STATUS {"id":"abcd","more":1}', "invalid-argument", "more")
    refused(client, "STATUS " + "x" * 513, "invalid-argument", "id")


def test_an_id_is_no_pattern(client):
    client.generate("a cat" + LONG)
    for name in ("____", "%%%%", "01__", "01%%", "????", "01M*", "[01]", "' OR 1=1 --"):
        reply = client.request("CANCEL " + dump({"id": name}))
        assert reply.word == "ERR" and reply.value["code"] == "not-found", (name, reply)


@pytest.mark.parametrize("model, dialect", [(OMNI, "gemini"), (VEO, "veo")])
def test_status_of_an_operation_that_is_no_jobs_asks_the_provider(sim, client, model, dialect):
    job = client.generate("a cat", model=model)
    done, = client.wait(job["id"])
    client.ok(f"FORGET {job['id']}")
    answer = client.ok(f"STATUS {done['operation_name']}")
    assert answer == {"operation_name": done["operation_name"], "state": "completed",
                      "provider": dialect, "video_uri": done["video_uri"]}
    running = client.generate("a dog" + LONG, model=model)
    name = client.wait_state(running["id"], "running")["operation_name"]
    client.ok(f"CANCEL {running['id']}")
    client.ok(f"FORGET {running['id']}")
    assert client.request(f"STATUS {name}").word in ("OK", "ERR")


def test_a_list_of_names_is_of_jobs_only(client):
    job = client.generate("a cat", model=VEO)
    done, = client.wait(job["id"])
    client.ok(f"FORGET {job['id']}")
    refused(client, "STATUS " + dump({"ids": [done["operation_name"]]}), "not-found", "id")


def test_status_of_filtered_failed_and_unknown_operations(sim, client):
    found = {}
    for prompt, state in [("a [sim: filter]", "filtered"), ("b [sim: fail=3]", "failed")]:
        job = client.generate(prompt, model=VEO)
        ended, = client.wait(job["id"])
        assert ended["state"] == state, ended
        client.ok(f"FORGET {job['id']}")
        found[state] = client.ok(f"STATUS {ended['operation_name']}")
        assert found[state]["state"] == state and found[state]["error"]["message"]
    refused(client, f"STATUS models/{VEO}/operations/none", "not-found", "id")
    refused(client, "STATUS v1_none", "not-found", "id")
    sim.rules([{"on": "poll", "do": "status", "status": 500}])
    refused(client, "STATUS v1_none", "unavailable")
    sim.rules([{"on": "poll", "do": "garbage"}])
    refused(client, "STATUS v1_none", "unavailable")
    sim.stop()
    refused(client, "STATUS v1_none", "unavailable")


@pytest.mark.parametrize("name", [
    "models/../../../x/operations/y", "models/x/operations/../y", "models/x/operations/y?key=1",
    "models/x/operations/y#z", "models/x/operations/y/../../z", "http://127.0.0.1:1/operations/y",
    "//evil/operations/x", "models/x/operations/y z", "models/x/operations/y%2f..", "v1_/../x",
    "v1_\\x", "..", "models/x/operations/", "v1_é"])
def test_an_operation_name_can_lead_nowhere_else(sim, client, name):
    before = sim.stats()["requests"]
    reply = client.request("STATUS " + dump({"id": name}))
    assert reply.word == "ERR" and reply.value["code"] in ("not-found", "invalid-argument"), reply
    assert sim.stats()["requests"] == before


# ---- LIST ----


def test_list_filters(client):
    held = client.generate("held", not_before=at(600))
    client.ok(f"HOLD {held['id']}")
    middle = at(0)
    time.sleep(0.01)
    cat = client.generate("a cat", labels={"set": "pets", "n": "1"})
    dog = client.generate("a dog", model=VEO, labels={"set": "pets"})
    client.wait(cat["id"], dog["id"])
    everything = [dog["id"], cat["id"], held["id"]]

    def found(**filters):
        return [job["id"] for job in client.items("LIST " + dump(filters))]

    assert [job["id"] for job in client.items("LIST")] == everything
    assert found() == everything
    assert found(state="held") == [held["id"]]
    assert found(state=["held", "done"]) == everything
    assert found(state=["failed"]) == []
    assert found(state=[]) == everything
    assert found(model=VEO) == [dog["id"]]
    assert found(label="set") == [dog["id"], cat["id"]]
    assert found(label="set=pets") == [dog["id"], cat["id"]]
    assert found(label="n=1") == [cat["id"]]
    assert found(label="n=2") == [] and found(label="none") == []
    assert found(owner=os.getuid()) == everything and found(owner=12345) == []
    assert found(since=middle) == [dog["id"], cat["id"]]
    assert found(until=middle) == [held["id"]]
    assert found(since=middle, until=middle) == []
    assert found(state="done", model=OMNI, label="set=pets") == [cat["id"]]
    assert found(limit=1) == [dog["id"]]
    assert found(limit=1, after=dog["id"]) == [cat["id"]]
    assert found(after=held["id"]) == []


def test_list_pages_meet(client):
    client.ok("BATCH " + dump({"jobs": [{"prompt": f"{n}", "not_before": at(600)}
                                        for n in range(120)]}))
    whole = [job["id"] for job in client.items('LIST {"limit":1000}')]
    assert len(whole) == 120 and whole == sorted(whole, reverse=True)
    assert len(client.items("LIST")) == 100
    for limit in (1, 7, 50, 60, 119, 120):
        pages, after = [], None
        while True:
            filters = {"limit": limit, **({"after": after} if after else {})}
            *items, end = client.exchange("LIST " + dump(filters))
            assert end.value["count"] == len(items) <= limit
            pages += [item.value["id"] for item in items]
            after = end.value.get("after")
            if not after:
                break
            assert after == pages[-1] and len(items) == limit
        assert pages == whole, limit


def test_list_refuses(client):
    for filters, field in [
            ({"state": "none"}, "state"), ({"state": ["done", "x"]}, "state"),
            ({"state": 1}, "state"),
            ({"model": 1}, "model"), ({"label": 1}, "label"), ({"owner": "root"}, "owner"),
            ({"owner": -1}, "owner"), ({"since": "yesterday"}, "since"), ({"until": 5}, "until"),
            ({"limit": 0}, "limit"), ({"limit": 1001}, "limit"), ({"limit": "5"}, "limit"),
            ({"after": 5}, "after"), ({"from": 1}, "from"), ({"more": 1}, "more")]:
        refused(client, "LIST " + dump(filters), "invalid-argument", field)
    refused(client, "LIST done", "invalid-argument")


# ---- WAIT ----


def test_wait_for_what_has_ended_answers_at_once(client):
    job = client.generate("a cat")
    done = client.wait(job["id"])
    assert client.ok(f"WAIT {job['id']}") == {"jobs": done, "timed_out": False}


def test_wait_times_out(client):
    job = client.generate("a cat" + LONG)
    ended = client.generate("a dog")
    client.wait(ended["id"])
    for seconds in (0, 0.2):
        started = time.monotonic()
        answer = client.ok("WAIT " + dump({"ids": [job["id"], ended["id"]],
                                           "timeout_seconds": seconds}))
        assert time.monotonic() - started >= seconds and answer["timed_out"] is True
        assert [one["id"] for one in answer["jobs"]] == [job["id"], ended["id"]]
        assert answer["jobs"][0]["state"] not in ENDED and answer["jobs"][1]["state"] == "done"


def test_wait_for_several_by_every_kind_of_name(client):
    ids = [job["id"] for job in client.ok("BATCH " + dump({"jobs": [{"prompt": "a"}] * 3}))["jobs"]]
    operation = client.wait(ids[0])[0]["operation_name"]
    answer = client.ok("WAIT " + dump({"ids": [operation, ids[1], ids[2].lower(), ids[1]]}))
    assert [job["id"] for job in answer["jobs"]] == [ids[0], ids[1], ids[2], ids[1]]
    assert {job["state"] for job in answer["jobs"]} == {"done"}
    assert client.ok(f"WAIT {ids[0]} {ids[1]}")["timed_out"] is False


def test_wait_with_events(client):
    job = client.generate("a cat")
    *events, end = client.exchange("WAIT " + dump({"id": job["id"], "events": True}))
    assert end.word == "OK" and end.value["jobs"][0]["state"] == "done"
    states = [event.value["state"] for event in events]
    assert [event.word for event in events] == ["EVENT"] * len(events)
    assert states[-1] == "done" and {"running", "fetching"} <= set(states), states
    numbers = [event.value["event"] for event in events]
    assert numbers == sorted(set(numbers)) and {e.value["id"] for e in events} == {job["id"]}


@pytest.mark.parametrize("prompt, state", [
    ("a [sim: filter]", "filtered"), ("b [sim: fail=3]", "failed")])
def test_wait_ends_with_each_end(client, prompt, state):
    job = client.generate(prompt, model=VEO)
    ended, = client.wait(job["id"])
    assert ended["state"] == state and ended["error"]["message"] and "files" not in ended


def test_wait_ends_with_held_uncertain_and_cancelled(sim, daemon, client):
    held = client.generate("a cat", not_before=at(600))
    waiter = daemon.client()
    waiter.send(f"WAIT {held['id']}")
    assert waiter.quiet(0.1)
    client.ok(f"HOLD {held['id']}")
    assert waiter.read().value["jobs"][0]["state"] == "held"
    runs = client.generate("a dog" + LONG)
    waiter.send(f"WAIT {runs['id']}")
    client.wait_state(runs["id"], "running")
    client.ok(f"CANCEL {runs['id']}")
    assert waiter.read().value["jobs"][0]["state"] == "cancelled"
    sim.rules([{"on": "submit", "do": "reset-after"}])
    lost = client.generate("a horse")
    assert client.wait(lost["id"])[0]["state"] == "uncertain"


def test_wait_refuses(client):
    job = client.generate("a cat" + LONG)
    for members, field in [
            ({}, "id"), ({"id": job["id"], "timeout_seconds": -1}, "timeout_seconds"),
            ({"id": job["id"], "timeout_seconds": "5"}, "timeout_seconds"),
            ({"id": job["id"], "timeout_seconds": 1e9}, "timeout_seconds"),
            ({"id": job["id"], "events": 1}, "events"), ({"id": job["id"], "x": 1}, "x")]:
        refused(client, "WAIT " + dump(members), "invalid-argument", field)
    refused(client, "WAIT 7ZZZZZZZ", "not-found", "id")


def test_wait_for_many_large_jobs_answers_with_ids_and_states(make_daemon):
    """A thousand whole jobs don't fit into a line."""
    daemon = make_daemon(options={"limits.in_flight": 1}).start()
    client = daemon.client()
    ids = [client.generate("x" * 30000, not_before=at(600))["id"] for _ in range(60)]
    answer = client.ok("WAIT " + dump({"ids": ids, "timeout_seconds": 0}))
    assert [job["id"] for job in answer["jobs"]] == ids and answer["timed_out"]
    assert answer["jobs"][0] == {"id": ids[0], "state": "queued"}
    cancelled = client.ok("CANCEL " + dump({"ids": ids}))
    assert cancelled["count"] == 60


# ---- WATCH ----


def read_events(client, count=None, last=None):
    events = []
    while len(events) != count:
        reply = client.read()
        assert reply.word == "EVENT", reply
        events.append(reply.value)
        if last and last(reply.value):
            break
    return events


def test_watch_from_the_beginning(daemon, client):
    job = client.generate("a cat")
    client.wait(job["id"])
    watcher = daemon.client()
    assert watcher.ok('WATCH {"from":0}')["from"] == 0
    events = read_events(watcher, last=lambda event: event["state"] == "done")
    assert [event["event"] for event in events] == list(range(1, len(events) + 1))
    states = [event["state"] for event in events]
    assert states[0] == "queued" and [s for n, s in enumerate(states) if s not in states[:n]] == [
        "queued", "submitting", "running", "fetching", "done"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", e["at"]) for e in events)
    later = daemon.client()
    later.ok("WATCH " + dump({"from": events[2]["event"]}))
    assert read_events(later, len(events) - 3) == events[3:]
    assert later.quiet(0.1)


def test_watch_live_and_replayed_tell_the_same(daemon, client):
    live, replayed = daemon.client(), daemon.client()
    live.ok("WATCH")
    batch = client.ok("BATCH " + dump({"jobs": [{"prompt": "a"}] * 10}))
    ids = {job["id"] for job in batch["jobs"]}
    seen = read_events(live, last=lambda event, left=set(ids): (
        left.discard(event["id"]) if event["state"] == "done" else None) or not left)
    replayed.ok('WATCH {"from":0}')
    assert read_events(replayed, len(seen)) == seen
    assert live.quiet(0.05) and replayed.quiet(0.05)


def test_watch_from_now_tells_nothing_old(daemon, client):
    old = client.generate("old")
    client.wait(old["id"])
    watcher = daemon.client()
    watcher.ok("WATCH")
    assert watcher.quiet(0.1)
    new = client.generate("new")
    assert {e["id"] for e in read_events(watcher, 4)} == {new["id"]}


def test_watch_filters(daemon, client):
    watchers = {}
    for name, filters in {"done": {"state": "done"}, "veo": {"model": VEO},
                          "label": {"label": "set=pets"}, "owner": {"owner": 12345},
                          "both": {"state": ["done"], "model": OMNI}}.items():
        watchers[name] = daemon.client()
        watchers[name].ok("WATCH " + dump(filters))
    cat = client.generate("a cat", labels={"set": "pets"})
    dog = client.generate("a dog", model=VEO)
    client.wait(cat["id"], dog["id"])
    assert {e["id"] for e in read_events(watchers["done"], 2)} == {cat["id"], dog["id"]}
    assert {e["id"] for e in read_events(watchers["veo"], last=lambda e: e["state"] == "done")
            } == {dog["id"]}
    assert {e["id"] for e in read_events(watchers["label"], last=lambda e: e["state"] == "done")
            } == {cat["id"]}
    assert [e["id"] for e in read_events(watchers["both"], 1)] == [cat["id"]]
    for name, watcher in watchers.items():
        assert watcher.quiet(0.05), name


def test_commands_while_watching(client):
    client.ok("WATCH")
    client.send("PING")
    assert client.read().value == {"pong": True}
    client.send("@a GENERATE a cat")
    words, done = set(), False
    while not done or ("a", "OK") not in words:
        reply = client.read()
        words.add((reply.tag, reply.word))
        done = done or reply.value.get("state") == "done"
    assert (None, "EVENT") in words


def test_watch_under_a_tag(client):
    client.send("@w WATCH\n@x WATCH {\"state\":\"done\"}\nGENERATE a cat")
    seen = []
    while seen.count(("w", "EVENT", "done")) + seen.count(("x", "EVENT", "done")) < 2:
        reply = client.read()
        seen.append((reply.tag, reply.word, reply.value.get("state")))
    assert ("w", "EVENT", "running") in seen and ("x", "EVENT", "running") not in seen


def test_watch_refuses(client):
    for filters, field in [({"from": -1}, "from"), ({"from": "x"}, "from"), ({"from": 1.5}, "from"),
                           ({"state": "x"}, "state"), ({"more": 1}, "more"),
                           ({"owner": -1}, "owner"), ({"label": 1}, "label"),
                           ({"model": 1}, "model")]:
        refused(client, "WATCH " + dump(filters), "invalid-argument", field)
    assert client.ok("PING")
    last = client.ok("WATCH")["from"]
    client.ok('WATCH {"from":999999999}')
    assert last == 0


def test_events_go_on_after_a_restart(daemon):
    first = daemon.generate("a cat")
    daemon.wait(first["id"])
    before = daemon.client()
    before.ok('WATCH {"from":0}')
    events = read_events(before, last=lambda e: e["state"] == "done")
    daemon.kill()
    daemon.start()
    after = daemon.client()
    assert after.ok("WATCH " + dump({"from": events[-1]["event"]}))["from"] == events[-1]["event"]
    second = daemon.generate("a dog")
    assert read_events(after, 1)[0]["event"] > events[-1]["event"]
    assert daemon.wait(second["id"])[0]["state"] == "done"


# ---- CANCEL, RETRY, HOLD, RELEASE ----


def test_cancel_what_is_queued(sim, client):
    job = client.generate("a cat", not_before=at(600))
    cancelled = client.ok(f"CANCEL {job['id']}")
    assert cancelled["id"] == job["id"] and cancelled["state"] == "cancelled"
    assert client.wait(job["id"])[0]["state"] == "cancelled"
    assert sim.stats()["submissions"] == 0


def test_cancel_what_runs_is_told_to_interactions(sim, client):
    job = client.generate("a cat" + LONG)
    client.wait_state(job["id"], "running")
    assert client.ok(f"CANCEL {job['id']}")["state"] == "cancelled"
    until(lambda: sim.operations("a cat")[0]["cancelled"], "the provider is told")
    assert sim.stats()["cancels"] == 1


def test_cancel_what_runs_is_told_to_no_predict(sim, client):
    job = client.generate("a cat" + LONG, model=VEO)
    client.wait_state(job["id"], "running")
    assert client.ok(f"CANCEL {job['id']}")["state"] == "cancelled"
    polls = sim.operations("a cat")[0]["polls"]
    time.sleep(1)
    assert sim.stats()["cancels"] == 0 and sim.operations("a cat")[0]["polls"] <= polls + 1


def test_cancel_while_submitting_tells_the_provider_once_the_name_is_known(sim, client):
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1}])
    job = client.generate("a cat" + LONG)
    client.wait_state(job["id"], "submitting")
    assert client.ok(f"CANCEL {job['id']}")["state"] == "cancelled"
    until(lambda: sim.stats()["cancels"] == 1, "the provider is told")
    assert client.ok(f"STATUS {job['id']}")["state"] == "cancelled"


def test_cancel_while_fetching_stops_the_download(sim, daemon, client):
    sim.rules([{"on": "download", "do": "slow", "interval": 0.2}])
    job = client.generate("a cat")
    client.wait_state(job["id"], "fetching")
    assert client.ok(f"CANCEL {job['id']}")["state"] == "cancelled"
    until(lambda: not [p for p in daemon.videos.rglob("*") if p.is_file()], "no file is left")
    assert "files" not in client.ok(f"STATUS {job['id']}")


def test_cancel_what_is_held_or_uncertain(sim, client):
    held = client.generate("a cat", not_before=at(600))
    client.ok(f"HOLD {held['id']}")
    assert client.ok(f"CANCEL {held['id']}")["state"] == "cancelled"
    sim.rules([{"on": "submit", "do": "reset-after"}])
    lost = client.generate("a dog")
    client.wait_state(lost["id"], "uncertain")
    assert client.ok(f"CANCEL {lost['id']}")["state"] == "cancelled"


@pytest.mark.parametrize("prompt, state", [
    ("a cat", "done"), ("a [sim: filter]", "filtered"), ("b [sim: fail=3]", "failed")])
def test_what_has_ended_takes_no_cancel_hold_or_release(client, prompt, state):
    job = client.generate(prompt, model=VEO)
    client.wait(job["id"])
    for verb in ("CANCEL", "HOLD", "RELEASE"):
        assert state in refused(client, f"{verb} {job['id']}", "conflict")
    assert client.ok(f"STATUS {job['id']}")["state"] == state


def test_retry_of_done_running_and_queued_is_a_conflict(client):
    done = client.generate("a cat")
    client.wait(done["id"])
    runs = client.generate("a dog" + LONG)
    client.wait_state(runs["id"], "running")
    waits = client.generate("a cow", not_before=at(600))
    for job in (done, runs, waits):
        refused(client, f"RETRY {job['id']}", "conflict")


def test_retry_after_each_end(sim, client):
    sim.rules([{"on": "submit", "do": "directive", "directive": "filter", "match": "one",
                "times": 1},
               {"on": "submit", "do": "status", "status": 400, "match": "two", "times": 1},
               {"on": "submit", "do": "reset-after", "match": "three", "times": 1}])
    for prompt, state in [("one", "filtered"), ("two", "failed"), ("three", "uncertain"),
                          ("four", "cancelled")]:
        job = client.generate(prompt, model=VEO, **(
            {"not_before": at(600)} if state == "cancelled" else {}))
        if state == "cancelled":
            client.ok(f"CANCEL {job['id']}")
        ended, = client.wait(job["id"])
        assert ended["state"] == state, ended
        again = client.ok(f"RETRY {job['id']}")
        assert again["id"] == job["id"] and again["state"] == "queued" and "error" not in again
        done, = client.wait(job["id"])
        assert done["state"] == "done" and done["attempts"] == (1 if prompt == "four" else 2), done


def test_hold_and_release(sim, client):
    job = client.generate("a cat", not_before=at(0.3))
    held = client.ok(f"HOLD {job['id']}")
    assert held["state"] == "held" and held["error"]["message"]
    refused(client, f"HOLD {job['id']}", "conflict")
    time.sleep(0.5)
    assert sim.stats()["submissions"] == 0
    released = client.ok(f"RELEASE {job['id']}")
    assert released["state"] == "queued" and "error" not in released
    assert client.wait(job["id"])[0]["state"] == "done"


def test_hold_of_what_runs_is_a_conflict(client):
    job = client.generate("a cat" + LONG)
    client.wait_state(job["id"], "running")
    refused(client, f"HOLD {job['id']}", "conflict")
    refused(client, f"RELEASE {job['id']}", "conflict")


def test_held_survives_a_restart(sim, daemon):
    job = daemon.generate("a cat", not_before=at(600))
    daemon.ok(f"HOLD {job['id']}")
    daemon.kill()
    daemon.start()
    assert daemon.job(job["id"])["state"] == "held"
    daemon.ok(f"RELEASE {job['id']}")


def test_several_at_once_tell_what_became_of_each(client):
    done = client.generate("a cat")
    client.wait(done["id"])
    jobs = [client.generate("a dog", not_before=at(600))["id"] for _ in range(3)]
    answer = client.ok("HOLD " + dump({"ids": jobs + [done["id"]]}))
    assert answer["count"] == 3 and answer["refused"] == 1
    assert sorted(job["id"] for job in answer["jobs"]) == jobs
    assert {job["state"] for job in answer["jobs"]} == {"held"}
    assert answer["errors"][0]["code"] == "conflict" and answer["errors"][0]["id"] == done["id"]
    assert client.ok(f"RELEASE {jobs[0]} {jobs[1]}")["count"] == 2
    refused(client, f"CANCEL {jobs[0]} 7ZZZZZZZ", "not-found", "id")
    assert client.ok(f"STATUS {jobs[0]}")["state"] == "queued"
    twice = client.ok("CANCEL " + dump({"ids": [jobs[0], jobs[0]]}))
    assert twice["count"] == 1 and twice["refused"] == 1


@pytest.mark.parametrize("verb", ["CANCEL", "RETRY", "HOLD", "RELEASE", "FORGET", "WHY", "GET"])
def test_job_verbs_refuse(client, verb):
    refused(client, verb, "invalid-argument", "id")
    refused(client, f"{verb} {{}}", "invalid-argument", "id")
    refused(client, f"{verb} 7ZZZZZZZ", "not-found", "id")
    refused(client, f"{verb} abc", "invalid-argument", "id")
    refused(client, verb + ' {"id":"7ZZZZZZZ","more":1}', "invalid-argument", "more")


# ---- FORGET ----


@pytest.mark.parametrize("files", [False, True])
def test_forget(daemon, client, files):
    job = client.generate("a cat", key="k")
    done, = client.wait(job["id"])
    path = pathlib.Path(done["files"][0]["path"])
    line = "FORGET " + (dump({"id": job["id"], "files": True}) if files else job["id"])
    assert client.ok(line)["id"] == job["id"]
    refused(client, f"STATUS {job['id']}", "not-found", "id")
    refused(client, f"GET {job['id']}", "not-found", "id")
    assert client.items("LIST") == [] and path.exists() != files
    daemon.kill()
    daemon.start()
    assert daemon.client().items("LIST") == [] and path.exists() != files


def test_forget_takes_only_what_has_ended(sim, client):
    runs = client.generate("a cat" + LONG)
    client.wait_state(runs["id"], "running")
    refused(client, f"FORGET {runs['id']}", "conflict")
    waits = client.generate("a cat", not_before=at(600))
    refused(client, f"FORGET {waits['id']}", "conflict")
    client.ok(f"HOLD {waits['id']}")
    refused(client, f"FORGET {waits['id']}", "conflict")
    client.ok(f"CANCEL {waits['id']}")
    client.ok(f"FORGET {waits['id']}")
    sim.rules([{"on": "submit", "do": "reset-after"}])
    lost = client.generate("a horse")
    client.wait_state(lost["id"], "uncertain")
    client.ok(f"FORGET {lost['id']}")
    refused(client, f"STATUS {lost['id']}", "not-found", "id")
    refused(client, 'FORGET {"id":"7ZZZZZZZ","files":1}', "invalid-argument", "files")


def test_forget_waits_for_the_answer_to_a_cancelled_submission(sim, client):
    sim.rules([{"on": "submit", "do": "stall", "seconds": 1, "times": 1}])
    job = client.generate("a cat")
    client.wait_state(job["id"], "submitting")
    until(lambda: sim.stats()["submissions"] == 1, "the submission")
    client.ok(f"CANCEL {job['id']}")
    assert "awaited" in refused(client, f"FORGET {job['id']}", "conflict")
    until(lambda: client.request(f"FORGET {job['id']}").word == "OK", "the answer")


def test_forget_of_files_that_are_gone(client):
    job = client.generate("a cat")
    done, = client.wait(job["id"])
    os.unlink(done["files"][0]["path"])
    client.ok("FORGET " + dump({"id": job["id"], "files": True}))


# ---- WHY ----


def test_why(sim, client):
    sim.rules([{"on": "submit", "do": "status", "status": 503, "times": 1}])
    job = client.generate("a cat [sim: latency=1s]")
    client.wait_state(job["id"], "running")
    answer = client.ok(f"WHY {job['id']}")
    assert set(answer) == {"id", "state", "text", "attempts"} and answer["state"] == "running"
    assert job["id"] in answer["text"] and "\n" not in answer["text"]
    client.wait(job["id"])
    attempts = client.ok(f"WHY {job['id']}")["attempts"]
    assert attempts[-1]["outcome"] == "done" and attempts[-1]["provider"] == "gemini"
    assert all(attempt["started_at"] <= attempt["ended_at"] for attempt in attempts)


def test_why_says_what_is_waited_for(sim, make_daemon):
    client = make_daemon(options={"limits.in_flight": 1}).start().client()
    runs = client.generate("a cat" + LONG)
    client.wait_state(runs["id"], "running")
    waits = client.generate("a dog")
    assert "in_flight" in client.ok(f"WHY {waits['id']}")["text"]
    client.ok(f"HOLD {waits['id']}")
    assert "RELEASE" in client.ok(f"WHY {waits['id']}")["text"]
    client.ok(f"CANCEL {runs['id']}")
    sim.rules([{"on": "submit", "do": "reset-after", "match": "horse"}])
    lost = client.generate("a horse")
    client.wait_state(lost["id"], "uncertain")
    assert "RETRY" in client.ok(f"WHY {lost['id']}")["text"]
    sim.rules([{"on": "submit", "do": "status", "status": 429, "retry_after": "30"}])
    turned = client.generate("a cow")
    text = until(lambda: (lambda t: t if "turned veod away" in t else None)(
        client.ok(f"WHY {turned['id']}")["text"]), "the gate is shut")
    assert "gemini" in text


# ---- GET ----


def test_get(daemon, client):
    job = client.generate("a cat [sim: bytes=300K]")
    done, = client.wait(job["id"])
    whole = pathlib.Path(done["files"][0]["path"]).read_bytes()
    assert hashlib.sha256(whole).hexdigest() == done["files"][0]["sha256"]
    assert len(whole) == done["files"][0]["bytes"] >= 300 * 1024
    for offset in (0, 1, 4096, len(whole) - 1, len(whole)):
        data, head = client.get(job["id"], offset=offset)
        assert data == whole[offset:]
        assert head == {"bytes": len(whole) - offset, "mime": "video/mp4", "id": job["id"],
                        "file": 0, "offset": offset, "size": len(whole),
                        "sha256": done["files"][0]["sha256"]}
    assert client.ok("PING")
    for members, field in [({"offset": len(whole) + 1}, "offset"), ({"offset": -1}, "offset"),
                           ({"offset": "1"}, "offset"), ({"file": 1}, "file"),
                           ({"file": -1}, "file"), ({"x": 1}, "x")]:
        refused(client, "GET " + dump({"id": job["id"], **members}), "invalid-argument", field)


def test_get_of_what_is_not_there(client):
    waits = client.generate("a cat", not_before=at(600))
    refused(client, f"GET {waits['id']}", "conflict")
    job = client.generate("a dog")
    done, = client.wait(job["id"])
    os.unlink(done["files"][0]["path"])
    refused(client, f"GET {job['id']}", "unavailable", "file")
    assert client.ok("PING")


def test_get_takes_one_job(client):
    jobs = [client.generate("a dog")["id"] for _ in range(2)]
    client.wait(*jobs)
    for verb in ("GET", "WHY"):
        refused(client, f"{verb} {jobs[0]} {jobs[1]}", "invalid-argument", "ids")


def test_get_of_a_file_that_shrank_ends_the_connection(daemon, client):
    job = client.generate("a dog")
    done, = client.wait(job["id"])
    os.truncate(done["files"][0]["path"], 100)
    reply = client.request(f"GET {job['id']}")
    if reply.word == "DATA":
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_bytes(reply.value["bytes"])
    assert daemon.client().ok("PING")


def test_two_gets_at_once_and_what_is_said_meanwhile(client):
    job = client.generate("a cat [sim: bytes=5M]")
    done, = client.wait(job["id"])
    whole = pathlib.Path(done["files"][0]["path"]).read_bytes()
    client.send(f"@a GET {job['id']}\n@b PING\n@c GET {job['id']}\n@d PING")
    seen = {}
    while len(seen) < 4:
        reply = client.read()
        seen[reply.tag] = reply.word
        if reply.word == "DATA":
            assert client.read_bytes(reply.value["bytes"]) == whole
    assert seen["a"] == seen["c"] == "DATA" and seen["b"] == seen["d"] == "OK"


# ---- MODELS, STATS, HELLO, HELP, PING, QUIT ----


def test_models(client):
    items = client.items("MODELS")
    assert {(i["provider"], i["dialect"]) for i in items} == {
        ("gemini", "interactions"), ("veo", "predict")}
    assert items[0]["model"] == items[0]["default_model"] == OMNI
    assert not any("default_model" in item for item in items[1:])
    refused(client, "MODELS x", "invalid-argument")


def test_stats(client):
    jobs = [client.generate("a cat"), client.generate("b [sim: fail=3]", model=VEO)]
    client.wait(*[job["id"] for job in jobs])
    stats = client.ok("STATS")
    assert stats["states"]["done"] == 1 and stats["states"]["failed"] == 1
    assert set(stats["states"]) == {"queued", "submitting", "running", "fetching", "done",
                                    "filtered", "failed", "expired", "uncertain", "held",
                                    "cancelled"}
    assert stats["submissions"] == 2 and stats["polls"] >= 2 and stats["fetched_bytes"] > 1000
    assert stats["clients"] == 1 and stats["in_flight"] == 0 and stats["store_failing"] is False
    assert stats["store"]["commits"] >= 1 and stats["store"]["failed_commits"] == 0
    client.ok(f"FORGET {jobs[0]['id']}")
    assert client.ok("STATS")["states"]["done"] == 0
    refused(client, "STATS x", "invalid-argument")


def test_stats_are_right_after_a_restart(daemon):
    for prompt in ("a", "b [sim: filter]"):
        daemon.wait(daemon.generate(prompt, model=VEO)["id"])
    held = daemon.generate("c", not_before=at(600))
    daemon.ok(f"HOLD {held['id']}")
    before = daemon.ok("STATS")["states"]
    daemon.restart()
    assert daemon.ok("STATS")["states"] == before
    assert before["done"] == before["filtered"] == before["held"] == 1


def test_hello(client):
    hello = client.ok("HELLO")
    assert hello["server"] == "veod" and hello["protocol"] == 1 and hello["uid"] == os.getuid()
    assert hello["limits"]["line_bytes"] == 65536 and re.match(r"\d+\.\d+", hello["version"])
    assert client.ok("HELLO {}") == hello
    refused(client, 'HELLO {"x":1}', "invalid-argument", "x")
    refused(client, "HELLO x", "invalid-argument")


def test_help(daemon, client):
    verbs = [item["verb"] for item in client.items("HELP")]
    assert len(set(verbs)) == len(verbs) and all(item["summary"] for item in client.items("HELP"))
    for verb in verbs:
        other = daemon.client()  # a PUT without a number ends it
        reply = other.request(f"@t {verb} {{") if verb != "PING" else other.request("@t PING")
        assert reply.tag == "t" and reply.value.get("code") != "unknown-verb", verb
    refused(client, "HELP me", "invalid-argument")


@pytest.mark.parametrize("text", ["x", "two words", '{"a":1}', "[1]", "\"quoted\"", "ü 猫 \\ \x01"])
def test_ping_echoes(client, text):
    assert client.ok(f"PING {text}") == {"pong": True, "text": text}


def test_quit(client):
    client.send("@a PING\n@q QUIT\nPING")
    assert {client.read().tag, client.read().tag} == {"a", "q"}
    assert client.at_end()


def test_quit_while_another_command_waits(daemon, client):
    job = client.generate("a cat" + LONG)
    other = daemon.client()
    other.send(f"@w WAIT {job['id']}\n@q QUIT")
    assert other.read().tag == "q"
    client.ok(f"CANCEL {job['id']}")
    reply = other.read()
    assert reply.tag == "w" and reply.value["jobs"][0]["state"] == "cancelled"
    assert other.at_end()


@pytest.mark.parametrize("line, said", [
    ("GENRATE x", "GENERATE"), ("STAT", "STAT"), ("FOO", "HELP"), ("PUTT 5", "PUT"),
    ("ASKED x", "ASK")])
def test_unknown_verbs(client, line, said):
    assert said in refused(client, line, "unknown-verb")


# ---- tags and order ----


def test_untagged_commands_are_answered_in_order(client):
    slow = client.generate("a cat [sim: latency=500ms]")
    client.send(f"WAIT {slow['id']}\nPING 1\nLIST\nPING 2\nNONE\n\nPING 3")
    words = []
    while len(words) < 7:
        reply = client.read()
        if reply.word != "ITEM":
            words.append(reply.value.get("text") or reply.value.get("code") or
                         ("jobs" in reply.value and "WAIT") or reply.value["count"])
    assert words == ["WAIT", "1", 1, "2", "unknown-verb", "bad-request", "3"]


def test_tagged_commands_overtake(client):
    slow = client.generate("a cat" + LONG)
    client.send(f"@slow WAIT {slow['id']}\n@fast PING\n@c CANCEL {slow['id']}")
    assert [client.read().tag for _ in range(2)][0] == "fast"
    client.read()


def test_a_tagged_command_overtakes_an_untagged_one(client):
    slow = client.generate("a cat" + LONG)
    client.send(f"WAIT {slow['id']}\n@c CANCEL {slow['id']}")
    replies = {reply.tag: reply for reply in (client.read(), client.read())}
    assert replies["c"].value["state"] == "cancelled"
    assert replies[None].value["jobs"][0]["state"] == "cancelled"


def test_one_tag_twice(client):
    client.send("@a PING 1\n@a PING 2")
    assert [client.read().value["text"] for _ in range(2)] == ["1", "2"]


@pytest.mark.parametrize("tag", ["a", "x" * 64, "1", "A.b-c_d:/", "@", "{}"])
def test_tags(client, tag):
    client.send(f"@{tag} PING")
    assert client.read() == (tag, "OK", {"pong": True})


@pytest.mark.parametrize("line", ["@ PING", "@", "@a", "@a ", "@" + "x" * 100 + " PING",
                                  "@ü PING", "@a\x01b PING"])
def test_bad_tags(client, line):
    reply = client.request(line)
    assert reply.word == "ERR" and reply.value["code"] == "bad-request"


def test_not_more_commands_at_once_than_the_limit(make_daemon):
    client = make_daemon(options={"limits.client_commands": 5}).start().client()
    slow = client.generate("a cat" + LONG)
    client.send("".join(f"@{n} WAIT {slow['id']}\n" for n in range(8)).encode())
    for n in (5, 6, 7):
        reply = client.read()
        assert reply.tag == str(n) and reply.value["code"] == "too-many"
        assert "client_commands" in reply.value["message"]


# ---- owners ----


def test_other_owners_jobs_are_not_found(sim, daemon, client, as_root):
    mine = client.generate("of root")
    done, = client.wait(mine["id"])
    runs = client.generate("runs" + LONG, model=VEO)
    name = client.wait_state(runs["id"], "running")["operation_name"]
    other = daemon.client(uid=NOBODY)
    hello = other.ok("HELLO")
    assert hello["uid"] == NOBODY and hello["admin"] is False
    asked = sim.stats()["polls"]
    for verb in ("STATUS", "WAIT", "CANCEL", "RETRY", "HOLD", "RELEASE", "FORGET", "WHY", "GET"):
        for id in (mine["id"], mine["id"][:10], done["operation_name"], runs["id"], name):
            error = other.err(f"{verb} {id}", "not-found")
            missing = other.err(f"{verb} 7ZZZZZZZZZZZZZZZZZZZZZZZZZ", "not-found")
            assert set(error) == set(missing), (verb, id)
    assert client.ok(f"STATUS {runs['id']}")["state"] == "running"
    assert sim.operations("of root")[0]["polls"] <= asked


def test_list_and_watch_show_only_ones_own(daemon, client, as_root):
    other = daemon.client(uid=NOBODY)
    watcher = daemon.client(uid=NOBODY)
    watcher.ok('WATCH {"from":0}')
    mine, theirs = client.generate("of root"), other.generate("of nobody")
    client.wait(mine["id"], theirs["id"])
    assert [job["id"] for job in other.items("LIST")] == [theirs["id"]]
    assert [job["id"] for job in client.items("LIST")] == [theirs["id"], mine["id"]]
    assert [job["id"] for job in client.items(f'LIST {{"owner":{NOBODY}}}')] == [theirs["id"]]
    assert client.items(f'LIST {{"owner":{NOBODY}}}')[0]["owner"] == {"uid": NOBODY}
    refused(other, 'LIST {"owner":0}', "not-found", "owner")
    refused(other, 'WATCH {"owner":0}', "not-found", "owner")
    events = read_events(watcher, last=lambda event: event["state"] == "done")
    assert {event["id"] for event in events} == {theirs["id"]}
    replay = daemon.client(uid=NOBODY)
    replay.ok('WATCH {"from":0}')
    assert {e["id"] for e in read_events(replay, len(events))} == {theirs["id"]}
    assert replay.quiet(0.1)


def test_a_prefix_is_looked_for_among_ones_own(daemon, client, as_root):
    other = daemon.client(uid=NOBODY)
    mine, theirs = client.generate("of root"), other.generate("of nobody")
    common = os.path.commonprefix([mine["id"], theirs["id"]])
    assert len(common) >= 4
    assert other.ok(f"STATUS {common}")["id"] == theirs["id"]
    refused(client, f"STATUS {common}", "invalid-argument", "id")


def test_keys_and_outputs_are_per_owner(daemon, client, as_root):
    other = daemon.client(uid=NOBODY)
    mine = client.generate("a cat", key="k", output="cat.mp4")
    theirs = other.generate("a dog", key="k", output="cat.mp4")
    assert mine["id"] != theirs["id"] and "existing" not in theirs
    done = client.wait(mine["id"], theirs["id"])
    paths = [pathlib.Path(job["files"][0]["path"]) for job in done]
    assert [path.parent.name for path in paths] == ["0", str(NOBODY)]
    data, _ = other.get(theirs["id"])
    assert data == paths[1].read_bytes()


def test_an_admin_may_move_everybodys_jobs(daemon, client, as_root):
    theirs = daemon.client(uid=NOBODY).generate("a dog" + LONG)
    client.wait_state(theirs["id"], "running")
    assert client.ok(f"CANCEL {theirs['id']}")["owner"] == {"uid": NOBODY}
    client.ok(f"FORGET {theirs['id']}")
