"""What each session has read: Crush's `read_files` row and, beside it, our digest of the content."""

import time

import apsw

from crush.store.change import FileRead
from crush.wire.ids import SessionId


def save(connection: apsw.Connection, read: FileRead) -> None:
    connection.execute(
        "INSERT INTO read_files (session_id, path, read_at) VALUES (?, ?, ?)"
        " ON CONFLICT (path, session_id) DO UPDATE SET read_at = excluded.read_at",
        (read.session_id, read.path, read.read_at or int(time.time())),
    )
    connection.execute(
        # Replaced, not updated: the new rowid tells which of a second's reads was the last.
        "INSERT OR REPLACE INTO py_read_digests (session_id, path, digest) VALUES (?, ?, ?)",
        (read.session_id, read.path, read.digest),
    )


def of_session(connection: apsw.Connection, session_id: SessionId) -> list[FileRead]:
    rows = connection.execute(
        "SELECT r.path, coalesce(d.digest, ''), r.read_at FROM read_files r"
        " LEFT JOIN py_read_digests d ON d.session_id = r.session_id AND d.path = r.path"
        " WHERE r.session_id = ? ORDER BY r.path",
        (session_id,),
    )
    return [
        FileRead(session_id=session_id, path=str(path), digest=str(digest), read_at=int(read_at))
        for path, digest, read_at in rows
    ]
