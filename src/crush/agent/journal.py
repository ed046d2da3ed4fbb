"""The journal of one turn: what it produced is committed soon and published after its commit.

Writers call synchronous methods; one flusher task commits. Structure (a call, a result, the end of a
part) is committed as soon as the writer is free; growing text is on disk at the latest 250 ms after
it arrived. What a failed commit would have written is kept for the next one.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import msgspec
from msgspec import Struct

from crush.agent.feed import Feed, GrowingText, LiveMessage
from crush.agent.noted import Noted, Notes
from crush.store.change import Change
from crush.store.store import Store
from crush.wire.events import (
    Committed,
    CommittedEvent,
    MessageStarted,
    RunComplete,
    RunUpdated,
)
from crush.wire.ids import MessageId
from crush.wire.messages import Message, Run, RunState

ON_DISK_WITHIN_S = 0.25


class _Batch(Struct, frozen=True, kw_only=True):
    """What one commit takes; it leaves the journal only once it is committed."""

    events: Sequence[tuple[CommittedEvent, GrowingText | None]]
    messages: Mapping[MessageId, Message]
    notes: Notes
    run: Run
    growth: int
    opened: Sequence[LiveMessage]
    closed: Sequence[MessageId]


class Journal:
    """Collects the changes of one turn. `run` is the run of the turn, kept current."""

    def __init__(self, *, store: Store, feed: Feed, run: Run) -> None:
        self._store = store
        self.feed = feed
        self.run = run
        self.noted = Noted()
        self._stored_run = run
        self._live: LiveMessage | None = None
        self._growth = 0  # pieces of text so far
        self._stored_growth = 0
        self._told = 0  # events published so far
        self._hidden: list[tuple[int, GrowingText]] = []  # shown when so many events are told
        self._events: list[tuple[CommittedEvent, GrowingText | None]] = []
        self._messages: dict[MessageId, Message] = {}  # in the order in which they began
        self._opened: list[LiveMessage] = []
        self._closed: list[MessageId] = []
        self._wake = anyio.Event()
        self._lock = anyio.Lock()

    def note(self, event: CommittedEvent, closes: GrowingText | None = None) -> None:
        """Commit this event with the next flush; `closes` is the text that it ends."""
        self._events.append((event, closes))
        self._wake.set()

    def add_whole(self, message: Message) -> None:
        """Store and announce a message that comes whole."""
        self._messages[message.id] = message
        self.note(
            MessageStarted(session_id=message.session_id, message=message, run_id=self.run.id)
        )

    def set_run(self, run: Run) -> None:
        """The run changed in a way that followers need not see at once."""
        self.run = run

    def move_run(self, state: RunState) -> None:
        """The run moved on: stored and told."""
        self.set_run(msgspec.structs.replace(self.run, state=state))
        self.note(RunUpdated(session_id=self.run.session_id, run=self.run))

    # -- text that grows ----------------------------------------------------------------------

    def open(self, live: LiveMessage) -> None:
        """A message begins; it is stored with every flush until it is closed."""
        self._live = live
        self._opened.append(live)
        self._messages[live.header.id] = live.header  # keeps its place before its results

    def close(self) -> None:
        """The open message is complete, or given up."""
        if self._live is not None:
            message = self._live.snapshot()
            self._messages[message.id] = message
            self._closed.append(message.id)
        self._live = None

    def begin(self, text: GrowingText) -> None:
        """A text begins; readers get it once all that was noted before it is told."""
        if self._events:
            self._hidden.append((self._told + len(self._events), text))
        else:
            self.feed.show(text)

    def grow(self, text: GrowingText, piece: str) -> None:
        """More of a text of the open message."""
        self._growth += 1
        self.feed.grow(text, piece)

    def drop(self, text: GrowingText) -> None:
        """A text that ended before it could be shown."""
        self._hidden = [item for item in self._hidden if item[1] is not text]

    # -- commits ------------------------------------------------------------------------------

    async def keep_flushing(self) -> None:
        """Commit what there is, for as long as the turn lives."""
        while True:
            with anyio.move_on_after(ON_DISK_WITHIN_S):
                await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Commit and publish everything so far."""
        async with self._lock:
            await self._commit(ended=())

    async def end(self, run: Run, folded: Sequence[Run]) -> None:
        """Commit the end of the run, and of those that it took up, with everything that is left.

        One durable transaction; `run_complete` of the folded ones comes first.
        """
        self.set_run(run)
        async with self._lock:
            await self._commit(ended=[*folded, run])

    def abandon(self) -> None:
        """The end could not be stored: nothing of this turn grows any more."""
        for live in (*self._opened, *([self._live] if self._live else ())):
            self.feed.close_message(live.header.id)
        for message_id in self._closed:
            self.feed.close_message(message_id)

    async def _commit(self, *, ended: Sequence[Run]) -> None:
        batch = self._batch()
        run_changed = batch.run is not self._stored_run
        if not (run_changed or batch.events or batch.messages or batch.notes):
            return
        change = Change(
            messages=[*batch.messages.values()],
            runs=ended or ([batch.run] if run_changed else []),
            usage=batch.notes.usage,
            reads=batch.notes.reads,
            edits=batch.notes.edits,
            todos=[batch.notes.todos] if batch.notes.todos else [],
            events=[
                *((self.run.id, event) for event, _ in batch.events),
                *((run.id, RunComplete(session_id=run.session_id, run=run)) for run in ended),
            ],
            durable=bool(ended),
        )
        # The store awaits a commit under way, cancelled or not, and publishes it in its order.
        await self._store.commit(change, publish=partial(self._publish, batch, len(change.events)))

    def _batch(self) -> _Batch:
        messages = dict(self._messages)
        live = self._live
        if live is not None and (self._events or self._growth != self._stored_growth):
            messages[live.header.id] = live.snapshot()
        if self._wake.is_set():
            self._wake = anyio.Event()
        return _Batch(
            events=self._events[:],
            messages=messages,
            notes=self.noted.notes(),
            run=self.run,
            growth=self._growth,
            opened=self._opened[:],
            closed=self._closed[:],
        )

    def _publish(self, batch: _Batch, count: int, committed: Sequence[Committed]) -> None:
        self._forget(batch)
        for live in batch.opened:
            self.feed.open(live)
        first = len(committed) - count
        texts = {
            first + place: text for place, (_, text) in enumerate(batch.events) if text is not None
        }
        self.feed.publish(committed, texts)
        for message_id in batch.closed:
            self.feed.close_message(message_id)
        while self._hidden and self._hidden[0][0] <= self._told:
            self.feed.show(self._hidden.pop(0)[1])

    def _forget(self, batch: _Batch) -> None:
        """Drop what is committed; what came meanwhile stays."""
        del self._events[: len(batch.events)]
        self.noted.forget(batch.notes)
        del self._opened[: len(batch.opened)]
        del self._closed[: len(batch.closed)]
        for message_id, message in batch.messages.items():
            waiting = self._messages.get(message_id)
            is_header = self._live is not None and waiting is self._live.header
            if waiting is message or is_header:
                del self._messages[message_id]
        self._told += len(batch.events)
        self._stored_run = batch.run
        self._stored_growth = batch.growth
