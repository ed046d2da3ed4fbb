"""A home for each test, one scripted model for all, and servers in the test's own event loop."""

from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from crush.launch.host import parse_host
from crush.providers import registry
from crush.providers.registry import HttpPool
from tests.fakes.model_server import ModelServerProcess
from tests.server.site import Site, free_tcp_host, serving


@pytest.fixture(scope="session")
def model_url() -> Iterator[str]:
    with ModelServerProcess() as server:
        yield server.url


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine's directories, also for what the server reads from its own environment."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    # Nobody learns more from a retry that waits.
    monkeypatch.setattr(registry, "HttpPool", partial(HttpPool, backoff_s=(0.0, 0.0, 0.0)))
    return tmp_path


@pytest.fixture
async def site(root: Path, model_url: str) -> AsyncIterator[Site]:
    """A server on a unix socket."""
    async with serving(root, parse_host(f"unix://{root}/s.sock"), model_url=model_url) as site:
        yield site


@pytest.fixture
async def tcp_site(root: Path, model_url: str) -> AsyncIterator[Site]:
    """A server on a port of the loopback interface."""
    async with serving(root, free_tcp_host(), model_url=model_url) as site:
        yield site
