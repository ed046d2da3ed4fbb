"""A response that streams: every write has an end, a reader that does not read is cut (architecture §5).

`close` of a connection whose reader does not read never ends (measured); `abort` does.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import anyio
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from typing_extensions import override

WRITE_WITHIN_S = 30.0
RESYNC_WITHIN_S = 5.0

SSE_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-cache"}


class ReaderGone(Exception):  # noqa: N818 - an event, not an error: the client hung up
    """The other side hung up or stopped reading."""


class CloseDelimited(web.StreamResponse):
    """A stream that ends with its connection: no length, no chunks (W 0.1 no. 8)."""

    @override
    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self.force_close()
        self._length_check = False
        return await super().prepare(request)


class Output:
    """The writing side of one stream."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self._request = request
        self._response = response

    async def begin(self) -> None:
        """Status and headers, at once. Raises ReaderGone."""
        try:
            await self._response.prepare(self._request)
        except (ConnectionError, RuntimeError) as exc:
            raise ReaderGone from exc

    async def write(self, data: bytes) -> None:
        """Raises ReaderGone."""
        await self._write(data, WRITE_WITHIN_S)

    async def write_last(self, data: bytes) -> None:
        """To a reader that was too slow already. Raises ReaderGone."""
        await self._write(data, RESYNC_WITHIN_S)

    async def _write(self, data: bytes, within_s: float) -> None:
        try:
            with anyio.fail_after(within_s):
                await self._response.write(data)
        except TimeoutError as exc:
            self.abort()
            raise ReaderGone from exc
        except (
            ConnectionError,
            RuntimeError,
        ) as exc:  # aiohttp: "Cannot write to closing transport"
            raise ReaderGone from exc

    async def finish(self) -> None:
        """The final chunk: a clean end."""
        try:
            with anyio.fail_after(RESYNC_WITHIN_S):
                await self._response.write_eof()
        except TimeoutError:
            self.abort()
        except (ConnectionError, RuntimeError):
            pass

    def abort(self) -> None:
        if self._request.transport is not None:
            self._request.transport.abort()


class _Watch(asyncio.Protocol):
    """Stands between a transport and aiohttp's protocol, to tell when the connection is lost."""

    def __init__(self, inner: asyncio.Protocol, lost: anyio.Event) -> None:
        self._inner = inner
        self._lost = lost

    @override
    def data_received(self, data: bytes) -> None:
        self._inner.data_received(data)

    @override
    def eof_received(self) -> bool | None:
        return self._inner.eof_received()

    @override
    def pause_writing(self) -> None:
        self._inner.pause_writing()

    @override
    def resume_writing(self) -> None:
        self._inner.resume_writing()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set()
        self._inner.connection_lost(exc)


@contextmanager
def hangup_of(request: web.Request) -> Iterator[anyio.Event]:
    """An event that is set when the client hangs up; a half-close counts. Read the body before."""
    lost = anyio.Event()
    transport = request.transport
    if transport is None or transport.is_closing():
        lost.set()
        yield lost
        return
    inner = transport.get_protocol()
    if not isinstance(inner, asyncio.Protocol):
        raise TypeError(f"a stream protocol is needed, not {type(inner).__name__}")
    transport.set_protocol(_Watch(inner, lost))
    try:
        yield lost
    finally:
        if not lost.is_set():
            transport.set_protocol(inner)
