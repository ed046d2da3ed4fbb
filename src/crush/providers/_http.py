"""One HTTP session for all providers: limits, retries and prompt hang-up around a stream of events.

The only module here that knows aiohttp. What an answer means is the parser's business, what a
refusal means is `_errors`'.
"""

import asyncio
import io
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from http import HTTPStatus
from types import SimpleNamespace, TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

import aiohttp
import anyio
from aiohttp.connector import Connection
from aiohttp.tracing import Trace
from msgspec import Struct
from typing_extensions import override

import crush
from crush.config.settings import ProviderSettings
from crush.errors import ConfigError, ProviderError
from crush.providers._endpoint import Endpoint
from crush.providers._limits import (
    BACKOFF_S,
    KEEPALIVE_S,
    LIMITS,
    MAX_ADVISED_WAIT_S,
    Limits,
)
from crush.providers._sse import MAX_EVENT_BYTES, Frame, FrameTooLongError, SseDecoder
from crush.providers.base import Answer, EmitStream, RetryWaiting
from crush.providers.tls import TlsContexts, ca_files

_LOST = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError)
_MAX_ERROR_BYTES = 64 * 1024
# The longest answers have about 128,000 tokens, each an event of some 200 bytes.
MAX_STREAM_BYTES = 128 * 1024 * 1024


class StreamParser(Protocol):
    """One attempt's answer, put together frame by frame; emits as it goes."""

    @property
    def finished(self) -> bool:
        """The model is done; only bookkeeping can follow."""

    @property
    def closed(self) -> bool:
        """The protocol's last event was seen; nothing can follow."""

    def feed(self, frame: Frame) -> None:
        """One event. Raises ProviderError for an error inside the stream."""

    def feed_whole(self, body: bytes) -> None:
        """An answer that came as one JSON document instead of a stream."""

    def answer(self) -> Answer:
        """How it ended. Raises ProviderError if it did not."""


class HttpPool:
    """Connections to providers, for the life of a server; enter it before use."""

    def __init__(
        self, *, limits: Limits = LIMITS, backoff_s: tuple[float, ...] = BACKOFF_S
    ) -> None:
        self._limits = limits
        self._backoff_s = backoff_s
        self._tls = TlsContexts()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        tracing = aiohttp.TraceConfig()
        tracing.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            connector=_Connector(
                limit=0,
                keepalive_timeout=KEEPALIVE_S,
                resolver=aiohttp.ThreadedResolver(),
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "user-agent": f"pycrush/{crush.__version__}",
                "accept": "text/event-stream, application/json",
                "accept-encoding": "identity",  # a compressing gateway holds tokens back
            },
            timeout=aiohttp.ClientTimeout(
                total=None,
                connect=self._limits.connect_s,
                sock_connect=self._limits.connect_s,
                sock_read=self._limits.silence_s,
            ),
            trace_configs=[tracing],
        )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def prepare(self, settings: ProviderSettings) -> None:
        """Load the certificates that a request to this provider will need, if it is the first."""
        if not settings.base_url.startswith("http:"):
            with suppress(ConfigError):  # the request tells
                await self._tls.prepare(ca_files(settings.env))

    async def post_sse(
        self,
        endpoint: Endpoint,
        body: bytes,
        *,
        headers: Mapping[str, str],
        start: Callable[[], StreamParser],
        emit: EmitStream,
    ) -> Answer:
        """Post a JSON body and feed the answer to a parser, a fresh one for each attempt.

        Cancellation closes the connection at once. Raises ProviderError, and ConfigError for
        certificates that cannot be loaded.
        """
        sent = {"content-type": "application/json", **endpoint.headers, **headers}
        try:
            with anyio.fail_after(self._limits.total_s):
                return await self._post_with_retries(
                    _Post(endpoint=endpoint, headers=sent, body=body), start, emit
                )
        except TimeoutError as exc:
            raise endpoint.errors.failure(
                f"gave no complete answer within {self._limits.total_s:g} s", retryable=False
            ) from exc

    async def _post_with_retries(
        self, post: "_Post", start: Callable[[], StreamParser], emit: EmitStream
    ) -> Answer:
        for attempt, pause_s in enumerate(self._backoff_s, start=1):
            try:
                return await self._attempt(post, start())
            except ProviderError as error:
                if not error.retryable:
                    raise
                wait_s = _wait_s(error, pause_s)
                emit(RetryWaiting(attempt, wait_s, error.message))
            await anyio.sleep(wait_s)
        return await self._attempt(post, start())

    async def _attempt(self, post: "_Post", parser: StreamParser) -> Answer:
        response = await self._open(post)
        body = _Body(response, post.endpoint, self._limits)
        try:
            if response.status != HTTPStatus.OK or response.content_type == "text/html":
                raise await body.refusal()
            if response.content_type == "application/json":
                parser.feed_whole(await body.whole())
            else:
                await body.feed(parser)
            return parser.answer()
        finally:
            body.hang_up()

    async def _open(self, post: "_Post") -> aiohttp.ClientResponse:
        """Send, up to the head of the answer.

        A connection that was kept may have been closed by the peer in the meantime. That is no
        failure of the provider: the next one, at last a new one, is tried without a word.
        """
        if self._session is None:
            raise RuntimeError("the pool is not entered")
        endpoint = post.endpoint
        secure = endpoint.url.startswith("https:") or (endpoint.proxy or "").startswith("https:")
        tls = await self._tls.context(endpoint.ca) if secure else False
        while True:
            connection = _Connection()
            _connecting.set(connection)
            response = None
            try:
                response = await self._session.post(
                    endpoint.url,
                    data=io.BytesIO(post.body),
                    headers=post.headers,
                    proxy=endpoint.proxy,
                    ssl=tls,
                    allow_redirects=False,
                    trace_request_ctx=connection,
                )
            except (aiohttp.ClientError, OSError) as exc:
                if not (connection.reused and isinstance(exc, _LOST)):
                    raise _network_error(exc, endpoint, self._limits) from exc
            else:
                return response
            finally:
                # aiohttp closes, which waits for a peer that does not read what is unsent.
                if response is None and connection.transport is not None:
                    connection.transport.abort()


class _Post(Struct, frozen=True, kw_only=True):
    endpoint: Endpoint
    headers: Mapping[str, str]
    body: bytes


class _Connection(Struct):
    """What is learnt about the connection of one request on its way."""

    reused: bool = False
    transport: asyncio.Transport | None = None


_connecting: ContextVar[_Connection] = ContextVar("_connecting")


class _Connector(aiohttp.TCPConnector):
    """Tells which transport a request got, long before there is a response to ask."""

    @override
    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        _connecting.get().transport = connection.transport
        return connection


async def _note_reuse(
    _session: aiohttp.ClientSession,
    context: SimpleNamespace,
    _params: aiohttp.TraceConnectionReuseconnParams,
) -> None:
    context.trace_request_ctx.reused = True


class _Body:
    """Reads one answer's body, and lets go of its connection."""

    def __init__(
        self, response: aiohttp.ClientResponse, endpoint: Endpoint, limits: Limits
    ) -> None:
        self._response = response
        self._endpoint = endpoint
        self._limits = limits
        self._decoder = SseDecoder()
        self._size_bytes = 0

    async def feed(self, parser: StreamParser) -> None:
        """Events to the parser up to the last one, or to the end of the body."""
        while not (parser.finished or parser.closed):
            if not await self._feed_chunk(parser):
                return
        # What the model said is complete: nothing from here on may spoil it.
        with suppress(ProviderError), anyio.move_on_after(self._limits.trailer_s):
            while not parser.closed and await self._feed_chunk(parser):
                pass
        with suppress(ProviderError), anyio.move_on_after(self._limits.eof_s):
            while await self._chunk():
                pass

    async def _feed_chunk(self, parser: StreamParser) -> bool:
        chunk = await self._chunk()
        self._size_bytes += len(chunk)
        if self._size_bytes > MAX_STREAM_BYTES:
            raise self._too_long()
        try:
            frames = self._decoder.feed(chunk)
        except FrameTooLongError as exc:
            raise self._too_long() from exc
        for frame in frames:
            parser.feed(frame)
        return bool(chunk)

    async def whole(self) -> bytes:
        """The body at once. Raises ProviderError if it is longer than any answer."""
        body = await self._first(MAX_EVENT_BYTES + 1)
        if len(body) > MAX_EVENT_BYTES:
            raise self._too_long()
        return body

    async def refusal(self) -> ProviderError:
        """The error that an answer without success stands for."""
        response, errors = self._response, self._endpoint.errors
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            target = urlsplit(response.headers.get("location", ""))
            return errors.failure(
                f"redirects to {target.scheme}://{target.hostname}{target.path}"
                f" (HTTP {response.status})",
                retryable=False,
                hint="Set the provider's base_url to the address that answers.",
            )
        body = b""
        with suppress(ProviderError), anyio.move_on_after(self._limits.refusal_s):
            body = await self._first(_MAX_ERROR_BYTES)
        return errors.refusal(status=response.status, headers=response.headers, body=body)

    def hang_up(self) -> None:
        """Keep the connection if the body was read to its end, else cut it off.

        An orderly close would wait for what is unsent and for the peer's part of TLS.
        """
        connection = self._response.connection
        if connection is not None and connection.transport is not None:
            connection.transport.abort()
        self._response.close()

    async def _first(self, size_bytes: int) -> bytes:
        body = bytearray()
        while len(body) < size_bytes and (chunk := await self._chunk()):
            body += chunk
        return bytes(body[:size_bytes])

    async def _chunk(self) -> bytes:
        """What has arrived, empty at the end of the body."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise _network_error(exc, self._endpoint, self._limits) from exc

    def _too_long(self) -> ProviderError:
        return self._endpoint.errors.failure("sent an answer of absurd length", retryable=False)


def _wait_s(error: ProviderError, pause_s: float) -> float:
    advised_s = error.retry_after_s
    return pause_s if advised_s is None or advised_s > MAX_ADVISED_WAIT_S else advised_s


class _NetworkFault(Struct, frozen=True, kw_only=True):
    kind: type[Exception]
    sentence: str
    retryable: bool = True
    hint: str = ""


_NETWORK_FAULTS = (  # the first that fits; subclasses stand before their bases
    _NetworkFault(
        kind=aiohttp.ConnectionTimeoutError,
        sentence="did not accept a connection at {host} within {connect_s:g} s",
    ),
    _NetworkFault(kind=aiohttp.SocketTimeoutError, sentence="was silent for {silence_s:g} s"),
    _NetworkFault(
        kind=aiohttp.ClientConnectorCertificateError,
        sentence="has a certificate at {host} that is not trusted: {reason}",
        hint="If your network has a CA of its own, name its file in SSL_CERT_FILE.",
        retryable=False,
    ),
    _NetworkFault(
        kind=aiohttp.ClientProxyConnectionError,
        sentence="cannot be reached, the proxy does not answer: {reason}",
    ),
    _NetworkFault(
        kind=aiohttp.ClientHttpProxyError,
        sentence="cannot be reached, the proxy refused: {reason}",
        hint="Check the proxy variables of your environment.",
        retryable=False,
    ),
    _NetworkFault(
        kind=aiohttp.ClientConnectorDNSError,
        sentence="cannot be reached, there is no address for {host}",
    ),
    _NetworkFault(
        kind=aiohttp.ClientConnectorError, sentence="cannot be reached at {host}: {reason}"
    ),
    _NetworkFault(
        kind=aiohttp.ServerDisconnectedError, sentence="closed the connection without an answer"
    ),
    _NetworkFault(
        kind=aiohttp.ClientResponseError,
        sentence="does not speak HTTP at {host}",
        hint="Check the provider's base_url.",
        retryable=False,
    ),
    _NetworkFault(
        kind=aiohttp.ClientPayloadError, sentence="broke off before the end of the answer"
    ),
    _NetworkFault(kind=Exception, sentence="lost the connection: {reason}"),
)


def _network_error(exc: Exception, endpoint: Endpoint, limits: Limits) -> ProviderError:
    """An error of the transport as ours; of the URL only its host is repeated."""
    fault = next(fault for fault in _NETWORK_FAULTS if isinstance(exc, fault.kind))
    sentence = fault.sentence.format(
        host=urlsplit(endpoint.url).netloc,
        connect_s=limits.connect_s,
        silence_s=limits.silence_s,
        reason=_reason(exc),
    )
    return endpoint.errors.failure(sentence, retryable=fault.retryable, hint=fault.hint)


def _reason(exc: Exception) -> str:
    match exc:
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            return (
                cause.verify_message
                if isinstance(cause, ssl.SSLCertVerificationError)
                else type(cause).__name__
            )
        case aiohttp.ClientConnectorError(os_error=cause):
            return cause.strerror or type(cause).__name__
        case aiohttp.ClientResponseError(status=status):
            return f"HTTP {status}"
        case OSError(strerror=reason) if reason:
            return reason
        case _:
            return type(exc).__name__
