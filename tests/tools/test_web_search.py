import time
from collections.abc import AsyncIterator

import anyio
import pytest
from blockbuster import blockbuster_ctx

from crush.errors import ToolError
from crush.tools.registry import _any_tool, _description
from crush.tools.web_client import WebClient
from crush.tools.web_search import WebSearchTool
from tests.fakes.byte_server import ByteServer, Play, byte_server
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import html, plain

ROW = """<tr><td valign="top">{n}.&nbsp;</td><td><a rel="nofollow" href="{href}" class='result-link'>Title <b>{n}</b></a></td></tr>
<tr><td>&nbsp;</td><td class='result-snippet'>What <b>{n}</b>
 is about</td></tr><tr><td></td><td><span class='link-text'>site.example</span></td></tr>"""
LINK = "//duckduckgo.com/l/?uddg=https%3A%2F%2Fsite.example%2F{n}%3Fa%3Db&amp;rut=abc"
AD = "https://duckduckgo.com/y.js?ad_domain=shop.example&amp;u3=x"


def results(*hrefs: str) -> str:
    rows = (ROW.format(n=number, href=href) for number, href in enumerate(hrefs, start=1))
    return f"<html><body><form><input name=q></form><table>{''.join(rows)}</table></body></html>"


def page(count: int) -> Play:
    return html(results(*(LINK.format(n=number) for number in range(1, count + 1))))


@pytest.fixture
async def server() -> AsyncIterator[ByteServer]:
    async with byte_server(page(30)) as server:
        yield server


def with_search(call: Caller, server: ByteServer, *, spacing_s: float = 0) -> Caller:
    tool = WebSearchTool(
        description=_description("web_search"),
        web=WebClient(lookup=FakeNames()),
        base_url=f"{server.url}/lite/",
        spacing_s=spacing_s,
    )
    call.replace_tool(_any_tool(tool))
    return call


async def test_results_are_numbered_with_title_address_and_snippet(
    call: Caller, server: ByteServer
) -> None:
    server.plays = [page(2)]
    result = await with_search(call, server)("web_search", query="a b&c")
    assert result.content == (
        "1. Title 1\n   https://site.example/1?a=b\n   What 1 is about\n"
        "2. Title 2\n   https://site.example/2?a=b\n   What 2 is about"
    )
    assert server.requests[0].line == "GET /lite/?q=a+b%26c HTTP/1.1"


async def test_the_need_shows_the_query(call: Caller, server: ByteServer) -> None:
    need = await with_search(call, server).need("web_search", query="x")
    assert (need.tool, need.kind) == ("web_search", "fetch")
    assert need.target == f"{server.url}/lite/?q=x"
    assert need.description.startswith("Search the web for 'x'")


@pytest.mark.parametrize(("wanted", "given"), [(0, 10), (3, 3), (25, 20), (-1, 10)])
async def test_the_number_of_results_is_bounded(
    wanted: int, given: int, call: Caller, server: ByteServer
) -> None:
    result = await with_search(call, server)("web_search", query="x", max_results=wanted)
    assert result.content.count("Title") == given


async def test_advertisements_and_odd_links_are_left_out(call: Caller, server: ByteServer) -> None:
    links = [
        "https://direct.example/",
        "javascript:x",
        "//duckduckgo.com/l/?uddg=file:///x",
        "http://[",
        "",
    ]
    server.plays = [html(results(AD, *links))]
    result = await with_search(call, server)("web_search", query="x")
    assert result.content == "1. Title 2\n   https://direct.example/\n   What 2 is about"


async def test_nothing_found_is_no_error(call: Caller, server: ByteServer) -> None:
    server.plays = [page(0)]
    result = await with_search(call, server)("web_search", query="x")
    assert result.content == "Nothing was found for 'x'."


@pytest.mark.parametrize(
    "play",
    [
        plain("<html><form>", "text/html", status=202),
        html("<html><div class='anomaly-modal__title'>Are you a robot?</div>"),
    ],
)
async def test_being_taken_for_a_robot_is_said(
    play: Play, call: Caller, server: ByteServer
) -> None:
    server.plays = [play]
    with pytest.raises(ToolError, match="robot"):
        await with_search(call, server)("web_search", query="x")


async def test_a_refusal_is_said(call: Caller, server: ByteServer) -> None:
    server.plays = [plain("slow down", status=429)]
    with pytest.raises(ToolError, match="HTTP 429:\nslow down"):
        await with_search(call, server)("web_search", query="x")


async def test_an_empty_query_is_an_error(call: Caller, server: ByteServer) -> None:
    with pytest.raises(ToolError, match="empty"):
        await with_search(call, server).need("web_search", query=" ")


async def test_searches_keep_their_distance(call: Caller, server: ByteServer) -> None:
    search = with_search(call, server, spacing_s=0.2)
    calls = [search.prepare("web_search", query=f"{number}") for number in range(3)]
    for each in calls:
        await each.needs()
    began = time.monotonic()
    # `Call.run` watches for blocking by a patch that cannot be laid over itself.
    with blockbuster_ctx("crush"):
        async with anyio.create_task_group() as tasks:
            for each in calls:
                tasks.start_soon(each._tool.run, each._args, each._context)
    assert len(server.requests) == 3
    assert time.monotonic() - began >= 0.4
