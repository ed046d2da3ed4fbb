import contextlib
import gzip
import re
import zlib

import anyio
import msgspec
import pytest
from anyio.abc import ByteStream, SocketAttribute

import crush
from crush.errors import ToolError
from tests.fakes.byte_server import Play, byte_server
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import html, plain, with_web, zipped

PAGE = "<html><head><title>T</title><script>evil()</script></head><body><h1>Head</h1><p>Some <b>bold</b> <a href='/x'>link</a></p><ul><li>one<li>two</ul></body></html>"


@pytest.fixture
def fetch(call: Caller) -> Caller:
    with_web(call, FakeNames())
    return call


async def test_html_becomes_markdown_with_absolute_links(fetch: Caller) -> None:
    async with byte_server(html(PAGE)) as server:
        result = await fetch("fetch", url=f"{server.url}/dir/page")
        assert "# Head" in result.content
        assert f"Some **bold** [link]({server.url}/x)" in result.content
        assert "- one" in result.content
        assert "evil" not in result.content
        assert result.metadata_json() == ""
        request = server.requests[0]
    assert request.line == "GET /dir/page HTTP/1.1"
    assert request.headers["user-agent"] == f"crush/{crush.__version__}"
    assert not {"cookie", "authorization", "referer"} & set(request.headers)


async def test_text_is_the_words_and_html_the_source(fetch: Caller) -> None:
    async with byte_server(html(PAGE)) as server:
        text = (await fetch("fetch", url=server.url, format="text")).content
        source = (await fetch("fetch", url=server.url, format="html")).content
    assert re.sub(r"\n+", "|", text) == "T|Head|Some bold link|one|two"
    assert source == PAGE


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "application/ld+json", "text/csv", "", "text/x-python", "x"],
)
async def test_json_and_text_come_as_they_are(content_type: str, fetch: Caller) -> None:
    async with byte_server(plain('{"a": "<b>ü"}', content_type)) as server:
        assert (await fetch("fetch", url=server.url)).content == '{"a": "<b>ü"}'


async def test_the_need_shows_the_url_that_is_asked_for(fetch: Caller) -> None:
    need = await fetch.need("fetch", url="HTTPS://Example.COM./a#b", format="text", timeout=7)
    assert (need.kind, need.action, need.tool) == ("fetch", "fetch", "fetch")
    assert need.target == "https://example.com/a"
    assert need.description == "Fetch https://example.com/a"
    assert need.directory == fetch.context.cwd
    assert msgspec.to_builtins(need.params) == {
        "url": "https://example.com/a",
        "format": "text",
        "timeout": 7,
    }


@pytest.mark.parametrize("url", ["http://localhost:3000/", "http://10.0.0.1/", "http://[::1]/"])
async def test_the_need_of_a_private_host_says_so(url: str, fetch: Caller) -> None:
    need = await fetch.need("fetch", url=url)
    assert need.description == f"Fetch {url} (a private address)"


async def test_asking_looks_up_no_name(call: Caller) -> None:
    """Who may not fetch may not send a secret to a name server either."""
    names = FakeNames()
    with_web(call, names)
    fetch = call.prepare("fetch", url="https://secret.evil.example/")
    await fetch.needs()
    assert names.asked == []
    with pytest.raises(ToolError, match="no address"):
        await fetch.run()
    assert names.asked == ["secret.evil.example"]


@pytest.mark.parametrize(
    ("data", "content_type", "text"),
    [
        ("café".encode("latin-1"), "text/plain; charset=ISO-8859-1", "café"),
        ("café".encode("latin-1"), "text/plain", "café"),
        ("日本".encode("shift-jis"), 'text/plain; charset="Shift_JIS"', "日本"),
        ("日本".encode("utf-16"), "text/plain", "日本"),
        ("\ufeffx".encode(), "text/plain; charset=latin-1", "x"),
        ("x€".encode("cp1252"), "text/plain; charset=iso-8859-1", "x€"),
        (b"x", "text/plain; charset=zlib_codec", "x"),
        (b"x", "text/plain; charset=unicode_escape", "x"),
        (b"x", "text/plain; charset=cp9999", "x"),
        (b"x", "text/plain; charset*=utf-8''x", "x"),
        ("привет".encode("koi8-r"), "text/plain; charset=koi8-r", "привет"),
    ],
)
async def test_the_charset_is_found_or_guessed(
    data: bytes, content_type: str, text: str, fetch: Caller
) -> None:
    async with byte_server(plain(data, content_type)) as server:
        assert (await fetch("fetch", url=server.url)).content == text


async def test_a_page_may_name_its_charset_itself(fetch: Caller) -> None:
    page = "<html><meta charset='windows-1251'><p>привет".encode("cp1251")
    async with byte_server(plain(page, "text/html")) as server:
        assert "привет" in (await fetch("fetch", url=server.url)).content


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\x89PNG\r\n\x1a\n\x00\x00", "image/png"),
        (b"PK\x03\x04\xff\xfe", "application/zip"),
        (b"%PDF-1.7\n\xe2\xe3", "application/pdf"),
        (b"\xff\x00\xfe", ""),
        (b"a\x00b", "text/plain"),
    ],
)
async def test_binary_data_is_refused_with_a_way_out(
    data: bytes, content_type: str, fetch: Caller
) -> None:
    async with byte_server(plain(data, content_type)) as server:
        with pytest.raises(ToolError, match="not text; use download"):
            await fetch("fetch", url=server.url)


async def test_a_refusal_is_an_error_with_what_the_server_says(fetch: Caller) -> None:
    page = "<html><body><h1>Gone</h1><p>since May"
    async with byte_server(plain(page, "text/html", status=404)) as server:
        with pytest.raises(ToolError, match=r"(?s)answered HTTP 404:\nGone\s+since May"):
            await fetch("fetch", url=server.url)
    async with byte_server(plain(b"\x00", "image/png", status=500)) as server:
        with pytest.raises(ToolError, match=r"answered HTTP 500\."):
            await fetch("fetch", url=server.url)


async def test_long_text_is_cut_with_a_notice(fetch: Caller) -> None:
    async with byte_server(plain("ü" * 200_000)) as server:
        content = (await fetch("fetch", url=server.url)).content
    text, _, notice = content.partition("\n\n[")
    assert len(text.encode()) == 100 * 1024
    assert notice == "Cut: these are the first 102400 of 400000 bytes.]"


async def test_an_endless_answer_is_read_no_further_than_needed(fetch: Caller) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n"
    endless = Play(pieces=(head, b"x" * 6_000_000), then="hang")
    async with byte_server(endless) as server:
        content = (await fetch("fetch", url=server.url)).content
        with anyio.fail_after(5):
            await server.gone.wait()
    assert content.endswith("5242880 bytes or more.]")


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
async def test_compressed_answers_are_read(encoding: str, fetch: Caller) -> None:
    async with byte_server(zipped(b"hello", encoding=encoding)) as server:
        assert (await fetch("fetch", url=server.url)).content == "hello"


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (gzip.compress(b"hel") + gzip.compress(b"lo") + b"\0\0\0", "gzip"),
        (zlib.compress(b"hello"), "deflate"),
        (zlib.compress(b"hello", wbits=-15), "deflate"),
        (b"hello", "identity"),
    ],
)
async def test_every_form_of_compression_that_was_asked_for_is_read(
    data: bytes, encoding: str, fetch: Caller
) -> None:
    play = plain(data, more=f"content-encoding: {encoding}\r\n")
    async with byte_server(play) as server:
        assert (await fetch("fetch", url=server.url)).content == "hello"


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
async def test_compression_that_was_not_asked_for_is_an_error(encoding: str, fetch: Caller) -> None:
    async with byte_server(plain(b"x", more=f"content-encoding: {encoding}\r\n")) as server:
        with pytest.raises(ToolError, match="not asked"):
            await fetch("fetch", url=server.url)


async def test_broken_compression_is_an_error(fetch: Caller) -> None:
    async with byte_server(plain(b"\x1f\x8bno", more="content-encoding: gzip\r\n")) as server:
        with pytest.raises(ToolError, match="broken"):
            await fetch("fetch", url=server.url)


async def test_a_zip_bomb_costs_no_more_than_the_limit(fetch: Caller) -> None:
    bomb = gzip.compress(b"a" * 300_000_000, compresslevel=1)
    async with byte_server(plain(bomb, more="content-encoding: gzip\r\n")) as server:
        content = (await fetch("fetch", url=server.url)).content
    assert content.endswith("first 102400 of 5242880 bytes or more.]")


async def test_members_without_content_do_not_feed_us_for_ever(fetch: Caller) -> None:
    members = gzip.compress(b"") * 300_000
    async with byte_server(plain(members, more="content-encoding: gzip\r\n")) as server:
        content = (await fetch("fetch", url=server.url)).content
    assert content.startswith("The answer is empty.")
    assert "only the first" in content


@pytest.mark.parametrize(
    "pieces",
    [
        (b"HTTP/1.1 200 OK\r\n",),
        (b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\nsome text",),
    ],
)
async def test_a_server_that_does_not_go_on_is_left_in_time(
    pieces: tuple[bytes, ...], fetch: Caller
) -> None:
    async with byte_server(Play(pieces=pieces, then="hang")) as server:
        with pytest.raises(ToolError, match="no complete answer within 1 s"):
            await fetch("fetch", url=server.url, timeout=1)
        with anyio.fail_after(5):
            await server.gone.wait()


async def test_a_server_that_drips_is_left_in_time_too(fetch: Caller) -> None:
    async def drip(stream: ByteStream) -> None:
        async with stream:
            with contextlib.suppress(anyio.BrokenResourceError):
                await send_slowly(stream)

    async def send_slowly(stream: ByteStream) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\r\n")
        while True:
            await stream.send(b"x")
            await anyio.sleep(0.02)  # its pace: never silent for long

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, drip)
        with pytest.raises(ToolError, match="no complete answer within 1 s"):
            await fetch("fetch", url=f"http://127.0.0.1:{port}/", timeout=1)
        serving.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (Play(), "without an answer"),
        (Play(then="reset"), "lost|without an answer"),
        (Play(pieces=(b"SSH-2.0-OpenSSH\r\n",)), "does not speak HTTP"),
        (
            Play(pieces=(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",)),
            "not speak HTTP",
        ),
        (Play(pieces=(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx",)), "broke off"),
        (
            Play(pieces=(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",)),
            "not speak|broke off",
        ),
    ],
)
async def test_what_goes_wrong_on_the_wire_is_said(play: Play, why: str, fetch: Caller) -> None:
    async with byte_server(play) as server:
        with pytest.raises(ToolError, match=why):
            await fetch("fetch", url=server.url)


async def test_a_closed_port_is_said(fetch: Caller) -> None:
    async with byte_server(plain("x")) as server:
        url = server.url
    with pytest.raises(ToolError, match="cannot be reached: Connect"):
        await fetch("fetch", url=url)


async def test_what_a_terminal_would_obey_is_taken_out(fetch: Caller) -> None:
    async with byte_server(plain("a\x1b[31mb\u202ec")) as server:
        assert (await fetch("fetch", url=server.url)).content == "abc"


async def test_cancelling_hangs_up(fetch: Caller) -> None:
    async with byte_server(Play(pieces=(b"HTTP/1.1 200 OK\r\n",), then="hang")) as server:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_fetch, fetch, server.url)
            await server.played.wait()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.gone.wait()


async def _fetch(fetch: Caller, url: str) -> None:
    await fetch("fetch", url=url)
