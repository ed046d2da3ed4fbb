"""The journal of one turn: what it produced is committed soon and published after its commit.

Writers call synchronous methods; one flusher task commits. Structure (a call, a result, the end of a
part) is committed as soon as the writer is free; growing text is on disk at the latest 250 ms after
it arrived.
"""

from collections.abc import Sequence

import anyio
import msgspec

from crush.agent.feed import Feed, GrowingText, LiveMessage
from crush.store.change import Change, FileRead, SessionUsage
from crush.store.store import Store
from crush.wire.events import CommittedEvent, MessageStarted, RunComplete, RunUpdated
from crush.wire.ids import ToolCallId
from crush.wire.messages import Message, Run, RunState

ON_DISK_WITHIN_S = 0.25


class Journal:
    """Collects the changes of one turn. `run` is the run of the turn, kept current."""

    def __init__(self, *, store: Store, feed: Feed, run: Run) -> None:
        self._store = store
        self.feed = feed
        self.run = run
        self._live: LiveMessage | None = None
        self._announced = False
        self._grew = False
        self._run_changed = False
        self._events: list[tuple[CommittedEvent, GrowingText | None]] = []
        self._messages: list[Message] = []
        self._usage: list[SessionUsage] = []
        self._reads: list[FileRead] = []
        self._ended: list[Run] = []
        self._wake = anyio.Event()
        self._lock = anyio.Lock()

    def note(self, event: CommittedEvent, closes: GrowingText | None = None) -> None:
        """Commit this event with the next flush; `closes` is the text that it ends."""
        self._events.append((event, closes))
        self._wake.set()

    def add(self, message: Message) -> None:
        """Store this message, whole, with the next flush."""
        self._messages.append(message)
        self._wake.set()

    def add_whole(self, message: Message) -> None:
        """Store and announce a message that comes whole."""
        self.add(message)
        self.note(
            MessageStarted(session_id=message.session_id, message=message, run_id=self.run.id)
        )

    def start_output(self, call_id: ToolCallId) -> GrowingText:
        """The live output of a running tool: shown, never stored."""
        output = GrowingText(
            kind="tool_output",
            owner=call_id,
            part=0,
            session_id=self.run.session_id,
            run_id=self.run.id,
        )
        self.feed.outputs[call_id] = output
        return output

    def end_output(self, output: GrowingText) -> None:
        self.feed.outputs.pop(ToolCallId(output.owner), None)

    def set_run(self, run: Run) -> None:
        """The run changed in a way that followers need not see at once."""
        self.run = run
        self._run_changed = True

    def move_run(self, state: RunState) -> None:
        """The run moved on: stored and told."""
        self.set_run(msgspec.structs.replace(self.run, state=state))
        self.note(RunUpdated(session_id=self.run.session_id, run=self.run))

    def add_usage(self, usage: SessionUsage) -> None:
        self._usage.append(usage)

    def add_read(self, read: FileRead) -> None:
        self._reads.append(read)

    def open(self, live: LiveMessage) -> None:
        """A message begins; it is stored with every flush until it is closed."""
        self._live = live
        self._announced = False

    def close(self) -> None:
        """The open message is complete."""
        if self._live is not None:
            self.add(self._live.snapshot())
        self._live = None

    def grow(self, text: GrowingText, piece: str) -> None:
        """More text of the open message; readers see it at once if they know the message."""
        self._grew = True
        if self._announced:
            self.feed.grow(text, piece)
        else:
            text.append(piece)

    async def keep_flushing(self) -> None:
        """Commit what there is, for as long as the turn lives."""
        while True:
            with anyio.move_on_after(ON_DISK_WITHIN_S):
                await self._wake.wait()
            await self.flush()

    async def flush(self) -> None:
        """Commit and publish everything so far."""
        async with self._lock:
            await self._commit(durable=False)

    async def end(self, run: Run, folded: Sequence[Run]) -> None:
        """Commit the end of the run, and of those that it took up, with everything that is left.

        One durable transaction; `run_complete` of the folded ones comes first.
        """
        async with self._lock:
            self.set_run(run)
            self._ended = [*folded, run]
            await self._commit(durable=True)

    async def _commit(self, *, durable: bool) -> None:
        change, texts = self._take(durable=durable)
        if change is None:
            return
        live = None if self._announced else self._live
        with anyio.CancelScope(shield=True):  # a commit under way is awaited, then published
            committed = await self._store.commit(change)
        if live is not None:
            self.feed.messages[live.header.id] = live
        first = len(committed) - len(change.events)
        self.feed.publish(committed, {first + place: text for place, text in texts.items()})
        if live is not None:
            self._announced = live is self._live
            self.feed.open(live)
        for message in change.messages:
            if self._live is None or message.id != self._live.header.id:
                self.feed.close_message(message.id)

    def _take(self, *, durable: bool) -> tuple[Change | None, dict[int, GrowingText]]:
        events, self._events = self._events, []
        messages, self._messages = self._messages, []
        usage, self._usage = self._usage, []
        reads, self._reads = self._reads, []
        run_changed, self._run_changed = self._run_changed, False
        if self._wake.is_set():
            self._wake = anyio.Event()
        if self._live is not None and (self._grew or events):
            messages.append(self._live.snapshot())
        self._grew = False
        if not (events or messages or usage or reads or run_changed):
            return None, {}
        change = Change(
            messages=messages,
            runs=self._ended or ([self.run] if run_changed else []),
            usage=usage,
            reads=reads,
            events=[
                *((self.run.id, event) for event, _ in events),
                *((run.id, RunComplete(session_id=run.session_id, run=run)) for run in self._ended),
            ],
            durable=durable,
        )
        return change, {place: text for place, (_, text) in enumerate(events) if text is not None}
