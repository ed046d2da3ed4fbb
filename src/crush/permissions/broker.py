"""Pending permission requests as state: asked, listed, answered once, or withdrawn.

The broker holds the waiting calls of one project and what was allowed for the rest of a session.
It decides nothing: rules do, people do. Storage and events are behind `PendingStore`.
"""

from typing import Protocol

import anyio
from msgspec import Struct

from crush.permissions.rules import Need
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.permissions import GrantAction, Outcome, PermissionRequest

# A person may be at lunch; a process may not wait for ever.
ANSWER_WITHIN_S = 30 * 60.0


class Answer(Struct, frozen=True, kw_only=True):
    """How a request ended: who said what. `by` is a client id, `timeout` or `turn` (withdrawn)."""

    outcome: Outcome
    by: str
    feedback: str = ""


class PendingStore(Protocol):
    """Where requests are kept and published; both calls commit before they return."""

    async def asked(self, request: PermissionRequest, run_id: RunId) -> None:
        """The request waits from now on."""

    async def resolved(self, request: PermissionRequest, run_id: RunId, answer: Answer) -> None:
        """The request waits no more."""


class _Waiting:
    def __init__(self, request: PermissionRequest, need: Need) -> None:
        self.request = request
        self.need = need
        self.answer: Answer | None = None
        self.done = anyio.Event()


class Broker:
    """The open requests of one project; the first answer to each one wins."""

    def __init__(self, *, pending: PendingStore) -> None:
        self._pending = pending
        self._waiting: dict[PermissionId, _Waiting] = {}
        self._granted: set[tuple[SessionId, str, str, str]] = set()

    def remembered(self, session_id: SessionId, need: Need) -> bool:
        """Whether exactly this was allowed for the rest of the session."""
        return _grant_key(session_id, need) in self._granted

    def open_requests(self) -> list[PermissionRequest]:
        return [waiting.request for waiting in self._waiting.values()]

    async def ask(self, request: PermissionRequest, need: Need, *, run_id: RunId) -> Answer:
        """Wait for an answer. Cancelled: the request is withdrawn. Too late: denied."""
        waiting = _Waiting(request, need)
        self._waiting[request.id] = waiting
        answer = Answer(outcome="withdrawn", by="turn")
        try:
            await self._pending.asked(request, run_id)
            with anyio.move_on_after(ANSWER_WITHIN_S):
                await waiting.done.wait()
            answer = waiting.answer or Answer(outcome="deny", by="timeout")
        finally:
            del self._waiting[request.id]
            with anyio.CancelScope(shield=True, deadline=anyio.current_time() + 5):
                await self._pending.resolved(request, run_id, answer)
        return answer

    def answer(
        self, request_id: PermissionId, action: GrantAction, *, by: str, feedback: str = ""
    ) -> bool:
        """Give an answer; False if the request is unknown, answered or withdrawn."""
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer is not None:
            return False
        waiting.answer = Answer(outcome=action, by=by, feedback=feedback)
        if action == "allow_session":
            self._granted.add(_grant_key(waiting.request.session_id, waiting.need))
        waiting.done.set()
        return True

    def allow_all(self, session_id: SessionId | None, *, by: str) -> None:
        """Answer everything that waits: the user switched permission prompts off."""
        for waiting in list(self._waiting.values()):
            if session_id is None or waiting.request.session_id == session_id:
                self.answer(waiting.request.id, "allow", by=by)


def _grant_key(session_id: SessionId, need: Need) -> tuple[SessionId, str, str, str]:
    return (session_id, need.tool, need.action, need.target)
