"""Versions of files that tools changed, in Crush's `files` table.

Ours beside it says whose run wrote each, whether it stands for no file, whether it is still kept.

Under the quota, old content makes room for new: first of sessions that are over, what lies between
the first and the last version of a file before these. The first and the last version of a file in
a session that is going on stay; then the new content is what is not kept, and its event says so.
"""

import hashlib
import logging
import time
import uuid
from collections.abc import Iterator

import apsw
from msgspec import Struct

from crush.errors import NotFoundError
from crush.store.change import FileEdit, Limits
from crush.store.db import Database
from crush.wire.events import FileChanged
from crush.wire.files import FileVersion
from crush.wire.ids import SessionId

_log = logging.getLogger(__name__)

# What one version may remove to make room: a transaction stays short.
_STEP_BYTES = 16 * 1024 * 1024
_STEP_ROWS = 256

_SELECT = "SELECT id, session_id, path, content, version, created_at, updated_at FROM files"
_TOTAL = "SELECT coalesce(sum(octet_length(content)), 0) FROM files"
_LAST = """
SELECT version, digest FROM (
    SELECT version, digest FROM py_file_versions WHERE path = ?1 AND session_id = ?2
    UNION ALL
    SELECT version, NULL FROM files WHERE path = ?1 AND session_id = ?2
) ORDER BY version DESC, digest IS NULL LIMIT 1
"""
_REMOVABLE = """
SELECT f.id, f.session_id, f.path, f.version, octet_length(f.content),
       f.session_id = ? OR EXISTS (
           SELECT 1 FROM py_runs r WHERE r.session_id = f.session_id AND r.completed = 0) AS live,
       f.version IN (e.first, e.last) AS at_end
FROM files f JOIN (
    SELECT session_id, path, min(version) AS first, max(version) AS last
    FROM files GROUP BY path, session_id
) e ON e.path = f.path AND e.session_id = f.session_id
WHERE NOT (live AND at_end)
ORDER BY live, at_end, f.created_at, f.rowid LIMIT ?
"""


class _Content(Struct, frozen=True):
    """What a file held; `text` None for no file."""

    text: str | None
    size: int
    digest: str


class Versions:
    """Writes versions and keeps them under the quota; lives in the writer's thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._total: int | None = None  # bytes of all content; more than there is, after deletions

    def save(self, connection: apsw.Connection, edit: FileEdit) -> list[FileChanged]:
        """What the edit adds to the history, a version each."""
        return [
            self._save(connection, edit, version, content)
            for version, content in _new_versions(connection, edit)
        ]

    def _save(
        self, connection: apsw.Connection, edit: FileEdit, version: int, content: _Content
    ) -> FileChanged:
        kept = content.size <= self._limits.file_bytes and self._make_room(
            connection, content.size, edit.session_id
        )
        key, now = str(uuid.uuid4()), int(time.time())
        if kept:
            connection.execute(
                "INSERT INTO files (id, session_id, path, content, version, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (key, edit.session_id, edit.path, content.text or "", version, now, now),
            )
            self._total = (self._total or 0) + content.size
        connection.execute(
            "INSERT INTO py_file_versions"
            " (session_id, path, version, run_id, digest, absent, kept) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                edit.session_id,
                edit.path,
                version,
                edit.run_id,
                content.digest,
                content.text is None,
                kept,
            ),
        )
        record = FileVersion(
            id=key if kept else "",
            session_id=edit.session_id,
            path=edit.path,
            content="",
            version=version,
            created_at=now,
            updated_at=now,
        )
        return FileChanged(session_id=edit.session_id, file=record, kept=kept, run_id=edit.run_id)

    def _make_room(self, connection: apsw.Connection, size: int, session_id: SessionId) -> bool:
        """Whether there is room for so many bytes, after old versions went if need be."""
        limit = self._limits.files_bytes
        if self._total is None or self._total + size > limit:
            self._total = total_bytes(connection)  # another program writes and deletes too
        over = self._total + size - limit
        if over <= 0:
            return True
        freed = _remove_oldest(connection, min(over, max(size, _STEP_BYTES)), session_id)
        self._total -= freed
        return freed >= min(over, size)


def _new_versions(connection: apsw.Connection, edit: FileEdit) -> list[tuple[int, _Content]]:
    before, after = _content(edit.before), _content(edit.after)
    last = connection.execute(_LAST, (edit.path, edit.session_id)).fetchone()
    if last is None:
        return [(0, before), (1, after)]
    version, digest = int(last[0]), last[1]
    if digest == before.digest or (
        digest is None and _text_of(connection, edit, version) == (edit.before or "")
    ):
        return [(version + 1, after)]
    return [(version + 1, before), (version + 2, after)]


def _content(text: str | None) -> _Content:
    if text is None:
        return _Content(None, 0, "")
    data = text.encode()
    return _Content(text, len(data), hashlib.sha256(data).hexdigest())


def _text_of(connection: apsw.Connection, edit: FileEdit, version: int) -> str:
    """Of a version that another program wrote."""
    ((content,),) = connection.execute(
        "SELECT content FROM files WHERE path = ? AND session_id = ? AND version = ?",
        (edit.path, edit.session_id, version),
    )
    return str(content)


def _remove_oldest(connection: apsw.Connection, size: int, session_id: SessionId) -> int:
    """Remove what is needed least, until so many bytes are free; how many are."""
    freed = 0
    rows = connection.execute(_REMOVABLE, (session_id, _STEP_ROWS)).fetchall()
    for key, owner, path, version, length, *_ in rows:
        if freed >= size:
            break
        connection.execute("DELETE FROM files WHERE id = ?", (key,))
        connection.execute(
            "UPDATE py_file_versions SET kept = 0"
            " WHERE path = ? AND session_id = ? AND version = ?",
            (path, owner, version),
        )
        freed += int(length or 0)
    if freed:
        _log.info("the quota of file versions is used up: %d bytes of old ones removed", freed)
    return freed


def total_bytes(connection: apsw.Connection) -> int:
    ((total,),) = connection.execute(_TOTAL)
    return int(total)


class FileHistory:
    """What the store knows of files: their versions, and which of them a session read or wrote."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def versions(self, session_id: SessionId) -> list[FileVersion]:
        """Those whose content is kept: by version, then age, all files mixed."""
        query = _SELECT + " WHERE session_id = ? ORDER BY version, created_at, rowid"
        return await self._database.read(lambda c: list(_read(c.execute(query, (session_id,)))))

    async def version(self, key: str) -> FileVersion:
        """Raises NotFoundError, also for one that made room for others."""

        def job(connection: apsw.Connection) -> FileVersion:
            for found in _read(connection.execute(_SELECT + " WHERE id = ?", (key,))):
                return found
            raise NotFoundError(f"there is no file version {key!r}")

        return await self._database.read(job)

    async def tracked(self, session_id: SessionId) -> list[str]:
        """Paths that the session read or wrote, the latest first."""
        query = (
            "SELECT r.path FROM read_files r LEFT JOIN py_read_digests d"
            " ON d.session_id = r.session_id AND d.path = r.path"
            " WHERE r.session_id = ? ORDER BY r.read_at DESC, d.rowid DESC"
        )
        return await self._database.read(
            lambda c: [str(path) for (path,) in c.execute(query, (session_id,))]
        )

    async def last_read(self, session_id: SessionId, path: str) -> int:
        """When the session last read or wrote the file, in seconds; 0 for never."""
        query = "SELECT read_at FROM read_files WHERE session_id = ? AND path = ?"

        def job(connection: apsw.Connection) -> int:
            row = connection.execute(query, (session_id, path)).fetchone()
            return 0 if row is None else int(row[0])

        return await self._database.read(job)

    async def total_bytes(self) -> int:
        """Of the content of all versions."""
        return await self._database.read(total_bytes)


def _read(rows: apsw.Cursor) -> Iterator[FileVersion]:
    for key, session_id, path, content, version, created_at, updated_at in rows:
        yield FileVersion(
            id=str(key),
            session_id=SessionId(str(session_id)),
            path=str(path),
            content=content
            if isinstance(content, str)
            else bytes(content).decode(errors="replace"),
            version=int(version),
            created_at=int(created_at),
            updated_at=int(updated_at),
        )
