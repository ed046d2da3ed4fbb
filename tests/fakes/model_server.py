r"""A scripted model server: Anthropic Messages and OpenAI Chat Completions, no model behind them.

    python tests/fakes/model_server.py [--port 0] [--host 127.0.0.1] [--script FILE] [--log FILE]

prints `http://HOST:PORT` as its first line and serves until SIGTERM or SIGINT. In tests:
`async with start_model_server() as model:` (same event loop) or `with ModelServerProcess() as
model:` (a process of its own); both have `url` and the request log. An Anthropic base URL is
`url`, an OpenAI one `url + "/v1"`. Standard library only; `stream: false` is answered whole.

Routes: `POST /v1/messages`, `POST /v1/chat/completions`, `GET /v1/models`, and for tests
`GET /__log` (what `--log` gets, plus `outcome`) and `GET /__requests` (the last 100 bodies and
headers). A log line is `{"path", "size_bytes", "key", "step", "stream", "tools"}`; `key` is the
last 4 characters of the API key; `outcome` is "open", "answered", "broken" (by a directive) or
"gone" (the client hung up first).

Without a script the *last user text* of a request directs the answer, one directive a line; other
lines are ignored, and a text without any is answered `Hello, how can I help?`. Directives are
carried out in order; `---` ends a step, and the step is the number of assistant turns since that
text. A step beyond the last, or one without content, says `Done.`.

    SAY text          text, one delta a word; \n is a new line
    THINK text        reasoning
    DELTAS n          n deltas of 4 characters: "000 ", "001 ", …
    ECHO              the user text itself
    WHOAMI            the API key's last 4 characters
    TOOL name [json]  a call; several are calls of one step; sent as written, also if no JSON
    STEPS n name [json]  n steps of one call each
    PACE ms           from here on each delta is a write of its own, then a pause
    LATCH path        the rest waits until that file exists
    HANG              the rest never comes; the connection stays open
    RESET             the connection is reset (TCP RST)
    CUT               the connection is closed in the middle of the stream
    ERROR status [retry-after]   an error, once per request body and key; what follows it is the
                      answer to the second try. After content it is an event in the stream.
    ERROR! status [retry-after]  the same, every time
    HTML status       an error with a page instead of JSON
    OVERFLOW          the protocol's own error for a prompt that is too long
    USAGE in out [cache-read cache-write]   what the usage says; `in` leaves out both caches
    STOP reason       the raw stop reason

Nothing is sent before the first content: `LATCH`, `HANG` and `RESET` at the top hold back the
status line too. Tools can only be called if the request offers some; otherwise calls are left out
(so a request for a title gets text).

A script is a JSON list of steps, numbered by all assistant turns of the request: `{"text",
"reasoning", "tool_calls": [{"name", "input": {…}}], "delay_ms", "expect_tool_result_contains"}`,
each optional; an expectation that is not met is answered with status 400 and says why.
"""

import argparse
import asyncio
import contextlib
import http
import itertools
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from collections import deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

if not __package__:  # run as a script
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(__file__))))

from tests.fakes.model_encoding import AnthropicEncoding, Encoding, OpenAIEncoding
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


class _ConnectionOver(Exception):  # noqa: N818 (no error: how an answer ends early)
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


class _Connection:
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
        actions = answerable(self._server.without_spent_refusals(plan, request), asked)
        encoding = _encoding(request, body, actions, answer_id=self._server.new_id())
        try:
            if entry.stream:
                await self._stream(actions, encoding)
            else:
                await self._send_whole(actions, encoding)
        except _ConnectionOver as over:
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
                        raise _ConnectionOver("gone")
                    await asyncio.sleep(_LATCH_POLL_S)
            case Break("hang"):
                await self._reader.read()
                raise _ConnectionOver("gone")
            case Break("reset"):
                linger = struct.pack("ii", 1, 0)
                sock = self._writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                self._writer.transport.abort()
                raise _ConnectionOver("broken")
            case Break("cut"):
                raise _ConnectionOver("broken")
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


def _stop_reason(actions: Sequence[Action]) -> str:
    """In OpenAI's words; the other encoding translates."""
    calls = any(isinstance(action, Call) for action in actions)
    told = [action.reason for action in actions if isinstance(action, Stop)]
    return told[-1] if told else "tool_calls" if calls else "stop"


@contextlib.asynccontextmanager
async def start_model_server(
    *, host: str = "127.0.0.1", port: int = 0, script: Script | None = None, log_path: str = ""
) -> AsyncIterator[ModelServer]:
    """Serve on this event loop for as long as the block lasts; connections end with it."""
    server = ModelServer(script=script, log_path=log_path)
    open_writers: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers[writer] = asyncio.current_task()
        try:
            with contextlib.suppress(_ConnectionOver, ConnectionError, asyncio.IncompleteReadError):
                await _Connection(server, reader, writer).serve()
        finally:
            del open_writers[writer]
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    listener = await asyncio.start_server(handle, host, port, backlog=1024)
    address = listener.sockets[0].getsockname()
    server.url = f"http://{host}:{address[1]}"
    try:
        yield server
    finally:
        listener.close()
        tasks = [task for task in open_writers.values() if task is not None]
        for writer in open_writers:
            writer.transport.abort()  # a cancelled handler would be logged as a failure
        if tasks:
            await asyncio.wait(tasks)
        await listener.wait_closed()


class ModelServerProcess:
    """The same server in a process of its own, ready once the block is entered."""

    def __init__(self, *, script_path: str = "", log_path: str = "", port: int = 0) -> None:
        self._command = [sys.executable, os.path.abspath(__file__), "--port", str(port)]
        self._command += ["--script", script_path] if script_path else []
        self._command += ["--log", log_path] if log_path else []
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._end()
            raise RuntimeError(f"the model server did not start: {self._command}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def log(self) -> list[LogEntry]:
        return [LogEntry(**entry) for entry in self._fetch("/__log")]

    def requests(self) -> list[dict[str, Any]]:
        """The last 100, oldest first: `path`, `headers` (lower-case names), `body`."""
        return self._fetch("/__requests")

    def _fetch(self, path: str) -> list[dict[str, Any]]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path) as response:
            answer: list[dict[str, Any]] = json.load(response)
            return answer

    def _end(self) -> None:
        self._process.terminate()
        self._process.communicate()


async def _serve_until_signal(options: argparse.Namespace, script: Script | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with start_model_server(
        host=options.host, port=options.port, script=script, log_path=options.log
    ) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted model server for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", default="", help="a JSON list of steps")
    parser.add_argument("--log", default="", help="a file that gets a JSON line for each request")
    options = parser.parse_args()
    script = None
    if options.script:
        with open(options.script, encoding="utf-8") as file:
            script = json.load(file)
    asyncio.run(_serve_until_signal(options, script))


if __name__ == "__main__":
    main()
