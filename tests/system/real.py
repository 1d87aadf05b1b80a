"""What tests/real/install has installed, and how it is run."""

import os
import pathlib

import pytest

REAL = pathlib.Path(__file__).parents[1] / "real"
ENVIRONMENTS = pathlib.Path(os.environ.get("VEOD_ENVIRONMENTS", "/nowhere"))

# Nothing leaves this machine: not what the packages would tell their makers, either.
NO_WAY_OUT = {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9",
              "no_proxy": "127.0.0.1", "OTEL_SDK_DISABLED": "true", "DO_NOT_TRACK": "1"}


def needs(*names):
    """The mark of what can't be tested without these environments."""
    missing = [name for name in names if not (ENVIRONMENTS / name / "installed").exists()]
    return pytest.mark.skipif(bool(missing), reason=f"tests/real/install {' '.join(missing)}: "
                                                    "nothing is installed")


def python(name):
    return ENVIRONMENTS / name / "bin/python"


def node(name):
    return ENVIRONMENTS / name / "node"


def with_packages(name, directory):
    """Makes the packages visible to programs in this folder, and gives it back."""
    (directory / "node_modules").symlink_to(ENVIRONMENTS / name / "node_modules")
    return directory
