import os
import resource
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import msgspec
import pytest
from anyio.abc import ByteStream, SocketAttribute

from crush.errors import ToolError
from tests.fakes.byte_server import ByteServer, Play, byte_server, chunk, head
from tests.fakes.file_log import FakeFileLog
from tests.fakes.names import FakeNames
from tests.tools.conftest import Caller
from tests.tools.web import MOST_BYTES, plain, redirect, with_web

DATA = bytes(range(256)) * 2000


@pytest.fixture
def download(call: Caller) -> Caller:
    with_web(call, FakeNames())
    return call


@pytest.fixture
async def server() -> AsyncIterator[ByteServer]:
    async with byte_server(plain(DATA, "application/x-thing")) as server:
        yield server


def entries(directory: Path) -> list[str]:
    return sorted(os.listdir(directory))


async def test_what_is_sent_is_saved_byte_by_byte(
    download: Caller, project: Path, server: ByteServer
) -> None:
    result = await download("download", url=f"{server.url}/x", file_path="a/b/file.bin")
    path = project / "a" / "b" / "file.bin"
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert entries(path.parent) == ["file.bin"]
    assert result.content == (
        f"Downloaded {server.url}/x to {path} (512000 bytes, application/x-thing)."
    )
    assert result.metadata_json() == ""
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_both_the_request_and_the_file_are_needed(download: Caller, project: Path) -> None:
    arguments = {"url": "https://a.example/x", "file_path": "sub/x", "timeout": 9}
    fetch, write = await download.prepare("download", **arguments).needs()
    path = f"{project}/sub/x"
    assert (fetch.tool, fetch.action, fetch.kind) == ("download", "download", "fetch")
    assert (write.tool, write.action, write.kind) == ("download", "download", "write")
    assert (fetch.target, write.target) == ("https://a.example/x", path)
    assert fetch.directory == path  # as Crush shows a target that does not exist
    assert fetch.description == "Download https://a.example/x to sub/x"
    assert write.description == "Create sub/x by a download"
    shown = {"url": "https://a.example/x", "file_path": path, "timeout": 9}
    assert msgspec.to_builtins(fetch.params) == msgspec.to_builtins(write.params) == shown
    assert entries(project) == []


async def test_the_needs_of_a_private_host_and_of_a_replacement_say_so(
    download: Caller, project: Path
) -> None:
    (project / "x").write_text("old")
    fetch, write = await download.prepare(
        "download", url="http://127.0.0.1:9/", file_path="x"
    ).needs()
    assert fetch.description == (
        "Download http://127.0.0.1:9/ to x, replacing it (a private address)"
    )
    assert write.description == "Replace x by a download"
    assert fetch.directory == str(project)


async def test_a_file_is_replaced_and_keeps_its_mode_without_set_id(
    download: Caller, project: Path, server: ByteServer
) -> None:
    path = project / "x"
    path.write_text("old")
    path.chmod(0o4750)
    await download("download", url=server.url, file_path="x")
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) == 0o750
    assert entries(project) == ["x"]


async def test_a_file_that_changed_while_somebody_decided_is_kept(
    download: Caller, project: Path, server: ByteServer
) -> None:
    path = project / "x"
    path.write_text("old")
    waiting = download.prepare("download", url=server.url, file_path="x")
    await waiting.needs()
    path.write_text("newer")
    with pytest.raises(ToolError, match="changed while the call waited"):
        await waiting.run()
    assert path.read_text() == "newer"
    assert server.connections == 0


@pytest.mark.parametrize("old", [None, "old"])
async def test_a_file_that_changes_during_the_download_is_kept(
    old: str | None, download: Caller, project: Path
) -> None:
    path = project / "x"
    if old is not None:
        path.write_text(old)

    async def answer(stream: ByteStream) -> None:
        async with stream:
            await stream.receive()
            await stream.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nabc")
            while entries(project) == ([] if old is None else ["x"]):
                await anyio.lowlevel.checkpoint()
            path.write_text("theirs")
            await stream.send(b"def")

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra_attributes[SocketAttribute.local_port]()
    async with listener, anyio.create_task_group() as serving:
        serving.start_soon(listener.serve, answer)
        with pytest.raises(ToolError, match="somebody else"):
            await download("download", url=f"http://127.0.0.1:{port}/", file_path="x")
        serving.cancel_scope.cancel()
    assert path.read_text() == "theirs"
    assert entries(project) == ["x"]


async def test_a_target_that_was_turned_into_a_link_is_not_followed(
    download: Caller, project: Path, server: ByteServer
) -> None:
    outside = project.parent / "outside"
    outside.mkdir()
    (project / "sub").mkdir()
    waiting = download.prepare("download", url=server.url, file_path="sub/x")
    await waiting.needs()
    (project / "sub").rmdir()
    (project / "sub").symlink_to(outside)
    with pytest.raises(ToolError, match="now leads to"):
        await waiting.run()
    assert entries(outside) == []


async def test_what_is_no_file_cannot_be_a_target(download: Caller, project: Path) -> None:
    os.mkfifo(project / "fifo")
    (project / "file").write_text("x")
    for target, why in [
        (".", "is a directory"),
        ("fifo", "not a regular file"),
        ("/dev/full", "not a regular file"),
        ("file/below", "(?i)not a directory"),
        ("", "empty"),
    ]:
        with pytest.raises(ToolError, match=why):
            await download.prepare("download", url="https://a.example/", file_path=target).needs()


async def test_more_than_the_limit_is_not_kept(
    download: Caller, project: Path, server: ByteServer
) -> None:
    server.plays = [plain(b"x" * (MOST_BYTES + 1))]
    with pytest.raises(ToolError, match=f"larger than {MOST_BYTES} bytes"):
        await download("download", url=server.url, file_path="d/x")
    unannounced = b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * (MOST_BYTES + 1)
    server.plays = [Play(pieces=(unannounced,))]
    with pytest.raises(ToolError, match=f"larger than {MOST_BYTES} bytes"):
        await download("download", url=server.url, file_path="d/x")
    assert entries(project) == []


@pytest.mark.parametrize(
    ("play", "why"),
    [
        (plain("no", status=404), "HTTP 404:\nno"),
        (Play(pieces=(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",)), "broke off"),
        (Play(pieces=(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",), then="hang"), "1 s"),
        (Play(pieces=(head(), chunk(b"abc")), then="reset"), "lost|broke off"),
        (Play(pieces=(head(), chunk(b"abc"))), "broke off"),
        (redirect("http://127.0.0.1:1/"), "another host"),
    ],
)
async def test_what_is_not_complete_leaves_nothing(
    play: Play, why: str, download: Caller, project: Path
) -> None:
    (project / "x").write_text("old")
    async with byte_server(play) as server:
        with pytest.raises(ToolError, match=why):
            await download("download", url=server.url, file_path="x", timeout=1)
        with pytest.raises(ToolError, match=why):
            await download("download", url=server.url, file_path="new/y", timeout=1)
    assert entries(project) == ["x"]
    assert (project / "x").read_text() == "old"


async def test_a_full_disk_is_said_and_leaves_nothing(
    download: Caller, project: Path, server: ByteServer
) -> None:
    (project / "x").write_text("old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(ToolError, match="cannot be written: File too large; unchanged"):
            await download("download", url=server.url, file_path="x")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert entries(project) == ["x"]
    assert (project / "x").read_text() == "old"


async def test_cancelling_leaves_nothing(download: Caller, project: Path) -> None:
    start = b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + b"x" * 400_000
    async with byte_server(Play(pieces=(start,), then="hang")) as server:
        call = download.prepare("download", url=server.url, file_path="x")
        await call.needs()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call.run)
            while not entries(project):  # the file grows under a name of its own
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        with anyio.fail_after(5):
            await server.gone.wait()
    assert entries(project) == []


async def test_a_compressed_answer_nobody_asked_for_is_saved_as_sent(
    download: Caller, project: Path, server: ByteServer
) -> None:
    server.plays = [plain(b"\x1f\x8bzz", "text/plain", more="content-encoding: gzip\r\n")]
    result = await download("download", url=server.url, file_path="x")
    assert (project / "x").read_bytes() == b"\x1f\x8bzz"
    assert "as sent, in gzip" in result.content


async def test_an_end_that_nobody_announced_is_told(
    download: Caller, project: Path, server: ByteServer
) -> None:
    server.plays = [Play(pieces=(b"HTTP/1.1 200 OK\r\n\r\nabc",))]
    result = await download("download", url=server.url, file_path="x")
    assert (project / "x").read_bytes() == b"abc"
    assert "announced no length" in result.content


async def test_undo_learns_of_text_that_was_made_or_replaced(
    download: Caller, project: Path, server: ByteServer
) -> None:
    log = download.context.files
    assert isinstance(log, FakeFileLog)
    server.plays = [plain("one"), plain("two"), plain(b"\xff\x00")]
    for _ in range(3):
        await download("download", url=server.url, file_path="x")
    path = str(project / "x")
    assert log.changes == [(path, None, "one"), (path, "one", "two")]
