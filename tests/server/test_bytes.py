"""What stands on the wire, byte for byte: framing, targets, limits, and connections that misbehave."""

import json
import resource
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketStream

from crush.launch.host import parse_host
from crush.server import app
from crush.server.bodies import MAX_BODY_BYTES
from tests.server.classic_client import ClassicClient
from tests.server.site import WITHIN_S, Site, serving, until


class Raw:
    """A connection that sends what it is told and reads up to what it waits for."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.received = b""

    async def send(self, head: str, body: bytes = b"") -> None:
        await self.stream.send(head.replace("\n", "\r\n").encode() + b"\r\n\r\n" + body)

    async def until(self, expected: bytes) -> bytes:
        """Everything received up to and including this; what follows it is kept."""
        with anyio.fail_after(WITHIN_S):
            while expected not in self.received:
                self.received += await self.stream.receive()
        read, found, self.received = self.received.partition(expected)
        return read + found

    async def rest(self) -> bytes:
        """Everything to the end of the connection."""
        with anyio.fail_after(WITHIN_S):
            try:
                while True:
                    self.received += await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return self.received


@asynccontextmanager
async def raw(site: Site) -> AsyncIterator[Raw]:
    async with await site.connect() as stream:
        yield Raw(stream)


def post(path: str, body: bytes, *fields: str) -> str:
    lines = [f"POST {path} HTTP/1.1", "Host: api.crush.localhost", *fields]
    return "\n".join([*lines, f"Content-Length: {len(body)}"])


async def test_a_classic_stream_is_delimited_by_its_connection(site: Site) -> None:
    """Even a killed server then ends it cleanly for a Go client (W 0.1 no. 8)."""
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with raw(site) as connection:
        target = f"/v1{client.place}/events?client_id={client.id}"
        await connection.send(
            f"GET {target} HTTP/1.1\nHost: api.crush.localhost\nConnection: keep-alive"
        )
        head = await connection.until(b"\r\n\r\n")  # at once: nothing has happened yet
        assert connection.received == b""
        assert head.startswith(b"HTTP/1.1 200 OK\r\n")
        fields = head.lower()
        assert b"\r\nconnection: close\r\n" in fields
        assert b"\r\ncontent-type: text/event-stream\r\n" in fields
        assert b"transfer-encoding" not in fields
        assert b"content-length" not in fields
        await client.prompt(session, "hi", run_id="r1")
        body = await connection.until(b'"run_complete"')
        body += await connection.until(b"\n\n")
        site.server._lifetime.leave()
        assert await connection.rest() == b""
    for frame in body.removesuffix(b"\n\n").split(b"\n\n"):
        assert frame.startswith(b'data: {"type":"')
        assert b"\n" not in frame
        json.loads(frame.removeprefix(b"data: "))


async def test_a_resumable_stream_ends_with_its_final_chunk(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    async with raw(site) as connection:
        target = f"/v1{client.place}/events?client_id={client.id}&format=2"
        await connection.send(f"GET {target} HTTP/1.1\nHost: x")
        head = await connection.until(b"\r\n\r\n")
        assert b"\r\nTransfer-Encoding: chunked\r\n" in head
        site.server._lifetime.leave()
        assert (await connection.rest()).endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "target", ["/v1/version", "http://api.crush.localhost/v1/version", "http://x.test:1/v1/version"]
)
async def test_any_host_and_absolute_targets_are_served_on_a_unix_socket(
    site: Site, target: str
) -> None:
    async with raw(site) as connection:
        await connection.send(f"GET {target} HTTP/1.1\nHost: anything.example\nConnection: close")
        assert (await connection.rest()).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "nonsense"])
async def test_a_body_is_json_whatever_it_is_called(site: Site, kind: str) -> None:
    body = json.dumps({"command": "none"}).encode()
    async with raw(site) as connection:
        head = post("/v1/control", body, f"Content-Type: {kind}", "Connection: close")
        await connection.send(head, body)
        answer = await connection.rest()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"unknown command" in answer


async def test_requests_in_a_row_are_answered_in_order(site: Site) -> None:
    async with raw(site) as connection:
        request = "GET /v1/{} HTTP/1.1\r\nHost: x\r\n\r\n"
        paths = ["health", "version", "nothing", "workspaces"]
        await connection.stream.send("".join(map(request.format, paths)).encode())
        answers = [await connection.until(b"\r\n\r\n") for _ in paths]
    assert [b"200" in answer.split(b"\r\n")[0] for answer in answers] == [True, True, False, True]


@asynccontextmanager
async def strict_site(root: Path, model_url: str, **limits: float) -> AsyncIterator[Site]:
    """A server with less patience, or less room."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in limits.items():
            patch.setattr(app, name, value)
        host = parse_host(f"unix://{root}/s.sock")
        async with serving(root, host, model_url=model_url) as site:
            yield site


async def test_a_body_over_the_limit_is_refused_before_it_is_sent(site: Site) -> None:
    async with raw(site) as connection:
        length = f"Content-Length: {MAX_BODY_BYTES + 1}"
        await connection.send(f"POST /v1/control HTTP/1.1\nHost: x\n{length}")
        answer = await connection.until(b"}")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"code":"http_413"' in answer


async def test_a_body_that_grows_over_the_limit_is_refused(root: Path, model_url: str) -> None:
    async with (
        strict_site(root, model_url, MAX_BODY_BYTES=1_000_000) as site,
        raw(site) as connection,
        anyio.create_task_group() as tasks,
    ):
        await connection.send("POST /v1/control HTTP/1.1\nHost: x\nTransfer-Encoding: chunked")

        async def flood() -> None:
            with suppress(anyio.BrokenResourceError):  # cut, sooner or later
                while True:
                    await connection.stream.send(b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n")

        tasks.start_soon(flood)
        answer = await connection.until(b"}")
        tasks.cancel_scope.cancel()
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_body_of_the_greatest_size_is_read(root: Path, model_url: str) -> None:
    body = b" " * 999_984 + b'{"command":"no"}'
    async with (
        strict_site(root, model_url, MAX_BODY_BYTES=1_000_000) as site,
        raw(site) as connection,
    ):
        await connection.send(post("/v1/control", body), body)
        assert (await connection.until(b"}")).startswith(b"HTTP/1.1 400 ")


async def test_a_body_that_never_comes_holds_nothing(root: Path, model_url: str) -> None:
    async with (
        strict_site(root, model_url, BODY_WITHIN_S=0.05) as site,
        raw(site) as connection,
    ):
        await connection.send("POST /v1/runs HTTP/1.1\nHost: x\nContent-Length: 10", b"{")
        answer = await connection.until(b"}")
        assert site.services.lifetime.holds == 0
    assert answer.startswith(b"HTTP/1.1 408 ")


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_failure_of_ours(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw(site) as connection:
        await connection.send("POST /v1/runs HTTP/1.1\nHost: x\nContent-Length: 10", b"{")
        await connection.stream.send(b'"')
    await site.ask("GET", "/health")
    assert [r.message for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET /v1/health?" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/health HTTP/1.1\r\n" + b"X: y\r\n" * 2_000 + b"\r\n",
        b"what is this?\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200,
    ],
    ids=["long field", "long target", "many fields", "no http", "tls"],
)
async def test_a_head_that_is_no_head_is_refused_and_the_connection_closed(
    site: Site, request_bytes: bytes
) -> None:
    async with raw(site) as connection:
        await connection.stream.send(request_bytes)
        answer = await connection.rest()
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    await site.ask("GET", "/health")


@pytest.mark.parametrize("sent", [b"", b"GET /v1/health HTTP/1.1\r\nHost: x\r\nX-Ha"])
async def test_a_connection_without_a_whole_request_is_closed(
    root: Path, model_url: str, sent: bytes
) -> None:
    async with (
        strict_site(root, model_url, HEAD_WITHIN_S=0.1) as site,
        raw(site) as connection,
    ):
        if sent:
            await connection.stream.send(sent)
        assert await connection.rest() == b""


async def test_a_stream_outlives_the_patience_for_heads(root: Path, model_url: str) -> None:
    async with (
        strict_site(root, model_url, HEAD_WITHIN_S=0.05) as site,
        raw(site) as idle,
    ):
        client = await ClassicClient(site).attach(interactive=False)
        async with client.events() as stream:
            assert await idle.rest() == b""  # the time is over
            await client.prompt(await client.new_session(), "hi", run_id="r1")
            await stream.complete("r1")


async def test_five_hundred_idle_connections_are_in_nobodys_way(site: Site) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
    async with AsyncExitStack() as idle:
        for _ in range(500):
            await idle.enter_async_context(await site.connect())
        events = await site.run("hi")
    assert events[-1]["type"] == "run_complete"


async def test_a_half_closed_stream_counts_as_hung_up(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    feed = site.services.workspaces.find(client.workspace["id"]).project.feed
    async with raw(site) as connection:
        await connection.send(f"GET /v1{client.place}/events HTTP/1.1\nHost: x")
        await connection.until(b"\r\n\r\n")
        assert len(feed._wide) == 1
        await connection.stream.send_eof()
        assert await connection.rest() == b""
    await until(lambda: not feed._wide)
