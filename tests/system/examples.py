"""contrib/examples as programs, for the tests that run them."""

import pathlib
import shutil
import subprocess

from harness import KEY, PATIENCE, VEOCTL
from real import ENVIRONMENTS, NO_WAY_OUT, node, python, with_packages

EXAMPLES = pathlib.Path(__file__).parents[2] / "contrib/examples"
JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01\x01\0\0\x01\0\x01\0\0" + bytes(range(251))


def run(command, daemon, cwd=None, env=None, timeout=PATIENCE):
    return subprocess.run(
        list(map(str, command)), cwd=cwd, timeout=timeout, capture_output=True, text=True,
        stdin=subprocess.DEVNULL,
        env={"PATH": "/usr/bin:/bin", "VEOD_SOCKET": daemon.socket, **(env or {})})


def python_agent(directory):
    return [python("strands"), EXAMPLES / "strands-python/main.py"]


def typescript_agent(directory):
    copy = directory / "strands-typescript"
    shutil.copytree(EXAMPLES / "strands-typescript", copy)
    with_packages("agents-js", copy)
    return [node("agents-js"), copy / "main.ts"]


def gemini(url, key=KEY):
    """Where the agent's model is."""
    return {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": key}


def litellm(url, key):
    return {"OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": key}


class Agent:
    """Works in a folder with the image that one of the examples begins with."""

    def __init__(self, command, model, directory, daemon):
        self.command = command(directory)
        self.daemon = daemon
        self.folder = directory / "work"
        (directory / "bin").mkdir()
        (directory / "bin/veoctl").symlink_to(VEOCTL)
        (self.folder / "images").mkdir(parents=True)
        (self.folder / "images/coffee_cup.jpg").write_bytes(JPEG)
        self.environment = {"PATH": f"{directory}/bin:/usr/bin:/bin", "HOME": str(directory),
                            "PYTHONPYCACHEPREFIX": str(ENVIRONMENTS / "strands/compiled"),
                            **model, **NO_WAY_OUT}

    def says(self, *words):
        done = run([*self.command, *words], self.daemon, self.folder, self.environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
