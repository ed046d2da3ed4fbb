"""Run rows. A run has ended when its `run_complete` is in the log, whatever its state says."""

import apsw

from crush.errors import ConflictError, NotFoundError
from crush.store.db import Value
from crush.wire import codec
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Run


def save(connection: apsw.Connection, run: Run, *, owner: str) -> None:
    """Insert or update; raises ConflictError for a run that has ended."""
    row = connection.execute("SELECT completed FROM py_runs WHERE id = ?", (run.id,)).fetchone()
    if row is None:
        connection.execute(
            "INSERT INTO py_runs (id, session_id, owner, body) VALUES (?, ?, ?, ?)",
            (run.id, run.session_id, owner, codec.encode(run)),
        )
    elif row[0]:
        raise ConflictError(f"run {run.id!r} has already ended")
    else:
        connection.execute("UPDATE py_runs SET body = ? WHERE id = ?", (codec.encode(run), run.id))


def set_key(connection: apsw.Connection, run_id: RunId, idempotency_key: str) -> None:
    """Remember the key under which the run was accepted; "" is none."""
    connection.execute(
        "UPDATE py_runs SET idempotency_key = ? WHERE id = ?", (idempotency_key or None, run_id)
    )


def complete(connection: apsw.Connection, run: Run) -> None:
    """Write the end of a run, once; raises ConflictError the second time."""
    connection.execute(
        "UPDATE py_runs SET completed = 1, body = ? WHERE id = ? AND completed = 0",
        (codec.encode(run), run.id),
    )
    if not connection.changes():
        raise ConflictError(f"run {run.id!r} has already ended or was never accepted")


def load(connection: apsw.Connection, run_id: RunId) -> Run:
    """Raises NotFoundError."""
    row = connection.execute("SELECT body FROM py_runs WHERE id = ?", (run_id,)).fetchone()
    if row is None:
        raise NotFoundError(f"there is no run {run_id!r}")
    return _run(row[0])


def accepted_before(connection: apsw.Connection, run_id: RunId, idempotency_key: str) -> Run | None:
    row = connection.execute(
        "SELECT body FROM py_runs WHERE idempotency_key = ? OR id = ? ORDER BY id = ? LIMIT 1",
        (idempotency_key or None, run_id, run_id),
    ).fetchone()
    return None if row is None else _run(row[0])


def of_session(connection: apsw.Connection, session_id: SessionId) -> list[Run]:
    query = "SELECT body FROM py_runs WHERE session_id = ? ORDER BY seq"
    return [_run(body) for (body,) in connection.execute(query, (session_id,))]


def unfinished(connection: apsw.Connection) -> list[Run]:
    query = "SELECT body FROM py_runs WHERE completed = 0 ORDER BY seq"
    return [_run(body) for (body,) in connection.execute(query)]


def unfinished_of(connection: apsw.Connection, session_id: SessionId) -> list[Run]:
    query = "SELECT body FROM py_runs WHERE session_id = ? AND completed = 0 ORDER BY seq"
    return [_run(body) for (body,) in connection.execute(query, (session_id,))]


def has_unfinished(connection: apsw.Connection, session_id: SessionId) -> bool:
    query = "SELECT 1 FROM py_runs WHERE session_id = ? AND completed = 0"
    return connection.execute(query, (session_id,)).fetchone() is not None


def abandoned(connection: apsw.Connection, owner: str) -> list[Run]:
    """Unfinished runs of other owners: whoever asks holds the lock, so those owners are dead."""
    query = "SELECT body FROM py_runs WHERE completed = 0 AND owner <> ? ORDER BY seq"
    return [_run(body) for (body,) in connection.execute(query, (owner,))]


def _run(body: Value) -> Run:
    return codec.decode(bytes(body) if isinstance(body, bytes) else str(body), Run)
