"""Soak tests: what takes longer than a test may. `SOAK_SHARE=0.1 make soak` does a tenth of it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine
from tests.fakes.model_server import ModelServerProcess


@pytest.fixture(scope="session")
def share() -> float:
    """Of the full number of rounds."""
    return float(os.environ.get("SOAK_SHARE", "1"))


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with ModelServerProcess() as server:
        yield server.url


@pytest.fixture
def machine(tmp_path: Path, model_url: str) -> Iterator[Machine]:
    machine = Machine(tmp_path, model_url=model_url)
    yield machine
    machine.close()
