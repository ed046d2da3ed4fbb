"""Pending permission requests as state: asked, listed, answered once, or withdrawn.

The broker holds the waiting calls of one project and what was allowed for the rest of a session.
It decides nothing: rules do, people do. Storage and events are behind `PendingStore`.
"""

from collections.abc import Sequence
from typing import Protocol

import anyio
from msgspec import Struct

from crush.permissions.rules import Need
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.permissions import GrantAction, Outcome, PermissionRequest

_GrantKey = tuple[SessionId, str, str, str, str]


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
        self.grant = _grant_key(request.session_id, need)
        self.answer: Answer | None = None
        self.done = anyio.Event()

    def end(self, answer: Answer) -> Answer:
        """The first answer; later ones change nothing."""
        if self.answer is None:
            self.answer = answer
            self.done.set()
        return self.answer


class Broker:
    """The open requests of one project; the first answer to each one wins."""

    def __init__(self, *, pending: PendingStore, answer_within_s: float) -> None:
        self._pending = pending
        self._answer_within_s = answer_within_s
        self._waiting: dict[PermissionId, _Waiting] = {}
        self._granted: set[_GrantKey] = set()

    def remembered(self, session_id: SessionId, need: Need) -> bool:
        """Whether exactly this was allowed for the rest of the session."""
        return _grant_key(session_id, need) in self._granted

    def session_rules(self, session_id: SessionId) -> Sequence[str]:
        """What was allowed for the rest of the session, as rules."""
        del session_id
        return ()

    async def ask(self, request: PermissionRequest, need: Need, *, run_id: RunId) -> Answer:
        """Wait for an answer. Cancelled: the request is withdrawn. Too late: denied."""
        waiting = _Waiting(request, need)
        self._waiting[request.id] = waiting
        try:
            await self._pending.asked(request, run_id)
            with anyio.move_on_after(self._answer_within_s):
                await waiting.done.wait()
            waiting.end(Answer(outcome="deny", by="timeout"))
        finally:
            # An answer that came while the turn was being cut counts: its sender was told so.
            answer = waiting.end(Answer(outcome="withdrawn", by="turn"))
            del self._waiting[request.id]
            with anyio.CancelScope(shield=True):  # as long as the store takes
                await self._pending.resolved(request, run_id, answer)
        return answer

    def answer(
        self, request_id: PermissionId, action: GrantAction, *, by: str, feedback: str = ""
    ) -> bool:
        """Give an answer; False if the request is unknown, answered or withdrawn."""
        waiting = self._waiting.get(request_id)
        if waiting is None or waiting.answer is not None:
            return False
        answer = waiting.end(Answer(outcome=action, by=by, feedback=feedback))
        if action == "allow_session":
            self._granted.add(waiting.grant)
            for other in self._waiting.values():
                if other.grant == waiting.grant:  # asked for the same, at the same time
                    other.end(answer)
        return True


def _grant_key(session_id: SessionId, need: Need) -> _GrantKey:
    return (session_id, need.tool, need.action, need.target, need.directory)
