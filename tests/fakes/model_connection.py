"""One client of the scripted model server: HTTP in, the planned actions carried out, a log.

`model_script` says what is answered, `model_encoding` how it looks, `model_rules` what is refused;
`model_server` documents all of it and owns the listener.
"""

import asyncio
import http
import itertools
import json
import os
import socket
import struct
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.fakes.model_encoding import AnthropicEncoding, Encoding, OpenAIEncoding
from tests.fakes.model_rules import complaints_about_completions, complaints_about_messages
from tests.fakes.model_script import (
    GREETING,
    Action,
    Break,
    Call,
    Latch,
    Pace,
    Refuse,
    Say,
    Stop,
    Think,
    Tokens,
    Wait,
    answerable,
    plan_by_directives,
    plan_by_script,
    read_request,
    words,
)

_WRITE_BYTES = 32 * 1024
_LATCH_POLL_S = 0.005
_KNOWN_STATUSES = frozenset(status.value for status in http.HTTPStatus)

Script = Sequence[Mapping[str, Any]]


class ConnectionOver(Exception):  # noqa: N818 (no error: how an answer ends early)
    """The connection is finished; `outcome` says through whom."""

    def __init__(self, outcome: str) -> None:
        super().__init__(outcome)
        self.outcome = outcome


@dataclass
class LogEntry:
    """One request to a model."""

    path: str
    size_bytes: int
    key: str
    step: int
    stream: bool
    tools: int
    outcome: str = "open"


@dataclass(frozen=True)
class Request:
    """An HTTP request, read whole."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def key(self) -> str:
        bearer = self.headers.get("authorization", "").removeprefix("Bearer ")
        return self.headers.get("x-api-key", bearer)[-4:]

    def shown(self) -> dict[str, Any]:
        return {"path": self.path, "headers": self.headers, "body": json.loads(self.body)}


@dataclass
class ModelServer:
    """A running server and what it has seen."""

    script: Script | None = None
    log_path: str = ""
    url: str = ""
    log: list[LogEntry] = field(default_factory=list)
    requests: deque[Request] = field(default_factory=lambda: deque(maxlen=100))
    _refused: set[tuple[str, bytes]] = field(default_factory=set)
    _ids: "itertools.count[int]" = field(default_factory=itertools.count)

    def new_id(self) -> str:
        return f"{next(self._ids):06d}"

    def record(self, entry: LogEntry, request: Request) -> None:
        self.log.append(entry)
        self.requests.append(request)
        if self.log_path:
            line = {name: value for name, value in asdict(entry).items() if name != "outcome"}
            with open(self.log_path, "a", encoding="utf-8") as log:
                log.write(json.dumps(line) + "\n")

    def without_spent_refusals(
        self, actions: tuple[Action, ...], request: Request
    ) -> tuple[Action, ...]:
        """`ERROR` without `!` hits a request once; the same request again passes it."""
        if not any(isinstance(action, Refuse) and not action.always for action in actions):
            return actions
        again = (request.key, request.body)
        if again not in self._refused:
            self._refused.add(again)
            return actions
        return tuple(a for a in actions if not isinstance(a, Refuse) or a.always)


class _Answer:
    """Gathers the frames of a streamed answer; the head goes out with the first of them."""

    def __init__(self, writer: asyncio.StreamWriter, encoding: Encoding) -> None:
        self._writer = writer
        self._encoding = encoding
        self._frames: list[bytes] = []
        self._size_bytes = 0
        self.pause_s: float | None = None
        self.started = False

    async def put(self, frame: bytes) -> None:
        if not self.started:
            self.started = True
            self._writer.write(_head(200, "text/event-stream", "Transfer-Encoding: chunked"))
            frame = self._encoding.start() + frame
        self._frames.append(frame)
        self._size_bytes += len(frame)
        if self._size_bytes >= _WRITE_BYTES or self.pause_s is not None:
            await self.flush()
        if self.pause_s is not None:
            await asyncio.sleep(self.pause_s)

    async def flush(self) -> None:
        if self._frames:
            self._writer.write(b"%x\r\n%b\r\n" % (self._size_bytes, b"".join(self._frames)))
            self._frames.clear()
            self._size_bytes = 0
        await self._writer.drain()

    async def end(self) -> None:
        self._frames.append(b"")
        await self.flush()
        self._writer.write(b"0\r\n\r\n")
        await self._writer.drain()


class Connection:
    """One client: requests in, answers out, until either side ends it."""

    def __init__(
        self, server: ModelServer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._server = server
        self._reader = reader
        self._writer = writer

    async def serve(self) -> None:
        while (request := await _read(self._reader)) is not None:
            await self._dispatch(request)
            if request.headers.get("connection", "").lower() == "close":
                return

    async def _dispatch(self, request: Request) -> None:
        match request.method, request.path:
            case "POST", path if path.endswith(("/messages", "/chat/completions")):
                await self._answer(request)
            case "GET", path if path.endswith("/models"):
                model = {"id": "scripted", "object": "model", "type": "model", "created": 1}
                await self._send_json({"object": "list", "data": [model], "has_more": False})
            case "GET", "/__log":
                await self._send_json([asdict(entry) for entry in self._server.log])
            case "GET", "/__requests":
                await self._send_json([request.shown() for request in self._server.requests])
            case _:
                await self._send(404, "text/plain", b"no such route\n")

    async def _answer(self, request: Request) -> None:
        body = json.loads(request.body)
        asked = read_request(body, key=request.key)
        script = self._server.script
        entry = LogEntry(
            path=request.path,
            size_bytes=len(request.body),
            key=asked.key,
            step=asked.turns_since_user if script is None else asked.turns,
            stream=bool(body.get("stream")),
            tools=len(body.get("tools") or ()),
        )
        self._server.record(entry, request)
        plan = plan_by_directives(asked) if script is None else plan_by_script(script, asked)
        if complaint := _complaint(request, body):
            plan = (Refuse(400, message=complaint),)
        actions = answerable(self._server.without_spent_refusals(plan, request), asked)
        encoding = _encoding(request, body, actions, answer_id=self._server.new_id())
        try:
            if entry.stream:
                await self._stream(actions, encoding)
            else:
                await self._send_whole(actions, encoding)
        except ConnectionOver as over:
            entry.outcome = over.outcome
            raise
        except ConnectionError:
            entry.outcome = "gone"
            raise
        entry.outcome = "answered"

    async def _stream(self, actions: Sequence[Action], encoding: Encoding) -> None:
        answer = _Answer(self._writer, encoding)
        for action in actions:
            match action:
                case Say(pieces):
                    await _put_all(answer, encoding.deltas("text", pieces))
                case Think(pieces):
                    await _put_all(answer, encoding.deltas("thinking", pieces))
                case Call():
                    await answer.put(encoding.call(self._server.new_id(), action))
                case Pace(pause_ms):
                    answer.pause_s = pause_ms / 1000
                case Refuse() if answer.started:
                    await answer.put(encoding.error(action))
                    return await answer.end()
                case Refuse():
                    return await self._refuse(action, encoding)
                case Break("cut") if not answer.started:
                    await _put_all(answer, encoding.deltas("text", words(GREETING)[:2]))
                    await self._interrupt(action, answer)
                case _:
                    await self._interrupt(action, answer)
        await answer.put(encoding.end(_stop_reason(actions)))
        return await answer.end()

    async def _send_whole(self, actions: Sequence[Action], encoding: Encoding) -> None:
        for action in actions:
            if isinstance(action, Refuse):
                return await self._refuse(action, encoding)
            await self._interrupt(action, None)
        content = [(self._server.new_id(), a) for a in actions if isinstance(a, Say | Think | Call)]
        body = encoding.whole(content, _stop_reason(actions))
        return await self._send(200, "application/json", body)

    async def _interrupt(self, action: Action, answer: _Answer | None) -> None:
        """Whatever stands between pieces of content."""
        if answer is not None:
            await answer.flush()
        match action:
            case Wait(pause_ms):
                await asyncio.sleep(pause_ms / 1000)
            case Latch(path):
                while not await asyncio.to_thread(os.path.exists, path):
                    if self._reader.at_eof():
                        raise ConnectionOver("gone")
                    await asyncio.sleep(_LATCH_POLL_S)
            case Break("hang"):
                await self._reader.read()
                raise ConnectionOver("gone")
            case Break("reset"):
                linger = struct.pack("ii", 1, 0)
                sock = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
                raise ConnectionOver("broken")
            case Break("cut"):
                raise ConnectionOver("broken")
            case _:
                pass

    async def _refuse(self, refusal: Refuse, encoding: Encoding) -> None:
        extra = f"Retry-After: {refusal.retry_after}" if refusal.retry_after else ""
        if refusal.kind == "html":
            page = f"<html><title>{refusal.status}</title><p>The gateway is not well</html>"
            return await self._send(refusal.status, "text/html", page.encode(), extra)
        body = encoding.refusal(refusal)
        return await self._send(refusal.status, "application/json", body, extra)

    async def _send_json(self, value: object) -> None:
        await self._send(200, "application/json", json.dumps(value).encode())

    async def _send(self, status: int, content_type: str, body: bytes, extra: str = "") -> None:
        length = f"Content-Length: {len(body)}"
        self._writer.write(_head(status, content_type, length, extra) + body)
        await self._writer.drain()


async def _put_all(answer: _Answer, frames: Iterable[bytes]) -> None:
    for frame in frames:
        await answer.put(frame)


async def _read(reader: asyncio.StreamReader) -> Request | None:
    """The next request, or None when the client is done."""
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    except asyncio.IncompleteReadError:
        return None
    request_line, *lines = head.rstrip().split("\r\n")
    method, path, _ = request_line.split(" ")
    pairs = (line.split(":", 1) for line in lines)
    headers = {name.lower(): value.strip() for name, value in pairs}
    if headers.get("transfer-encoding", "").lower() == "chunked":
        body = b"".join([chunk async for chunk in _chunks(reader)])
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method=method, path=path.partition("?")[0], headers=headers, body=body)


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int((await reader.readline()).partition(b";")[0], 16):
        yield await reader.readexactly(size)
        await reader.readline()
    await reader.readline()


def _head(status: int, content_type: str, *extra: str) -> bytes:
    reason = http.HTTPStatus(status).phrase if status in _KNOWN_STATUSES else "Unusual"
    lines = (f"HTTP/1.1 {status} {reason}", f"Content-Type: {content_type}", *filter(None, extra))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _encoding(
    request: Request, body: Mapping[str, Any], actions: Sequence[Action], *, answer_id: str
) -> Encoding:
    said = sum(len(a.pieces) for a in actions if isinstance(a, Say | Think))
    tokens = Tokens(input=len(request.body) // 4, output=max(1, said))
    tokens = next((action for action in actions if isinstance(action, Tokens)), tokens)
    model = str(body.get("model", "scripted"))
    if request.path.endswith("/messages"):
        return AnthropicEncoding(answer_id=answer_id, model=model, tokens=tokens)
    usage_chunk = bool((body.get("stream_options") or {}).get("include_usage"))
    return OpenAIEncoding(answer_id=answer_id, model=model, tokens=tokens, usage_chunk=usage_chunk)


def _complaint(request: Request, body: Mapping[str, Any]) -> str:
    if request.path.endswith("/messages"):
        return "; ".join(complaints_about_messages(body))
    return "; ".join(complaints_about_completions(body))


def _stop_reason(actions: Sequence[Action]) -> str:
    """In OpenAI's words; the other encoding translates."""
    calls = any(isinstance(action, Call) for action in actions)
    told = [action.reason for action in actions if isinstance(action, Stop)]
    return told[-1] if told else "tool_calls" if calls else "stop"
