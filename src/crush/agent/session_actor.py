"""One session at work: a mailbox of accepted prompts, one turn at a time, one end for each run.

A cancel covers exactly what was accepted before it. A prompt that steers is taken up by the running
turn before its next step and ends with it; if no step comes, it becomes a turn of its own. The actor
is the supervisor of its turns: whatever one of them raises, its run is `failed` with one
`run_complete`, and nobody else notices.
"""

import logging
import time
from collections import deque
from collections.abc import Sequence
from typing import Literal

import anyio
import msgspec

from crush.agent.feed import Feed
from crush.agent.history import user_turn
from crush.agent.journal import Journal
from crush.agent.prompted import Prompted
from crush.agent.turn import Turn, Workshop
from crush.agent.whole_messages import started_events, user_message
from crush.errors import CrushError
from crush.providers.base import UserTurn
from crush.store.change import Change
from crush.wire.events import Committed, RunComplete
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Run, RunError
from crush.wire.parts import FinishReason

log = logging.getLogger(__name__)

CutReason = Literal["cancelled", "interrupted"]
WORDS: dict[CutReason, str] = {
    "cancelled": "cancelled by the user",
    "interrupted": "the server was stopped",
}


class SessionActor:
    """The worker of one session; it lives while there are prompts."""

    def __init__(self, *, session_id: SessionId, workshop: Workshop, feed: Feed) -> None:
        self.session_id = session_id
        self._workshop = workshop
        self._feed = feed
        self._mailbox: deque[Prompted] = deque()
        self._current: Prompted | None = None
        self._folded: list[Run] = []
        self._scope: anyio.CancelScope | None = None
        self._cut: CutReason | None = None

    @property
    def is_busy(self) -> bool:
        return self._current is not None or bool(self._mailbox)

    def runs(self) -> list[RunId]:
        """Runs that have not ended."""
        current = [] if self._current is None else [self._current.run.id]
        folded = [run.id for run in self._folded]
        return [*current, *folded, *(prompted.run.id for prompted in self._mailbox)]

    def queued(self) -> list[Prompted]:
        return list(self._mailbox)

    def put(self, prompted: Prompted) -> None:
        """Accept a prompt that is committed already."""
        self._mailbox.append(prompted)

    async def serve(self) -> None:
        """Work until the mailbox is empty."""
        while self._mailbox:
            self._current = self._mailbox.popleft()
            try:
                await self._turn(self._current)
            finally:
                self._current = None

    async def cancel(self, run_id: RunId | None = None, *, why: CutReason = "cancelled") -> bool:
        """Cut one run, or everything accepted so far. Queued prompts complete first."""
        covered = [p for p in self._mailbox if run_id is None or p.run.id == run_id]
        for prompted in covered:
            self._mailbox.remove(prompted)
        running = self._current is not None and (
            run_id is None
            or self._current.run.id == run_id
            or any(run.id == run_id for run in self._folded)
        )
        if running:
            self._cut = why
            if self._scope is not None:
                self._scope.cancel()
        for prompted in covered:
            await self._complete_unbegun(prompted, why)
        return running or bool(covered)

    async def drop_queued(self) -> None:
        """Clear the queue; the running turn goes on."""
        covered = list(self._mailbox)
        self._mailbox.clear()
        for prompted in covered:
            await self._complete_unbegun(prompted, "cancelled")

    async def _complete_unbegun(self, prompted: Prompted, why: CutReason) -> None:
        run = _ended(prompted.run, why)
        event = RunComplete(session_id=run.session_id, run=run)
        await self._commit_end(Change(runs=[run], events=[(run.id, event)], durable=True))

    # -- one turn -----------------------------------------------------------------------------

    async def _turn(self, prompted: Prompted) -> None:
        journal = Journal(store=self._workshop.store, feed=self._feed, run=prompted.run)
        turn = Turn(workshop=self._workshop, journal=journal, prompted=prompted, steer=self._steer)
        self._folded = []
        error: RunError | None = None
        with anyio.CancelScope() as self._scope:
            if self._cut is not None:
                self._scope.cancel()
            error = await self._supervise(turn, journal, prompted)
        cut, self._cut, self._scope = self._cut, None, None
        with anyio.CancelScope(shield=True):
            await self._end(turn, journal, cut, error)

    async def _supervise(self, turn: Turn, journal: Journal, prompted: Prompted) -> RunError | None:
        """Run the turn; what it raises becomes the error of its run."""
        try:
            await self._begin(journal, prompted)
            await turn.run()
        except Exception as exc:
            cause = _unwrapped(exc)
            if isinstance(cause, CrushError):
                return RunError(code=cause.code, message=cause.message, hint=cause.hint)
            log.exception("run %s failed", prompted.run.id)
            return RunError(
                code="internal",
                message=f"something broke inside crush: {type(cause).__name__}: {cause}",
                hint="see `crush logs`; the session can be continued",
            )
        return None

    async def _begin(self, journal: Journal, prompted: Prompted) -> None:
        if not prompted.stored:
            journal.add_whole(user_message(prompted.parts, prompted.run))
        started = msgspec.structs.replace(prompted.run, started_at_ms=int(time.time() * 1000))
        journal.set_run(started)
        journal.move_run("running")
        if not prompted.stored:
            await journal.flush()

    async def _steer(self) -> Sequence[UserTurn]:
        """Prompts that the running turn takes up now."""
        taken = [prompted for prompted in self._mailbox if prompted.steers]
        if not taken or self._current is None:
            return ()
        turns: list[UserTurn] = []
        for prompted in taken:
            self._mailbox.remove(prompted)
            message = user_message(prompted.parts, prompted.run)
            run = msgspec.structs.replace(prompted.run, folded_into=self._current.run.id)
            self._folded.append(run)
            committed = await self._workshop.store.commit(
                Change(messages=[message], runs=[run], events=started_events(run, message))
            )
            self._feed.publish(committed)
            if (turn := user_turn(message)) is not None:
                turns.append(turn)
        return turns

    async def _end(
        self, turn: Turn, journal: Journal, cut: CutReason | None, error: RunError | None
    ) -> None:
        run = journal.run
        draft = turn.draft
        if draft is not None:
            run = msgspec.structs.replace(run, message_id=draft.id)
        if cut is not None:
            run = _ended(run, cut)
            turn.settle("canceled", message=WORDS[cut])
        elif error is not None:
            run = msgspec.structs.replace(run, state="failed", error=error)
            turn.settle(_finish_reason(error), message=error.message)
        else:
            run = msgspec.structs.replace(run, state="done")
        run = msgspec.structs.replace(run, ended_at_ms=int(time.time() * 1000))
        folded = [
            msgspec.structs.replace(
                other,
                state=run.state,
                error=run.error,
                message_id=run.message_id,
                ended_at_ms=run.ended_at_ms,
            )
            for other in self._folded
        ]
        self._folded = []
        try:
            await journal.end(run, folded)
        except CrushError as exc:
            log.exception("the end of run %s could not be stored", run.id)
            self._tell_unstored(
                [*folded, msgspec.structs.replace(run, state="failed", error=_run_error(exc))]
            )

    async def _commit_end(self, change: Change) -> None:
        try:
            self._feed.publish(await self._workshop.store.commit(change))
        except CrushError as exc:
            log.exception("the end of a run could not be stored")
            self._tell_unstored(
                [
                    msgspec.structs.replace(run, state="failed", error=_run_error(exc))
                    for run in change.runs
                ]
            )

    def _tell_unstored(self, runs: Sequence[Run]) -> None:
        """The disk failed: followers still get an end; the next start stores one."""
        self._feed.publish(
            [
                Committed(
                    seq=self._feed.last_seq,
                    run_id=run.id,
                    event=RunComplete(session_id=run.session_id, run=run),
                )
                for run in runs
            ]
        )


def _ended(run: Run, why: CutReason) -> Run:
    return msgspec.structs.replace(
        run,
        state=why,
        error=RunError(code=why, message=WORDS[why]),
        ended_at_ms=int(time.time() * 1000),
    )


def _run_error(exc: CrushError) -> RunError:
    return RunError(code=exc.code, message=exc.message, hint=exc.hint)


def _finish_reason(error: RunError) -> FinishReason:
    return "end_turn" if error.code == "limit" else "error"


def _unwrapped(exc: BaseException) -> BaseException:
    """The one cause inside groups of one; of several, the first that users can act on."""
    while isinstance(exc, BaseExceptionGroup):
        known = [inner for inner in exc.exceptions if isinstance(inner, CrushError)]
        exc = (known or exc.exceptions)[0]
    return exc
