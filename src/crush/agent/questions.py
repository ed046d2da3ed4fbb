"""Forms that wait for a person to fill them in: stored, told, answered once, cancelled or withdrawn."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Literal

import anyio
from msgspec import Struct

from crush.agent.feed import Feed
from crush.errors import UsageError
from crush.permissions.first_answer import FirstAnswer
from crush.store.change import Change, PendingQuestion
from crush.store.store import Store
from crush.wire.events import QuestionAsked, QuestionResolved
from crush.wire.ids import PermissionId, RunId
from crush.wire.permissions import Resolved
from crush.wire.questions import QuestionAnswer, QuestionRequest, QuestionResponse


class FormEnd(Struct, frozen=True, kw_only=True):
    """How a form ended. `by` is a client id, `timeout` or `turn` (withdrawn)."""

    outcome: Literal["answered", "cancelled", "withdrawn"]
    by: str
    responses: Sequence[QuestionResponse] = ()


_TOO_LATE = FormEnd(outcome="withdrawn", by="timeout")
_WITHDRAWN = FormEnd(outcome="withdrawn", by="turn")


class _Asked(Struct, frozen=True, kw_only=True, eq=False):
    request: QuestionRequest
    run_id: RunId
    first: FirstAnswer[FormEnd]

    def unknown(self, responses: Sequence[QuestionResponse]) -> set[str]:
        """What is answered but was not asked here."""
        return {r.request_id for r in responses} - {q.id for q in self.request.questions}


class Questions:
    """The open forms of one project, oldest first; the first answer to each one wins."""

    def __init__(self, *, store: Store, feed: Feed, answer_within_s: float) -> None:
        self._store = store
        self._feed = feed
        self._answer_within_s = answer_within_s
        self._asked: dict[str, _Asked] = {}

    async def ask(self, request: QuestionRequest, *, run_id: RunId) -> FormEnd:
        """Wait for the form to be filled in. Cancelled, or too late: it is withdrawn."""
        asked = _Asked(request=request, run_id=run_id, first=FirstAnswer(withdrawn=_WITHDRAWN))
        self._asked[request.id] = asked
        try:
            await asked.first.ask(partial(self._store_asked, asked))
            return await self._wait(asked)
        finally:
            del self._asked[request.id]

    async def _wait(self, asked: _Asked) -> FormEnd:
        try:
            with anyio.move_on_after(self._answer_within_s):
                await asked.first.wait()
            end = await self._settle(asked, _TOO_LATE)
        finally:
            # An answer that came while the turn was being cut counts: its sender was told so.
            await self._settle(asked, _WITHDRAWN)
        return end

    async def answer(self, answer: QuestionAnswer, *, by: str) -> Resolved:
        """Fill in the form that is named, else the oldest that asks what is answered.

        Raises UsageError for answers to what the named form does not ask.
        """
        form_id = answer.batch_request_id
        if form_id:
            asked = self._asked.get(form_id)
            unknown = asked.unknown(answer.responses) if asked is not None else set()
            if unknown:
                raise UsageError(f"the form does not ask {', '.join(sorted(unknown))}")
        else:
            asked = self._oldest(answer.responses)
        end = FormEnd(outcome="answered", by=by, responses=answer.responses)
        return await self._end(asked, form_id, end)

    async def cancel(self, form_id: str, *, by: str) -> Resolved:
        """The person will not answer this form; "" is the oldest."""
        asked = self._asked.get(form_id) if form_id else self._oldest(())
        return await self._end(asked, form_id, FormEnd(outcome="cancelled", by=by))

    def _oldest(self, responses: Sequence[QuestionResponse]) -> _Asked | None:
        """An answer to an older form, which is over, is not one to the next."""
        return next(
            (
                asked
                for asked in self._asked.values()
                if asked.first.is_awaited and not asked.unknown(responses)
            ),
            None,
        )

    async def _end(self, asked: _Asked | None, form_id: str, end: FormEnd) -> Resolved:
        if asked is None:
            return _told(await self._store.ended.form(PermissionId(form_id)), resolved=False)
        counted = await self._settle(asked, end)
        return _told(counted, resolved=counted is end)

    async def _settle(self, asked: _Asked, end: FormEnd) -> FormEnd:
        return await asked.first.settle(end, partial(self._store_end, asked, end))

    async def _store_asked(self, asked: _Asked) -> None:
        request, run_id = asked.request, asked.run_id
        event = QuestionAsked(session_id=request.session_id, request=request, run_id=run_id)
        pending = PendingQuestion(
            run_id=run_id, request=request, asked_at_ms=int(time.time() * 1000)
        )
        change = Change(questions=[pending], events=[(run_id, event)], durable=True)
        await self._store.commit(change, publish=self._feed.publish)

    async def _store_end(self, asked: _Asked, end: FormEnd) -> None:
        request, run_id = asked.request, asked.run_id
        event = QuestionResolved(
            session_id=request.session_id,
            question_id=request.id,
            outcome=end.outcome,
            by=end.by,
            responses=list(end.responses),
            run_id=run_id,
        )
        change = Change(answered=[request.id], events=[(run_id, event)], durable=True)
        await self._store.commit(change, publish=self._feed.publish)


def _told(counted: FormEnd | QuestionResolved | None, *, resolved: bool) -> Resolved:
    if counted is None:
        return Resolved(resolved=False)
    return Resolved(resolved=resolved, outcome=counted.outcome, by=counted.by)
