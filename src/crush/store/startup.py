"""Recovery at a server's start: the databases that the registry lists, and no others."""

import logging
import os

import anyio.to_thread

from crush.errors import StoreError
from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.store import Store

_log = logging.getLogger(__name__)


async def recover_all(*, registry: Registry, owner: str, limits: Limits) -> None:
    """End what dead servers left unfinished, wherever it is.

    A database that cannot be opened (another server has it, its disk is away) is logged and left:
    whoever opens it next recovers it.
    """
    for data_dir in await registry.unfinished_databases():
        if not await anyio.to_thread.run_sync(os.path.isdir, data_dir):
            await registry.settle(data_dir, unfinished=())
            continue
        try:
            store = await Store.open(data_dir, owner=owner, registry=registry, limits=limits)
        except StoreError as exc:
            _log.warning("not recovered: %s", exc)
            continue
        try:
            left = [run.id for run in await store.unfinished_runs()]
            await registry.settle(data_dir, unfinished=left)
        finally:
            await store.close()
