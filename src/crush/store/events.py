"""The log of committed events: appended in order, read after a cursor, pruned at a cap.

Events of unfinished runs are never pruned. What was pruned is remembered, so that a reader whose
cursor is too old is told so instead of getting a log with a hole.
"""

from collections.abc import Iterator
from contextlib import suppress

import apsw
import msgspec

from crush.store.change import Limits
from crush.wire import codec
from crush.wire.events import Committed, CommittedEvent, Delta, ToolOutput
from crush.wire.ids import RunId, SessionId

CHECK_EVERY = 256  # appended events between two looks at the size of the log
BATCH = 500  # events pruned in one transaction: a few milliseconds

_SELECT = "SELECT seq, run_id, body FROM py_events"


def append(connection: apsw.Connection, run_id: RunId, event: CommittedEvent) -> Committed:
    connection.execute(
        "INSERT INTO py_events (run_id, session_id, type, body) VALUES (?, ?, ?, ?)",
        (run_id, event.session_id, event.__struct_config__.tag, codec.encode(event)),
    )
    return Committed(seq=connection.last_insert_rowid(), run_id=run_id, event=event)


def last_seq(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'py_events'").fetchone()
    return 0 if row is None else int(row[0])


def after(
    connection: apsw.Connection, seq: int, *, session_id: SessionId | None, limit: int
) -> list[Committed] | None:
    """Events behind the cursor, at most `limit`; None if some of them were pruned."""
    if not pruned_through(connection) <= seq <= last_seq(connection):
        return None
    query = _SELECT + " WHERE seq > ? AND (? IS NULL OR session_id = ?) ORDER BY seq LIMIT ?"
    return list(_read(connection.execute(query, (seq, session_id, session_id, limit))))


def of_run(
    connection: apsw.Connection, run_id: RunId, *, after_seq: int, limit: int
) -> list[Committed] | None:
    """A run's events behind the cursor, at most `limit`; None if some of them were pruned."""
    row = connection.execute(
        "SELECT pruned_through FROM py_runs WHERE id = ?", (run_id,)
    ).fetchone()
    if row is not None and after_seq < row[0]:
        return None
    query = _SELECT + " WHERE run_id = ? AND run_id <> '' AND seq > ? ORDER BY seq LIMIT ?"
    return list(_read(connection.execute(query, (run_id, after_seq, limit))))


def pruned_through(connection: apsw.Connection) -> int:
    row = connection.execute("SELECT value FROM py_meta WHERE key = 'pruned_through'").fetchone()
    return 0 if row is None else int(row[0])


def delete_of_session(connection: apsw.Connection, session_id: SessionId) -> None:
    connection.execute("DELETE FROM py_events WHERE session_id = ?", (session_id,))


class Pruner:
    """Keeps the log under its cap; lives in the writer's thread."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._since_check = 0

    def appended(self, connection: apsw.Connection, count: int) -> None:
        """Count what a transaction appended and, now and then, let it prune a batch as well."""
        self._since_check += count
        if self._since_check >= CHECK_EVERY:
            self._since_check = 0
            self._prune(connection)

    def _prune(self, connection: apsw.Connection) -> None:
        sizes = [int(size) for (size,) in connection.execute("SELECT length(body) FROM py_events")]
        over_count = len(sizes) - self._limits.events
        over_bytes = sum(sizes) - self._limits.event_bytes
        if over_count > 0 or over_bytes > 0:
            _remove_oldest(connection, over_count, over_bytes)


def _remove_oldest(connection: apsw.Connection, over_count: int, over_bytes: int) -> None:
    rows = connection.execute(
        "SELECT e.seq, length(e.body) FROM py_events e WHERE NOT EXISTS"
        " (SELECT 1 FROM py_runs r WHERE r.id = e.run_id AND r.completed = 0)"
        " ORDER BY e.seq LIMIT ?",
        (BATCH,),
    )
    last = 0
    for seq, size in rows:
        if over_count <= 0 and over_bytes <= 0:
            break
        over_count -= 1
        over_bytes -= int(size)
        last = int(seq)
    if last:
        _delete_through(connection, last)


def _delete_through(connection: apsw.Connection, last: int) -> None:
    connection.execute(
        "UPDATE py_runs SET pruned_through = ? WHERE completed = 1 AND id IN"
        " (SELECT run_id FROM py_events WHERE seq <= ?)",
        (last, last),
    )
    connection.execute(
        "DELETE FROM py_events WHERE seq <= ? AND NOT EXISTS"
        " (SELECT 1 FROM py_runs r WHERE r.id = run_id AND r.completed = 0)",
        (last,),
    )
    connection.execute(
        "INSERT INTO py_meta (key, value) VALUES ('pruned_through', ?)"
        " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (str(last),),
    )


def _read(rows: apsw.Cursor) -> Iterator[Committed]:
    """Events that a newer version wrote in a way of its own are passed over, as unknown ones are."""
    for seq, run_id, body in rows:
        with suppress(msgspec.MsgspecError, TypeError, ValueError, RecursionError):
            event = codec.decode_event(bytes(body))
            if event is not None and not isinstance(event, Delta | ToolOutput):
                yield Committed(seq=int(seq), run_id=RunId(str(run_id)), event=event)
