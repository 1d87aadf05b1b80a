"""A LiteLLM proxy as tests/real/install has installed it."""

import contextlib
import http.client
import pathlib
import socket
import subprocess

from harness import PATIENCE, until, with_parent
from real import ENVIRONMENTS, NO_WAY_OUT, REAL

CONFIGURATION = REAL / "litellm/config.yaml"
GOOGLE_KEY = "AIza-the-proxy-s-own-key-at-google"
PROXY_KEY = "sk-the-proxy-s-master-key"
START_PATIENCE = 300  # a first start compiles some thousand modules


def free_port():
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


class Proxy:
    """LiteLLM on loopback, and kept there. The addresses are the variables of its configuration."""

    def __init__(self, directory, **addresses):
        self.log_path = pathlib.Path(directory) / "proxy.log"
        self.port = free_port()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(directory),
            **addresses,
            "GEMINI_API_KEY": GOOGLE_KEY,
            "LITELLM_MASTER_KEY": PROXY_KEY,
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
            "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
            "LITELLM_LOCAL_BLOG_POSTS": "True",
            "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
            **NO_WAY_OUT,
        }
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                with_parent([ENVIRONMENTS / "litellm/bin/litellm", "--config", CONFIGURATION, "--host",
                             "127.0.0.1", "--port", str(self.port), "--telemetry", "False"]),
                env=environment, cwd=directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def lives(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            with contextlib.closing(connection):
                connection.request("GET", "/health/liveliness")
                return connection.getresponse().status == 200
        except OSError:
            return False

    def wait_ready(self):
        until(lambda: self.process.poll() is not None or self.lives(), "LiteLLM answers",
              START_PATIENCE, interval=0.2)
        assert self.process.poll() is None, self.log_path.read_text()

    def stop(self):
        self.process.kill()
        self.process.wait(PATIENCE)
