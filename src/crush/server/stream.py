"""Event streams: what a reader missed from the store, then live, without gap or repeat.

Both formats share one pump: committed events in order, then what has grown, merged to at most one
frame per part per 33 ms or 512 code points. Format 2 is written here; the classic one in `classic`.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

import anyio
from aiohttp import web

from crush.agent.feed import NOT_LOGGED, Piece, Queued, Subscription
from crush.agent.project import Project
from crush.server.frames import HEARTBEAT, Framer
from crush.server.output import SSE_HEADERS, Output, ReaderGone, hangup_of
from crush.server.replay import LogPrunedError, Replay
from crush.wire.events import Committed, RunComplete
from crush.wire.ids import RunId
from crush.wire.messages import ENDED, Run

FRAME_EVERY_S = 0.033
HEARTBEAT_S = 15.0


class Format(Protocol):
    """How events become bytes; `b""` for what a format does not show, or not yet.

    `hurries`: much new text is told before its time has come.
    """

    heartbeat: bytes
    hurries: bool

    async def committed(self, queued: Queued) -> bytes: ...

    def grown(self, piece: Piece) -> bytes: ...

    def rest(self) -> bytes:
        """What was put off; called at the end of everything that is due."""

    def lost(self) -> bytes: ...


class ResumableFormat:
    """Format 2."""

    heartbeat = HEARTBEAT
    hurries = True

    def __init__(self, framer: Framer) -> None:
        self._framer = framer

    async def committed(self, queued: Queued) -> bytes:
        return self._framer.committed(queued.item)

    def grown(self, piece: Piece) -> bytes:
        return self._framer.piece(piece)

    def rest(self) -> bytes:
        return b""

    def lost(self) -> bytes:
        return self._framer.resync()


class Pump:
    """Moves one subscription's news to one output."""

    def __init__(
        self, *, subscription: Subscription, output: Output, form: Format, seen: int
    ) -> None:
        self._subscription = subscription
        self._output = output
        self._format = form
        self._seen = seen

    async def run(self, *, until: RunId | None) -> None:
        """Until that run is complete, the feed closes or the reader is lost. Raises ReaderGone."""
        subscription = self._subscription
        while True:
            subscription.rearm()
            data, is_over = await self._drain(until)
            if subscription.lost:
                await self._output.write_last(self._format.lost())
                raise ReaderGone
            if data:
                await self._output.write(data)
            if is_over or (subscription.closed and not subscription.queue):
                return
            await self._wait(wrote=bool(data))

    async def _wait(self, *, wrote: bool) -> None:
        subscription = self._subscription
        if wrote:
            with anyio.move_on_after(FRAME_EVERY_S):
                await (
                    subscription.urgent.wait() if self._format.hurries else anyio.sleep_forever()
                )
        while not subscription.changed.is_set():
            with anyio.move_on_after(HEARTBEAT_S):
                await subscription.changed.wait()
            if not subscription.changed.is_set() and self._format.heartbeat:
                await self._output.write(self._format.heartbeat)

    async def _drain(self, until: RunId | None) -> tuple[bytes, bool]:
        """Everything that is due, as one write; whether the awaited end was in it."""
        subscription = self._subscription
        frames: list[bytes] = []
        is_over = False
        while subscription.queue:
            queued = subscription.queue.popleft()
            seq = queued.item.seq
            is_news = seq > self._seen or seq == NOT_LOGGED  # not part of the replay
            if queued.text is not None:
                if is_news and (rest := subscription.rest_of(queued.text)):
                    frames.append(self._format.grown(rest))
                subscription.ended(queued.text)
            if is_news:
                self._seen = max(self._seen, seq)
                frames.append(await self._format.committed(queued))
            event = queued.item.event
            if isinstance(event, RunComplete) and event.run.id == until:
                is_over = True
        frames += map(self._format.grown, subscription.pieces())
        frames.append(self._format.rest())
        return b"".join(frames), is_over


class RunStream:
    """The stream of one run to its `run_complete`: from a cursor in the store, then live."""

    def __init__(self, *, project: Project, run: Run, subscription: Subscription) -> None:
        self._project = project
        self._run = run
        self._subscription = subscription

    async def answer(self, request: web.Request, *, after: int | None) -> web.StreamResponse:
        """Stream until the end or the hang-up; complete when it returns. `after` None: live only."""
        response = web.StreamResponse(headers={**SSE_HEADERS, "Crush-Run-Id": self._run.id})
        return await stream_to(request, response, lambda output: self._stream(output, after))

    async def _stream(self, output: Output, after: int | None) -> None:
        framer = Framer(self._project.feed.epoch, after=max(after or 0, 0))
        seen = 0
        if after is not None:
            store, run_id = self._project.store, self._run.id
            replay = Replay(
                store=store,
                framer=framer,
                read=lambda place: store.events_of_run(run_id, place),
                until=run_id,
            )
            try:
                seen = await replay.run(output, after=after)
            except LogPrunedError:
                await output.write(framer.resync() + await self._known_end(framer))
                return
            if replay.is_over:
                return
        pump = Pump(
            subscription=self._subscription,
            output=output,
            form=ResumableFormat(framer),
            seen=seen,
        )
        await pump.run(until=self._run.id)

    async def _known_end(self, framer: Framer) -> bytes:
        """The end of a run whose events are gone, so that nobody waits for it."""
        run = await self._project.store.run(self._run.id)
        if run.state not in ENDED:
            return b""
        event = RunComplete(session_id=run.session_id, run=run)
        return framer.committed(Committed(seq=NOT_LOGGED, run_id=run.id, event=event))


async def stream_to(
    request: web.Request,
    response: web.StreamResponse,
    write: Callable[[Output], Awaitable[None]],
) -> web.StreamResponse:
    """Let `write` stream until it is done or the client hangs up; the end is a clean one.

    The request's body must have been read.
    """
    output = Output(request, response)
    with hangup_of(request) as lost, suppress(ReaderGone):
        if lost.is_set():
            return response
        await output.begin()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_end_on, lost, tasks.cancel_scope)
            with suppress(ReaderGone):
                await write(output)
                await output.finish()
            tasks.cancel_scope.cancel()
    return response


async def _end_on(lost: anyio.Event, scope: anyio.CancelScope) -> None:
    await lost.wait()
    scope.cancel()
