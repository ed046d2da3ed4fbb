"""What happens in a project right now: committed events and the text that is still growing.

The session actors write, event streams read. Committed events are queued for each subscription up
to a bound; growing text is never queued: a subscription remembers how far it has read, so a slow
reader costs no memory and gets fewer, larger pieces.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import anyio
import msgspec

from crush.wire.events import (
    Committed,
    CommittedEvent,
    MessageReset,
    MessageStarted,
    PartAdded,
    PartEnded,
)
from crush.wire.ids import MessageId, RunId, SessionId
from crush.wire.messages import Message
from crush.wire.parts import Part, Reasoning, ReasoningPart, Text, TextPart

QUEUE_LIMIT = 4096  # committed events; a reader that is further behind must resync
URGENT_CODE_POINTS = 512
NOT_LOGGED = 0  # the place of an event that the store could not take: told, but no cursor


class GrowingText:
    """Text that is being produced: a part of a message, or the output of a tool.

    `is_shown` once readers know what it is part of; until then it grows in silence.
    `void` once the provider is asked again: what was produced does not count.
    """

    __slots__ = (
        "__weakref__",
        "chunks",
        "is_shown",
        "kind",
        "owner",
        "part",
        "run_id",
        "session_id",
        "size",
        "void",
    )

    def __init__(
        self,
        *,
        kind: Literal["text", "reasoning", "tool_output"],
        owner: str,
        part: int,
        session_id: SessionId,
        run_id: RunId,
    ) -> None:
        self.kind = kind
        self.owner = owner  # message id, or tool call id for output
        self.part = part
        self.session_id = session_id
        self.run_id = run_id
        self.chunks: list[str] = []
        self.size = 0
        self.is_shown = False
        self.void = False

    def append(self, text: str) -> None:
        self.chunks.append(text)
        self.size += len(text)

    def text(self) -> str:
        return "".join(self.chunks)


class LiveMessage:
    """An assistant message in the making: closed parts and at most one growing one."""

    __slots__ = ("header", "parts")

    def __init__(self, header: Message) -> None:
        self.header = header
        self.parts: list[Part | GrowingText] = []

    def snapshot(self) -> Message:
        """The message as it would be if it ended now."""
        parts = [_as_part(part) for part in self.parts]
        return msgspec.structs.replace(self.header, parts=parts)


def _as_part(part: Part | GrowingText) -> Part:
    if not isinstance(part, GrowingText):
        return part
    if part.kind == "reasoning":
        return ReasoningPart(Reasoning(thinking=part.text()))
    return TextPart(Text(text=part.text()))


class Queued(NamedTuple):
    """A committed event, with the text that it closes and the message that it is part of."""

    item: Committed
    text: GrowingText | None
    live: LiveMessage | None


class Piece(NamedTuple):
    """New text of one growing text."""

    source: GrowingText
    offset: int
    text: str


class Subscription:
    """One reader. `changed` is set when there is anything, `urgent` when it should not wait."""

    def __init__(
        self, *, run_id: RunId | None, session_id: SessionId | None, can_answer: bool
    ) -> None:
        self.run_id = run_id
        self.can_answer = can_answer
        self.session_id = session_id
        self.queue: deque[Queued] = deque()
        self.lost = False
        self.closed = False
        self.changed = anyio.Event()
        self.urgent = anyio.Event()
        self._pending_code_points = 0
        self._grown: dict[GrowingText, None] = {}  # an ordered set
        # Chunks and code points read, for as long as anybody else holds the text.
        self._read: WeakKeyDictionary[GrowingText, tuple[int, int]] = WeakKeyDictionary()

    def wants(self, session_id: SessionId, run_id: RunId) -> bool:
        if self.run_id is not None:
            return run_id == self.run_id
        return self.session_id is None or session_id == self.session_id

    def offer(self, queued: Queued) -> None:
        if len(self.queue) >= QUEUE_LIMIT:
            self.lost = True
            self.queue.clear()
        if not self.lost:
            self.queue.append(queued)
        self.changed.set()
        self.urgent.set()

    def grown(self, source: GrowingText, code_points: int) -> None:
        self._grown[source] = None
        self._pending_code_points += code_points
        self.changed.set()
        if self._pending_code_points >= URGENT_CODE_POINTS:
            self.urgent.set()

    def close(self) -> None:
        """End the stream after what is queued: the server is leaving."""
        self.closed = True
        self.changed.set()
        self.urgent.set()

    def rearm(self) -> None:
        """Wait for news from here on; call before reading."""
        self._pending_code_points = 0
        if self.changed.is_set():
            self.changed = anyio.Event()
        if self.urgent.is_set():
            self.urgent = anyio.Event()

    def rest_of(self, source: GrowingText) -> Piece | None:
        """What this reader has not seen of a text, None when nothing."""
        chunks_read, offset = self._read.get(source, (0, 0))
        if offset >= source.size:
            return None
        text = "".join(source.chunks[chunks_read:])
        self._read[source] = (len(source.chunks), source.size)
        return Piece(source, offset, text)

    def ended(self, source: GrowingText) -> None:
        """Forget a text that was read to its end."""
        self._read.pop(source, None)
        self._grown.pop(source, None)

    def pieces(self) -> list[Piece]:
        """What has grown since the last call."""
        sources = [source for source in self._grown if not source.void]
        self._grown.clear()
        return [piece for source in sources if (piece := self.rest_of(source))]


def _message_id(event: CommittedEvent) -> MessageId:
    """Of the message that an event tells of, "" if of none."""
    if isinstance(event, MessageStarted):
        return event.message.id
    if isinstance(event, PartAdded | PartEnded | MessageReset):
        return event.message_id
    return MessageId("")


class Feed:
    """The live side of one project."""

    def __init__(self, *, epoch: str, last_seq: int) -> None:
        self.epoch = epoch
        self.last_seq = last_seq
        self.messages: dict[MessageId, LiveMessage] = {}
        self._outputs: dict[GrowingText, None] = {}  # an ordered set: call ids may repeat
        self._closed = False
        self._of_run: dict[RunId, set[Subscription]] = {}
        self._wide: set[Subscription] = set()

    def subscribe(
        self,
        *,
        run_id: RunId | None = None,
        session_id: SessionId | None = None,
        can_answer: bool = False,
    ) -> Subscription:
        """Follow from now on; text that is growing already comes from its beginning.

        `can_answer`: the reader can answer permission requests.
        """
        subscription = Subscription(run_id=run_id, session_id=session_id, can_answer=can_answer)
        if run_id is None:
            self._wide.add(subscription)
        else:
            self._of_run.setdefault(run_id, set()).add(subscription)
        for source in self._growing():
            if subscription.wants(source.session_id, source.run_id):
                subscription.grown(source, source.size)
        if self._closed:
            subscription.close()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._wide.discard(subscription)
        if subscription.run_id is not None:
            followers = self._of_run.get(subscription.run_id, set())
            followers.discard(subscription)
            if not followers:
                self._of_run.pop(subscription.run_id, None)

    def followers(self, session_id: SessionId, run_id: RunId) -> list[Subscription]:
        """Everyone who follows this run, or its session, or the whole project."""
        found = [reader for reader in self._wide if reader.wants(session_id, run_id)]
        found.extend(self._of_run.get(run_id, ()))
        return found

    def can_answer(self, session_id: SessionId) -> bool:
        """Whether somebody who follows this session can answer a permission request."""
        return any(
            reader.can_answer and reader.wants(session_id, RunId("")) for reader in self._wide
        )

    def publish(
        self, committed: Sequence[Committed], texts: Mapping[int, GrowingText] | None = None
    ) -> None:
        """Queue committed events; `texts` maps positions in `committed` to the text that closes."""
        for position, item in enumerate(committed):
            self.last_seq = max(self.last_seq, item.seq)
            event = item.event
            live = self.messages.get(_message_id(event))
            queued = Queued(item, texts.get(position) if texts else None, live)
            for subscription in self.followers(event.session_id, item.run_id):
                subscription.offer(queued)

    def open(self, live: LiveMessage) -> None:
        """A message begins: what is published of it carries it along until it is closed."""
        self.messages[live.header.id] = live

    def close_message(self, message_id: MessageId) -> None:
        self.messages.pop(message_id, None)

    def open_output(self, output: GrowingText) -> None:
        """A tool begins to produce output."""
        self._outputs[output] = None

    def close_output(self, output: GrowingText) -> None:
        self._outputs.pop(output, None)

    def show(self, source: GrowingText) -> None:
        """What was published so far places this text: its readers may have it."""
        source.is_shown = True
        if source.size and not source.void:
            self._tell(source, source.size)

    def grow(self, source: GrowingText, text: str) -> None:
        """Append to a text and tell its readers, if it is shown."""
        source.append(text)
        if source.is_shown:
            self._tell(source, len(text))

    def _tell(self, source: GrowingText, code_points: int) -> None:
        for subscription in self._wide:
            if subscription.wants(source.session_id, source.run_id):
                subscription.grown(source, code_points)
        for subscription in self._of_run.get(source.run_id, ()):
            subscription.grown(source, code_points)

    def _growing(self) -> list[GrowingText]:
        """Every text that is shown and may still grow."""
        texts = [
            part
            for message in self.messages.values()
            for part in message.parts
            if isinstance(part, GrowingText)
        ]
        return [text for text in (*texts, *self._outputs) if text.is_shown]

    def close(self) -> None:
        """End every stream, now and later: the project closes."""
        self._closed = True
        for subscription in self._wide.union(*self._of_run.values()):
            subscription.close()
