"""The stream of OpenAI Chat Completions as many servers send it, read into neutral events.

Lenient where vendors differ and the meaning is plain; strict about the end: without a finish
reason there is no answer.
"""

import uuid

import msgspec
from msgspec import Struct

from crush.providers._blocks import is_object
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

_STOPS: dict[str, StopReason] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "max_tokens": "max_tokens",
    "model_context_window_exceeded": "max_tokens",  # Z.ai
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filter",
    "sensitive": "content_filter",  # Z.ai
}
_BROKEN_OFF = frozenset({"error", "insufficient_system_resource", "network_error"})
_DONE = b"[DONE]"


class _PromptDetails(Struct, frozen=True):
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class _CompletionDetails(Struct, frozen=True):
    reasoning_tokens: int | None = None


class _Usage(Struct, frozen=True):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    prompt_tokens_details: _PromptDetails | None = None
    completion_tokens_details: _CompletionDetails | None = None
    cached_tokens: int | None = None  # Moonshot
    prompt_cache_hit_tokens: int | None = None  # DeepSeek


class _Function(Struct, frozen=True):
    name: str | None = None
    arguments: str | dict[str, msgspec.Raw] | None = None  # an object where it should be text


class _CallDelta(Struct, frozen=True):
    index: int | None = None
    id: str | None = None
    function: _Function | None = None


class _ContentPart(Struct, frozen=True):
    text: str | None = None


class _Delta(Struct, frozen=True):
    content: str | list[_ContentPart] | None = None
    reasoning_content: object = None
    reasoning: object = None  # some gateways put objects here
    refusal: str | None = None
    tool_calls: list[_CallDelta] | None = None


class _Choice(Struct, frozen=True):
    index: int | None = None
    delta: _Delta | None = None
    message: _Delta | None = None  # of an answer that is no stream
    finish_reason: str | None = None
    usage: _Usage | None = None  # Moonshot


class _Chunk(Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: ErrorDetail | str | None = None
    object: str | None = None
    message: str | None = None


_chunks = msgspec.json.Decoder(_Chunk)


class _Call(Struct):
    """A call in the making."""

    given_id: str
    name: str = ""
    id: str = ""
    pieces: list[str] = []
    ready: bool = False

    def input(self) -> str:
        return "".join(self.pieces)

    def is_complete(self) -> bool:
        return bool(self.name) and is_object(self.input())


class ChatStream:
    """One answer in the making; a `StreamParser`."""

    def __init__(self, emit: EmitStream, errors: ErrorSource) -> None:
        self.finished = False
        self.closed = False
        self._emit = emit
        self._errors = errors
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._reasoning_open = False
        self._finish_reason = ""
        self._usage: _Usage | None = None

    def feed(self, frame: Frame) -> None:
        if self.closed:
            return
        if frame.data.strip() == _DONE:
            self.closed = True
            return
        try:
            chunk = _chunks.decode(frame.data)
        except msgspec.DecodeError as exc:
            if frame.event == b"error":
                raise self._errors.in_stream(frame.data.decode("utf-8", "replace")) from exc
            raise self._errors.unreadable() from exc
        if chunk.error is not None:
            raise self._errors.in_stream(chunk.error)
        if chunk.object == "error" or (frame.event == b"error" and chunk.message):
            raise self._errors.in_stream(chunk.message or "")
        self._take(chunk)

    def feed_whole(self, body: bytes) -> None:
        self.feed(Frame(b"", body))

    def answer(self) -> Answer:
        if not self.finished:
            raise self._errors.broke_off()
        self._flush()
        stop = _STOPS.get(self._finish_reason, "unknown")
        if self._calls and stop in {"end_turn", "unknown"}:  # said "stop" and meant the calls
            stop = "tool_use"
        return Answer(stop=stop, usage=_neutral(self._usage))

    def _take(self, chunk: _Chunk) -> None:
        self._usage = chunk.usage or self._usage
        for choice in chunk.choices or ():
            if choice.index:  # only one answer was asked for
                continue
            self._usage = chunk.usage or choice.usage or self._usage
            if (delta := choice.delta or choice.message) is not None:
                self._grow(delta)
            if choice.finish_reason:
                self._finish(choice.finish_reason)

    def _grow(self, delta: _Delta) -> None:
        for reasoning in (delta.reasoning_content, delta.reasoning):
            if reasoning and isinstance(reasoning, str):
                self._reasoning_open = True
                self._emit(ReasoningDelta(reasoning))
                break  # gateways send the same text under both names
        if text := _text(delta):
            self._end_reasoning()
            self._emit(TextDelta(text))
        for call in delta.tool_calls or ():
            self._end_reasoning()
            self._grow_call(call)

    def _end_reasoning(self) -> None:
        if self._reasoning_open:
            self._reasoning_open = False
            self._emit(ReasoningEnded())

    def _finish(self, reason: str) -> None:
        if reason in _BROKEN_OFF:
            raise self._errors.broke_off()
        self._finish_reason = reason
        self._flush()
        self.finished = True

    def _flush(self) -> None:
        """Nothing more will come for what is open."""
        self._end_reasoning()
        for call in self._calls:
            if not call.name:
                raise self._errors.unreadable()
            self._hand_over(call)

    def _hand_over(self, call: _Call) -> None:
        if not call.ready:
            call.ready = True
            self._emit(ToolCallReady(call.id, call.name, call.input() or "{}"))

    def _grow_call(self, delta: _CallDelta) -> None:
        function = delta.function or _Function()
        arguments = function.arguments or ""
        if not isinstance(arguments, str):
            arguments = msgspec.json.encode(arguments).decode()
        call = self._call_for(delta, function.name or "", arguments)
        if not call.ready:
            call.pieces.append(arguments)
        if function.name and not call.name:
            call.name = function.name
            call.id = self._own_id(delta.id or call.given_id)
            self._emit(ToolCallStarted(call.id, call.name))

    def _call_for(self, delta: _CallDelta, name: str, arguments: str) -> _Call:
        """The call that a delta continues, or a new one."""
        if delta.index is None:
            call = self._calls[-1] if self._calls else None
        else:
            call = self._by_index.get(delta.index)
        if call is None or _begins_another(call, delta, name, arguments):
            call = self._begin_call(delta.id or "")
            if delta.index is not None:
                self._by_index[delta.index] = call
        return call

    def _begin_call(self, given_id: str) -> _Call:
        # What is complete can start to run now; the order of calls is kept.
        for earlier in self._calls:
            if not earlier.is_complete():
                break
            self._hand_over(earlier)
        call = _Call(given_id)
        self._calls.append(call)
        return call

    def _own_id(self, given: str) -> str:
        """Results are paired with calls by id, so each call has one, and none has another's."""
        taken = {call.id for call in self._calls}
        return given if given and given not in taken else f"call_{uuid.uuid4().hex[:24]}"


def _begins_another(call: _Call, delta: _CallDelta, name: str, arguments: str) -> bool:
    """Some servers number all calls 0, or not at all, and tell them apart by id or by order."""
    if not name:
        return False
    if delta.id and call.given_id:
        return delta.id != call.given_id
    return bool(arguments) and call.is_complete()


def _text(delta: _Delta) -> str:
    content = delta.content
    if isinstance(content, list):
        content = "".join(part.text or "" for part in content)
    return content or delta.refusal or ""


def _neutral(told: _Usage | None) -> Usage | None:
    """OpenAI counts cached tokens as part of the prompt; we do not."""
    if told is None or (told.prompt_tokens is None and told.completion_tokens is None):
        return None
    prompt, completion = told.prompt_tokens_details, told.completion_tokens_details
    read = (
        (prompt and prompt.cached_tokens) or told.cached_tokens or told.prompt_cache_hit_tokens or 0
    )
    written = (prompt and prompt.cache_write_tokens) or 0
    return Usage(
        input_tokens=max(0, (told.prompt_tokens or 0) - read - written),
        output_tokens=told.completion_tokens or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=(completion and completion.reasoning_tokens) or 0,
    )
