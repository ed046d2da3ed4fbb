"""Permission requests that wait for an answer, oldest first."""

import time

import apsw

from crush.store.change import Pending
from crush.wire import codec
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.permissions import PermissionRequest

_SELECT = "SELECT run_id, asked_at_ms, body FROM py_pending"


def save(connection: apsw.Connection, pending: Pending) -> None:
    request = pending.request
    connection.execute(
        "INSERT INTO py_pending (id, session_id, run_id, asked_at_ms, body) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (id) DO UPDATE SET asked_at_ms = excluded.asked_at_ms, body = excluded.body",
        (
            request.id,
            request.session_id,
            pending.run_id,
            pending.asked_at_ms or time.time_ns() // 1_000_000,
            codec.encode(request),
        ),
    )


def remove(connection: apsw.Connection, permission_id: PermissionId) -> None:
    connection.execute("DELETE FROM py_pending WHERE id = ?", (permission_id,))


def everything(connection: apsw.Connection) -> list[Pending]:
    return _read(connection.execute(_SELECT + " ORDER BY seq"))


def of_session(connection: apsw.Connection, session_id: SessionId) -> list[Pending]:
    return _read(connection.execute(_SELECT + " WHERE session_id = ? ORDER BY seq", (session_id,)))


def of_run(connection: apsw.Connection, run_id: RunId) -> list[Pending]:
    return _read(connection.execute(_SELECT + " WHERE run_id = ? ORDER BY seq", (run_id,)))


def _read(rows: apsw.Cursor) -> list[Pending]:
    return [
        Pending(
            run_id=RunId(str(run_id)),
            request=codec.decode(bytes(body), PermissionRequest),
            asked_at_ms=int(asked_at_ms),
        )
        for run_id, asked_at_ms, body in rows
    ]
