"""A machine for each test, one scripted model for all."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine
from tests.fakes.model_server import ModelServerProcess


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with ModelServerProcess() as server:
        yield server.url


@pytest.fixture
def machine(tmp_path: Path, model_url: str) -> Iterator[Machine]:
    machine = Machine(tmp_path, model_url=model_url)
    yield machine
    machine.close()
