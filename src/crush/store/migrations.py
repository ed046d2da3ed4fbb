"""Brings a database of any age up to date: Crush's steps (`crush_schema`), then ours, numbered.

Everything happens in one transaction, after a backup when there was something to lose. Migrations
are additive and never edited once released; each leaves its record with its work.
"""

import os
import re
import secrets
from collections.abc import Callable
from typing import Final

import apsw

from crush.errors import StoreError
from crush.store import crush_schema
from crush.store.backup import back_up
from crush.store.db import in_transaction

# Plain SQL without newer syntax: old tools that open the file parse this schema too.
# A trigger's body avoids OR IGNORE and OR REPLACE, which the statement that fires it would override.
# Idempotent, since a later Crush that rebuilds a table drops the triggers on it.
_ORDER = """
CREATE TABLE IF NOT EXISTS py_message_order (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    message_id TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS py_message_order_insert AFTER INSERT ON messages BEGIN
    INSERT INTO py_message_order (message_id) SELECT new.id
    WHERE NOT EXISTS (SELECT 1 FROM py_message_order WHERE message_id = new.id);
END;
CREATE TRIGGER IF NOT EXISTS py_message_order_delete AFTER DELETE ON messages BEGIN
    DELETE FROM py_message_order WHERE message_id = old.id;
END;
INSERT INTO py_message_order (message_id) SELECT id FROM messages
WHERE id NOT IN (SELECT message_id FROM py_message_order) ORDER BY created_at, rowid;

CREATE TABLE IF NOT EXISTS py_session_order (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL UNIQUE
);
CREATE TRIGGER IF NOT EXISTS py_session_order_insert AFTER INSERT ON sessions BEGIN
    DELETE FROM py_session_order WHERE session_id = new.id;
    INSERT INTO py_session_order (session_id) VALUES (new.id);
END;
CREATE TRIGGER IF NOT EXISTS py_session_order_update AFTER UPDATE ON sessions BEGIN
    DELETE FROM py_session_order WHERE session_id = new.id;
    INSERT INTO py_session_order (session_id) VALUES (new.id);
END;
CREATE TRIGGER IF NOT EXISTS py_session_order_delete AFTER DELETE ON sessions BEGIN
    DELETE FROM py_session_order WHERE session_id = old.id;
END;
INSERT INTO py_session_order (session_id) SELECT id FROM sessions
WHERE id NOT IN (SELECT session_id FROM py_session_order) ORDER BY updated_at, rowid;
"""
_ORDER_TRIGGERS = 5

_M001 = """
CREATE TABLE py_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE py_runs (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    owner TEXT NOT NULL,
    idempotency_key TEXT UNIQUE,
    completed INTEGER NOT NULL DEFAULT 0,
    pruned_through INTEGER NOT NULL DEFAULT 0,
    body BLOB NOT NULL,
    prompt BLOB
);
CREATE INDEX py_runs_session ON py_runs (session_id);
CREATE INDEX py_runs_unfinished ON py_runs (id) WHERE completed = 0;

CREATE TABLE py_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    run_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    type TEXT NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX py_events_run ON py_events (run_id) WHERE run_id <> '';
CREATE UNIQUE INDEX py_events_one_end ON py_events (run_id) WHERE type = 'run_complete';

CREATE TABLE py_pending (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    run_id TEXT NOT NULL,
    asked_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX py_pending_session ON py_pending (session_id);

CREATE TABLE py_read_digests (
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (session_id, path)
);
"""


_M002 = """
CREATE TABLE py_questions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    run_id TEXT NOT NULL,
    asked_at_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);
CREATE INDEX py_questions_session ON py_questions (session_id);

CREATE TABLE py_file_versions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    session_id TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    path TEXT NOT NULL,
    version INTEGER NOT NULL,
    run_id TEXT NOT NULL,
    digest TEXT NOT NULL,
    absent INTEGER NOT NULL,
    kept INTEGER NOT NULL,
    UNIQUE (path, session_id, version)
);
CREATE INDEX py_file_versions_session ON py_file_versions (session_id);
"""


def m001_runs_events_and_order(connection: apsw.Connection) -> None:
    connection.execute(_ORDER)
    connection.execute(_M001)


def m002_questions_and_file_versions(connection: apsw.Connection) -> None:
    connection.execute(_M002)


MIGRATIONS: Final[tuple[Callable[[apsw.Connection], None], ...]] = (
    m001_runs_events_and_order,
    m002_questions_and_file_versions,
)

_PY_MIGRATIONS = """
CREATE TABLE IF NOT EXISTS py_migrations (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    applied_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now'))
)
"""


def bring_up(connection: apsw.Connection, path: str, *, backups: int) -> str:
    """Migrate, after a backup if the file held data; the epoch of its event log.

    Raises StoreError for a database of another program or of a Crush whose tables we cannot use.
    """
    tables = _tables(connection)
    if tables and "goose_db_version" not in tables:
        raise StoreError(
            f"{path}: this is a database of another program",
            hint="Move the file away, or set `options.data_directory` to another place.",
        )
    if tables and not _is_current(connection, tables):
        back_up(connection, path, keep=backups)
    return in_transaction(connection, lambda c: _bring_up(c, path))


def _is_current(connection: apsw.Connection, tables: frozenset[str]) -> bool:
    if not tables or "py_migrations" not in tables:
        return False
    steps = {version for version, _ in crush_schema.STEPS}
    return steps <= crush_schema.applied_versions(connection) and _our_version(connection) >= len(
        MIGRATIONS
    )


def _bring_up(connection: apsw.Connection, path: str) -> str:
    if not _is_current(connection, _tables(connection)):
        _migrate(connection)
    _refuse_other_tables(connection, path)
    _mend_order(connection)
    return _epoch(connection, path)


def _migrate(connection: apsw.Connection) -> None:
    if not _tables(connection):
        connection.execute(crush_schema.GOOSE)
        crush_schema.record(connection, 0)
    applied = crush_schema.applied_versions(connection)
    for version, sql in crush_schema.STEPS:
        if version not in applied:
            connection.execute(sql)
            crush_schema.record(connection, version)
    connection.execute(_PY_MIGRATIONS)
    done = _our_version(connection)
    for number, migrate in enumerate(MIGRATIONS[done:], start=done + 1):
        migrate(connection)
        connection.execute(
            "INSERT INTO py_migrations (number, name) VALUES (?, ?)", (number, migrate.__name__)
        )


def _refuse_other_tables(connection: apsw.Connection, path: str) -> None:
    """A version that we do not know may have changed tables that we use."""
    known = {0, *(version for version, _ in crush_schema.STEPS)}
    if crush_schema.applied_versions(connection) <= known:
        return
    if missing := crush_schema.missing_columns(connection):
        raise StoreError(
            f"{path}: written by a Crush whose tables differ: no {', '.join(missing)}",
            hint="Update pycrush, or set `options.data_directory` to another place.",
        )


def _mend_order(connection: apsw.Connection) -> None:
    ((count,),) = connection.execute(
        "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name GLOB 'py_*_order_*'"
    )
    if count != _ORDER_TRIGGERS:
        connection.execute(_ORDER)


def _our_version(connection: apsw.Connection) -> int:
    ((number,),) = connection.execute("SELECT coalesce(max(number), 0) FROM py_migrations")
    return int(number)


def _tables(connection: apsw.Connection) -> frozenset[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~'"
    )
    return frozenset(str(name) for (name,) in rows)


def _epoch(connection: apsw.Connection, path: str) -> str:
    """The log's random id; a new one when this is not the file that the log was written to.

    A copy put back in the place of the database would otherwise count on from its old sequence
    number under the same epoch, and a client's cursor would point at other events.
    """
    inode = str(os.stat(path).st_ino)
    rows = connection.execute("SELECT key, value FROM py_meta WHERE key IN ('epoch', 'inode')")
    meta = {str(key): str(value) for key, value in rows}
    # It becomes part of every cursor: one that is not of our making may hold anything.
    if meta.get("inode") == inode and re.fullmatch("[0-9a-f]{16}", meta.get("epoch", "")):
        return meta["epoch"]
    epoch = secrets.token_hex(8)
    for pair in (("epoch", epoch), ("inode", inode)):
        connection.execute("INSERT OR REPLACE INTO py_meta (key, value) VALUES (?, ?)", pair)
    return epoch
