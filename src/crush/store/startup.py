"""Recovery at a server's start: the databases that the registry lists, and no others."""

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import anyio.to_thread

from crush import paths
from crush.errors import CrushError
from crush.store.registry import Registry
from crush.store.store import Store
from crush.wire.ids import RunId

_log = logging.getLogger(__name__)

Opened = Callable[[str], AbstractAsyncContextManager[Store]]


async def recover_all(
    listed: Mapping[str, Sequence[RunId]], *, registry: Registry, opened: Opened
) -> None:
    """End what dead servers left unfinished, wherever it is; opening a database does it.

    `listed` is what the registry held before this server accepted anything: what came later is not
    settled here. A database that cannot be opened (another server has it, its disk is away, it is
    damaged) is logged and left: whoever opens it next recovers it.
    """
    for data_dir, run_ids in listed.items():
        try:
            await _recover(data_dir, run_ids, registry=registry, opened=opened)
        except CrushError as exc:
            _log.warning("not recovered: %s", exc)


async def _recover(
    data_dir: str, run_ids: Sequence[RunId], *, registry: Registry, opened: Opened
) -> None:
    left: set[RunId] = set()
    if await anyio.to_thread.run_sync(paths.project_db_exists, data_dir):
        async with opened(data_dir) as store:
            left = {run.id for run in await store.unfinished_runs()}
    await registry.finish([run_id for run_id in run_ids if run_id not in left], data_dir)
