"""Crush's own tables: its seven migrations and the version table of its migration tool, goose.

Facts of another program's file format (F 5.1): never edited, only extended when Crush extends them.
"""

from typing import Final

import apsw

_INITIAL = """
CREATE TABLE IF NOT EXISTS sessions (
    id TEXT PRIMARY KEY,
    parent_session_id TEXT,
    title TEXT NOT NULL,
    message_count INTEGER NOT NULL DEFAULT 0 CHECK (message_count >= 0),
    prompt_tokens INTEGER NOT NULL DEFAULT 0 CHECK (prompt_tokens >= 0),
    completion_tokens INTEGER NOT NULL DEFAULT 0 CHECK (completion_tokens >= 0),
    cost REAL NOT NULL DEFAULT 0.0 CHECK (cost >= 0.0),
    updated_at INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS files (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    path TEXT NOT NULL,
    content TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
    UNIQUE (path, session_id, version)
);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY,
    session_id TEXT NOT NULL,
    role TEXT NOT NULL,
    parts TEXT NOT NULL DEFAULT '[]',
    model TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
);
CREATE INDEX IF NOT EXISTS idx_files_session_id ON files (session_id);
CREATE INDEX IF NOT EXISTS idx_files_path ON files (path);
CREATE INDEX IF NOT EXISTS idx_messages_session_id ON messages (session_id);
CREATE TRIGGER IF NOT EXISTS update_sessions_updated_at AFTER UPDATE ON sessions BEGIN
    UPDATE sessions SET updated_at = strftime('%s', 'now') WHERE id = new.id;
END;
CREATE TRIGGER IF NOT EXISTS update_files_updated_at AFTER UPDATE ON files BEGIN
    UPDATE files SET updated_at = strftime('%s', 'now') WHERE id = new.id;
END;
CREATE TRIGGER IF NOT EXISTS update_messages_updated_at AFTER UPDATE ON messages BEGIN
    UPDATE messages SET updated_at = strftime('%s', 'now') WHERE id = new.id;
END;
CREATE TRIGGER IF NOT EXISTS update_session_message_count_on_insert
AFTER INSERT ON messages BEGIN
    UPDATE sessions SET message_count = message_count + 1 WHERE id = new.session_id;
END;
CREATE TRIGGER IF NOT EXISTS update_session_message_count_on_delete
AFTER DELETE ON messages BEGIN
    UPDATE sessions SET message_count = message_count - 1 WHERE id = old.session_id;
END;
"""

_CREATED_AT = """
CREATE INDEX IF NOT EXISTS idx_sessions_created_at ON sessions (created_at);
CREATE INDEX IF NOT EXISTS idx_messages_created_at ON messages (created_at);
CREATE INDEX IF NOT EXISTS idx_files_created_at ON files (created_at);
"""

_READ_FILES = """
CREATE TABLE IF NOT EXISTS read_files (
    session_id TEXT NOT NULL CHECK (session_id != ''),
    path TEXT NOT NULL CHECK (path != ''),
    read_at INTEGER NOT NULL,
    FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE,
    PRIMARY KEY (path, session_id)
);
CREATE INDEX IF NOT EXISTS idx_read_files_session_id ON read_files (session_id);
"""

STEPS: Final[tuple[tuple[int, str], ...]] = (
    (20250424200609, _INITIAL),
    (20250515105448, "ALTER TABLE sessions ADD COLUMN summary_message_id TEXT"),
    (20250624000000, _CREATED_AT),
    (20250627000000, "ALTER TABLE messages ADD COLUMN provider TEXT"),
    (
        20250810000000,
        "ALTER TABLE messages ADD COLUMN is_summary_message INTEGER DEFAULT 0 NOT NULL",
    ),
    (20250812000000, "ALTER TABLE sessions ADD COLUMN todos TEXT"),
    (20260127000000, _READ_FILES),
)

COLUMNS: Final[dict[str, str]] = {
    "sessions": "id parent_session_id title message_count prompt_tokens completion_tokens cost"
    " updated_at created_at summary_message_id todos",
    "messages": "id session_id role parts model created_at updated_at finished_at provider"
    " is_summary_message",
    "files": "id session_id path content version created_at updated_at",
    "read_files": "session_id path read_at",
}

# Exactly what goose writes: it reads this table before it does anything else.
GOOSE = """
CREATE TABLE goose_db_version (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    version_id INTEGER NOT NULL,
    is_applied INTEGER NOT NULL,
    tstamp TIMESTAMP DEFAULT (datetime('now'))
)
"""


def applied_versions(connection: apsw.Connection) -> frozenset[int]:
    """Versions that goose counts as applied: the last row of a version decides."""
    rows = connection.execute("SELECT version_id, is_applied FROM goose_db_version ORDER BY id")
    state = {int(version): bool(applied) for version, applied in rows}
    return frozenset(version for version, applied in state.items() if applied)


def record(connection: apsw.Connection, version: int) -> None:
    connection.execute(
        "INSERT INTO goose_db_version (version_id, is_applied) VALUES (?, 1)", (version,)
    )


def missing_columns(connection: apsw.Connection) -> list[str]:
    """What a database lacks of the columns that we read and write, as `table.column`."""
    return [
        f"{table}.{column}"
        for table, needed in COLUMNS.items()
        for column in needed.split()
        if column not in columns_of(connection, table)
    ]


def columns_of(connection: apsw.Connection, table: str) -> frozenset[str]:
    rows = connection.execute("SELECT name FROM pragma_table_info(?)", (table,))
    return frozenset(str(name) for (name,) in rows)
