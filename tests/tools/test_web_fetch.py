import os
import stat
from pathlib import Path

import pytest

from crush.errors import ToolError
from tests.fakes.byte_server import byte_server
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import html, plain, with_web


@pytest.fixture
def web(call: Caller) -> Caller:
    with_web(call, FakeNames())
    return call


async def test_a_page_comes_as_markdown(web: Caller) -> None:
    async with byte_server(html("<h2>A</h2><a href=b>c</a>")) as server:
        result = await web("web_fetch", url=f"{server.url}/d/")
    assert result.content == f"## A\n\n[c]({server.url}/d/b)"


async def test_the_need_is_a_fetch(web: Caller) -> None:
    need = await web.need("web_fetch", url="https://a.example")
    assert (need.tool, need.action, need.kind) == ("web_fetch", "fetch", "fetch")
    assert (need.target, need.params) == ("https://a.example/", {"url": "https://a.example/"})


async def test_a_long_page_is_saved_where_only_the_user_reads(web: Caller) -> None:
    text = "word\n" * 20_000
    async with byte_server(plain(text)) as server:
        result = await web("web_fetch", url=server.url)
    (name,) = os.listdir(web.context.tmp)
    path = Path(web.context.tmp) / name
    assert path.read_text() == text
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(result.content) < 1300
    assert f"[The whole text, 100000 characters in 20001 lines, is in {path}]" in result.content


async def test_no_more_than_five_megabytes_are_read(web: Caller) -> None:
    async with byte_server(plain("x" * 6_000_000)) as server:
        result = await web("web_fetch", url=server.url)
    (name,) = os.listdir(web.context.tmp)
    assert (Path(web.context.tmp) / name).stat().st_size == 5 * 1024 * 1024
    assert "Only the first 5242880 bytes" in result.content


@pytest.fixture
def file_in_the_way(web: Caller) -> None:
    Path(web.context.tmp).write_text("x")


@pytest.mark.usefixtures("file_in_the_way")
async def test_what_cannot_be_saved_is_an_error(web: Caller) -> None:
    async with byte_server(plain("x" * 60_000)) as server:
        with pytest.raises(ToolError, match="cannot be saved"):
            await web("web_fetch", url=server.url)


async def test_an_empty_page_is_said(web: Caller) -> None:
    async with byte_server(plain("")) as server:
        assert (await web("web_fetch", url=server.url)).content == "The page is empty."
