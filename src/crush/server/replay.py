"""What a reader missed, from the store: committed events, and each ended part's text as one delta.

A cursor `<epoch>.<seq>` names the last event that a reader has.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence

from crush.agent.feed import GrowingText, Piece
from crush.errors import UsageError
from crush.server.frames import Framer
from crush.server.output import Output
from crush.store.store import Store
from crush.wire.events import Committed, MessageReset, PartAdded, PartEnded, RunComplete
from crush.wire.ids import MessageId, RunId, SessionId
from crush.wire.parts import ReasoningPart, TextPart

BEFORE_ALL = -1  # the place of a cursor of another epoch: what was behind it is gone

# The next events behind a place; None when some of them are gone.
Read = Callable[[int], Awaitable[list[Committed] | None]]
_PartKey = tuple[MessageId, int]


class LogPrunedError(Exception):
    """Events behind the cursor are gone."""


def place_of(cursor: str, *, epoch: str) -> int:
    """The sequence number that a cursor names. Raises UsageError."""
    theirs, _, seq = cursor.rpartition(".")
    if not theirs or not seq.isascii() or not seq.isdigit():
        raise UsageError(f"after {cursor!r} is not a cursor", hint="use the id of an event")
    return int(seq) if theirs == epoch else BEFORE_ALL


class Replay:
    """Writes what one reader missed. `is_over`: the end of the awaited run was in it."""

    def __init__(self, *, store: Store, framer: Framer, read: Read, until: RunId | None) -> None:
        self._store = store
        self._framer = framer
        self._read = read
        self._until = until
        self.is_over = False

    async def run(self, output: Output, *, after: int) -> int:
        """Up to the end of the log; the place of the last event. Raises LogPrunedError, ReaderGone."""
        while not self.is_over:
            events = await self._read(after)
            if events is None:
                raise LogPrunedError
            if not events:
                break
            await output.write(b"".join(await self._frames(_lasting(events))))
            after = events[-1].seq
        return after

    async def _frames(self, events: Sequence[Committed]) -> list[bytes]:
        texts = await self._texts(events)
        frames: list[bytes] = []
        for item in events:
            event = item.event
            if isinstance(event, PartEnded):
                text = texts.get((event.message_id, event.part), "")
                # A part of an attempt that is being given up just now has another text already.
                if len(text) == event.size:
                    frames.append(self._framer.piece(_whole(event, item.run_id, text)))
            frames.append(self._framer.committed(item))
            if isinstance(event, RunComplete) and event.run.id == self._until:
                self.is_over = True
        return frames

    async def _texts(self, events: Sequence[Committed]) -> dict[_PartKey, str]:
        """The text of every streamed part that these events end, as the store has it."""
        ended: dict[SessionId, set[MessageId]] = defaultdict(set)
        for item in events:
            if isinstance(item.event, PartEnded):
                ended[item.event.session_id].add(item.event.message_id)
        found: dict[_PartKey, str] = {}
        for session_id, message_ids in ended.items():
            for message in await self._store.messages(session_id):
                if message.id not in message_ids:
                    continue
                for index, part in enumerate(message.parts):
                    if isinstance(part, TextPart):
                        found[message.id, index] = part.data.text
                    elif isinstance(part, ReasoningPart):
                        found[message.id, index] = part.data.thinking
        return found


def _lasting(events: Sequence[Committed]) -> list[Committed]:
    """Without the parts that a later reset voids: their text is kept nowhere."""
    lasting: list[Committed] = []
    given_up: set[MessageId] = set()
    for item in reversed(events):
        event = item.event
        if isinstance(event, MessageReset):
            given_up.add(event.message_id)
        if not (isinstance(event, PartAdded | PartEnded) and event.message_id in given_up):
            lasting.append(item)
    lasting.reverse()
    return lasting


def _whole(event: PartEnded, run_id: RunId, text: str) -> Piece:
    source = GrowingText(
        kind=event.kind,
        owner=event.message_id,
        part=event.part,
        session_id=event.session_id,
        run_id=run_id,
    )
    return Piece(source, 0, text)
