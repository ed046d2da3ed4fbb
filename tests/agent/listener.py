"""A reader of the feed as a front end is one: events in their order, text by its offsets.

`Replica` is what a client makes of them. It is strict: text with a gap, text of a message that it
does not know, or a part that ends before its text came is an error.
"""

from collections.abc import Callable, Iterable
from typing import Self

from crush.agent.feed import Feed, Piece, Queued, Subscription
from crush.wire.events import (
    Committed,
    MessageReset,
    MessageStarted,
    PartAdded,
    PartEnded,
    RunComplete,
)
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Message, Run
from crush.wire.parts import Part, Reasoning, ReasoningPart, Text, TextPart

News = Committed | Piece


class Listener:
    """Follows a feed and keeps everything; `wait` waits for what the test is after."""

    def __init__(self, feed: Feed, *, session_id: SessionId | None, can_answer: bool) -> None:
        self._feed = feed
        self.subscription: Subscription = feed.subscribe(
            session_id=session_id, can_answer=can_answer
        )
        self.heard: list[News] = []

    def take(self) -> None:
        """Everything that is there now, in the order in which a stream would write it."""
        self.subscription.rearm()
        queue = self.subscription.queue
        while queue:
            self._take_queued(queue.popleft())
        self.heard += self.subscription.pieces()

    def _take_queued(self, queued: Queued) -> None:
        if queued.text is not None:
            if (rest := self.subscription.rest_of(queued.text)) is not None:
                self.heard.append(rest)
            self.subscription.ended(queued.text)
        self.heard.append(queued.item)

    async def wait(self, condition: Callable[[Self], bool]) -> None:
        """Until the condition holds for what was heard."""
        self.take()
        while not condition(self):
            await self.subscription.changed.wait()
            self.take()

    def events(self) -> list[Committed]:
        return [news for news in self.heard if isinstance(news, Committed)]

    def ends(self) -> list[Run]:
        """Of runs, in the order in which they were told."""
        return [c.event.run for c in self.events() if isinstance(c.event, RunComplete)]

    async def end_of(self, run_id: RunId) -> Run:
        await self.wait(lambda me: any(run.id == run_id for run in me.ends()))
        return next(run for run in self.ends() if run.id == run_id)

    def close(self) -> None:
        self._feed.unsubscribe(self.subscription)


class Replica:
    """The messages of a session as a client knows them."""

    def __init__(self, messages: Iterable[Message] = (), *, seq: int = 0) -> None:
        self._seq = seq
        self._messages = {message.id: message for message in messages}
        self._parts: dict[str, dict[int, Part | str]] = {
            key: dict(enumerate(message.parts)) for key, message in self._messages.items()
        }

    def apply(self, news: Iterable[News]) -> None:
        for item in news:
            if isinstance(item, Piece):
                self._place(item)
            elif item.seq > self._seq:
                self._seq = item.seq
                self._take(item)

    def _place(self, piece: Piece) -> None:
        if piece.source.kind == "tool_output":
            return
        parts = self._parts[piece.source.owner]
        part = parts.get(piece.source.part, "")
        known = _text_of(part)
        assert piece.offset <= len(known), f"a gap before {piece!r}"
        assert len(parts) >= piece.source.part, "a part before the one that precedes it"
        end = piece.offset + len(piece.text)
        if not isinstance(part, str):  # a snapshot knew its end before its deltas came
            assert known[piece.offset : end] == piece.text
            return
        parts[piece.source.part] = known[: piece.offset] + piece.text + known[end:]

    def _take(self, item: Committed) -> None:
        match item.event:
            case MessageStarted(message=message):
                assert message.id not in self._messages, "a message that began twice"
                self._messages[message.id] = message
                self._parts[message.id] = dict(enumerate(message.parts))
            case PartAdded() as event:
                self._parts[event.message_id][event.part] = event.content
            case PartEnded() as event:
                parts = self._parts[event.message_id]
                text = _text_of(parts[event.part])
                assert len(text) == event.size
                parts[event.part] = (
                    TextPart(Text(text=text))
                    if event.kind == "text"
                    else ReasoningPart(Reasoning(thinking=text, signature=event.signature))
                )
            case MessageReset(message_id=key):
                self._parts[key] = {}
            case _:
                pass

    def parts(self) -> dict[str, list[Part | str]]:
        """Text that still grows is a plain string."""
        return {
            key: [part for _, part in sorted(parts.items())] for key, parts in self._parts.items()
        }


def _text_of(part: Part | str) -> str:
    match part:
        case str():
            return part
        case TextPart():
            return part.data.text
        case ReasoningPart():
            return part.data.thinking
        case _:
            raise AssertionError(f"text where {part!r} is")
