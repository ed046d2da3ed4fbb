"""A server that plays bytes: for each request the next `Play`, to the byte and to the way it ends.

It knows no more of HTTP than where a request ends. `watched_pool` is the other half of such a test:
a pool that waits milliseconds, in a loop in which blocking calls of ours are errors.
"""

import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from http import HTTPStatus
from typing import Literal

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener
from blockbuster import blockbuster_ctx
from msgspec import Struct

from crush.providers._http import HttpPool
from crush.providers._limits import LIMITS, Limits


class Play(Struct, frozen=True, kw_only=True):
    """What a request is answered with.

    Attributes:
        pieces: written one after the other, each on its way before the next.
        then: `keep` the connection for another request, `close` or `reset` it, `hang` until the
            peer is gone, or be `deaf`: read no more than the head of the request.
    """

    pieces: tuple[bytes, ...] = ()
    then: Literal["keep", "close", "reset", "hang", "deaf"] = "close"


class Request(Struct, frozen=True):
    """A request as it came; header names in lower case."""

    line: str
    headers: Mapping[str, str]
    body: bytes


class ByteServer:
    """What tests see of the server."""

    def __init__(self, *plays: Play) -> None:
        self.plays = list(plays)
        self.requests: list[Request] = []
        self.connections = 0
        self.heard = anyio.Event()  # the head of a request has arrived
        self.played = anyio.Event()  # a play has been written
        self.gone = anyio.Event()  # the peer closed its side
        self.port = 0
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    async def serve(self, stream: ByteStream) -> None:
        self.connections += 1
        buffered = BufferedByteReceiveStream(stream)
        async with stream:
            with contextlib.suppress(anyio.IncompleteRead, anyio.BrokenResourceError):
                while await self._answer(stream, buffered):
                    pass

    async def _answer(self, stream: ByteStream, buffered: BufferedByteReceiveStream) -> bool:
        head = (await buffered.receive_until(b"\r\n\r\n", 1024 * 1024)).decode("latin-1")
        line, *fields = head.split("\r\n")
        headers = {n.lower(): v for n, v in (field.split(": ", 1) for field in fields)}
        self.heard.set()
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        if play.then != "deaf":
            body = await buffered.receive_exactly(int(headers.get("content-length", "0")))
            self.requests.append(Request(line, headers, body))
        for piece in play.pieces:
            await stream.send(piece)
            await anyio.lowlevel.checkpoint()
        self.played.set()
        if play.then == "deaf":
            await anyio.sleep_forever()
        if play.then == "hang":
            await self._wait_gone(buffered)
        if play.then == "reset":
            linger_0_s = struct.pack("ii", 1, 0)
            raw = stream.extra(SocketAttribute.raw_socket)  # noqa: S610 - no Django
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger_0_s)
        return play.then == "keep"

    async def _wait_gone(self, buffered: BufferedByteReceiveStream) -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await buffered.receive()
        self.gone.set()


def head(*, status: int = 200, content_type: str = "text/event-stream", more: str = "") -> bytes:
    """The head of an answer whose body is sent in chunks."""
    return (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: {content_type}\r\n"
        f"transfer-encoding: chunked\r\n{more}\r\n"
    ).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def stream_of(*data: bytes, then: Literal["keep", "close", "hang"] = "keep") -> Play:
    """A whole event stream, in these chunks."""
    return Play(pieces=(head(), *map(chunk, data), b"0\r\n\r\n"), then=then)


def refusal(
    status: int, body: bytes, *, content_type: str = "application/json", more: str = ""
) -> Play:
    """A whole answer that is no stream."""
    start = head(status=status, content_type=content_type, more=more)
    return Play(pieces=(start + (chunk(body) if body else b"") + b"0\r\n\r\n",), then="keep")


@contextlib.asynccontextmanager
async def byte_server(*plays: Play, tls: ssl.SSLContext | None = None) -> AsyncIterator[ByteServer]:
    """A server on loopback; after the last play it plays the last one again."""
    server = ByteServer(*plays)
    plain = await anyio.create_tcp_listener(local_host="127.0.0.1")
    server.port = plain.extra_attributes[SocketAttribute.local_port]()
    server.scheme = "http" if tls is None else "https"
    listener = plain if tls is None else TLSListener(plain, tls, standard_compatible=False)
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, server.serve)
        yield server
        serving.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def connect_proxy(target_port: int) -> AsyncIterator[ByteServer]:
    """An HTTP proxy that leads every CONNECT to one port of loopback."""
    proxy = ByteServer()

    async def tunnel(stream: ByteStream) -> None:
        buffered = BufferedByteReceiveStream(stream)
        request = (await buffered.receive_until(b"\r\n\r\n", 65536)).decode("latin-1")
        line, *fields = request.split("\r\n")
        headers = {n.lower(): v for n, v in (field.split(": ", 1) for field in fields)}
        proxy.requests.append(Request(line, headers, b""))
        await stream.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with (
            stream,
            await anyio.connect_tcp("127.0.0.1", target_port) as target,
            anyio.create_task_group() as pumps,
        ):
            pumps.start_soon(_pump, target, stream, pumps.cancel_scope)
            await _pump(stream, target, pumps.cancel_scope)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    proxy.port = listener.extra_attributes[SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, tunnel)
        yield proxy
        serving.cancel_scope.cancel()


async def _pump(source: ByteStream, sink: ByteStream, scope: anyio.CancelScope) -> None:
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            await sink.send(await source.receive())
    scope.cancel()


@contextlib.asynccontextmanager
async def watched_pool(
    *, limits: Limits = LIMITS, backoff_s: tuple[float, ...] = (0.001, 0.002, 0.003)
) -> AsyncIterator[HttpPool]:
    """A pool without patience; a call of ours that blocks the loop raises."""
    with blockbuster_ctx("crush"):
        async with HttpPool(limits=limits, backoff_s=backoff_s) as pool:
            yield pool
