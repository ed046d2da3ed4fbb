"""Format 2 as bytes: SSE frames of committed events and of growing text (docs/reference/wire.md)."""

from crush.agent.feed import Piece
from crush.wire.codec import encode
from crush.wire.events import Committed, Delta, ToolOutput
from crush.wire.ids import MessageId, ToolCallId

HEARTBEAT = b": beat\n\n"


class Framer:
    """Frames for one stream of one epoch."""

    def __init__(self, epoch: str, *, after: int) -> None:
        self._epoch = epoch
        self._seq = after

    def committed(self, item: Committed) -> bytes:
        self._seq = max(self._seq, item.seq)
        return self._frame(encode(item.event))

    def piece(self, piece: Piece) -> bytes:
        """New text; it carries the id of the last committed event before it."""
        source = piece.source
        if source.kind == "tool_output":
            return self._frame(
                encode(
                    ToolOutput(
                        tool_call_id=ToolCallId(source.owner),
                        offset=piece.offset,
                        text=piece.text,
                    )
                )
            )
        return self._frame(
            encode(
                Delta(
                    message_id=MessageId(source.owner),
                    part=source.part,
                    kind=source.kind,
                    offset=piece.offset,
                    text=piece.text,
                )
            )
        )

    def resync(self) -> bytes:
        """The reader was too slow: what it missed is gone from this stream."""
        return self._frame(b'{"type":"resync"}')

    def _frame(self, data: bytes) -> bytes:
        return b"id: %s.%d\ndata: %s\n\n" % (self._epoch.encode(), self._seq, data)
