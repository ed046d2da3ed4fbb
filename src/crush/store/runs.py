"""Run rows. A run has ended when its `run_complete` is in the log, whatever its state says."""

from collections.abc import Iterator

import apsw
import msgspec

from crush.errors import ConflictError, NotFoundError
from crush.store.change import QueuedPrompt
from crush.wire import codec
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Run, RunState
from crush.wire.parts import Part

_SELECT = "SELECT id, session_id, completed, body FROM py_runs"


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
        "UPDATE py_runs SET completed = 1, body = ?, prompt = NULL WHERE id = ? AND completed = 0",
        (codec.encode(run), run.id),
    )
    if not connection.changes():
        raise ConflictError(f"run {run.id!r} has already ended or was never accepted")


def save_prompt(connection: apsw.Connection, prompt: QueuedPrompt) -> None:
    connection.execute(
        "UPDATE py_runs SET prompt = ? WHERE id = ?",
        (codec.encode_parts([*prompt.parts]), prompt.run_id),
    )


def prompt_of(connection: apsw.Connection, run_id: RunId) -> list[Part]:
    """The words of a run that was accepted while another had its turn; else nothing."""
    query = "SELECT prompt FROM py_runs WHERE id = ? AND prompt IS NOT NULL"
    row = connection.execute(query, (run_id,)).fetchone()
    return [] if row is None else codec.decode_parts(bytes(row[0]))


def load(connection: apsw.Connection, run_id: RunId) -> Run:
    """Raises NotFoundError."""
    for run in _read(connection.execute(_SELECT + " WHERE id = ?", (run_id,))):
        return run
    raise NotFoundError(f"there is no run {run_id!r}")


def accepted_before(connection: apsw.Connection, run_id: RunId, idempotency_key: str) -> Run | None:
    """The run of this key, else the one of this id."""
    query = _SELECT + " WHERE idempotency_key = ? OR id = ? ORDER BY id = ? LIMIT 1"
    rows = connection.execute(query, (idempotency_key or None, run_id, run_id))
    return next(_read(rows), None)


def of_session(connection: apsw.Connection, session_id: SessionId) -> list[Run]:
    query = _SELECT + " WHERE session_id = ? ORDER BY seq"
    return list(_read(connection.execute(query, (session_id,))))


def unfinished(connection: apsw.Connection) -> list[Run]:
    return list(_read(connection.execute(_SELECT + " WHERE completed = 0 ORDER BY seq")))


def unfinished_of(connection: apsw.Connection, session_id: SessionId) -> list[Run]:
    query = _SELECT + " WHERE session_id = ? AND completed = 0 ORDER BY seq"
    return list(_read(connection.execute(query, (session_id,))))


def abandoned(connection: apsw.Connection, owner: str) -> list[Run]:
    """Unfinished runs of other owners: whoever asks holds the lock, so those owners are dead."""
    query = _SELECT + " WHERE completed = 0 AND owner <> ? ORDER BY seq"
    return list(_read(connection.execute(query, (owner,))))


def _read(rows: apsw.Cursor) -> Iterator[Run]:
    for run_id, session_id, completed, body in rows:
        try:
            yield codec.decode(bytes(body), Run)
        except (msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            # A newer version wrote it, in words of its own; what it is about, the columns tell.
            state: RunState = "interrupted" if completed else "running"
            yield Run(id=RunId(str(run_id)), session_id=SessionId(str(session_id)), state=state)
