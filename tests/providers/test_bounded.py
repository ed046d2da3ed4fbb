"""Providers that never end: what they say is cut where no model would have got to."""

from collections.abc import Iterator

import anyio
import pytest

from crush.config.settings import ProviderSettings
from crush.errors import ProviderError
from crush.providers import _http
from crush.providers._bounded import MAX_ANSWER_CHARS, MAX_CALLS, bounded
from crush.providers._errors import ErrorSource
from crush.providers._openai_stream import ChatStream
from crush.providers._sse import SseDecoder
from crush.providers.base import ReasoningDelta, StreamEvent, TextDelta, ToolCallReady
from crush.providers.openai_chat import OpenAiChatProvider
from tests.fakes.byte_server import byte_server, stream_of, watched_pool
from tests.providers.test_streams import REQUEST

ERRORS = ErrorSource("Test", ())
PIECE = "x" * 65_536


def pieces_beyond_the_ceiling() -> Iterator[StreamEvent]:
    for number in range(MAX_ANSWER_CHARS // len(PIECE) + 1):
        match number % 3:
            case 0:
                yield TextDelta(PIECE)
            case 1:
                yield ReasoningDelta(PIECE)
            case _:
                yield ToolCallReady("id", "write", PIECE)


def test_an_answer_that_does_not_end_is_cut() -> None:
    heard: list[StreamEvent] = []
    emit = bounded(heard.append, ERRORS)
    *fitting, last = pieces_beyond_the_ceiling()
    for event in fitting:
        emit(event)

    with pytest.raises(ProviderError, match="did not stop talking") as cut:
        emit(last)

    assert heard == fitting
    assert not cut.value.retryable


def test_calls_without_end_are_cut() -> None:
    stream = ChatStream(bounded(lambda _: None, ERRORS), ERRORS)
    decoder = SseDecoder()

    def call(index: int) -> bytes:
        function = f'{{"index":{index},"id":"c{index}","function":{{"name":"ls","arguments":""}}}}'
        return (
            b'data: {"choices":[{"index":0,"delta":{"tool_calls":[%b]}}]}\n\n' % function.encode()
        )

    for index in range(MAX_CALLS):
        for frame in decoder.feed(call(index)):
            stream.feed(frame)
    (one_more,) = decoder.feed(call(MAX_CALLS))

    with pytest.raises(ProviderError, match="too many tools"):
        stream.feed(one_more)


async def test_a_stream_that_says_nothing_for_ever_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_http, "MAX_STREAM_BYTES", 100_000)
    endless = b": still here\n\n" * 10_000

    async with byte_server(stream_of(endless, then="hang")) as server, watched_pool() as pool:
        settings = ProviderSettings(id="t", type="openai-compat", name="Test", base_url=server.url)
        provider = OpenAiChatProvider(settings=settings, pool=pool)
        with anyio.fail_after(5), pytest.raises(ProviderError, match="absurd length"):
            await provider.respond(REQUEST, lambda _: None)
