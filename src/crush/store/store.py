"""The store of one project: one write verb, plain reads, in terms of the wire's records.

Nothing above this module knows what keeps the records. Events are committed in the transaction of
the state that they tell of, and returned to be published by the caller afterwards.
"""

import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Self

import anyio
import anyio.to_thread
import apsw

from crush import __version__, paths
from crush.errors import StoreError
from crush.store import events, messages, migrations, reads, runs, sessions
from crush.store.change import (
    Acceptance,
    Change,
    FileRead,
    Limits,
    Pending,
    PendingQuestion,
    Snapshot,
)
from crush.store.db import Database, in_transaction
from crush.store.directory import make_private_dir, make_private_file
from crush.store.ended import EndedRequests
from crush.store.files import FileHistory, Versions
from crush.store.foreign import check_whole, drop_orphans, refuse_surprises
from crush.store.lock import DirectoryLock
from crush.store.pending import PERMISSIONS, QUESTIONS
from crush.store.recovery import plan_recovery
from crush.store.registry import Registry
from crush.store.writing import Writer
from crush.wire.events import Committed, RunComplete
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Message, Run, Session

_log = logging.getLogger(__name__)

PAGE = 1000  # events per read, unless the caller wants another number

Publish = Callable[[Sequence[Committed]], None]


class Store:
    """An open project database; use `Store.open`, end with `close`.

    `files` reads file versions, `ended` how requests to a person ended.
    """

    def __init__(
        self,
        *,
        data_dir: str,
        owner: str,
        epoch: str,
        database: Database,
        lock: DirectoryLock,
        registry: Registry,
        limits: Limits,
    ) -> None:
        self.data_dir = data_dir
        self.epoch = epoch
        self.files = FileHistory(database)
        self.ended = EndedRequests(database)
        self._database = database
        self._lock = lock
        self._closing = anyio.Lock()
        self._registry = registry
        self._writer = Writer(owner=owner, pruner=events.Pruner(limits), versions=Versions(limits))

    @classmethod
    async def open(cls, data_dir: str, *, owner: str, registry: Registry, limits: Limits) -> Self:
        """Lock, create or migrate, and end what a dead owner left unfinished. Raises StoreError.

        `owner` is the instance id of this server: unfinished runs of any other are interrupted.
        """
        data_dir, lock, local = await anyio.to_thread.run_sync(_prepare_directory, data_dir)
        path = paths.project_db(data_dir)
        async with AsyncExitStack() as undo:
            undo.callback(lock.release)

            is_known = await registry.knows(path)

            def prepare(connection: apsw.Connection) -> tuple[str, list[Change]]:
                refuse_surprises(connection, path)
                if not is_known:
                    check_whole(connection, path)
                epoch = migrations.bring_up(connection, path, backups=limits.backups)
                if not is_known:
                    in_transaction(connection, drop_orphans)
                return epoch, plan_recovery(connection, owner=owner, now_ms=_now_ms())

            database, (epoch, left) = await Database.open(path, prepare=prepare, local=local)
            undo.push_async_callback(database.close)
            store = cls(
                data_dir=data_dir,
                owner=owner,
                epoch=epoch,
                database=database,
                lock=lock,
                registry=registry,
                limits=limits,
            )
            if not is_known:
                await registry.remember(path)
            for change in left:
                await store.commit(change)
            undo.pop_all()
        return store

    def is_in_place(self) -> bool:
        """Whether the database is still where it was opened. Blocks for a moment."""
        return self._database.is_in_place()

    async def close(self) -> None:
        """Finish what was handed over, then let others open the data directory."""
        with anyio.CancelScope(shield=True):
            async with self._closing:  # a second caller returns when it is closed
                await self._database.close()
                await anyio.to_thread.run_sync(self._lock.release)

    # Writing. Neither verb is cut by cancellation: what it returns is what was committed.

    async def commit(self, change: Change, *, publish: Publish | None = None) -> list[Committed]:
        """Write a step; its events in order, those made from `sessions` first.

        `publish` gets them as soon as they are committed and in the order of the log, whoever else
        commits meanwhile; what this returns may come later than another's later events.
        Raises ConflictError for a run that has ended, StoreError when nothing could be written.
        """
        ended = [event.run.id for _, event in change.events if isinstance(event, RunComplete)]
        with anyio.CancelScope(shield=True):
            committed = await self._database.write(
                lambda connection: self._writer.apply(connection, change),
                durable=change.durable or bool(ended),
            )
            if publish is not None:
                publish(committed)
            if ended:
                await _note_ended(self._registry, ended, self.data_dir)
        return committed

    async def accept(
        self, change: Change, *, idempotency_key: str, publish: Publish | None = None
    ) -> Acceptance:
        """Write a step that accepts its one new run; on the disk when this returns.

        A run that was accepted before under this key ("" is none) or under this id is returned
        instead, and nothing is written. `publish` as in `commit`.
        """
        (run,) = change.runs
        with anyio.CancelScope(shield=True):
            await self._registry.add(run.id, self.data_dir)
            acceptance = await self._database.write(
                lambda connection: self._writer.accept(connection, change, idempotency_key),
                durable=True,
            )
            if publish is not None:
                publish(acceptance.committed)
            if acceptance.repeated and acceptance.run.id != run.id:
                await self._registry.forget(run.id)
        return acceptance

    # Reading: each call sees one committed state.

    async def session(self, session_id: SessionId) -> Session:
        """Raises NotFoundError."""
        return await self._database.read(lambda c: sessions.load(c, session_id))

    async def sessions(self, *, limit: int = -1) -> list[Session]:
        """Sessions that are nobody's sub-agent, the last written first."""
        return await self._database.read(lambda c: sessions.newest(c, limit))

    async def find_sessions(self, reference: str) -> list[Session]:
        """By full id, else by a prefix of the short id: none, one, or several to choose from."""
        return await self._database.read(lambda c: sessions.find(c, reference))

    async def messages(self, session_id: SessionId) -> list[Message]:
        """In the order in which they were inserted, by whatever program."""
        return await self._database.read(lambda c: messages.of_session(c, session_id))

    async def file_reads(self, session_id: SessionId) -> list[FileRead]:
        return await self._database.read(lambda c: reads.of_session(c, session_id))

    async def run(self, run_id: RunId) -> Run:
        """Raises NotFoundError."""
        return await self._database.read(lambda c: runs.load(c, run_id))

    async def runs_of(self, session_id: SessionId) -> list[Run]:
        """In the order of their acceptance."""
        return await self._database.read(lambda c: runs.of_session(c, session_id))

    async def unfinished_runs(self) -> list[Run]:
        return await self._database.read(runs.unfinished)

    async def pending(self) -> list[Pending]:
        """Permission requests that wait, oldest first."""
        return await self._database.read(PERMISSIONS.everything)

    async def questions(self) -> list[PendingQuestion]:
        """Forms that wait to be filled in, oldest first."""
        return await self._database.read(QUESTIONS.everything)

    async def events_of_run(
        self, run_id: RunId, after_seq: int, *, limit: int = PAGE
    ) -> list[Committed] | None:
        """The next events of a run behind the cursor; None when some of them were pruned."""
        return await self._database.read(
            lambda c: events.of_run(c, run_id, after_seq=after_seq, limit=limit)
        )

    async def events(
        self, after_seq: int, *, session_id: SessionId | None = None, limit: int = PAGE
    ) -> list[Committed] | None:
        """The next events behind the cursor; None when some of them were pruned."""
        return await self._database.read(
            lambda c: events.after(c, after_seq, session_id=session_id, limit=limit)
        )

    async def last_seq(self) -> int:
        """The place of the last committed event."""
        return await self._database.read(events.last_seq)

    async def snapshot(self, session_id: SessionId) -> Snapshot:
        """A session with all that is open in it, and the cursor that it is true at.

        Raises NotFoundError.
        """

        def job(connection: apsw.Connection) -> Snapshot:
            return Snapshot(
                session=sessions.load(connection, session_id),
                messages=messages.of_session(connection, session_id),
                runs=runs.unfinished_of(connection, session_id),
                pending=PERMISSIONS.of_session(connection, session_id),
                questions=QUESTIONS.of_session(connection, session_id),
                epoch=self.epoch,
                seq=events.last_seq(connection),
            )

        return await self._database.read(job)


async def _note_ended(registry: Registry, run_ids: Sequence[RunId], data_dir: str) -> None:
    try:
        await registry.finish(run_ids, data_dir)
    except StoreError as exc:
        # The end itself is committed; the next start finds these entries and settles them.
        _log.warning("registry: %s", exc)


def _prepare_directory(data_dir: str) -> tuple[str, DirectoryLock, bool]:
    data_dir = os.path.realpath(data_dir)
    make_private_dir(data_dir)
    lock = DirectoryLock.acquire(paths.project_lock(data_dir), version=__version__)
    try:
        return data_dir, lock, make_private_file(paths.project_db(data_dir))
    except StoreError:
        lock.release()
        raise


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
