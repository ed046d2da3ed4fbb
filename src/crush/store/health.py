"""A look at a database that is not ours to open: read-only, bounded in time, next to any writer."""

import os
import time
from collections.abc import Iterator
from contextlib import closing

import apsw
from msgspec import Struct

from crush.store.failures import database_error
from crush.store.foreign import refuse_surprises

_BUSY_MS = 2000
_STEPS_BETWEEN_LOOKS = 100
_MOST_PROBLEMS = 5


class Health(Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        problems: of SQLite's quick check, a few at most.
        is_checked: the check came to its end in the time it had.
        event_bytes: size of the event log; the rest of the file are sessions, messages, indexes.
    """

    size_bytes: int
    sessions: int
    events: int
    event_bytes: int
    problems: tuple[str, ...]
    is_checked: bool


def examine(path: str, *, within_s: float) -> Health:
    """Check and measure a database. Raises StoreError if it cannot be read."""
    end = time.monotonic() + within_s
    try:
        with closing(_open(path)) as connection:
            refuse_surprises(connection, path)
            connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
            try:
                problems = tuple(_problems(connection))
                is_checked = True
            except apsw.InterruptError:
                problems, is_checked = (), False
            connection.set_progress_handler(None)
            sessions = _number(connection, "sessions", "count(*)")
            events = _number(connection, "py_events", "count(*)")
            event_bytes = _number(connection, "py_events", "coalesce(sum(length(body)), 0)")
    except apsw.Error as exc:
        raise database_error(exc, path) from exc
    return Health(
        size_bytes=_size(path) + _size(f"{path}-wal"),
        sessions=sessions,
        events=events,
        event_bytes=event_bytes,
        problems=problems,
        is_checked=is_checked,
    )


def _open(path: str) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_NOFOLLOW
    connection = apsw.Connection(os.path.realpath(path), flags=flags)
    connection.set_busy_timeout(_BUSY_MS)
    # The file may come with a repository.
    connection.config(apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0)
    connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
    return connection


def _problems(connection: apsw.Connection) -> Iterator[str]:
    for (line,) in connection.execute(f"PRAGMA quick_check({_MOST_PROBLEMS})"):
        if line != "ok":
            yield str(line)


def _number(connection: apsw.Connection, table: str, what: str) -> int:
    """One number about a table; 0 where there is none, as in a database of Crush alone."""
    if not connection.table_exists("main", table):
        return 0
    return int(connection.execute(f"SELECT {what} FROM {table}").get)  # noqa: S608 - ours


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
