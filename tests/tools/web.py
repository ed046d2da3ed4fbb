"""The web tools in a caller, and answers as they come over a wire."""

import gzip

from crush.tools.base import AnyTool
from crush.tools.download import DownloadTool
from crush.tools.fetch import FetchTool
from crush.tools.registry import _any_tool, _description
from crush.tools.web_client import Lookup, WebClient
from crush.tools.web_fetch import WebFetchTool
from tests.fakes.byte_server import Play
from tests.tools.conftest import Caller

MOST_BYTES = 1_000_000


def with_web(call: Caller, lookup: Lookup) -> WebClient:
    """Give the caller `fetch`, `web_fetch` and `download` that share one client."""
    web = WebClient(lookup=lookup)
    for tool in web_tools(web):
        call.replace_tool(tool)
    return web


def web_tools(web: WebClient) -> list[AnyTool]:
    return [
        _any_tool(FetchTool(description=_description("fetch"), web=web)),
        _any_tool(WebFetchTool(description=_description("web_fetch"), web=web)),
        _any_tool(
            DownloadTool(description=_description("download"), web=web, most_bytes=MOST_BYTES)
        ),
    ]


def plain(
    body: bytes | str,
    content_type: str = "text/plain",
    *,
    status: int = 200,
    more: str = "",
) -> Play:
    """A whole answer with its length; the connection closes after it."""
    data = body.encode() if isinstance(body, str) else body
    kind = f"content-type: {content_type}\r\n" if content_type else ""
    head = f"HTTP/1.1 {status} X\r\n{kind}content-length: {len(data)}\r\n{more}\r\n"
    return Play(pieces=(head.encode() + data,))


def html(body: str) -> Play:
    return plain(body, "text/html; charset=utf-8")


def zipped(body: bytes, *, encoding: str = "gzip") -> Play:
    return plain(gzip.compress(body), more=f"content-encoding: {encoding}\r\n")


def redirect(location: str, *, status: int = 302) -> Play:
    return plain(b"", status=status, more=f"location: {location}\r\n")
