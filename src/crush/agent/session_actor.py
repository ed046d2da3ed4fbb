"""One session at work: a mailbox of accepted prompts, one turn at a time, one end for each run.

A cancel covers exactly what was accepted before it. A prompt that steers is taken up by the running
turn before its next step and ends with it; if no step comes, it becomes a turn of its own. The actor
is the supervisor of its turns: whatever one of them raises, its run is `failed` with one
`run_complete`, and nobody else notices.
"""

import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

import anyio
import msgspec

from crush.agent.feed import NOT_LOGGED, Feed
from crush.agent.history import user_turn
from crush.agent.journal import Journal
from crush.agent.prompted import Prompted
from crush.agent.turn import Turn, Workshop
from crush.agent.whole_messages import started_events, user_message
from crush.errors import CrushError
from crush.providers.base import UserTurn
from crush.store.change import Change
from crush.wire.events import Committed, CommittedEvent, MessageStarted, RunComplete
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Message, Run, RunError
from crush.wire.parts import FinishReason

log = logging.getLogger(__name__)

CutReason = Literal["cancelled", "interrupted"]
WORDS: dict[CutReason, str] = {
    "cancelled": "cancelled by the user",
    "interrupted": "the server was stopped",
}


class _Running:
    """The turn that has its time now, until its end is being stored."""

    def __init__(self, *, prompted: Prompted, journal: Journal) -> None:
        self.prompted = prompted
        self.journal = journal
        self.scope = anyio.CancelScope()
        self.folded: list[Run] = []
        self.cut: CutReason | None = None
        self.is_ending = False

    def run_ids(self) -> list[RunId]:
        return [self.prompted.run.id, *(run.id for run in self.folded)]


class SessionActor:
    """The worker of one session; it lives while there are prompts."""

    def __init__(self, *, session_id: SessionId, workshop: Workshop, feed: Feed) -> None:
        self.session_id = session_id
        self._workshop = workshop
        self._feed = feed
        self._mailbox: deque[Prompted] = deque()
        self._running: _Running | None = None
        self._ending = anyio.Lock()  # ends are stored in the order in which they were decided

    @property
    def is_busy(self) -> bool:
        return self._running is not None or bool(self._mailbox)

    def runs(self) -> list[RunId]:
        """Runs that have not ended."""
        running = [] if self._running is None else self._running.run_ids()
        return [*running, *(prompted.run.id for prompted in self._mailbox)]

    def queued(self) -> list[Prompted]:
        return list(self._mailbox)

    def put(self, prompted: Prompted) -> None:
        """Accept a prompt that is committed already."""
        self._mailbox.append(prompted)

    async def serve(self) -> None:
        """Work until the mailbox is empty."""
        while self._mailbox:
            await self._turn(self._mailbox.popleft())

    async def cancel(self, run_id: RunId | None = None, *, why: CutReason = "cancelled") -> bool:
        """Cut one run, or everything accepted so far. Queued prompts complete first.

        A turn that is storing its end already is over: a cancel neither changes nor outlives it.
        """
        covered = [p for p in self._mailbox if run_id in {None, p.run.id}]
        running = self._running
        cuts = (
            running is not None
            and not running.is_ending
            and (run_id is None or run_id in running.run_ids())
        )
        if running is not None and cuts:
            running.cut = why
            running.scope.cancel()
        await self._complete_unbegun(covered, why)
        return cuts or bool(covered)

    async def drop_queued(self) -> None:
        """Clear the queue; the running turn goes on."""
        await self._complete_unbegun(list(self._mailbox), "cancelled")

    async def _complete_unbegun(self, covered: Sequence[Prompted], why: CutReason) -> None:
        for prompted in covered:
            self._mailbox.remove(prompted)
        if covered:
            with anyio.CancelScope(shield=True):  # nobody else knows of them any more
                async with self._ending:
                    await self._store_end(_unbegun(covered, why))

    # -- one turn -----------------------------------------------------------------------------

    async def _turn(self, prompted: Prompted) -> None:
        journal = Journal(store=self._workshop.store, feed=self._feed, run=prompted.run)
        turn = Turn(workshop=self._workshop, journal=journal, prompted=prompted, steer=self._steer)
        running = self._running = _Running(prompted=prompted, journal=journal)
        error: RunError | None = None
        try:
            with running.scope:
                error = await self._failure_of(partial(self._work, turn, running))
            running.is_ending = True
            with anyio.CancelScope(shield=True):
                async with self._ending:
                    await self._end(turn, running, error)
        finally:
            self._running = None

    async def _work(self, turn: Turn, running: _Running) -> None:
        prompted, journal = running.prompted, running.journal
        if not prompted.stored:
            journal.add_whole(user_message(prompted.parts, prompted.run))
        started = msgspec.structs.replace(prompted.run, started_at_ms=int(time.time() * 1000))
        journal.set_run(started)
        journal.move_run("running")
        if not prompted.stored:
            await journal.flush()
        await turn.run()

    async def _failure_of(self, work: Callable[[], Awaitable[object]]) -> RunError | None:
        """Do it; what it raises, whatever it is, is the error of a run and of nobody else."""
        try:
            await work()
        except Exception as exc:
            cause = _unwrapped(exc)
            if isinstance(cause, CrushError):
                return RunError(code=cause.code, message=cause.message, hint=cause.hint)
            log.exception("session %s", self.session_id)
            return RunError(
                code="internal",
                message=f"something broke inside crush: {type(cause).__name__}: {cause}",
                hint="see `crush logs`; the session can be continued",
            )
        return None

    async def _steer(self) -> Sequence[UserTurn]:
        """Prompts that the running turn takes up now, stored behind all that was said before."""
        running = self._running
        if running is None or self._next_steering() is None:
            return ()
        await running.journal.flush()
        turns: list[UserTurn] = []
        while (prompted := self._next_steering()) is not None:
            self._mailbox.remove(prompted)
            message = user_message(prompted.parts, prompted.run)
            run = msgspec.structs.replace(prompted.run, folded_into=running.prompted.run.id)
            running.folded.append(run)
            await self._workshop.store.commit(
                Change(messages=[message], runs=[run], events=started_events(run, message)),
                publish=self._feed.publish,
            )
            if (turn := user_turn(message)) is not None:
                turns.append(turn)
        return turns

    def _next_steering(self) -> Prompted | None:
        return next((prompted for prompted in self._mailbox if prompted.steers), None)

    async def _end(self, turn: Turn, running: _Running, error: RunError | None) -> None:
        journal = running.journal
        run = journal.run
        if turn.draft is not None:
            run = msgspec.structs.replace(run, message_id=turn.draft.id)
        run = _finished(run, error) if running.cut is None else _ended(run, running.cut)
        folded = [
            msgspec.structs.replace(
                other,
                state=run.state,
                error=run.error,
                message_id=run.message_id,
                ended_at_ms=run.ended_at_ms,
            )
            for other in running.folded
        ]

        async def store() -> None:
            if running.cut is not None:
                turn.settle("canceled", message=WORDS[running.cut])
            elif error is not None:
                turn.settle(_finish_reason(error), message=error.message)
            await journal.end(run, folded)

        unstored = await self._failure_of(store)
        if unstored is not None:
            # What the turn left may be what cannot be written; its end is tried without.
            journal.abandon()
            failed = [_finished(other, unstored) for other in (*folded, run)]
            await self._store_end(Change(runs=failed, events=_completions(failed), durable=True))

    async def _store_end(self, change: Change) -> None:
        commit = partial(self._workshop.store.commit, change, publish=self._feed.publish)
        failure = await self._failure_of(commit)
        if failure is not None:
            log.error("the end of a run could not be stored: %s", failure.message)
            # Followers still get an end, which is not in the log; the next start stores one.
            self._feed.publish(
                [
                    Committed(seq=NOT_LOGGED, run_id=run_id, event=event)
                    for run_id, event in _completions(
                        [_finished(run, failure) for run in change.runs]
                    )
                ]
            )


def _unbegun(covered: Sequence[Prompted], why: CutReason) -> Change:
    """The end of prompts that never had their turn. What a stop interrupts keeps its words."""
    runs = [_ended(prompted.run, why) for prompted in covered]
    messages: list[Message] = []
    events: list[tuple[RunId, CommittedEvent]] = []
    for prompted, run in zip(covered, runs, strict=True):
        if why == "interrupted" and not prompted.stored:
            message = user_message(prompted.parts, run)
            messages.append(message)
            started = MessageStarted(session_id=run.session_id, message=message, run_id=run.id)
            events.append((run.id, started))
        events += _completions([run])
    return Change(messages=messages, runs=runs, events=events, durable=True)


def _completions(runs: Sequence[Run]) -> list[tuple[RunId, CommittedEvent]]:
    return [(run.id, RunComplete(session_id=run.session_id, run=run)) for run in runs]


def _ended(run: Run, why: CutReason) -> Run:
    return msgspec.structs.replace(
        run,
        state=why,
        error=RunError(code=why, message=WORDS[why]),
        ended_at_ms=int(time.time() * 1000),
    )


def _finished(run: Run, error: RunError | None) -> Run:
    return msgspec.structs.replace(
        run,
        state="done" if error is None else "failed",
        error=error,
        ended_at_ms=int(time.time() * 1000),
    )


def _finish_reason(error: RunError) -> FinishReason:
    return "end_turn" if error.code == "limit" else "error"


def _unwrapped(exc: BaseException) -> BaseException:
    """The one cause inside groups of one; of several, the first that users can act on."""
    while isinstance(exc, BaseExceptionGroup):
        known = [inner for inner in exc.exceptions if isinstance(inner, CrushError)]
        exc = (known or exc.exceptions)[0]
    return exc
