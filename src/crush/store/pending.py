"""What waits for a person's answer, oldest first: permission requests and forms, a table each."""

import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

import apsw

from crush.store.change import Pending, PendingQuestion
from crush.store.db import Value
from crush.wire import codec
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.permissions import PermissionRequest
from crush.wire.questions import QuestionRequest

W = TypeVar("W", bound=Pending | PendingQuestion)

_SAVE = """
INSERT INTO py_pending (id, session_id, run_id, asked_at_ms, body) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET asked_at_ms = excluded.asked_at_ms, body = excluded.body
"""
_REMOVE = "DELETE FROM py_pending WHERE id = ?"
_SELECT = "SELECT run_id, asked_at_ms, body FROM py_pending"


class Waiting(Generic[W]):
    """A table shaped as `py_pending` is; `read` makes a record of a row."""

    def __init__(self, table: str, *, read: Callable[[RunId, int, bytes], W]) -> None:
        self._save, self._remove, self._select = (
            sql.replace("py_pending", table) for sql in (_SAVE, _REMOVE, _SELECT)
        )
        self._read = read

    def save(self, connection: apsw.Connection, waiting: W) -> None:
        request = waiting.request
        connection.execute(
            self._save,
            (
                request.id,
                request.session_id,
                waiting.run_id,
                waiting.asked_at_ms or time.time_ns() // 1_000_000,
                codec.encode(request),
            ),
        )

    def remove(self, connection: apsw.Connection, key: PermissionId) -> None:
        connection.execute(self._remove, (key,))

    def everything(self, connection: apsw.Connection) -> list[W]:
        return self._records(connection, "", ())

    def of_session(self, connection: apsw.Connection, session_id: SessionId) -> list[W]:
        return self._records(connection, " WHERE session_id = ?", (session_id,))

    def of_run(self, connection: apsw.Connection, run_id: RunId) -> list[W]:
        return self._records(connection, " WHERE run_id = ?", (run_id,))

    def _records(
        self, connection: apsw.Connection, where: str, values: tuple[Value, ...]
    ) -> list[W]:
        rows = connection.execute(f"{self._select}{where} ORDER BY seq", values)
        return [
            self._read(RunId(str(run_id)), int(asked_at_ms), bytes(body))
            for run_id, asked_at_ms, body in rows
        ]


def _permission(run_id: RunId, asked_at_ms: int, body: bytes) -> Pending:
    request = codec.decode(body, PermissionRequest)
    return Pending(run_id=run_id, request=request, asked_at_ms=asked_at_ms)


def _question(run_id: RunId, asked_at_ms: int, body: bytes) -> PendingQuestion:
    request = codec.decode(body, QuestionRequest)
    return PendingQuestion(run_id=run_id, request=request, asked_at_ms=asked_at_ms)


PERMISSIONS: Final = Waiting("py_pending", read=_permission)
QUESTIONS: Final = Waiting("py_questions", read=_question)
