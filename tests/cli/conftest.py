"""One scripted model for all, one machine for a module's harmless tests, one for each rough one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.machine import Machine
from tests.fakes.model_server import ModelServerProcess


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with ModelServerProcess() as server:
        yield server.url


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, model_url: str) -> Iterator[Machine]:
    """A machine whose server serves the whole module."""
    machine = Machine(tmp_path_factory.mktemp("shared"), model_url=model_url)
    yield machine
    machine.close()


@pytest.fixture(scope="module")
def here(shared: Machine) -> Path:
    """A project on it."""
    return shared.project("here")


@pytest.fixture
def machine(tmp_path: Path, model_url: str) -> Iterator[Machine]:
    machine = Machine(tmp_path, model_url=model_url)
    yield machine
    machine.close()
