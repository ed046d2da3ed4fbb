"""The pool: retries, limits, hang-up, kept connections, refusals of every shape."""

import email.utils
import os
import time
from collections.abc import Mapping
from functools import partial

import anyio
import pytest

import crush
from crush.config.settings import ProviderSettings
from crush.errors import ConfigError, ProviderError
from crush.providers._http import HttpPool
from crush.providers._limits import Limits
from crush.providers.base import (
    Answer,
    ModelRequest,
    RetryWaiting,
    StreamEvent,
    TextBlock,
    TextDelta,
    UserTurn,
)
from crush.providers.openai_chat import OpenAiChatProvider
from tests.fakes.byte_server import (
    ByteServer,
    Play,
    byte_server,
    chunk,
    head,
    refusal,
    stream_of,
    watched_pool,
)

KEY = "sk-secret-0123456789"
REQUEST = ModelRequest(model="m", system="s", turns=(UserTurn((TextBlock("hi"),)),))
HELLO = b'data: {"choices":[{"index":0,"delta":{"content":"hello"},"finish_reason":null}]}\n\n'
STOP = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
GOOD = stream_of(HELLO, STOP, DONE)
ANSWER = Answer(stop="end_turn")
BUSY = b'{"error":{"message":"come back later","type":"overloaded_error"}}'


def provider(
    server: ByteServer, pool: HttpPool, *, headers: Mapping[str, str] | None = None
) -> OpenAiChatProvider:
    settings = ProviderSettings(
        id="test",
        type="openai-compat",
        name="Test",
        base_url=server.url,
        api_key=KEY,
        headers=headers or {},
    )
    return OpenAiChatProvider(settings=settings, pool=pool)


async def ask(*plays: Play, limits: Limits | None = None) -> tuple[list[StreamEvent], Answer]:
    """One request to a server of these plays, with retries."""
    events: list[StreamEvent] = []
    async with byte_server(*plays) as server, watched_pool(limits=limits or Limits()) as pool:
        answer = await provider(server, pool).respond(REQUEST, events.append)
    return events, answer


async def failure(*plays: Play, limits: Limits | None = None) -> ProviderError:
    """The error of one request without retries."""
    async with (
        byte_server(*plays) as server,
        watched_pool(limits=limits or Limits(), backoff_s=()) as pool,
    ):
        with pytest.raises(ProviderError) as caught:
            await provider(server, pool).respond(REQUEST, lambda _event: None)
    return caught.value


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
async def test_a_busy_provider_is_asked_again_and_every_wait_is_an_event(status: int) -> None:
    busy = Play(
        pieces=(f"HTTP/1.1 {status} Busy\r\ncontent-length: {len(BUSY)}\r\n\r\n".encode() + BUSY,),
        then="keep",
    )
    events, answer = await ask(busy, busy, GOOD)
    text = f"Test: come back later (HTTP {status})"
    assert events == [
        RetryWaiting(1, 0.001, text),
        RetryWaiting(2, 0.002, text),
        TextDelta("hello"),
    ]
    assert answer == ANSWER


async def test_after_three_retries_the_last_error_is_raised() -> None:
    events: list[StreamEvent] = []
    async with byte_server(refusal(503, BUSY)) as server, watched_pool() as pool:
        with pytest.raises(ProviderError, match="come back later") as caught:
            await provider(server, pool).respond(REQUEST, events.append)
    assert (caught.value.status, caught.value.retryable) == (503, True)
    assert len(server.requests) == 4
    assert [e.attempt for e in events if isinstance(e, RetryWaiting)] == [1, 2, 3]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
async def test_a_refusal_for_good_is_not_repeated(status: int) -> None:
    events: list[StreamEvent] = []
    async with byte_server(refusal(status, b'{"error":"no"}')) as server, watched_pool() as pool:
        with pytest.raises(ProviderError) as caught:
            await provider(server, pool).respond(REQUEST, events.append)
    assert caught.value.status == status
    assert len(server.requests) == 1
    assert events == []


@pytest.mark.parametrize(
    ("header", "wait_s"),
    [
        ("retry-after-ms: 30\r\nretry-after: 50\r\n", 0.03),
        ("retry-after: 0\r\n", 0),
        ("Retry-After: 0.02\r\n", 0.02),
        ("retry-after: Mon, 01 Jan 2001 00:00:00 GMT\r\n", 0),
        ("retry-after: 61\r\n", 0.001),
        ("retry-after: -3\r\n", 0.001),
        ("retry-after: nan\r\n", 0.001),
        ("retry-after: soon\r\n", 0.001),
        ("", 0.001),
    ],
)
async def test_the_wait_is_what_the_provider_asks_if_that_is_reasonable(
    header: str, wait_s: float
) -> None:
    events, _ = await ask(refusal(429, BUSY, more=header), GOOD)
    assert isinstance(events[0], RetryWaiting)
    assert events[0].wait_s == wait_s


async def test_a_date_to_retry_after_is_a_wait_from_now() -> None:
    date = email.utils.formatdate(time.time() + 3600, usegmt=True)
    error = await failure(refusal(429, BUSY, more=f"retry-after: {date}\r\n"))
    assert error.retry_after_s is not None
    assert 3500 < error.retry_after_s <= 3600


async def test_the_provider_decides_whether_a_retry_makes_sense() -> None:
    events, _ = await ask(refusal(400, BUSY, more="x-should-retry: true\r\n"), GOOD)
    assert isinstance(events[0], RetryWaiting)
    error = await failure(refusal(503, BUSY, more="x-should-retry: false\r\n"))
    assert not error.retryable


async def test_an_answer_that_broke_off_is_asked_again_from_the_start() -> None:
    broken = Play(pieces=(head() + chunk(HELLO),), then="close")
    events, answer = await ask(broken, GOOD)
    text = "Test broke off before the end of the answer"
    assert events == [TextDelta("hello"), RetryWaiting(1, 0.001, text), TextDelta("hello")]
    assert answer == ANSWER


async def test_a_connection_that_is_reset_is_tried_again() -> None:
    events, answer = await ask(Play(then="reset"), GOOD)
    assert isinstance(events[0], RetryWaiting)
    assert answer == ANSWER


async def test_a_port_where_nobody_listens_is_named() -> None:
    async with byte_server(GOOD) as server:
        pass
    async with watched_pool(backoff_s=()) as pool:
        with pytest.raises(ProviderError, match=f"127.0.0.1:{server.port}") as caught:
            await provider(server, pool).respond(REQUEST, lambda _event: None)
    assert caught.value.retryable


async def test_a_host_without_address_is_named() -> None:
    settings = ProviderSettings(
        id="test", type="openai-compat", base_url="http://nowhere.invalid", api_key=KEY
    )
    async with watched_pool(backoff_s=()) as pool:
        with pytest.raises(ProviderError, match=r"no address for nowhere\.invalid"):
            await OpenAiChatProvider(settings=settings, pool=pool).respond(REQUEST, print)


@pytest.mark.parametrize("sent", [b"", head(), head() + chunk(HELLO)])
async def test_a_silent_provider_is_given_up(sent: bytes) -> None:
    limits = Limits(silence_s=0.05)
    error = await failure(Play(pieces=(sent,), then="hang"), limits=limits)
    assert error.message == "Test was silent for 0.05 s"
    assert error.retryable


async def test_keep_alive_comments_are_no_silence() -> None:
    pieces = (head(), *[chunk(b": keep-alive\n\n")] * 50, chunk(HELLO + STOP + DONE), b"0\r\n\r\n")
    events, _ = await ask(Play(pieces=pieces, then="keep"))
    assert events == [TextDelta("hello")]


async def test_a_request_that_takes_too_long_ends_in_an_error_without_retry() -> None:
    limits = Limits(total_s=0.1)
    async with (
        byte_server(Play(pieces=(head() + chunk(HELLO),), then="hang")) as server,
        watched_pool(limits=limits) as pool,
    ):
        with pytest.raises(ProviderError, match=r"within 0\.1 s") as caught:
            await provider(server, pool).respond(REQUEST, lambda _event: None)
        with anyio.fail_after(1):
            await server.gone.wait()
    assert not caught.value.retryable
    assert len(server.requests) == 1


async def test_a_connection_that_is_never_accepted_is_given_up() -> None:
    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", backlog=1)
    port = listener.extra_attributes[anyio.abc.SocketAttribute.local_port]()
    settings = ProviderSettings(
        id="test", type="openai-compat", name="Test", base_url=f"http://127.0.0.1:{port}"
    )
    async with listener, watched_pool(limits=Limits(connect_s=0.2), backoff_s=()) as pool:
        fillers = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(2)]
        with pytest.raises(ProviderError, match="did not accept a connection") as caught:
            await OpenAiChatProvider(settings=settings, pool=pool).respond(REQUEST, print)
        for filler in fillers:
            await filler.aclose()
    assert caught.value.retryable


@pytest.mark.parametrize("sent", [b"", head(), head() + chunk(HELLO)])
async def test_cancelling_closes_the_connection_at_once(sent: bytes) -> None:
    async with (
        byte_server(Play(pieces=(sent,), then="hang")) as server,
        watched_pool() as pool,
        anyio.create_task_group() as asking,
    ):
        asking.start_soon(provider(server, pool).respond, REQUEST, lambda _event: None)
        await server.played.wait()
        cancelled_at = time.monotonic()
        asking.cancel_scope.cancel()
        with anyio.fail_after(1, shield=True):
            await server.gone.wait()
        assert time.monotonic() - cancelled_at < 0.2


async def test_cancelling_during_a_wait_sends_nothing_more() -> None:
    waiting = anyio.Event()
    async with (
        byte_server(refusal(503, BUSY)) as server,
        watched_pool(backoff_s=(3600.0,)) as pool,
    ):
        async with anyio.create_task_group() as asking:
            asking.start_soon(provider(server, pool).respond, REQUEST, lambda _event: waiting.set())
            await waiting.wait()
            asking.cancel_scope.cancel()
        assert len(server.requests) == 1


async def wait_stuck(pool: HttpPool) -> None:
    """Until an upload makes no progress any more: the kernel takes no byte of it."""
    assert pool._session is not None
    assert pool._session.connector is not None
    before, same = -1, 0
    while before <= 0 or same < 200:
        transports = [protocol.transport for protocol in pool._session.connector._acquired]
        now = sum(t.get_write_buffer_size() for t in transports if t is not None)
        before, same = now, same + 1 if now == before else 0
        await anyio.lowlevel.checkpoint()


async def test_cancelling_an_upload_that_nobody_reads_does_not_wait_for_the_reader() -> None:
    request = ModelRequest(
        model="m", system="s", turns=(UserTurn((TextBlock("x" * 32 * 1024 * 1024),)),)
    )
    async with byte_server(Play(then="deaf")) as server, watched_pool() as pool:
        async with anyio.create_task_group() as asking:
            asking.start_soon(provider(server, pool).respond, request, print)
            await server.heard.wait()
            await wait_stuck(pool)
            descriptors = len(os.listdir("/dev/fd"))
            asking.cancel_scope.cancel()
        with anyio.fail_after(1):
            while len(os.listdir("/dev/fd")) >= descriptors:
                await anyio.lowlevel.checkpoint()


async def test_an_error_of_the_listener_is_its_own_and_closes_the_connection() -> None:
    def fail(event: StreamEvent) -> None:
        raise OSError("disk full")

    async with (
        byte_server(Play(pieces=(head() + chunk(HELLO),), then="hang")) as server,
        watched_pool() as pool,
    ):
        with pytest.raises(OSError, match="disk full"):
            await provider(server, pool).respond(REQUEST, fail)
        with anyio.fail_after(1):
            await server.gone.wait()


async def test_a_connection_is_used_again() -> None:
    async with byte_server(GOOD) as server, watched_pool() as pool:
        for _ in range(5):
            await provider(server, pool).respond(REQUEST, lambda _event: None)
    assert (server.connections, len(server.requests)) == (1, 5)


async def test_a_kept_connection_that_the_peer_closed_costs_no_visible_retry() -> None:
    events: list[StreamEvent] = []
    closed = stream_of(HELLO, STOP, DONE)
    async with byte_server(closed, Play(then="reset"), GOOD) as server, watched_pool() as pool:
        for _ in range(2):
            await provider(server, pool).respond(REQUEST, events.append)
    assert events == [TextDelta("hello"), TextDelta("hello")]
    assert (server.connections, len(server.requests)) == (2, 3)


async def test_silence_on_a_kept_connection_is_not_taken_for_a_lost_one() -> None:
    limits = Limits(silence_s=0.05)
    async with (
        byte_server(GOOD, Play(then="hang")) as server,
        watched_pool(limits=limits, backoff_s=()) as pool,
    ):
        await provider(server, pool).respond(REQUEST, lambda _event: None)
        with pytest.raises(ProviderError, match="silent"):
            await provider(server, pool).respond(REQUEST, lambda _event: None)
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_server_that_never_ends_the_body_does_not_hold_up_the_answer() -> None:
    play = Play(pieces=(head() + chunk(HELLO) + chunk(STOP) + chunk(DONE),), then="hang")
    async with byte_server(play) as server, watched_pool() as pool:
        with anyio.fail_after(1):
            assert await provider(server, pool).respond(REQUEST, lambda _: None) == ANSWER
            await server.gone.wait()


@pytest.mark.parametrize("then", ["close", "hang", "reset"])
async def test_a_finish_reason_without_done_is_an_end(then: str) -> None:
    play = Play(pieces=(head() + chunk(HELLO) + chunk(STOP),), then=then)  # type: ignore[arg-type]
    events, answer = await ask(play, limits=Limits(trailer_s=0.1))
    assert (events, answer) == ([TextDelta("hello")], ANSWER)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_error_that_names_where_it_leads(status: int) -> None:
    more = f"location: https://u:{KEY}@elsewhere.test/v1?key={KEY}\r\n"
    error = await failure(refusal(status, b"", more=more))
    assert error.message == f"Test redirects to https://elsewhere.test/v1 (HTTP {status})"
    assert "base_url" in error.hint
    assert not error.retryable


@pytest.mark.parametrize("status", [200, 403, 502])
async def test_a_web_page_becomes_a_short_sentence(status: int) -> None:
    page = b"<!DOCTYPE html><html><title>\n Bad\n gateway </title>" + b"<p>x</p>" * 9000
    error = await failure(refusal(status, page, content_type="text/html; charset=utf-8"))
    assert error.message == f"Test: answered with a web page: Bad gateway (HTTP {status})"
    assert ("base_url" in error.hint) == (status == 200)


async def test_an_endless_error_is_read_up_to_a_limit() -> None:
    pieces = (head(status=400, content_type="text/plain"), *[chunk(b"x" * 65536)] * 4)
    error = await failure(Play(pieces=pieces, then="hang"))
    assert error.status == 400
    assert len(error.message) < 700


async def test_an_error_whose_body_never_ends_is_judged_by_its_status() -> None:
    play = Play(pieces=(head(status=503),), then="hang")
    error = await failure(play, limits=Limits(refusal_s=0.05))
    assert error.message == "Test: Service Unavailable (HTTP 503)"
    assert error.retryable


async def test_something_that_is_no_http_server_is_told_so() -> None:
    error = await failure(Play(pieces=(b"SSH-2.0-OpenSSH_9.6\r\n",)))
    assert "does not speak HTTP" in error.message
    assert not error.retryable


async def test_a_key_never_reaches_a_message() -> None:
    body = f'{{"error":{{"message":"bad key {KEY}\\u001b[31m for Bearer {KEY}"}}}}'.encode()
    error = await failure(refusal(401, body))
    assert error.message == "Test: bad key … [31m for Bearer … (HTTP 401)"
    assert error.auth


async def test_what_is_sent_names_us_and_holds_the_configured_headers() -> None:
    async with byte_server(GOOD) as server, watched_pool() as pool:
        asked = provider(server, pool, headers={"X-Team": "blue", "Authorization": "Basic eA=="})
        await asked.respond(REQUEST, lambda _event: None)
    sent = server.requests[0].headers
    assert sent["user-agent"] == f"pycrush/{crush.__version__}"
    assert (sent["x-team"], sent["authorization"]) == ("blue", "Basic eA==")
    assert sent["content-type"] == "application/json"


@pytest.mark.parametrize("value", ["a\nb", "a\r\nx: y", "ä", "a\0"])
def test_a_header_that_cannot_be_sent_is_a_mistake_in_the_configuration(value: str) -> None:
    settings = ProviderSettings(
        id="test", type="openai-compat", base_url="http://h", headers={"x-a": value}
    )
    with pytest.raises(ConfigError, match="'x-a'") as caught:
        OpenAiChatProvider(settings=settings, pool=HttpPool())
    assert value not in caught.value.message


@pytest.mark.parametrize("url", ["localhost:1", "ftp://h", "http://", "http://h:x", "http://h:0"])
def test_a_base_url_that_is_none_is_a_mistake_in_the_configuration(url: str) -> None:
    settings = ProviderSettings(id="test", type="openai-compat", base_url=url)
    with pytest.raises(ConfigError, match="base_url"):
        OpenAiChatProvider(settings=settings, pool=HttpPool())


async def test_many_requests_at_once_do_not_wait_for_each_other() -> None:
    hanging = 150
    async with (
        byte_server(*[Play(pieces=(head(),), then="hang")] * hanging, GOOD) as server,
        watched_pool() as pool,
        anyio.create_task_group() as asking,
    ):
        respond = partial(provider(server, pool).respond, REQUEST, lambda _event: None)
        for _ in range(hanging):
            asking.start_soon(respond)
        with anyio.fail_after(10):
            while len(server.requests) < hanging:
                await anyio.lowlevel.checkpoint()
            assert await respond() == ANSWER
        asking.cancel_scope.cancel()
