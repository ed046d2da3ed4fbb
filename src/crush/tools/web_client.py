"""One request to the web at a time: redirects, limits on what is connected to, proxies, certificates.

The only module of the tools that knows aiohttp. Every address, written or looked up, passes the call's
`Reach` at the moment its socket is made. Through a proxy of the client's environment only what can be
looked up here is judged: which address is reached then is the proxy's word. No cookies, no
credentials, no connection that outlives its request. Callers bound the time.
"""

import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

import aiohttp
import anyio
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.connector import AddrInfoType
from msgspec import Struct, field
from typing_extensions import override
from yarl import URL

import crush
from crush.errors import ConfigError, ToolError
from crush.providers.proxy import proxy_for
from crush.providers.tls import TlsContexts, ca_files
from crush.tools.clean_text import clean_text
from crush.tools.private_hosts import PrivateHosts, Reach
from crush.tools.target_path import CallArgs
from crush.tools.web_url import WebUrl, redirect_target

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_CONNECT_S = 10
_LOOKUP_S = 3
_CLEANUP_S = 5

# Addresses of a name, as text. Raises OSError.
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


async def look_up(host: str, port: int) -> Sequence[str]:
    """As the system does."""
    found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class WebRequest(Struct, frozen=True, kw_only=True):
    """A GET, or a POST of `body`."""

    url: WebUrl
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None


class WebAnswer:
    """The head of an answer, and its body piece by piece as it was sent."""

    def __init__(self, url: WebUrl, response: aiohttp.ClientResponse) -> None:
        self.url = url
        self.status = response.status
        self.content_type = response.headers.get("content-type", "")
        self.encoding = response.headers.get("content-encoding", "").strip().lower()
        self.location = response.headers.get("location", "")
        self.size_bytes = response.content_length
        # Otherwise the body ends where the connection does, for whatever reason that is.
        self.has_known_end = self.size_bytes is not None or (
            "chunked" in response.headers.get("transfer-encoding", "").lower()
        )
        self._response = response

    async def read_chunk(self) -> bytes:
        """What has arrived, empty at the end of the body. Raises ToolError."""
        try:
            return await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as exc:
            raise _fault(exc, self.url) from exc


class WebClient:
    """What the web tools share: certificates, and what is known of private hosts."""

    def __init__(self, *, lookup: Lookup) -> None:
        self._lookup = lookup
        self._tls = TlsContexts()
        self.private_hosts = PrivateHosts()

    @contextlib.asynccontextmanager
    async def open(
        self, request: WebRequest, *, call: CallArgs, env: Mapping[str, str]
    ) -> AsyncIterator[WebAnswer]:
        """The answer that is no redirect; the connection ends with the block.

        Raises ToolError. Redirects are followed as far as `redirect_target` allows, for GET only.
        """
        for _ in range(MAX_REDIRECTS + 1):
            async with self._send(request, call=call, env=env) as answer:
                if answer.status not in _REDIRECTS or not answer.location or request.body:
                    yield answer
                    return
                target = redirect_target(request.url, answer.location)
            request = WebRequest(url=target, headers=request.headers)
        raise ToolError(f"Stopped after {MAX_REDIRECTS} redirects, the last one to {request.url}.")

    @contextlib.asynccontextmanager
    async def _send(
        self, request: WebRequest, *, call: CallArgs, env: Mapping[str, str]
    ) -> AsyncIterator[WebAnswer]:
        url = request.url
        reach = self.private_hosts.reach(call)
        try:
            proxy = proxy_for(str(url), env)
            secure = url.scheme == "https" or (proxy or "").startswith("https:")
            tls = await self._tls.context(ca_files(env)) if secure else None
        except ConfigError as exc:
            raise ToolError(f"{exc.message}.") from exc
        if proxy is not None:
            await self._judge_behind_proxy(url, reach)
        session = _open_session(self._lookup, None if proxy else reach)
        response = None
        try:
            response = await self._request(session, request, proxy=proxy, tls=tls, reach=reach)
            yield WebAnswer(url, response)
        finally:
            if response is not None:
                _hang_up(response)
            with anyio.move_on_after(_CLEANUP_S, shield=True):
                await session.close()

    async def _request(
        self,
        session: aiohttp.ClientSession,
        request: WebRequest,
        *,
        proxy: str | None,
        tls: ssl.SSLContext | None,
        reach: Reach,
    ) -> aiohttp.ClientResponse:
        try:
            response = await session.request(
                "GET" if request.body is None else "POST",
                URL(str(request.url), encoded=True),
                data=request.body,
                headers=request.headers,
                proxy=proxy,
                ssl=tls or False,
                allow_redirects=False,
            )
        except (aiohttp.ClientError, OSError) as exc:
            if reach.refused:
                raise self.private_hosts.refuse(request.url.host, reach.refused) from exc
            raise _fault(exc, request.url) from exc
        if not reach.used_named:
            self.private_hosts.forget(request.url.host)
        return response

    async def _judge_behind_proxy(self, url: WebUrl, reach: Reach) -> None:
        """Refuse what is known here to be private; a name that only the proxy knows passes."""
        addresses: Sequence[str] = () if url.address is None else (url.host,)
        if not addresses:
            with contextlib.suppress(OSError), anyio.move_on_after(_LOOKUP_S):
                addresses = await self._lookup(url.host, url.port)
        if not all(map(reach.admits, addresses)):
            raise self.private_hosts.refuse(url.host, reach.refused)


class _Resolver(AbstractResolver):
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in await self._lookup(host, port)
        ]

    @override
    async def close(self) -> None:
        pass


def _open_session(lookup: Lookup, reach: Reach | None) -> aiohttp.ClientSession:
    """For one request; `reach` None connects to whatever is asked for: a proxy."""

    def make_socket(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if reach is not None and not reach.admits(str(address[0])):
            raise PermissionError("a private address")
        return socket.socket(family=family, type=kind, proto=protocol)

    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            resolver=_Resolver(lookup),
            use_dns_cache=False,
            socket_factory=make_socket,
            force_close=True,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"user-agent": f"crush/{crush.__version__}"},
        auto_decompress=False,  # its size must be bounded: `web_body`
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
    )


def _hang_up(response: aiohttp.ClientResponse) -> None:
    """Cut the connection off; an orderly close would wait for the peer."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


def _fault(exc: Exception, url: WebUrl) -> ToolError:
    host = url.authority
    match exc:
        case aiohttp.ClientConnectorCertificateError(certificate_error=cause):
            reason = (
                cause.verify_message
                if isinstance(cause, ssl.SSLCertVerificationError)
                else type(cause).__name__
            )
            text = f"The certificate of {host} is not trusted: {reason}."
        case aiohttp.ClientConnectorDNSError():
            text = f"There is no address for {url.host!r}."
        case aiohttp.ConnectionTimeoutError():
            text = f"{host} did not accept a connection within {_CONNECT_S} s."
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            text = f"The proxy does not lead to {host}: {_reason(exc)}."
        case aiohttp.ClientConnectorError():
            text = f"{host} cannot be reached: {_reason(exc)}."
        case aiohttp.ServerDisconnectedError():
            text = f"{host} closed the connection without an answer."
        case aiohttp.ClientPayloadError():
            text = f"{host} broke off before the end of the answer."
        case aiohttp.ClientResponseError():
            text = f"{host} does not speak HTTP: {_reason(exc)}."
        case _:
            text = f"The connection to {host} was lost: {_reason(exc)}."
    return ToolError(clean_text(text))


def _reason(exc: Exception) -> str:
    match exc:
        case aiohttp.ClientConnectorError(os_error=cause):
            return cause.strerror or type(cause).__name__
        case aiohttp.ClientHttpProxyError(status=status):
            return f"HTTP {status}"
        case OSError(strerror=reason) if reason:
            return reason
        case _:
            return type(exc).__name__
