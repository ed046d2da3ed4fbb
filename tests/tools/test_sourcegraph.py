from collections.abc import AsyncIterator

import msgspec
import pytest

from crush.errors import ToolError
from crush.tools.registry import _any_tool, _description
from crush.tools.sourcegraph import SourcegraphTool
from crush.tools.web_client import WebClient
from tests.fakes.byte_server import ByteServer, Play, byte_server
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import plain

CONTENT = "\n".join(f"line {number}" for number in range(1, 101))


def match(path: str, *lines: int, content: str | None = CONTENT) -> dict[str, object]:
    return {
        "__typename": "FileMatch",
        "repository": {"name": "github.com/a/b"},
        "file": {"path": path, "url": f"/github.com/a/b/-/blob/{path}", "content": content},
        "lineMatches": [
            {"preview": f"preview {number}", "lineNumber": number - 1} for number in lines
        ],
    }


def found(*results: dict[str, object], count: int = 1, limit_hit: bool = False) -> Play:
    inner = {"matchCount": count, "limitHit": limit_hit, "results": results}
    body = msgspec.json.encode({"data": {"search": {"results": inner}}})
    return plain(body, "application/json")


@pytest.fixture
async def server() -> AsyncIterator[ByteServer]:
    async with byte_server(found(match("x.py", 5))) as server:
        yield server


@pytest.fixture
def search(call: Caller, server: ByteServer) -> Caller:
    tool = SourcegraphTool(
        description=_description("sourcegraph"),
        web=WebClient(lookup=FakeNames()),
        base_url=server.url,
    )
    call.replace_tool(_any_tool(tool))
    return call


async def test_matches_come_with_their_surroundings(search: Caller, server: ByteServer) -> None:
    server.plays = [found(match("x.py", 5, 6, 50), {"__typename": "Repository"}, count=3)]
    result = await search("sourcegraph", query="lang:python x", context_window=1)
    lines = ["     4|line 4", "     5|line 5", "     6|line 6", "     7|line 7", "…"]
    lines += ["    49|line 49", "    50|line 50", "    51|line 51"]
    head = f"## github.com/a/b: x.py\n{server.url}/github.com/a/b/-/blob/x.py"
    assert result.content == "\n".join(["3 matches\n", head, "```", *lines, "```"])
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_matches": 3,
        "truncated": False,
    }
    sent = msgspec.json.decode(server.requests[0].body)
    assert server.requests[0].line == "POST /.api/graphql HTTP/1.1"
    assert sent["variables"] == {"query": "lang:python x count:10"}


async def test_a_file_whose_content_is_not_given_shows_the_lines_that_match(
    search: Caller, server: ByteServer
) -> None:
    server.plays = [found(match("x.py", 7, 3, content=None))]
    result = await search("sourcegraph", query="x")
    assert "     3|preview 3\n     7|preview 7" in result.content


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({"count": 50}, "x count:20"), ({"count": 0}, "x count:10"), ({"count": 3}, "x count:3")],
)
async def test_the_count_is_bounded(
    arguments: dict[str, object], sent: str, search: Caller, server: ByteServer
) -> None:
    server.plays = [found(*(match(f"{number}.py", 1) for number in range(30)), count=30)]
    result = await search("sourcegraph", query="x", **arguments)
    assert msgspec.json.decode(server.requests[0].body)["variables"]["query"] == sent
    assert result.content.count("## ") == int(sent.partition(":")[2])
    assert result.content.startswith("30 matches, not all shown")


async def test_nothing_found_is_no_error(search: Caller, server: ByteServer) -> None:
    server.plays = [found(count=0)]
    assert (await search("sourcegraph", query="x")).content == "Nothing was found."


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"errors": [{"message": "no\\u001b[1m such"}]}', "refused: no such"),
        (b'{"data": {"search": null}}', "no results"),
        (b"<html>", "cannot be understood"),
        (b"[" * 100_000, "cannot be understood"),
    ],
)
async def test_an_answer_without_results_is_an_error(
    body: bytes, why: str, search: Caller, server: ByteServer
) -> None:
    server.plays = [plain(body, "application/json")]
    with pytest.raises(ToolError, match=why):
        await search("sourcegraph", query="x")


async def test_a_post_is_not_sent_on_by_a_redirect(search: Caller, server: ByteServer) -> None:
    server.plays = [plain(b"", status=307, more="location: /elsewhere\r\n")]
    with pytest.raises(ToolError, match="HTTP 307"):
        await search("sourcegraph", query="x")
    assert len(server.requests) == 1


async def test_the_need_shows_the_query_and_an_empty_one_is_an_error(
    search: Caller, server: ByteServer
) -> None:
    need = await search.need("sourcegraph", query="x")
    assert need.target == f"{server.url}/.api/graphql"
    assert need.description == "Search 127.0.0.1 for 'x' (a private address)"
    with pytest.raises(ToolError, match="empty"):
        await search.need("sourcegraph", query=" ")
