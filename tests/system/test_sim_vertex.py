"""veosim alone: Vertex AI, Cloud Storage, and the access tokens for both."""

import base64
import json
import subprocess
import time
import urllib.parse

import pytest

from sim_alone import OMNI2, VEO, VEOSIM, Sim, sim, start

pytestmark = pytest.mark.skipif(not VEOSIM, reason="VEOSIM is not set")

__all__ = ["sim", "start"]  # fixtures

MODEL = "veo-3.1-generate-001"
PARENT = f"projects/p-1/locations/us-central1/publishers/google/models/{MODEL}"
TOKEN = "a-fixed-token"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SCOPE = "https://www.googleapis.com/auth/cloud-platform"
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"x" * 100).decode()
IMAGE = {"bytesBase64Encoded": PNG, "mimeType": "image/png"}


class Vertex(Sim):
    def call(self, method, path, body=None, headers=None, **options):
        options.setdefault("key", None)
        return super().call(method, path, body, BEARER if headers is None else headers, **options)

    def submit(self, prompt="x", parameters=None, parent=PARENT, version="v1", **members):
        instance = {"prompt": prompt, **members}
        body = {"instances": [instance], "parameters": parameters or {}}
        return self.call("POST", f"/{version}/{parent}:predictLongRunning", body)

    def fetch(self, name):
        parent = name.split("/operations/")[0]
        return self.call("POST", f"/v1/{parent}:fetchPredictOperation", {"operationName": name})

    def to_end(self, prompt="x", parameters=None, **members):
        name = self.submit(prompt, parameters, **members).json["name"]
        while True:
            answer = self.fetch(name)
            assert answer.status == 200, answer.body
            if answer.json.get("done"):
                return answer.json
            time.sleep(0.01)

    def object(self, uri, query="?alt=media", **headers):
        bucket, name = uri.removeprefix("gs://").split("/", 1)
        path = f"/storage/v1/b/{bucket}/o/{urllib.parse.quote(name, safe='')}{query}"
        return self.call("GET", path, headers={**BEARER, **headers})


@pytest.fixture
def vertex(tmp_path):
    vertex = Vertex(tmp_path, "--token", TOKEN)
    yield vertex
    assert vertex.stop() == 0


def test_inline(vertex):
    created = vertex.submit("x [sim: latency=1h]")
    assert created.status == 200 and list(created.json) == ["name"]
    assert created.json["name"].startswith(PARENT + "/operations/")
    assert vertex.fetch(created.json["name"]).json == created.json
    ended = vertex.to_end()
    assert ended["response"]["@type"].endswith("GenerateVideoResponse")
    video, = ended["response"]["videos"]
    assert base64.b64decode(video["bytesBase64Encoded"], validate=True)[4:8] == b"ftyp"
    assert video["mimeType"] == "video/mp4"
    operation = vertex.operations()[-1]
    assert operation["dialect"] == "vertex" and operation["polls"] >= 1
    assert operation["path"] == f"/v1/{PARENT}:predictLongRunning"


def test_samples_inline(vertex):
    videos = vertex.to_end("x [sim: bytes=100001]", {"sampleCount": 4})["response"]["videos"]
    assert [len(base64.b64decode(video["bytesBase64Encoded"])) for video in videos] == [100001] * 4


@pytest.mark.parametrize("folder", ["gs://bucket", "gs://bucket/", "gs://bucket/a folder/b"])
def test_storage(vertex, folder):
    ended = vertex.to_end("x", {"storageUri": folder, "sampleCount": 2})
    uris = [video["gcsUri"] for video in ended["response"]["videos"]]
    assert len(set(uris)) == 2 and all(uri.startswith(folder) for uri in uris)
    whole = vertex.object(uris[1])
    assert whole.status == 200 and whole.body[4:8] == b"ftyp"
    part = vertex.object(uris[1], Range="bytes=100-")
    assert part.status == 206 and part.body == whole.body[100:]
    described = vertex.object(uris[0], query="").json
    assert described["size"] == str(len(whole.body)) and described["bucket"] == "bucket"
    assert vertex.stats()["downloads"] == 2


def test_storage_wants_the_name_encoded(vertex):
    uri, = [video["gcsUri"] for video in
            vertex.to_end("x", {"storageUri": "gs://bucket/a"})["response"]["videos"]]
    bucket, name = uri.removeprefix("gs://").split("/", 1)
    assert vertex.get(f"/storage/v1/b/{bucket}/o/{name}?alt=media").status == 404
    assert vertex.object("gs://bucket/other.mp4").status == 404
    assert vertex.object(uri).status == 200


def test_filtered_and_failed(vertex):
    response = vertex.to_end("x [sim: filter]")["response"]
    assert response["raiMediaFilteredCount"] == 1 and "videos" not in response
    assert "Support codes" in response["raiMediaFilteredReasons"][0]
    response = vertex.to_end("y [sim: filter=partial]", {"sampleCount": 3})["response"]
    assert response["raiMediaFilteredCount"] == 1 and len(response["videos"]) == 2
    ended = vertex.to_end("z [sim: fail=8]")
    assert ended["error"]["code"] == 8 and "response" not in ended


TAKES = [
    ({"seed": 7, "generateAudio": False, "sampleCount": 4, "resizeMode": "pad"}, {}),
    ({"compressionQuality": "LOSSLESS", "enhancePrompt": True, "fps": 24}, {}),
    ({"personGeneration": "disallow", "negativePrompt": "y", "pubsubTopic": "t"}, {}),
    ({"durationSeconds": 8, "resolution": "1080p"}, {"image": IMAGE, "lastFrame": IMAGE}),
    ({}, {"image": {"gcsUri": "gs://b/i.png", "mimeType": "image/png"}}),
    ({}, {"referenceImages": [{"image": IMAGE, "referenceType": "asset"}]}),
    ({"durationSeconds": 7}, {"video": {"gcsUri": "gs://b/v.mp4", "mimeType": "video/mp4"}}),
    ({}, {"video": {"gcsUri": "gs://b/v.mp4", "mimeType": "video/mp4"},
          "mask": {**IMAGE, "maskMode": "INSERT"}}),
]


@pytest.mark.parametrize("parameters,members", TAKES)
def test_takes(vertex, parameters, members):
    answer = vertex.submit("x", parameters, **members)
    assert answer.status == 200, answer.body


REFUSES = [
    ({"sampleCount": 5}, {}, "sampleCount"), ({"sampleCount": "2"}, {}, "needs to be a number"),
    ({"numberOfVideos": 1}, {}, "numberOfVideos"), ({"resizeMode": "fit"}, {}, "resizeMode"),
    ({"compressionQuality": "BEST"}, {}, "compressionQuality"), ({"fps": 30}, {}, "fps"),
    ({"generateAudio": "true"}, {}, "boolean"), ({"storageUri": "/tmp"}, {}, "storageUri"),
    ({"personGeneration": "ALLOW"}, {}, "personGeneration"), ({"seed": -1}, {}, "seed"),
    ({"resolution": "1080p", "durationSeconds": 4}, {}, "1080p"),
    ({"durationSeconds": 7}, {}, "durationSeconds"), ({"aspectRatio": "1:1"}, {}, "aspect ratio"),
    ({}, {"lastFrame": IMAGE}, "use case"), ({"image": IMAGE}, {}, "`image`"),
    ({}, {"image": {"gcsUri": "https://b/i.png", "mimeType": "image/png"}}, "gcsUri"),
    ({}, {"image": {"gcsUri": "gs://b/i.png"}}, "mimeType"),
    ({}, {"image": {**IMAGE, "gcsUri": "gs://b/i.png"}}, "gcsUri"),
    ({}, {"image": {**IMAGE, "mimeType": "image/webp"}}, "mimeType"),
    ({}, {"image": {**IMAGE, "mimeType": "image/jpeg"}}, "mimeType"),
    ({}, {"image": {"imageBytes": PNG, "mimeType": "image/png"}}, "imageBytes"),
    ({}, {"video": {"uri": "gs://b/v.mp4"}}, "`uri`"),
    ({}, {"video": {"gcsUri": "gs://b/v.mp4", "mimeType": "video/mp4"},
          "mask": {**IMAGE, "maskMode": "FILL"}}, "maskMode"),
]


@pytest.mark.parametrize("parameters,members,words", REFUSES)
def test_refuses(vertex, parameters, members, words):
    answer = vertex.submit("x", parameters, **members)
    assert answer.status == 400 and answer.error["status"] == "INVALID_ARGUMENT"
    assert words in answer.error["message"], answer.error
    assert vertex.stats()["refused"] == 1


def test_models(vertex):
    answer = vertex.submit(parent=PARENT.replace(MODEL, VEO))
    assert answer.status == 404 and "Publisher Model `projects/p-1/" in answer.error["message"]
    assert vertex.submit(parent=PARENT.replace(MODEL, OMNI2)).status == 400
    assert vertex.submit(parent=PARENT.replace(MODEL, "veo-2.0-generate-001")).status == 200
    assert vertex.submit(version="v1beta1").status == 200
    assert vertex.submit(version="v1beta").status == 404
    assert vertex.call("POST", f"/v1beta/models/{MODEL}:predictLongRunning",
                       {"instances": [{"prompt": "x"}]}, key="k").status == 404


def test_fetches_only_its_own(vertex):
    name = vertex.submit().json["name"]
    path = f"/v1/{PARENT.replace(MODEL, 'veo-2.0-generate-001')}:fetchPredictOperation"
    assert vertex.call("POST", path, {"operationName": name}).status == 400
    path = f"/v1/{PARENT}:fetchPredictOperation"
    assert vertex.call("POST", path, {"operationName": name + "0"}).status == 404
    assert vertex.call("POST", path, {"name": name}).status == 400
    assert vertex.call("GET", "/v1/" + name).status == 404


# Omni


OMNI_PATH = "/v1beta1/projects/p-1/locations/global/interactions"


def ask_omni(vertex, path=OMNI_PATH, **members):
    return vertex.call("POST", path, {"model": OMNI2, "input": "x", "background": True, **members})


def wait_omni(vertex, name):
    while (answer := vertex.get(f"{OMNI_PATH}/{name}").json)["status"] == "in_progress":
        time.sleep(0.01)
    return answer


def test_omni(vertex):
    created = ask_omni(vertex, response_format=[{"type": "video", "duration": "15s"}])
    assert created.status == 200, created.body
    ended = wait_omni(vertex, created.json["id"])
    block = ended["steps"][-1]["content"][0]
    assert base64.b64decode(block["data"])[4:8] == b"ftyp"
    assert ended["usage"]["total_output_tokens"] == 15 * 5792
    assert vertex.get("/v1beta/interactions/" + created.json["id"], key="k").status == 404
    assert vertex.operations()[-1]["dialect"] == "interactions"


def test_omni_to_storage(vertex):
    format = {"type": "video", "delivery": "uri"}
    assert "gcs_uri" in ask_omni(vertex, response_format=format).error["message"]
    bad = ask_omni(vertex, response_format={**format, "gcs_uri": "bucket"})
    assert bad.status == 400 and bad.error["code"] == "invalid_request"
    created = ask_omni(vertex, response_format={**format, "gcs_uri": "gs://b/f"})
    block = wait_omni(vertex, created.json["id"])["steps"][-1]["content"][0]
    assert block["uri"].startswith("gs://b/f/") and vertex.object(block["uri"]).status == 200


def test_omni_is_global_only(vertex):
    assert ask_omni(vertex, OMNI_PATH.replace("global", "us-central1")).status == 404
    assert ask_omni(vertex, OMNI_PATH.replace("v1beta1", "v1")).status == 200
    assert ask_omni(vertex, model=MODEL).status == 400
    assert ask_omni(vertex, model="gemini-omni-1.1-flash").status == 404
    created = ask_omni(vertex, input="x [sim: latency=1h]").json["id"]
    cancelled = vertex.call("POST", f"{OMNI_PATH}/{created}/cancel", {})
    assert cancelled.json["status"] == "cancelled"
    assert vertex.call("DELETE", f"{OMNI_PATH}/{created}").status == 200


# Tokens


@pytest.mark.parametrize("headers", [{}, {"Authorization": TOKEN}, {"x-goog-api-key": TOKEN},
                                     {"Authorization": "Basic eDp5"},
                                     {"Authorization": "Bearer other"}])
def test_without_a_token(vertex, headers):
    paths = [("POST", f"/v1/{PARENT}:predictLongRunning"), ("POST", OMNI_PATH),
             ("POST", f"/v1/{PARENT}:fetchPredictOperation"), ("GET", "/storage/v1/b/b/o/o")]
    for method, path in paths:
        answer = vertex.call(method, path, {} if method == "POST" else None, headers=headers)
        assert answer.status == 401 and answer.error["status"] == "UNAUTHENTICATED"
        assert answer.headers["WWW-Authenticate"]
    tokens = vertex.stats()["tokens"]
    wrong = 4 * (headers.get("Authorization") == "Bearer other")
    assert (tokens["bearer_wrong"], tokens["bearer_missing"]) == (wrong, 4 - wrong)


def test_bearer_at_the_other_origin(vertex):
    vertex.get("/media/x", port=vertex.foreign_port, headers={})
    assert vertex.stats()["tokens"]["bearer_foreign"] == 0
    vertex.get("/media/x", port=vertex.foreign_port)
    stats = vertex.stats()
    assert stats["tokens"]["bearer_foreign"] == 1 == stats["keys"]["foreign"]


def encode(part):
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """An RSA key, its public half, a certificate of it, and another key."""
    folder = tmp_path_factory.mktemp("keys")
    for name in "key", "other":
        subprocess.run(["openssl", "genrsa", "-out", folder / name, "2048"], check=True,
                       capture_output=True)
    subprocess.run(["openssl", "rsa", "-in", folder / "key", "-pubout", "-out", folder / "public"],
                   check=True, capture_output=True)
    subprocess.run(["openssl", "req", "-x509", "-new", "-key", folder / "key", "-subj", "/CN=x",
                    "-out", folder / "certificate"], check=True, capture_output=True)
    return folder


def sign(keys, claims, header=None, key="key"):
    text = encode(header or {"alg": "RS256", "typ": "JWT"}) + "." + encode(claims)
    signature = subprocess.run(["openssl", "dgst", "-sha256", "-sign", keys / key],
                               input=text.encode(), capture_output=True, check=True).stdout
    return text + "." + encode(signature)


def claims_for(sim, **changed):
    now = int(time.time())
    claims = {"iss": "robot@p-1.iam.gserviceaccount.com", "scope": SCOPE, "iat": now,
              "exp": now + 3600, "aud": f"http://127.0.0.1:{sim.port}/token", **changed}
    return {name: value for name, value in claims.items() if value is not None}


def ask_token(sim, assertion, **fields):
    body = urllib.parse.urlencode({"grant_type": GRANT, "assertion": assertion, **fields})
    return sim.call("POST", "/token", body, key=None,
                    headers={"Content-Type": "application/x-www-form-urlencoded"})


@pytest.mark.parametrize("file", ["public", "certificate"])
def test_service_account(start, keys, file):
    sim = start("--service-account", keys / file, "--token-seconds", "100")
    answer = ask_token(sim, sign(keys, claims_for(sim)))
    assert answer.status == 200, answer.body
    assert answer.json["expires_in"] == 100 and answer.json["token_type"] == "Bearer"
    bearer = {"Authorization": "Bearer " + answer.json["access_token"]}
    body = {"instances": [{"prompt": "x"}]}
    path = f"/v1/{PARENT}:predictLongRunning"
    assert sim.call("POST", path, body, headers=bearer, key=None).status == 200
    assert sim.stats()["tokens"] == {"issued": 1, "bearer_ok": 1, "bearer_missing": 0,
                                     "bearer_wrong": 0, "bearer_foreign": 0}
    sim.control("POST", "/__revoke")
    assert sim.call("POST", path, body, headers=bearer, key=None).status == 401
    assert sim.stats()["tokens"]["bearer_wrong"] == 1


ASSERTIONS = [
    ({"iss": None}, {}, "invalid_grant", "account"),
    ({"aud": "https://example.com/token"}, {}, "invalid_grant", "audience"),
    ({"aud": None}, {}, "invalid_grant", "audience"),
    ({"exp": 7}, {}, "invalid_grant", "short-lived"), ({"iat": None}, {}, "invalid_grant", "iat"),
    ({"iat": 1_000_000_000, "exp": 1_000_003_600}, {}, "invalid_grant", "timeframe"),
    ({"scope": "https://www.googleapis.com/auth/drive"}, {}, "invalid_scope", "scope"),
    ({"scope": None}, {}, "invalid_scope", "scope"),
    ({}, {"key": "other"}, "invalid_grant", "Signature"),
    ({}, {"header": {"alg": "none"}}, "invalid_grant", "RS256"),
    ({}, {"header": {"alg": "HS256"}}, "invalid_grant", "RS256"),
]


@pytest.mark.parametrize("claims,how,code,words", ASSERTIONS)
def test_assertions_refused(start, keys, claims, how, code, words):
    sim = start("--service-account", keys / "public")
    answer = ask_token(sim, sign(keys, claims_for(sim, **claims), **how))
    assert answer.status == 400 and answer.json["error"] == code
    assert words in answer.json["error_description"]
    assert sim.stats()["tokens"]["issued"] == 0


def test_assertion_of_two_hours(start, keys):
    sim = start("--service-account", keys / "public")
    now = int(time.time())
    answer = ask_token(sim, sign(keys, claims_for(sim, iat=now, exp=now + 3601)))
    assert answer.json["error"] == "invalid_grant"


@pytest.mark.parametrize("assertion", ["", "x", "a.b.c", "..", "e30.e30.e30", "x" * 100_000])
def test_no_assertion(start, keys, assertion):
    sim = start("--service-account", keys / "public")
    answer = ask_token(sim, assertion)
    assert answer.status == 400 and answer.json["error"] in ("invalid_request", "invalid_grant")


def test_token_requests_refused(start, keys):
    sim = start("--service-account", keys / "public")
    good = sign(keys, claims_for(sim))
    assert ask_token(sim, good, grant_type="password").json["error"] == "unsupported_grant_type"
    answer = sim.call("POST", "/token", {"grant_type": GRANT, "assertion": good}, key=None)
    assert answer.status == 400 and answer.json["error"] == "invalid_request"
    assert ask_token(start(), good).json["error"] == "invalid_grant"  # it knows no key


def test_service_account_that_is_none(tmp_path):
    (tmp_path / "x").write_text("no key")
    for file in tmp_path / "x", tmp_path / "missing":
        result = subprocess.run([VEOSIM, "--service-account", file], capture_output=True)
        assert result.returncode == 1 and b"public key" in result.stderr


METADATA = "/computeMetadata/v1/instance/service-accounts/default/token"


def test_metadata_server(sim):
    assert sim.get(METADATA, key=None).status == 403
    answer = sim.get(METADATA, key=None, headers={"Metadata-Flavor": "Google"})
    assert answer.status == 200 and answer.headers["Metadata-Flavor"] == "Google"
    bearer = {"Authorization": "Bearer " + answer.json["access_token"]}
    assert sim.call("POST", OMNI_PATH, {"model": OMNI2, "input": "x", "background": True},
                    headers=bearer, key=None).status == 200
    assert answer.json["expires_in"] == 3600 and sim.stats()["tokens"]["issued"] == 1


def test_tokens_expire(start):
    sim = start("--token-seconds", "1")
    answer = sim.get(METADATA, key=None, headers={"Metadata-Flavor": "Google"})
    bearer = {"Authorization": "Bearer " + answer.json["access_token"]}
    path = f"/v1/{PARENT}:fetchPredictOperation"
    until = time.monotonic() + 20
    while sim.call("POST", path, {}, headers=bearer, key=None).status != 401:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_token_endpoints_fail(start, keys):
    sim = start("--service-account", keys / "public")
    sim.rules({"on": "token", "do": "status", "status": 503, "times": 2})
    answer = ask_token(sim, sign(keys, claims_for(sim)))
    assert answer.status == 503 and answer.json["error"] == "internal_failure"
    assert sim.get(METADATA, key=None, headers={"Metadata-Flavor": "Google"}).status == 503
    sim.rules({"on": "token", "do": "garbage"})
    answer = ask_token(sim, sign(keys, claims_for(sim)))
    assert answer.status == 200 and b"access_token" not in answer.body


@pytest.mark.parametrize("status,name", [
    (400, "INVALID_ARGUMENT"), (401, "UNAUTHENTICATED"), (402, "RESOURCE_EXHAUSTED"),
    (403, "PERMISSION_DENIED"), (404, "NOT_FOUND"), (429, "RESOURCE_EXHAUSTED"),
    (500, "INTERNAL"), (503, "UNAVAILABLE"),
])
def test_statuses(vertex, status, name):
    vertex.rules({"on": "submit", "do": "status", "status": status})
    answer = vertex.submit()
    assert answer.status == status and answer.error["status"] == name
    vertex.rules({"on": "poll", "do": "status", "status": status})
    assert vertex.fetch(vertex.submit().json["name"]).status == status
