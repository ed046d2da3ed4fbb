"""Pending permission requests as state: asked, listed, answered once, or withdrawn.

The broker holds the waiting calls of one project and what was allowed for the rest of a session.
It decides nothing: rules do, people do. Storage and events are behind `PendingStore`.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

import anyio
import anyio.to_thread
from msgspec import Struct

from crush.errors import StoreError, UsageError
from crush.permissions.first_answer import FirstAnswer
from crush.permissions.rules import Need
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.permissions import GrantAction, Outcome, PermissionRequest, Resolved

log = logging.getLogger(__name__)

# Whether what was granted to the session would let a need pass. Blocks.
Covers = Callable[[Need, Sequence[str]], bool]
# Keeps rules for good, and who granted them; when it returns they are on the disk.
Remember = Callable[[Sequence[str], str], Awaitable[None]]

_NeedKey = tuple[SessionId, str, str, str, str]
_LASTING = frozenset[Outcome]({"allow_session", "allow_always"})


class Answer(Struct, frozen=True, kw_only=True):
    """How a request ended: who said what. `by` is a client id, `timeout` or `turn` (withdrawn).

    `rules` are remembered from now on.
    """

    outcome: Outcome
    by: str
    feedback: str = ""
    rules: tuple[str, ...] = ()


_TOO_LATE = Answer(outcome="deny", by="timeout")
_WITHDRAWN = Answer(outcome="withdrawn", by="turn")


class PendingStore(Protocol):
    """Where requests are kept and published; what is told is committed."""

    async def asked(self, request: PermissionRequest, run_id: RunId) -> None:
        """The request waits from now on."""

    async def resolved(self, request: PermissionRequest, run_id: RunId, answer: Answer) -> None:
        """The request waits no more."""

    async def ended(self, request_id: PermissionId) -> Answer | None:
        """How a request ended that waits no more; None if it is not known."""


class _Asked(Struct, frozen=True, kw_only=True, eq=False):
    request: PermissionRequest
    needs: Sequence[Need]
    run_id: RunId
    covers: Covers
    remember: Remember
    first: FirstAnswer[Answer]

    def keys(self) -> Iterator[_NeedKey]:
        return (_need_key(self.request.session_id, need) for need in self.needs)


class Broker:
    """The open requests of one project; the first answer to each one wins."""

    def __init__(self, *, pending: PendingStore, answer_within_s: float) -> None:
        self._pending = pending
        self._answer_within_s = answer_within_s
        self._asked: dict[PermissionId, _Asked] = {}
        self._needs: set[_NeedKey] = set()
        self._grants: dict[SessionId, list[Answer]] = {}

    def remembered(self, session_id: SessionId, need: Need) -> bool:
        """Whether exactly this was allowed for the rest of the session."""
        return _need_key(session_id, need) in self._needs

    def session_rules(self, session_id: SessionId) -> Sequence[str]:
        """What was allowed for the rest of the session, as rules."""
        grants = self._grants.get(session_id, ())
        return list(dict.fromkeys(rule for grant in grants for rule in grant.rules))

    async def ask(
        self,
        request: PermissionRequest,
        needs: Sequence[Need],
        *,
        run_id: RunId,
        covers: Covers,
        remember: Remember,
    ) -> Answer:
        """Wait for an answer to all these needs. Cancelled: the request is withdrawn. Too late: denied.

        `covers` and `remember` are those of the run: rules mean what they mean in its directory.
        """
        asked = _Asked(
            request=request,
            needs=needs,
            run_id=run_id,
            covers=covers,
            remember=remember,
            first=FirstAnswer(withdrawn=_WITHDRAWN),
        )
        self._asked[request.id] = asked
        try:
            await asked.first.ask(partial(self._pending.asked, request, run_id))
            return await self._wait(asked)
        finally:
            del self._asked[request.id]

    async def _wait(self, asked: _Asked) -> Answer:
        try:
            # What was granted between the judgement and the question is not in the judgement.
            if grants := self._grants.get(asked.request.session_id):
                await self._end_if_covered(asked, grants[-1])
            with anyio.move_on_after(self._answer_within_s):
                await asked.first.wait()
            answer = await self._settle(asked, _TOO_LATE)
        finally:
            # An answer that came while the turn was being cut counts: its sender was told so.
            await self._settle(asked, _WITHDRAWN)
        return answer

    async def answer(
        self,
        request_id: PermissionId,
        action: GrantAction,
        *,
        by: str,
        feedback: str = "",
        rules: Sequence[str] | None = None,
    ) -> Resolved:
        """Give an answer, and learn whether it was the first.

        `rules` is the offer to remember, the narrowest one if None. Raises UsageError for one that
        was not made, StoreError if it could not be kept; the request then goes on waiting.
        """
        asked = self._asked.get(request_id)
        if asked is None:
            return _told(await self._pending.ended(request_id), resolved=False)
        chosen = _chosen(asked.request, action, rules)
        answer = Answer(outcome=action, by=by, feedback=feedback, rules=chosen)
        counted = await asked.first.settle(answer, partial(self._grant, asked, answer))
        if counted is answer and action in _LASTING:
            await self._end_covered(asked.request.session_id, answer)
        return _told(counted, resolved=counted is answer)

    async def _grant(self, asked: _Asked, answer: Answer) -> None:
        if answer.outcome == "allow_always":
            await asked.remember(answer.rules, answer.by)
        await self._pending.resolved(asked.request, asked.run_id, answer)
        if answer.outcome in _LASTING:
            self._grants.setdefault(asked.request.session_id, []).append(answer)
            if not answer.rules:
                self._needs.update(asked.keys())

    async def _settle(self, asked: _Asked, answer: Answer) -> Answer:
        commit = partial(self._pending.resolved, asked.request, asked.run_id, answer)
        return await asked.first.settle(answer, commit)

    async def _end_covered(self, session_id: SessionId, grant: Answer) -> None:
        """End what else waits in the session and would not be asked now."""
        for other in list(self._asked.values()):
            if other.request.session_id == session_id:
                try:
                    await self._end_if_covered(other, grant)
                except StoreError as exc:  # it goes on waiting; the answer to the first one stands
                    log.warning("a request that is granted could not be ended: %s", exc)

    async def _end_if_covered(self, asked: _Asked, grant: Answer) -> None:
        if not asked.first.is_awaited:
            return
        rules = self.session_rules(asked.request.session_id)
        pairs = zip(asked.keys(), asked.needs, strict=True)
        left = [need for key, need in pairs if key not in self._needs]
        if not left or (
            rules
            and await anyio.to_thread.run_sync(
                lambda: all(asked.covers(need, rules) for need in left)
            )
        ):
            await self._settle(asked, grant)


def _chosen(
    request: PermissionRequest, action: GrantAction, rules: Sequence[str] | None
) -> tuple[str, ...]:
    """The rules that an answer makes us remember. Raises UsageError."""
    if action not in _LASTING:
        if rules is not None:
            raise UsageError(f"{action!r} remembers nothing: leave out `rules`")
        return ()
    offers = request.offers
    if rules is None:
        if not offers and action == "allow_always":
            raise UsageError("this can only be allowed once or for the session")
        return tuple(offers[0]) if offers else ()
    if list(rules) not in offers:
        raise UsageError(
            f"{list(rules)!r} is not among the offers of this request",
            hint="send back one of them to the letter, or leave out `rules` for the narrowest",
        )
    return tuple(rules)


def _told(counted: Answer | None, *, resolved: bool) -> Resolved:
    if counted is None:
        return Resolved(resolved=False)
    return Resolved(
        resolved=resolved, outcome=counted.outcome, by=counted.by, rules=list(counted.rules)
    )


def _need_key(session_id: SessionId, need: Need) -> _NeedKey:
    return (session_id, need.tool, need.action, need.target, need.directory)
