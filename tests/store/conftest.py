"""An open registry and stores that are closed when the test ends."""

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.startup import Opened
from crush.store.store import Store

OpenStore = Callable[..., Awaitable[Store]]


def opener(registry: Registry, *, owner: str) -> Opened:
    """Opens a data directory for as long as a block lasts, as a server would."""

    @asynccontextmanager
    async def opened(data_dir: str) -> AsyncIterator[Store]:
        store = await Store.open(data_dir, owner=owner, registry=registry, limits=Limits())
        try:
            yield store
        finally:
            await store.close()

    return opened


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Registry]:
    opened = await Registry.open(str(tmp_path / "state" / "registry.db"))
    yield opened
    await opened.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> str:
    return os.path.realpath(tmp_path / "project" / ".crush")


@pytest.fixture
async def open_store(registry: Registry, data_dir: str) -> AsyncIterator[OpenStore]:
    """Opens the project's store, or another one; `await open_store(owner=…, limits=…)`."""
    async with AsyncExitStack() as stores:

        async def open_one(
            *, path: str = data_dir, owner: str = "this server", limits: Limits | None = None
        ) -> Store:
            store = await Store.open(
                path, owner=owner, registry=registry, limits=limits or Limits()
            )
            stores.push_async_callback(store.close)
            return store

        yield open_one


@pytest.fixture
async def store(open_store: OpenStore) -> Store:
    return await open_store()
