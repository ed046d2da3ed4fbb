"""The scripted model's answers as bytes: Anthropic Messages and OpenAI Chat Completions.

Deltas are built from a prefix and a suffix, since one answer may have thousands of them.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, Protocol

from tests.fakes.model_script import Call, Refuse, Say, Think, Tokens

DeltaKind = Literal["text", "thinking"]
Content = Say | Think | Call

_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class Encoding(Protocol):
    """One answer of one protocol; the methods are called in the order in which they stand."""

    def start(self) -> bytes: ...
    def deltas(self, kind: DeltaKind, pieces: Iterable[str]) -> Iterable[bytes]: ...
    def call(self, call_id: str, call: Call) -> bytes: ...
    def end(self, stop: str) -> bytes: ...
    def error(self, refusal: Refuse) -> bytes:
        """An error in the middle of the stream."""

    def refusal(self, refusal: Refuse) -> bytes:
        """The body of an error that has a status of its own."""

    def whole(self, content: Sequence[tuple[str, Content]], stop: str) -> bytes:
        """The answer to a request that did not ask for a stream; each part with its id."""


class AnthropicEncoding:
    """Content blocks that open and close, usage at both ends."""

    def __init__(self, *, answer_id: str, model: str, tokens: Tokens) -> None:
        self._id = f"msg_{answer_id}"
        self._model = model
        self._tokens = tokens
        self._index = -1
        self._open: DeltaKind | None = None

    def start(self) -> bytes:
        message = self._message([], None)
        ping = _named_event("ping", {"type": "ping"})
        return _named_event("message_start", {"type": "message_start", "message": message}) + ping

    def deltas(self, kind: DeltaKind, pieces: Iterable[str]) -> Iterable[bytes]:
        if self._open != kind:
            empty = (
                {"type": "text", "text": ""}
                if kind == "text"
                else {"type": "thinking", "thinking": "", "signature": ""}
            )
            yield self._close() + self._block_start(empty)
            self._open = kind
        head = (
            "event: content_block_delta\n"
            f'data: {{"type":"content_block_delta","index":{self._index},'
            f'"delta":{{"type":"{kind}_delta","{kind}":'
        )
        for piece in pieces:
            yield f"{head}{json.dumps(piece)}}}}}\n\n".encode()

    def call(self, call_id: str, call: Call) -> bytes:
        half = len(call.input) // 2
        parts = ("", call.input[:half], call.input[half:])
        use = {"type": "tool_use", "id": f"toolu_{call_id}", "name": call.name, "input": {}}
        start = self._close() + self._block_start(use)
        deltas = [self._delta({"type": "input_json_delta", "partial_json": part}) for part in parts]
        return start + b"".join(deltas) + self._block_stop()

    def end(self, stop: str) -> bytes:
        delta = {"stop_reason": _anthropic_stop(stop), "stop_sequence": None}
        message = {"type": "message_delta", "delta": delta, "usage": self._usage()}
        return (
            self._close()
            + _named_event("message_delta", message)
            + _named_event("message_stop", {"type": "message_stop"})
        )

    def error(self, refusal: Refuse) -> bytes:
        return _named_event("error", self._problem(refusal))

    def refusal(self, refusal: Refuse) -> bytes:
        return _dump(self._problem(refusal))

    def whole(self, content: Sequence[tuple[str, Content]], stop: str) -> bytes:
        blocks: list[dict[str, Any]] = []
        for call_id, part in content:
            match part:
                case Say(pieces):
                    blocks.append({"type": "text", "text": "".join(pieces)})
                case Think(pieces):
                    text = "".join(pieces)
                    blocks.append({"type": "thinking", "thinking": text, "signature": "c2ln"})
                case Call(name, text):
                    use = {"type": "tool_use", "id": f"toolu_{call_id}", "name": name}
                    blocks.append(use | {"input": json.loads(text)})
        return _dump(self._message(blocks, _anthropic_stop(stop)))

    def _message(self, content: list[dict[str, Any]], stop: str | None) -> dict[str, Any]:
        usage = self._usage() if stop else self._usage() | {"output_tokens": 1}
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": stop,
            "stop_sequence": None,
            "usage": usage,
        }

    def _usage(self) -> dict[str, int]:
        return {
            "input_tokens": self._tokens.input,
            "cache_creation_input_tokens": self._tokens.cache_write,
            "cache_read_input_tokens": self._tokens.cache_read,
            "output_tokens": self._tokens.output,
        }

    def _block_start(self, block: dict[str, Any]) -> bytes:
        self._index += 1
        start = {"type": "content_block_start", "index": self._index, "content_block": block}
        return _named_event("content_block_start", start)

    def _delta(self, delta: dict[str, Any]) -> bytes:
        event = {"type": "content_block_delta", "index": self._index, "delta": delta}
        return _named_event("content_block_delta", event)

    def _block_stop(self) -> bytes:
        stop = {"type": "content_block_stop", "index": self._index}
        return _named_event("content_block_stop", stop)

    def _close(self) -> bytes:
        kind, self._open = self._open, None
        if kind is None:
            return b""
        signature = {"type": "signature_delta", "signature": "c2ln"}
        return (self._delta(signature) if kind == "thinking" else b"") + self._block_stop()

    def _problem(self, refusal: Refuse) -> dict[str, Any]:
        message = refusal.message
        if refusal.kind == "overflow":
            message = "prompt is too long: 210000 tokens > 200000 maximum"
        error = {"type": _ERROR_TYPES.get(refusal.status, "api_error"), "message": message}
        return {"type": "error", "error": error, "request_id": self._id.replace("msg", "req")}


class OpenAIEncoding:
    """Chunks that share one head; a usage chunk if it was asked for; `[DONE]`."""

    def __init__(self, *, answer_id: str, model: str, tokens: Tokens, usage_chunk: bool) -> None:
        self._head = {"id": f"chatcmpl-{answer_id}", "created": 1, "model": model}
        self._tokens = tokens
        self._usage_chunk = usage_chunk
        self._calls = 0

    def start(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def deltas(self, kind: DeltaKind, pieces: Iterable[str]) -> Iterable[bytes]:
        field = "content" if kind == "text" else "reasoning_content"
        head, tail = self._chunk({field: "?"}).decode().split('"?"')
        for piece in pieces:
            yield f"{head}{json.dumps(piece)}{tail}".encode()

    def call(self, call_id: str, call: Call) -> bytes:
        index, self._calls = self._calls, self._calls + 1
        half = len(call.input) // 2
        function = {"name": call.name, "arguments": ""}
        start = {"index": index, "id": f"call_{call_id}", "type": "function", "function": function}
        parts = (call.input[:half], call.input[half:])
        more = [{"index": index, "function": {"arguments": part}} for part in parts]
        return b"".join(self._chunk({"tool_calls": [delta]}) for delta in (start, *more))

    def end(self, stop: str) -> bytes:
        last = self._chunk({}, stop)
        if self._usage_chunk:
            last += _event(self._object("chat.completion.chunk", []) | {"usage": self._usage()})
        return last + b"data: [DONE]\n\n"

    def error(self, refusal: Refuse) -> bytes:
        return _event(self._problem(refusal))

    def refusal(self, refusal: Refuse) -> bytes:
        return _dump(self._problem(refusal))

    def whole(self, content: Sequence[tuple[str, Content]], stop: str) -> bytes:
        text = "".join("".join(part.pieces) for _, part in content if isinstance(part, Say))
        thought = "".join("".join(part.pieces) for _, part in content if isinstance(part, Think))
        calls = [
            {
                "id": f"call_{call_id}",
                "type": "function",
                "function": {"name": part.name, "arguments": part.input},
            }
            for call_id, part in content
            if isinstance(part, Call)
        ]
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        message |= {"reasoning_content": thought} if thought else {}
        message |= {"tool_calls": calls} if calls else {}
        choice = {"index": 0, "message": message, "finish_reason": stop, "logprobs": None}
        return _dump(self._object("chat.completion", [choice]) | {"usage": self._usage()})

    def _object(self, kind: str, choices: list[dict[str, Any]]) -> dict[str, Any]:
        return {"object": kind} | self._head | {"choices": choices}

    def _chunk(self, delta: dict[str, Any], stop: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": stop}
        return _event(self._object("chat.completion.chunk", [choice]))

    def _usage(self) -> dict[str, Any]:
        tokens = self._tokens
        prompt = tokens.input + tokens.cache_read + tokens.cache_write
        return {
            "prompt_tokens": prompt,
            "completion_tokens": tokens.output,
            "total_tokens": prompt + tokens.output,
            "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
            "completion_tokens_details": {"reasoning_tokens": 0},
        }

    def _problem(self, refusal: Refuse) -> dict[str, Any]:
        message, code = refusal.message, None
        if refusal.kind == "overflow":
            code = "context_length_exceeded"
            message = (
                "This model's maximum context length is 128000 tokens. "
                "However, your messages resulted in 140000 tokens."
            )
        kind = _ERROR_TYPES.get(refusal.status, "server_error")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def _anthropic_stop(stop: str) -> str:
    return {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}.get(stop, stop)


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _event(value: object) -> bytes:
    return b"data: " + _dump(value) + b"\n\n"


def _named_event(name: str, value: object) -> bytes:
    return f"event: {name}\n".encode() + _event(value)
