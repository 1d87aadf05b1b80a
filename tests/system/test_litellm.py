"""veod through a real LiteLLM proxy: the pass-through route /gemini and the unified /v1/videos.

tests/real/install installs the proxy. Behind it are two simulators: one whose results' addresses
are Google's, which the proxy has to be asked for instead, and one for /v1/videos, where the proxy
itself goes to the address.
"""

import contextlib
import hashlib

import pytest

from harness import OMNI, VEO, Daemon, Sim, short_directory
from litellm_proxy import GOOGLE_KEY, PROXY_KEY, Proxy
from real import NO_WAY_OUT, needs

GOOGLE = "https://generativelanguage.googleapis.com"

PNG = (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x10\x08\x02\0\0\0"
       + bytes(range(256)) * 12000)

pytestmark = needs("litellm")


class World:
    """The parts, by the name of veod's provider."""

    def __init__(self, directory, sims, proxy):
        self.sims = sims
        self.proxy = proxy
        providers = {
            "pass": {"dialect": "predict", "base_url": f"{proxy.url}/gemini"},
            "omni": {"dialect": "interactions", "base_url": f"{proxy.url}/gemini"},
            "videos": {"dialect": "videos", "base_url": proxy.url},
        }
        for keys in providers.values():
            keys.update(models="veo-* gemini-omni-*", credential="litellm-key")
        self.daemon = Daemon(directory, sims["pass"], providers=providers,
                             environment={"LITELLM_KEY": PROXY_KEY, **NO_WAY_OUT})

    def generate(self, provider, prompt, **fields):
        model = OMNI if provider == "omni" else VEO
        return self.daemon.generate(prompt, provider=provider, model=model, **fields)["id"]

    def run(self, provider, prompt, **fields):
        [job] = self.daemon.wait(self.generate(provider, prompt, **fields))
        return job

    def body(self, provider, prompt):
        """What Google was sent for it, once; of a file its digest."""
        [operation] = self.sims[provider].operations(prompt)
        return operation["body"]


@pytest.fixture(scope="module")
def parts(programs):
    with short_directory() as directory, contextlib.ExitStack() as stack:
        sims = {}
        for name, more in (("google", ["--public-base", GOOGLE]), ("videos", [])):
            (directory / name).mkdir()
            sims[name] = Sim(directory / name, "--key", GOOGLE_KEY, *more).start()
            stack.callback(sims[name].stop)
        proxy = Proxy(directory, GEMINI_API_BASE=sims["google"].url,
                      VIDEOS_API_BASE=sims["videos"].url)
        stack.callback(proxy.stop)
        proxy.wait_ready()
        yield {"pass": sims["google"], "omni": sims["google"], "videos": sims["videos"]}, proxy


@pytest.fixture
def world(parts, directory):
    sims, proxy = parts
    for sim in sims.values():
        sim.reset()
        sim.clear_rules()
    world = World(directory, sims, proxy)
    world.daemon.start()
    yield world
    try:
        world.daemon.close()
    finally:
        print(world.daemon.log()[-8000:], proxy.log_path.read_text()[-8000:], sep="\n---\n")


def check_result(world, job):
    assert job["state"] == "done", job
    data = world.daemon.path_of(job).read_bytes()
    assert data[4:8] == b"ftyp" and len(data) == job["files"][0]["bytes"]


def check_keys(world, provider):
    """Google saw nobody's key but the proxy's own."""
    keys = world.sims[provider].stats()["keys"]
    assert keys["missing"] == keys["wrong"] == keys["foreign"] == 0, keys
    assert PROXY_KEY not in world.daemon.log()


@pytest.mark.parametrize("provider", ["pass", "omni", "videos"])
def test_text_to_video(world, provider):
    check_result(world, world.run(provider, "a cat on a wall"))
    check_keys(world, provider)
    assert world.sims[provider].stats()["submissions"] == 1


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_image_to_video(world, directory, provider):
    path = directory / "first-frame"
    path.write_bytes(PNG)
    check_result(world, world.run(provider, "it jumps", image_path=str(path)))
    [instance] = world.body(provider, "it jumps")["instances"]
    assert instance["image"] == {
        "mimeType": "image/png",
        "bytesBase64Encoded": {"sha256": hashlib.sha256(PNG).hexdigest(), "bytes": len(PNG)}}
    check_keys(world, provider)


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_parameters_arrive(world, provider):
    job = world.run(provider, "a dog", aspect_ratio="9:16", resolution="1080p",
                    duration_seconds=8, negative_prompt="rain")
    check_result(world, job)
    assert world.body(provider, "a dog")["parameters"] == {
        "aspectRatio": "9:16", "resolution": "1080p", "durationSeconds": 8,
        "negativePrompt": "rain"}


@pytest.mark.parametrize("provider", ["pass", "omni", "videos"])
def test_filtered(world, provider):
    job = world.run(provider, "a cat [sim: filter]")
    assert job["state"] == "filtered", job
    assert world.sims[provider].stats()["submissions"] == 1


@pytest.mark.parametrize("provider", ["pass", "omni", "videos"])
def test_failed(world, provider):
    job = world.run(provider, "a cat [sim: fail=3]")
    assert job["state"] == "failed", job
    assert not job.get("files")
    assert world.sims[provider].stats()["submissions"] == 1


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_bad_request(world, provider):
    world.sims[provider].rules([{"on": "submit", "do": "status", "status": 400,
                                 "message": "The prompt is too short."}])
    job = world.run(provider, "a cat")
    assert job["state"] == "failed", job
    assert "The prompt is too short." in job["error"]["message"]


@pytest.mark.parametrize("provider", ["pass", "videos"])
@pytest.mark.parametrize("status", [429, 503])
def test_turned_away(world, provider, status):
    """Tried again, by veod and not by LiteLLM, which hides it where it may."""
    world.sims[provider].rules([{"on": "submit", "do": "status", "status": status, "times": 1,
                                 "retry_info": "0.2s"}])
    check_result(world, world.run(provider, "a cat"))
    assert world.sims[provider].stats()["submissions"] == 2
    assert f"{provider}: nothing is submitted for " in world.daemon.log()


@pytest.mark.parametrize("provider", ["pass", "omni", "videos"])
def test_lost_answer(world, provider):
    """The proxy says 500, the operation may run and be charged for: nobody submits again."""
    world.sims[provider].rules([{"on": "submit", "do": "reset-after", "times": 9}])
    job = world.run(provider, "a cat")
    assert job["state"] == "uncertain", job
    assert world.sims[provider].stats()["accepted"] == 1


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_wrong_key(world, provider):
    world.daemon.terminate()
    world.daemon.start(environment={"LITELLM_KEY": "sk-of-somebody-else"})
    job = world.run(provider, "a cat")
    assert job["state"] == "failed", job
    assert world.sims[provider].stats()["requests"] == 0


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_no_video(world, provider):
    """/v1/videos calls whatever came a video/mp4."""
    job = world.run(provider, "a cat [sim: video=html]")
    assert job["state"] == "failed", job
    assert not any(path.is_file() for path in world.daemon.videos.rglob("*"))
    assert world.sims[provider].stats()["submissions"] == 1


@pytest.mark.parametrize("provider", ["pass", "videos"])
def test_restart(world, provider):
    """The id that the proxy gave is all that is needed to go on."""
    id = world.generate(provider, "a cat [sim: latency=1s]")
    world.daemon.wait_state(id, "running")
    world.daemon.kill()
    world.daemon.start()
    [job] = world.daemon.wait(id)
    check_result(world, job)
    assert world.sims[provider].stats()["submissions"] == 1
