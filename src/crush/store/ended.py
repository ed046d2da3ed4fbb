"""How requests to a person ended, from the log of events: for answers that come too late."""

import apsw

from crush.store.db import Database
from crush.wire import codec
from crush.wire.events import PermissionResolved, QuestionResolved
from crush.wire.ids import PermissionId

# Nothing has to be kept for it: the log is walked, a few milliseconds at its cap.
_MENTIONED = """
SELECT body FROM py_events
WHERE type IN ('permission_resolved', 'question_resolved') AND instr(body, ?)
"""


class EndedRequests:
    """Permission requests and forms that wait no more, for as long as the log goes back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def permission(self, key: PermissionId) -> PermissionResolved | None:
        for event in await self._mentioned(key):
            if isinstance(event, PermissionResolved) and event.permission_id == key:
                return event
        return None

    async def form(self, key: PermissionId) -> QuestionResolved | None:
        for event in await self._mentioned(key):
            if isinstance(event, QuestionResolved) and event.question_id == key:
                return event
        return None

    async def _mentioned(self, key: str) -> list[PermissionResolved | QuestionResolved]:
        if not key:
            return []

        def look(connection: apsw.Connection) -> list[PermissionResolved | QuestionResolved]:
            rows = connection.execute(_MENTIONED, (codec.encode(key)[1:-1],))
            events = [codec.decode_event(bytes(body)) for (body,) in rows]
            return [e for e in events if isinstance(e, PermissionResolved | QuestionResolved)]

        return await self._database.read(look)
