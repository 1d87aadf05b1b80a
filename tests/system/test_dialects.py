"""Every dialect through the real daemon: one table of what is asked for and of what goes wrong, by
each route to the providers. All jobs run in one daemon at the same time; a test looks at one."""

import collections
import contextlib
import hashlib
import json
import pathlib

import pytest

import harness
from harness import KEY, OMNI, VEO, Client, Daemon, Sim

TOKEN = "ya29.the-secret-token-of-the-tests"
WORDS = "the provider's very own words"
VERTEX_VEO = "veo-3.1-generate-001"
VERTEX_OMNI = "gemini-omni-1.1-flash-preview"
PATIENCE = 60


def bytes_of(head, number):
    """A file that is what its first bytes say, and unlike any other."""
    return head + bytes((number * 31 + i * 7) % 251 for i in range(3000))


FILES = {
    "png": bytes_of(b"\x89PNG\r\n\x1a\n", 1),
    "jpeg": bytes_of(b"\xff\xd8\xff\xe0", 2),
    "webp": bytes_of(b"RIFF\x10\x00\x00\x00WEBP", 3),
    "mp4": bytes_of(b"\x00\x00\x00\x20ftypisom", 4),
}
TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4"}

# ---- the routes ----

CLOUD = {"project": "p-1", "auth": "command", "token_command": f"echo {TOKEN}"}
Route = collections.namedtuple("Route", "model keys takes")
IMAGES = {"png", "jpeg", "webp"}
ROUTES = {
    "interactions": Route(OMNI, {"dialect": "interactions"},
                          IMAGES | {"frames", "references", "edit", "continue", "extend", "token"}),
    "predict": Route(VEO, {"dialect": "predict"},
                     IMAGES | {"frames", "references", "extend", "samples"}),
    "seed": Route("veo-3.0-generate-preview", {"dialect": "predict", "body": "seed"}, IMAGES),
    "inline": Route(VERTEX_VEO, {"dialect": "vertex", "location": "us-central1", **CLOUD},
                    {"png", "jpeg", "frames", "references", "extend file", "samples"}),
    "stored": Route(VERTEX_VEO, {"dialect": "vertex", "location": "us-central1",
                                 "storage_uri": "gs://bucket/out put", **CLOUD},
                    {"png", "jpeg", "frames", "references", "extend", "extend file", "samples"}),
    "omni": Route(VERTEX_OMNI, {"dialect": "interactions", **CLOUD},
                  IMAGES | {"frames", "references", "edit"}),
    "omni-stored": Route(VERTEX_OMNI, {"dialect": "interactions", "storage_uri": "gs://bucket/omni",
                                       **CLOUD}, {"png", "edit"}),
    "videos": Route(VEO, {"dialect": "videos"}, IMAGES | {"proxy"}),
}
SAMPLING = {"predict": "veo-2.0-generate-001"}

# ---- the table: what is asked for, what goes wrong, and what the job comes to ----

Case = collections.namedtuple("Case", "needs fields rules end prompt")


def case(end="done", needs=None, prompt="", rules=(), **fields):
    return Case(needs, fields, rules if isinstance(rules, (list, tuple)) else [rules], end, prompt)


def status(number, **members):
    return {"on": "submit", "do": "status", "status": number, "message": WORDS, **members}


CASES = {
    "text": case(),
    "png": case(needs="png", image="png"),
    "jpeg": case(needs="jpeg", image="jpeg"),
    "webp": case(needs="webp", image="webp"),
    "first and last frame": case(needs="frames", image="png", last_frame="jpeg",
                                 duration_seconds=8),
    "references": case(needs="references", reference_images=["png", "jpeg"], duration_seconds=8),
    "edit": case(needs="edit", video="mp4"),
    "edit what another has made": case(needs="edit", video="another's"),
    "continue": case(needs="continue", video="text"),
    "extend": case(needs="extend", video="text", video_task="extend"),
    "extend a file": case(needs="extend file", video="mp4", video_task="extend"),
    "samples": case(needs="samples", sample_count=2),
    "filtered": case("filtered", prompt="[sim: filter]"),
    "failed": case("failed", prompt="[sim: fail=3]"),
    "400": case("failed", rules=status(400)),
    "401": case("failed", rules=status(401)),
    "402": case("held", rules=status(402, times=1)),
    "403": case("failed", rules=status(403)),
    "404": case("failed", rules=status(404)),
    "429": case(rules=status(429, times=1)),
    "429 with RetryInfo": case(rules=status(429, retry_info="0.3s", times=1)),
    "500": case(rules=status(500, times=1)),
    "503": case(rules=status(503, times=1)),
    "reset before": case("uncertain", rules={"on": "submit", "do": "reset-before"}),
    "reset after": case("uncertain", rules={"on": "submit", "do": "reset-after"}),
    "stalled body": case("uncertain", rules={"on": "submit", "do": "stall", "seconds": 60,
                                             "after": 10}),
    "poll fails": case(rules=[{"on": "poll", "do": "status", "status": 500, "times": 1},
                              {"on": "poll", "do": "reset-after", "times": 1}]),
    "wrong content type": case(rules={"on": "download", "do": "content-type", "type": "text/html",
                                      "times": 1}),
    "not a video": case("failed", rules={"on": "download", "do": "not-a-video", "type": "json"}),
    "redirect of a download": case(rules={"on": "download", "do": "redirect", "times": 1}),
    "redirect of a submission": case("failed", rules={"on": "submit", "do": "redirect"}),
    "a refusal that a proxy repeats": case(needs="proxy", rules=status(500, times=1, message=(
        'litellm.InternalServerError: GeminiException - {"error":{"code":503,"message":"full",'
        '"status":"UNAVAILABLE"}}\n\nLiteLLM: model group'))),
    "a filter that a proxy chokes on": case("filtered", needs="proxy", rules={
        "on": "poll", "do": "status", "status": 500, "message":
        "litellm.InternalServerError: 1 validation error for GeminiLongRunningOperationResponse\n"
        "response.generateVideoResponse.generatedSamples\n  Field required [type=missing, "
        "input_value={'raiMediaFilteredCount':...pport codes: 58061214']}]"}),
    "completed, but failed": case("failed", needs="proxy", prompt="[sim: fail=3, completed]"),
    "completed, but filtered": case("failed", needs="proxy", prompt="[sim: filter, completed]"),
    "redirect of a poll": case(rules={"on": "poll", "do": "redirect", "times": 1}),
}
ENDS = {("videos", "500"): "uncertain"}  # the proxy's own: it may have got through
LATER = ("edit what another has made", "continue", "extend")  # they need what "text" has made
OF_DOWNLOADS = ("wrong content type", "not a video", "redirect of a download")


def applies(route, name):
    needs = CASES[name].needs
    if route in ("inline", "omni") and name in OF_DOWNLOADS:
        return False  # the video is inside the answer
    return needs is None or needs in ROUTES[route].takes


def tag(route, name):
    return f"<{route}: {name}>"


# ---- all of it at once ----

class World:
    """The simulator, the daemon with a provider for each route, and what became of every job."""

    def __init__(self, directory):
        self.sim = Sim(directory, "--seed-route", "--key", KEY, "--token", TOKEN)
        self.daemon = None
        self.directory = directory
        self.ids = {}
        self.jobs = {}
        self.rules = []
        self.operations = {}

    def start(self):
        self.sim.start()
        storage = f"http://localhost:{self.sim.port}"  # an origin of its own, as Google's is
        providers = {
            name: {"base_url": self.sim.url, "storage_url": storage,
                   "models": f"{route.model} {SAMPLING.get(name, '')}".strip(), **route.keys}
            for name, route in ROUTES.items()}
        self.daemon = Daemon(self.directory, self.sim, providers=providers, options={
            "retry.base_delay": "50ms", "retry.max_delay": "300ms", "http.stall_timeout": "4s"})
        self.daemon.start()

    def put_files(self, client):
        blobs = {}
        for name, data in FILES.items():
            client.send(f"PUT {len(data)}")
            client.send(data)
            blobs[name] = client.read().value["blob"]
        return blobs

    def submit(self, client, names, blobs):
        for route, name in names:
            fields = {key: self.resolve(route, value, blobs)
                      for key, value in CASES[name].fields.items()}
            model = SAMPLING.get(route) if name == "samples" else None
            prompt = f"{tag(route, name)} a cat {CASES[name].prompt}".strip()
            job = client.generate(prompt, model=model or ROUTES[route].model, provider=route,
                                  **fields)
            self.ids[route, name] = job["id"]

    def resolve(self, route, value, blobs):
        if isinstance(value, list):
            return [blobs[one] for one in value]
        if value == "another's":
            return self.ids["predict", "text"]
        if value == "text":
            return self.ids[route, "text"]
        return blobs.get(value, value) if isinstance(value, str) else value

    def place(self, route, rule):
        """An object's name with a slash and a space is none that the other origin has."""
        if "stored" not in route or rule["do"] != "redirect":
            return {}
        return {"location": f"http://127.0.0.1:{self.sim.stats()['foreign_port']}/media/x"}

    def run(self):
        names = [(route, name) for route in ROUTES for name in CASES if applies(route, name)]
        self.sim.rules([{**rule, "match": tag(route, name), **self.place(route, rule)}
                        for route, name in names for rule in CASES[name].rules])
        with Client(self.daemon.socket, timeout=2 * PATIENCE) as client:
            blobs = self.put_files(client)
            self.submit(client, [one for one in names if one[1] not in LATER], blobs)
            client.wait(*[self.ids[route, "text"] for route in ROUTES], patience=PATIENCE)
            self.submit(client, [one for one in names if one[1] in LATER], blobs)
            # What hasn't ended by then fails its own test.
            jobs = client.ok("WAIT " + json.dumps({"ids": list(self.ids.values()),
                                                   "timeout_seconds": PATIENCE}))["jobs"]
        self.rules = self.sim.call("GET", "/__rules")
        by_id = {job["id"]: job for job in jobs}
        self.jobs = {one: by_id[id] for one, id in self.ids.items()}
        for operation in self.sim.operations():
            self.operations.setdefault(operation["prompt"].split(">")[0], []).append(operation)

    def sent(self, route, name):
        """What the provider accepted of a case."""
        return [operation for operation in self.sim_operations()
                if tag(route, name) in operation["prompt"]]

    def sim_operations(self):
        return [operation for found in self.operations.values() for operation in found]


@pytest.fixture(scope="module")
def world(programs):
    with harness.short_directory() as directory:
        world = World(directory)
        world.start()
        try:
            world.run()
            yield world
            world.daemon.close()
        finally:
            if world.daemon and world.daemon.alive:
                print(world.daemon.log()[-8000:])
                world.daemon.kill()
            world.sim.stop()


# ---- looking at one ----

TABLE = [(route, name) for route in ROUTES for name in CASES if applies(route, name)]


def kinds(operation):
    """What came with a submission, whatever its dialect calls it."""
    return [(one["mime_type"], one["sha256"]) for one in operation.get("inputs", [])
            if "sha256" in one]


def expected_files(world, name):
    if name == "edit what another has made":
        return [("video/mp4", world.jobs["predict", "text"]["files"][0]["sha256"])]
    fields = CASES[name].fields
    files = [fields.get("video"), fields.get("image"), fields.get("last_frame"),
             *fields.get("reference_images", [])]
    return [(TYPES[one], hashlib.sha256(FILES[one]).hexdigest()) for one in files if one in FILES]


def check_files_of(job, count):
    assert len(job["files"]) == count, job
    for one in job["files"]:
        data = pathlib.Path(one["path"]).read_bytes()
        assert data[4:8] == b"ftyp" and len(data) == one["bytes"]
        assert hashlib.sha256(data).hexdigest() == one["sha256"]


@pytest.mark.parametrize(("route", "name"), TABLE, ids=[f"{r}-{n}" for r, n in TABLE])
def test_case(world, route, name):
    job = world.jobs[route, name]
    accepted = world.sent(route, name)
    assert job["state"] == ENDS.get((route, name), CASES[name].end), job
    assert all(rule["hits"] > 0 for rule in world.rules if rule["match"] == tag(route, name))
    if job["state"] == "done":
        assert "error" not in job, job
        check_files_of(job, 2 if name == "samples" else 1)
        assert len(accepted) == 1
        assert sorted(kinds(accepted[0])) == sorted(expected_files(world, name)), accepted
    if job["state"] != "done" and any(WORDS in rule.get("message", "") for rule in
                                      CASES[name].rules):
        assert WORDS in job["error"]["message"] and job["error"]["provider"] == route
    checks.get(name, lambda *_: None)(route, job, accepted)


def check_filtered(route, job, accepted):
    assert job["error"]["code"].startswith("filtered") or route in ("interactions", "omni"), job
    assert len(accepted) == 1 and job.get("cost", {}).get("charged_usd", 0) == 0


def check_never_accepted(route, job, accepted):
    assert not accepted and job.get("cost", {}).get("charged_usd", 0) == 0, job


def check_not_repeated(route, job, accepted):
    assert job["attempts"] == 1 and len(accepted) <= 1


def check_not_a_video(route, job, accepted):
    assert len(accepted) == 1 and job["error"]["code"] == "not-a-video", job
    assert "instead of a video: " in job["error"]["message"]
    if route == "videos":
        assert job.get("cost", {}).get("charged_usd", 0) == 0, job


def check_continued(route, job, accepted):
    assert accepted[0]["body"]["previous_interaction_id"]


def check_extended(route, job, accepted):
    body = json.dumps(accepted[0]["body"])
    wanted = {"interactions": "<PREVIOUS_VIDEO>@Video1", "predict": "/files/", "stored": "gs://"}
    assert wanted[route] in body, body


def check_redirected(route, job, accepted):
    assert not accepted and job["error"]["code"] == "redirected", job


checks = {
    "filtered": check_filtered,
    **dict.fromkeys(("400", "401", "402", "403", "404"), check_never_accepted),
    **dict.fromkeys(("reset before", "reset after", "stalled body"), check_not_repeated),
    "not a video": check_not_a_video,
    "continue": check_continued,
    "extend": check_extended,
    "redirect of a submission": check_redirected,
}


@pytest.mark.parametrize("route", ROUTES)
def test_what_the_route_is(world, route):
    """The addresses that were really asked."""
    operation = world.sent(route, "text")[0]
    paths = {
        "interactions": "/v1beta/interactions",
        "predict": f"/v1beta/models/{VEO}:predictLongRunning",
        "seed": "/models/veo-3.0-generate-preview:predictLongRunning",
        "inline": "/v1/projects/p-1/locations/us-central1/publishers/google/models/"
                  f"{VERTEX_VEO}:predictLongRunning",
        "stored": "/v1/projects/p-1/locations/us-central1/publishers/google/models/"
                  f"{VERTEX_VEO}:predictLongRunning",
        "omni": "/v1beta1/projects/p-1/locations/global/interactions",
        "omni-stored": "/v1beta1/projects/p-1/locations/global/interactions",
        "videos": "/v1/videos",
    }
    assert operation["path"] == paths[route]


def test_no_secret_went_astray(world):
    """Neither to another origin, nor into an address, a log or the store."""
    stats = world.sim.stats()
    redirects = [one for one in TABLE if one[1] == "redirect of a download"]
    assert stats["foreign_requests"] >= len(redirects)
    assert stats["keys"]["foreign"] == stats["keys"]["in_url"] == stats["keys"]["wrong"] == 0
    assert stats["tokens"]["bearer_foreign"] == stats["tokens"]["bearer_wrong"] == 0
    assert stats["keys"]["header_ok"] > 0 and stats["tokens"]["bearer_ok"] > 0
    written = world.daemon.log().encode() + b"".join(
        path.read_bytes() for path in world.daemon.state.glob("jobs.db*"))
    assert KEY.encode() not in written and TOKEN.encode() not in written


@pytest.mark.parametrize("route", ROUTES)
def test_an_operation_that_no_job_has(world, route):
    """Its name is enough to ask the provider."""
    with contextlib.closing(world.daemon.client()) as client:
        job = client.generate(f"<{route}: forgotten> a cat", model=ROUTES[route].model,
                              provider=route)
        name = client.wait(job["id"])[0]["operation_name"]
        client.ok(f"FORGET {job['id']}")
        found = client.ok(f"STATUS {name}")
    assert found["operation_name"] == name and found["state"] == "completed", found
    assert "id" not in found


@pytest.mark.parametrize("model", [OMNI, VEO])
def test_googles_addresses_are_asked_for_at_the_proxy(programs, model):
    """A proxy hands Google's addresses on; an extension gets the address as Google knows it."""
    google = "https://generativelanguage.googleapis.com"
    with harness.short_directory() as directory:
        sim = Sim(directory, "--key", KEY, "--public-base", google).start()
        daemon = Daemon(directory, sim).start()
        try:
            job = daemon.wait(daemon.generate(model=model)["id"])[0]
            assert job["state"] == "done" and job["video_uri"].startswith(google + "/"), job
            check_files_of(job, 1)
            if model == VEO:
                more = daemon.generate("more", model=model, video=job["id"])
                assert daemon.wait(more["id"])[0]["state"] == "done"
                body = sim.operations("more")[0]["body"]
                assert body["instances"][0]["video"] == {"uri": job["video_uri"]}
        finally:
            daemon.close()
            sim.stop()


def test_a_dry_run_shows_where_the_files_go(world):
    with contextlib.closing(world.daemon.client()) as client:
        for route in ROUTES:
            shown = client.ok("GENERATE " + json.dumps({
                "prompt": "x", "model": ROUTES[route].model, "provider": route, "dry_run": True,
                "image": "sha256-" + hashlib.sha256(FILES["png"]).hexdigest()}))
            assert "sha256-" in json.dumps(shown["request"]["body"]), shown


@pytest.mark.parametrize(("route", "fields", "field"), [
    ("interactions", {"sample_count": 2}, "sample_count"),
    ("interactions", {"generate_audio": True}, "generate_audio"),
    ("seed", {"duration_seconds": 8}, "duration_seconds"),
    ("seed", {"video": "sha256", "video_task": "extend"}, "video"),
    ("predict", {"video": "sha256"}, "video"),
    ("predict", {"video": "sha256", "video_task": "edit"}, "video_task"),
    ("inline", {"video": "sha256", "video_task": "edit"}, "video_task"),
    ("videos", {"seed": 1}, "seed"),
    ("videos", {"video": "sha256"}, "video"),
    ("videos", {"duration_seconds": 5.5}, "duration_seconds"),
])
def test_what_a_dialect_has_no_place_for(world, route, fields, field):
    """Refused before it is sent, even by force."""
    blob = "sha256-" + hashlib.sha256(FILES["mp4"]).hexdigest()
    fields = {key: blob if value == "sha256" else value for key, value in fields.items()}
    submissions = world.sim.stats()["submissions"]
    with contextlib.closing(world.daemon.client()) as client:
        client.err("GENERATE " + json.dumps({"prompt": "x", "model": ROUTES[route].model,
                                             "provider": route, "force": True, **fields}),
                   "invalid-argument", field)
    assert world.sim.stats()["submissions"] == submissions
