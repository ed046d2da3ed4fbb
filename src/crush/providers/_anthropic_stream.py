"""The stream of Anthropic Messages: its events as Structs, and their reading into neutral ones."""

import msgspec
from msgspec import Raw, Struct

from crush.providers._errors import ErrorDetail, ErrorSource
from crush.providers._sse import Frame
from crush.providers.base import (
    Answer,
    EmitStream,
    ReasoningDelta,
    ReasoningEnded,
    StopReason,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    Usage,
)

REDACTED = "redacted:"  # marks a signature that is the whole of an encrypted reasoning block

_STOPS: dict[str | None, StopReason] = {
    "end_turn": "end_turn",
    "stop_sequence": "end_turn",
    "tool_use": "tool_use",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",
    "refusal": "content_filter",
}


class _OutputDetails(Struct, frozen=True):
    thinking_tokens: int | None = None


class _Usage(Struct, frozen=True):
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    output_tokens_details: _OutputDetails | None = None


class _Started(Struct, frozen=True):
    usage: _Usage | None = None


class _MessageStart(Struct, frozen=True, tag="message_start"):
    message: _Started


class _Text(Struct, frozen=True, tag="text"):
    text: str = ""


class _Thinking(Struct, frozen=True, tag="thinking"):
    thinking: str = ""
    signature: str = ""


class _RedactedThinking(Struct, frozen=True, tag="redacted_thinking"):
    data: str = ""


class _ToolUse(Struct, frozen=True, tag="tool_use"):
    id: str
    name: str
    input: Raw = Raw(b"{}")


_Block = _Text | _Thinking | _RedactedThinking | _ToolUse


class _BlockStart(Struct, frozen=True, tag="content_block_start"):
    index: int
    content_block: _Block


class _TextDelta(Struct, frozen=True, tag="text_delta"):
    text: str


class _ThinkingDelta(Struct, frozen=True, tag="thinking_delta"):
    thinking: str


class _SignatureDelta(Struct, frozen=True, tag="signature_delta"):
    signature: str


class _InputDelta(Struct, frozen=True, tag="input_json_delta"):
    partial_json: str


_Delta = _TextDelta | _ThinkingDelta | _SignatureDelta | _InputDelta


class _BlockDelta(Struct, frozen=True, tag="content_block_delta"):
    index: int
    delta: _Delta


class _BlockStop(Struct, frozen=True, tag="content_block_stop"):
    index: int


class _Ending(Struct, frozen=True):
    stop_reason: str | None = None


class _MessageDelta(Struct, frozen=True, tag="message_delta"):
    delta: _Ending
    usage: _Usage | None = None


class _MessageStop(Struct, frozen=True, tag="message_stop"):
    pass


class _Ping(Struct, frozen=True, tag="ping"):
    pass


class _Error(Struct, frozen=True, tag="error"):
    error: ErrorDetail | str


_Event = (
    _BlockDelta
    | _BlockStart
    | _BlockStop
    | _MessageStart
    | _MessageDelta
    | _MessageStop
    | _Ping
    | _Error
)

_events = msgspec.json.Decoder(_Event)


class _Tag(Struct, frozen=True):
    type: str = ""


class _Tags(Struct, frozen=True):
    """The tags of an event that did not decode: an unknown one is no error."""

    type: str = ""
    delta: _Tag | None = None
    content_block: _Tag | None = None


_tags = msgspec.json.Decoder(_Tags)
_KNOWN = frozenset(
    {
        "content_block_stop",
        "error",
        "message_delta",
        "message_start",
        "message_stop",
        "ping",
    }
)
_KNOWN_DELTAS = frozenset({"text_delta", "thinking_delta", "signature_delta", "input_json_delta"})
_KNOWN_BLOCKS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})


class _OpenReasoning(Struct):
    signature: str


class _OpenCall(Struct):
    id: str
    name: str
    start: str  # input that came with the start of the block; counts if no delta follows
    pieces: list[str]


class MessageStream:
    """One answer in the making; a `StreamParser`."""

    def __init__(self, emit: EmitStream, errors: ErrorSource) -> None:
        self.closed = False
        self._emit = emit
        self._errors = errors
        self._open: dict[int, _OpenReasoning | _OpenCall] = {}
        self._usage: Usage | None = None
        self._stop_reason: str | None = None

    @property
    def finished(self) -> bool:
        """Usage comes with the stop reason, so the last event is the end of the answer too."""
        return self.closed

    def feed(self, frame: Frame) -> None:
        if self.closed:
            return
        try:
            event = _events.decode(frame.data)
        except msgspec.DecodeError as exc:
            if _is_unknown(frame.data):
                return
            raise self._errors.unreadable() from exc
        self._take(event)

    def feed_whole(self, body: bytes) -> None:
        """Nobody answers a streamed request with a whole message; an error may come so."""
        self.feed(Frame(b"", body))

    def answer(self) -> Answer:
        if not self.closed:
            raise self._errors.broke_off()
        return Answer(stop=_STOPS.get(self._stop_reason, "unknown"), usage=self._usage)

    def _take(self, event: _Event) -> None:
        match event:
            case _BlockDelta(index=index, delta=delta):
                self._grow(index, delta)
            case _BlockStart(index=index, content_block=block):
                self._begin(index, block)
            case _BlockStop(index=index):
                self._end(index)
            case _MessageStart(message=message):
                self._count(message.usage)
            case _MessageDelta(delta=ending, usage=usage):
                self._count(usage)
                self._stop_reason = ending.stop_reason or self._stop_reason
            case _MessageStop():
                for index in sorted(self._open):
                    self._end(index)
                self.closed = True
            case _Error(error=detail):
                raise self._errors.in_stream(detail)
            case _Ping():
                pass

    def _grow(self, index: int, delta: _Delta) -> None:
        match delta:
            case _TextDelta(text=text):
                if text:
                    self._emit(TextDelta(text))
            case _ThinkingDelta(thinking=text):
                if text:
                    self._emit(ReasoningDelta(text))
            case _SignatureDelta(signature=signature):
                if isinstance(block := self._open.get(index), _OpenReasoning):
                    block.signature += signature
            case _InputDelta(partial_json=piece):
                if isinstance(call := self._open.get(index), _OpenCall):
                    call.pieces.append(piece)

    def _begin(self, index: int, block: _Block) -> None:
        match block:
            case _Text(text=text):
                if text:
                    self._emit(TextDelta(text))
            case _Thinking(thinking=text, signature=signature):
                self._open[index] = _OpenReasoning(signature)
                if text:
                    self._emit(ReasoningDelta(text))
            case _RedactedThinking(data=data):
                self._open[index] = _OpenReasoning(f"{REDACTED}{data}")
            case _ToolUse(id=call_id, name=name, input=start):
                self._open[index] = _OpenCall(call_id, name, bytes(start).decode(), [])
                self._emit(ToolCallStarted(call_id, name))

    def _end(self, index: int) -> None:
        match self._open.pop(index, None):
            case _OpenReasoning(signature=signature):
                self._emit(ReasoningEnded(signature))
            case _OpenCall(id=call_id, name=name, start=start, pieces=pieces):
                self._emit(ToolCallReady(call_id, name, "".join(pieces) or start))
            case None:
                pass

    def _count(self, told: _Usage | None) -> None:
        """Counters are cumulative; some servers know all of them only at the end."""
        if told is None:
            return
        known = self._usage or Usage()
        details = told.output_tokens_details
        self._usage = Usage(
            input_tokens=max(known.input_tokens, told.input_tokens or 0),
            output_tokens=max(known.output_tokens, told.output_tokens or 0),
            cache_read_tokens=max(known.cache_read_tokens, told.cache_read_input_tokens or 0),
            cache_write_tokens=max(known.cache_write_tokens, told.cache_creation_input_tokens or 0),
            reasoning_tokens=max(
                known.reasoning_tokens, (details and details.thinking_tokens) or 0
            ),
        )


def _is_unknown(data: bytes) -> bool:
    """Whether the event, or what it carries, is of a kind that is newer than this program."""
    try:
        tags = _tags.decode(data)
    except msgspec.DecodeError:
        return False
    match tags.type:
        case "content_block_delta":
            return tags.delta is not None and tags.delta.type not in _KNOWN_DELTAS
        case "content_block_start":
            return tags.content_block is not None and tags.content_block.type not in _KNOWN_BLOCKS
        case _:
            return tags.type not in _KNOWN
