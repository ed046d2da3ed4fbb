"""Permission requests as stored and published state (`permissions.broker.PendingStore`)."""

import time

from crush.agent.feed import Feed
from crush.permissions.broker import Answer
from crush.store.change import Change, Pending
from crush.store.store import Store
from crush.wire.events import PermissionAsked, PermissionResolved
from crush.wire.ids import PermissionId, RunId
from crush.wire.permissions import PermissionRequest


class StoredPending:
    """Writes to one project's store, then tells its feed."""

    def __init__(self, *, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed

    async def asked(self, request: PermissionRequest, run_id: RunId) -> None:
        event = PermissionAsked(session_id=request.session_id, request=request, run_id=run_id)
        pending = Pending(run_id=run_id, request=request, asked_at_ms=int(time.time() * 1000))
        change = Change(asked=[pending], events=[(run_id, event)], durable=True)
        await self._store.commit(change, publish=self._feed.publish)

    async def resolved(self, request: PermissionRequest, run_id: RunId, answer: Answer) -> None:
        event = PermissionResolved(
            session_id=request.session_id,
            permission_id=request.id,
            tool_call_id=request.tool_call_id,
            tool_name=request.tool_name,
            outcome=answer.outcome,
            by=answer.by,
            what=request.description,
            rules=list(answer.rules),
            run_id=run_id,
        )
        change = Change(answered=[request.id], events=[(run_id, event)], durable=True)
        await self._store.commit(change, publish=self._feed.publish)

    async def ended(self, request_id: PermissionId) -> Answer | None:
        event = await self._store.ended.permission(request_id)
        if event is None:
            return None
        return Answer(outcome=event.outcome, by=event.by, rules=tuple(event.rules))
