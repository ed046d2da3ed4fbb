"""One SQLite file: a single writer thread, a few readers, pragmas, transactions.

Writes are never cut by cancellation: once a job is handed over, its caller learns how it ended.
Reads see only committed state. Rows are not cached anywhere, since another program may write too.
"""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Self, TypeVar

import anyio
import anyio.to_thread
import apsw
import msgspec

from crush.errors import StoreError
from crush.store.failures import database_error

T = TypeVar("T")
Value = int | float | bytes | str | None  # what a column holds
Job = Callable[[apsw.Connection], T]

BUSY_MS = 30_000
READERS = 2
# A step takes milliseconds. Triggers and views that came with a file can take for ever, and nothing
# else would end the thread that runs them, nor the server that waits for it.
JOB_WITHIN_S = 10.0
PREPARE_WITHIN_S = 120.0
_STEPS_BETWEEN_LOOKS = 100_000  # of SQLite's machine: a few milliseconds

_log = logging.getLogger(__name__)

_WRITER_PRAGMAS = (
    "foreign_keys=ON",
    "secure_delete=ON",
    "cache_size=-8000",
    "journal_size_limit=16777216",
    "fullfsync=ON",  # macOS alone: there, fsync leaves the data in the drive's cache
)
# The file may come with a repository or from another program: rows can hold anything.
_UNREADABLE = (
    apsw.Error,
    msgspec.MsgspecError,
    ValueError,
    TypeError,
    RecursionError,
    OverflowError,
)
_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW


class Database:
    """A file with its writer thread (one for its life, started by `open`) and its readers."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._inode = 0
        self._closed = False
        self._writer: apsw.Connection | None = None
        self._wal = True
        self._synchronous = ""
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crush-writer")
        self._idle_readers: list[apsw.Connection] = []
        self._reading = anyio.CapacityLimiter(READERS)

    @classmethod
    async def open(cls, path: str, *, prepare: Job[T], local: bool = True) -> tuple[Self, T]:
        """Open or create the file and run `prepare` in the writer's thread, outside a transaction.

        `local` says whether processes that open the file share memory; without, there is no WAL.
        """
        database = cls(path)
        try:
            return database, await database._in_writer(
                lambda: database._start(prepare, local=local)
            )
        except BaseException:
            await database.close()
            raise

    async def write(self, job: Job[T], *, durable: bool = False) -> T:
        """Run `job` in one transaction; all of it is committed when this returns, or nothing."""
        self._require_open()
        return await self._in_writer(lambda: self._transact(job, durable=durable))

    async def read(self, job: Job[T]) -> T:
        """Run `job` on one consistent state of the database."""
        self._require_open()
        return await anyio.to_thread.run_sync(self._read, job, limiter=self._reading)

    async def close(self) -> None:
        """End the thread; what was handed over before is still written and read."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            for _ in range(READERS):  # every reader has come back
                await self._reading.acquire_on_behalf_of(object())
            await self._in_writer(self._close_connections)
            await anyio.to_thread.run_sync(self._thread.shutdown)

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError(f"{self._path}: the database is closed")

    async def _in_writer(self, work: Callable[[], T]) -> T:
        # asyncio's own executor hand-over: anyio's threads are pooled and have no order.
        outcome = asyncio.get_running_loop().run_in_executor(self._thread, work)
        with anyio.CancelScope(shield=True):
            await asyncio.wait([outcome])
        return outcome.result()

    def _start(self, prepare: Job[T], *, local: bool) -> T:
        try:
            self._writer = _connect(self._path, _FLAGS | apsw.SQLITE_OPEN_CREATE)
            self._set_synchronous(self._writer, "NORMAL")
            self._wal = _choose_journal(self._writer, local=local)
            if not self._wal:
                _log.warning(
                    "%s: no write-ahead log on this file system; writes are slower", self._path
                )
            for pragma in _WRITER_PRAGMAS:
                self._writer.execute(f"PRAGMA {pragma}")
            self._inode = _inode(self._path)
            with _bounded(self._writer, PREPARE_WITHIN_S):
                return prepare(self._writer)
        except _UNREADABLE as exc:
            raise database_error(exc, self._path) from exc

    def _transact(self, job: Job[T], *, durable: bool) -> T:
        if self._writer is None:  # closed while this job stood in the queue
            raise StoreError(f"{self._path}: the database is closed")
        try:
            self._set_synchronous(self._writer, "FULL" if durable or not self._wal else "NORMAL")
            if durable:
                self._require_in_place()
            return in_transaction(self._writer, _in_time(job))
        except UnicodeEncodeError:
            raise  # what we were given to write, not what the file holds
        except _UNREADABLE as exc:
            raise database_error(exc, self._path) from exc

    def _set_synchronous(self, connection: apsw.Connection, level: str) -> None:
        if level != self._synchronous:
            connection.execute(f"PRAGMA synchronous={level}")
            self._synchronous = level

    def _read(self, job: Job[T]) -> T:
        try:
            connection = self._idle_readers.pop() if self._idle_readers else self._open_reader()
            try:
                return _in_snapshot(connection, _in_time(job))
            finally:
                self._idle_readers.append(connection)
        except _UNREADABLE as exc:
            raise database_error(exc, self._path) from exc

    def _open_reader(self) -> apsw.Connection:
        reader = _connect(self._path, _FLAGS)
        try:
            self._require_in_place()
        except StoreError:
            reader.close()
            raise
        for pragma in ("query_only=ON", "cache_size=-2000"):
            reader.execute(f"PRAGMA {pragma}")
        return reader

    def is_in_place(self) -> bool:
        """Whether the file that we write to is the one that others find. Blocks for a moment."""
        return _inode(self._path) == self._inode

    def _require_in_place(self) -> None:
        """What is written to a file without a name is lost: better to say so."""
        if not self.is_in_place():
            raise StoreError(
                f"{self._path}: the database was moved, replaced or removed while it was open",
                hint="Put it back, or try again once everything that uses it has ended.",
            )

    def _close_connections(self) -> None:
        while self._idle_readers:
            self._idle_readers.pop().close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def in_transaction(connection: apsw.Connection, job: Job[T]) -> T:
    """Run `job` between BEGIN IMMEDIATE and COMMIT; whatever it raises undoes it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        result = job(connection)
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:  # SQLite has already rolled back after some errors
            connection.execute("ROLLBACK")
    return result


def _in_time(job: Job[T]) -> Job[T]:
    """The job with its limit, which begins when it does and not while it waits for its turn."""

    def limited(connection: apsw.Connection) -> T:
        with _bounded(connection, JOB_WITHIN_S):
            return job(connection)

    return limited


@contextmanager
def _bounded(connection: apsw.Connection, within_s: float) -> Iterator[None]:
    end, key = time.monotonic() + within_s, object()
    connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS, id=key)
    try:
        yield
    finally:
        connection.set_progress_handler(None, id=key)


def _in_snapshot(connection: apsw.Connection, job: Job[T]) -> T:
    connection.execute("BEGIN")
    try:
        return job(connection)
    finally:
        connection.execute("ROLLBACK")


def _connect(path: str, flags: int) -> apsw.Connection:
    connection = apsw.Connection(path, flags=flags)
    connection.set_busy_timeout(BUSY_MS)
    # The file may come with a repository: its triggers and views get no dangerous functions.
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    connection.execute("PRAGMA temp_store=MEMORY")
    return connection


def _inode(path: str) -> int:
    try:
        return os.stat(path).st_ino
    except OSError:  # moved away
        return 0


def _choose_journal(connection: apsw.Connection, *, local: bool) -> bool:
    """Set the journal mode; whether it is WAL."""
    if local:
        with suppress(apsw.IOError, apsw.ProtocolError):  # no shared memory here
            if connection.pragma("journal_mode", "wal") == "wal":
                return True
    # A database that is in WAL mode already can be opened without shared memory only exclusively.
    connection.execute("PRAGMA locking_mode=EXCLUSIVE")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.execute("PRAGMA locking_mode=NORMAL")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    return False
