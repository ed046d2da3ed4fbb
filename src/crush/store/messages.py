"""Message rows in the order of their insertion, whoever inserted them."""

import time
from collections.abc import Iterable

import apsw
import msgspec

from crush.store.db import Value
from crush.wire import codec
from crush.wire.ids import MessageId, SessionId
from crush.wire.messages import Message
from crush.wire.parts import FinishPart, Opaque, OpaquePart, Part

_SELECT = """
SELECT m.id, m.session_id, m.role, m.parts, m.model, m.provider, m.created_at, m.updated_at,
       m.is_summary_message
FROM messages m JOIN py_message_order o ON o.message_id = m.id
"""

_UPSERT = """
INSERT INTO messages (id, session_id, role, parts, model, provider, created_at, updated_at,
                      finished_at, is_summary_message)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
    parts = excluded.parts, model = excluded.model, provider = excluded.provider,
    updated_at = excluded.updated_at, finished_at = excluded.finished_at,
    is_summary_message = excluded.is_summary_message
"""


def save(connection: apsw.Connection, message: Message) -> None:
    now = int(time.time())
    updated_at = message.updated_at or now
    connection.execute(
        _UPSERT,
        (
            message.id,
            message.session_id,
            message.role,
            codec.encode_parts(message.parts).decode(),
            message.model or None,
            message.provider or None,
            message.created_at or now,
            updated_at,
            _finished_at(message, updated_at),
            int(message.is_summary_message),
        ),
    )


def of_session(connection: apsw.Connection, session_id: SessionId) -> list[Message]:
    query = _SELECT + " WHERE m.session_id = ? ORDER BY o.seq"
    return [_message(row) for row in connection.execute(query, (session_id,))]


def with_ids(connection: apsw.Connection, ids: Iterable[MessageId]) -> list[Message]:
    """Those of `ids` that exist, in the order of `ids`."""
    query = _SELECT + " WHERE m.id = ?"
    return [_message(row) for key in ids for row in connection.execute(query, (key,))]


def _finished_at(message: Message, updated_at: int) -> int | None:
    for part in message.parts:
        if isinstance(part, FinishPart):
            return part.data.time or updated_at
    return None


def _message(row: tuple[Value, ...]) -> Message:
    key, session_id, role, parts, model, provider, created_at, updated_at, is_summary = row
    return Message(
        id=MessageId(str(key)),
        session_id=SessionId(str(session_id)),
        role=str(role),
        parts=_parts(parts),
        model=str(model or ""),
        provider=str(provider or ""),
        created_at=int(created_at) if isinstance(created_at, int | float) else 0,
        updated_at=int(updated_at) if isinstance(updated_at, int | float) else 0,
        is_summary_message=bool(is_summary),
    )


def _parts(stored: Value) -> list[Part]:
    """A row that is no JSON at all becomes one opaque part: one bad row must not hide the rest."""
    if not isinstance(stored, str | bytes):
        return []
    try:
        return codec.decode_parts(stored)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        text = stored if isinstance(stored, str) else stored.decode(errors="replace")
        return [OpaquePart(Opaque(type="", data=msgspec.Raw(codec.encode(text))))]
