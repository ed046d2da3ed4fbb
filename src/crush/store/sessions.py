"""Session rows. `message_count` belongs to the triggers; the newest is told by sequence, not time."""

import time
from collections.abc import Iterator, Sequence

import apsw
import msgspec

from crush.errors import NotFoundError
from crush.store.change import SessionUsage, TodoList
from crush.store.db import Value
from crush.store.short_id import short_id
from crush.wire import codec
from crush.wire.ids import SessionId
from crush.wire.messages import Session, Todo

_SELECT = """
SELECT s.id, s.parent_session_id, s.title, s.message_count, s.prompt_tokens, s.completion_tokens,
       s.summary_message_id, s.cost, s.todos, s.created_at, s.updated_at
FROM sessions s JOIN py_session_order o ON o.session_id = s.id
"""
_TOP_LEVEL = " WHERE coalesce(s.parent_session_id, '') = '' ORDER BY o.seq DESC"

_UPSERT = """
INSERT INTO sessions (id, parent_session_id, title, prompt_tokens, completion_tokens,
                      summary_message_id, cost, todos, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    parent_session_id = excluded.parent_session_id, title = excluded.title,
    prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens,
    summary_message_id = excluded.summary_message_id, cost = excluded.cost,
    todos = excluded.todos, updated_at = excluded.updated_at
"""


def save(connection: apsw.Connection, session: Session) -> bool:
    """Insert or update; whether it is new."""
    known = connection.execute("SELECT 1 FROM sessions WHERE id = ?", (session.id,)).fetchone()
    now = int(time.time())
    connection.execute(
        _UPSERT,
        (
            session.id,
            session.parent_session_id or None,
            session.title,
            session.prompt_tokens,
            session.completion_tokens,
            session.summary_message_id or None,
            session.cost,
            _todos_text(session.todos),
            session.created_at or now,
            session.updated_at or now,
        ),
    )
    return known is None


def add_usage(connection: apsw.Connection, usage: SessionUsage) -> bool:
    """Count one request to the model; False if the session is gone."""
    connection.execute(
        "UPDATE sessions SET prompt_tokens = ?, completion_tokens = ?, cost = cost + ? WHERE id = ?",
        (usage.prompt_tokens, usage.completion_tokens, usage.cost, usage.session_id),
    )
    return connection.changes() > 0


def set_todos(connection: apsw.Connection, listed: TodoList) -> bool:
    """Replace the todo list; False if the session is gone."""
    connection.execute(
        "UPDATE sessions SET todos = ? WHERE id = ?",
        (_todos_text(listed.todos), listed.session_id),
    )
    return connection.changes() > 0


def load(connection: apsw.Connection, session_id: SessionId) -> Session:
    """Raises NotFoundError."""
    for session in _read(connection.execute(_SELECT + " WHERE s.id = ?", (session_id,))):
        return session
    raise NotFoundError(f"there is no session {session_id!r}")


def newest(connection: apsw.Connection, limit: int) -> list[Session]:
    """Sessions that are nobody's sub-agent, the last written first. A negative limit is none."""
    return list(_read(connection.execute(_SELECT + _TOP_LEVEL + " LIMIT ?", (limit,))))


def find(connection: apsw.Connection, reference: str) -> list[Session]:
    """The session with this id, else the top-level ones whose short id begins with it."""
    if exact := list(_read(connection.execute(_SELECT + " WHERE s.id = ?", (reference,)))):
        return exact
    prefix = reference.lower()
    if not prefix:
        return []
    every = newest(connection, -1)
    return [session for session in every if short_id(session.id).startswith(prefix)]


def family(connection: apsw.Connection, session_id: SessionId) -> list[SessionId]:
    """The session and the sessions of its sub-agents, at any depth."""
    rows = connection.execute(
        "WITH RECURSIVE family (id) AS (VALUES (?) UNION"
        " SELECT s.id FROM sessions s JOIN family f ON s.parent_session_id = f.id)"
        " SELECT id FROM family",
        (session_id,),
    )
    return [SessionId(str(key)) for (key,) in rows]


def delete(connection: apsw.Connection, session_id: SessionId) -> None:
    """Remove the row; everything that refers to it cascades."""
    connection.execute("DELETE FROM sessions WHERE id = ?", (session_id,))


def _read(rows: apsw.Cursor) -> Iterator[Session]:
    for row in rows:
        (key, parent, title, count, prompt, completion, summary, cost, todos, created, updated) = (
            row
        )
        yield Session(
            id=SessionId(str(key)),
            parent_session_id=str(parent or ""),
            title=str(title),
            message_count=_int(count),
            prompt_tokens=_int(prompt),
            completion_tokens=_int(completion),
            summary_message_id=str(summary or ""),
            cost=float(cost or 0.0) if isinstance(cost, int | float) else 0.0,
            todos=_todos(todos),
            created_at=_int(created),
            updated_at=_int(updated),
        )


def _int(value: Value) -> int:
    return int(value) if isinstance(value, int | float) else 0


def _todos_text(todos: Sequence[Todo] | None) -> str | None:
    return codec.encode(todos).decode() if todos else None


def _todos(text: Value) -> list[Todo] | None:
    """Another program's todo list may have a shape of its own: then there is none."""
    if not isinstance(text, str) or not text:
        return None
    try:
        return codec.decode(text, list[Todo]) or None
    except msgspec.DecodeError:
        return None
