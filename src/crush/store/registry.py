"""`registry.db` in the user state: in which database a run is, which have unfinished runs, which are known.

An entry is written before the run's own commit, so a run that exists is always found; an entry
without a run is harmless and settled when its database is next opened. Servers share the file.
"""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import Self

import anyio.to_thread
import apsw

from crush.store.db import Database, in_transaction
from crush.store.directory import make_private_file
from crush.wire.ids import RunId

KEPT = 100_000  # finished entries
KEPT_DATABASES = 10_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    data_dir TEXT NOT NULL,
    finished INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS runs_unfinished ON runs (data_dir) WHERE finished = 0;
CREATE TABLE IF NOT EXISTS databases (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    inode INTEGER NOT NULL
);
"""


class Registry:
    """The open registry of this user."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, path: str) -> Self:
        """Open or create it. Raises StoreError."""
        local = await anyio.to_thread.run_sync(make_private_file, path)
        database, _ = await Database.open(path, prepare=_prepare, local=local)
        return cls(database)

    async def add(self, run_id: RunId, data_dir: str) -> None:
        """`run_id` is about to be committed to the database in `data_dir`.

        Safe against a crash, not against a loss of power: the run itself is, and opening its
        database puts the entry back. A second wait for the disk would double the cost of a prompt.
        """

        def job(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO runs (id, data_dir) VALUES (?, ?)"
                " ON CONFLICT (id) DO UPDATE SET data_dir = excluded.data_dir, finished = 0",
                (run_id, data_dir),
            )

        await self._database.write(job)

    async def finish(self, run_ids: Collection[RunId], data_dir: str) -> None:
        """These runs have ended in the database in `data_dir`, which may have moved."""

        def job(connection: apsw.Connection) -> None:
            connection.executemany(
                "INSERT INTO runs (id, data_dir, finished) VALUES (?, ?, 1) ON CONFLICT (id)"
                " DO UPDATE SET data_dir = excluded.data_dir, finished = 1",
                [(run_id, data_dir) for run_id in run_ids],
            )

        await self._database.write(job)

    async def forget(self, run_id: RunId) -> None:
        """The run was not committed after all."""
        await self._database.write(
            lambda connection: connection.execute("DELETE FROM runs WHERE id = ?", (run_id,))
        )

    async def data_dir_of(self, run_id: RunId) -> str | None:
        def job(connection: apsw.Connection) -> str | None:
            row = connection.execute("SELECT data_dir FROM runs WHERE id = ?", (run_id,)).fetchone()
            return None if row is None else str(row[0])

        return await self._database.read(job)

    async def unfinished(self) -> Mapping[str, Sequence[RunId]]:
        """The unfinished runs of each data directory, oldest first."""

        def job(connection: apsw.Connection) -> dict[str, list[RunId]]:
            listed: dict[str, list[RunId]] = {}
            rows = connection.execute(
                "SELECT data_dir, id FROM runs WHERE finished = 0 ORDER BY seq"
            )
            for data_dir, run_id in rows:
                listed.setdefault(str(data_dir), []).append(RunId(str(run_id)))
            return listed

        return await self._database.read(job)

    async def knows(self, path: str) -> bool:
        """Whether this user has opened this very file before: one put in its place is another."""

        def job(connection: apsw.Connection) -> bool:
            row = connection.execute(
                "SELECT inode FROM databases WHERE path = ?", (path,)
            ).fetchone()
            return row is not None and row[0] == _inode(path)

        return await self._database.read(job)

    async def remember(self, path: str) -> None:
        """The file was looked at and is in order."""

        def job(connection: apsw.Connection) -> None:
            connection.execute("DELETE FROM databases WHERE path = ?", (path,))
            connection.execute(
                "INSERT INTO databases (path, inode) VALUES (?, ?)", (path, _inode(path))
            )
            connection.execute(
                "DELETE FROM databases WHERE seq <= (SELECT max(seq) FROM databases) - ?",
                (KEPT_DATABASES,),
            )

        await self._database.write(job)

    async def close(self) -> None:
        await self._database.close()


def _inode(path: str) -> int:
    """0 for a file that is not there; as a signed number, since SQLite has no others."""
    try:
        return os.stat(path).st_ino & (2**63 - 1)
    except OSError:
        return 0


def _prepare(connection: apsw.Connection) -> None:
    def job(connection: apsw.Connection) -> None:
        connection.execute(_SCHEMA)
        connection.execute(
            "DELETE FROM runs WHERE finished = 1 AND seq <= (SELECT max(seq) FROM runs) - ?",
            (KEPT,),
        )

    in_transaction(connection, job)
