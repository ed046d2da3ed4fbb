"""Recorded streams of both protocols through the real parsers, cut at and after every byte."""

import itertools
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.config.settings import ProviderSettings
from crush.errors import ProviderError
from crush.providers._anthropic_stream import MessageStream
from crush.providers._errors import ErrorSource
from crush.providers._http import HttpPool, StreamParser
from crush.providers._openai_stream import ChatStream
from crush.providers._sse import SseDecoder
from crush.providers.anthropic import AnthropicProvider
from crush.providers.base import (
    Answer,
    EmitStream,
    ModelRequest,
    Provider,
    ReasoningDelta,
    ReasoningEnded,
    StreamEvent,
    TextBlock,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    Usage,
    UserTurn,
)
from crush.providers.openai_chat import OpenAiChatProvider
from tests.fakes.byte_server import Play, byte_server, chunk, head, watched_pool

STREAMS = Path(__file__).parent / "streams"
REQUEST = ModelRequest(model="m", system="s", turns=(UserTurn((TextBlock("hi"),)),))
ERRORS = ErrorSource("Test", ())
PARSERS: dict[str, Callable[[EmitStream, ErrorSource], StreamParser]] = {
    "anthropic": MessageStream,
    "openai": ChatStream,
}
PROVIDERS: dict[str, type[AnthropicProvider | OpenAiChatProvider]] = {
    "anthropic": AnthropicProvider,
    "openai": OpenAiChatProvider,
}
GREETING: list[StreamEvent] = [TextDelta("Grüße"), TextDelta(", 世界"), TextDelta(" 🦀.\n")]


def tool_events(signature: str, first_id: str, second_id: str) -> list[StreamEvent]:
    return [
        ReasoningDelta("Two files"),
        ReasoningDelta(" to read."),
        ReasoningEnded(signature),
        TextDelta("I look."),
        ToolCallStarted(first_id, "view"),
        ToolCallReady(first_id, "view", '{"file_path": "a.py"}'),
        ToolCallStarted(second_id, "ls"),
        ToolCallReady(second_id, "ls", "{}"),
    ]


EXPECTED: dict[str, tuple[list[StreamEvent], Answer]] = {
    "anthropic_text": (
        GREETING,
        Answer(
            stop="end_turn",
            usage=Usage(
                input_tokens=12, output_tokens=9, cache_read_tokens=400, cache_write_tokens=30
            ),
        ),
    ),
    "anthropic_tools": (
        tool_events("c2lnbmVk", "toolu_01A", "toolu_01B"),
        Answer(stop="tool_use", usage=Usage(input_tokens=50, output_tokens=77)),
    ),
    "anthropic_rough": (
        [ReasoningEnded("redacted:ZW5jcnlwdGVk"), TextDelta("one"), TextDelta(" two")],
        Answer(
            stop="max_tokens", usage=Usage(input_tokens=4, output_tokens=20, reasoning_tokens=6)
        ),
    ),
    "openai_text": (
        GREETING,
        Answer(
            stop="end_turn",
            usage=Usage(input_tokens=42, output_tokens=9, cache_read_tokens=400),
        ),
    ),
    "openai_tools": (
        # The first call is ready when the second begins: only then is it known to be complete.
        [
            *tool_events("", "call_A", "call_B")[:5],
            ToolCallReady("call_A", "view", '{"file_path": "a.py"}'),
            ToolCallStarted("call_B", "ls"),
            ToolCallReady("call_B", "ls", "{}"),
        ],
        Answer(stop="tool_use", usage=Usage(input_tokens=50, output_tokens=77, reasoning_tokens=5)),
    ),
    "openai_rough": (
        [ReasoningDelta("hm"), ReasoningEnded(), TextDelta("one"), TextDelta(" two")],
        Answer(
            stop="max_tokens", usage=Usage(input_tokens=4, output_tokens=20, cache_read_tokens=3)
        ),
    ),
}
NAMES = sorted(EXPECTED)


def recorded(name: str) -> bytes:
    return (STREAMS / f"{name}.sse").read_bytes()


def parse(name: str, chunks: Iterable[bytes]) -> tuple[list[StreamEvent], Answer]:
    events: list[StreamEvent] = []
    parser = PARSERS[name.partition("_")[0]](events.append, ERRORS)
    decoder = SseDecoder()
    for piece in chunks:
        for frame in decoder.feed(piece):
            parser.feed(frame)
    return events, parser.answer()


@pytest.mark.parametrize("name", NAMES)
def test_a_recorded_stream_gives_its_events(name: str) -> None:
    assert parse(name, [recorded(name)]) == EXPECTED[name]


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_cut_in_two_at_any_byte_gives_the_same_events(name: str) -> None:
    stream = recorded(name)
    for cut in range(len(stream) + 1):
        assert parse(name, [stream[:cut], stream[cut:]]) == EXPECTED[name], cut


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_comes_byte_by_byte_gives_the_same_events(name: str) -> None:
    stream = recorded(name)
    single = (stream[i : i + 1] for i in range(len(stream)))
    assert parse(name, single) == EXPECTED[name]


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), cuts=st.lists(st.integers(0, 2300), max_size=40))
def test_a_stream_in_any_chunks_gives_the_same_events(name: str, cuts: list[int]) -> None:
    stream = recorded(name)
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    chunks = [stream[a:b] for a, b in itertools.pairwise(edges)]
    assert parse(name, chunks) == EXPECTED[name]


def outcome(name: str, stream: bytes) -> tuple[list[StreamEvent], Answer] | None:
    """Events and answer, or None for an error that may be retried."""
    try:
        return parse(name, [stream])
    except ProviderError as error:
        if not error.retryable:
            raise
        return None


FINISHES = {
    "anthropic": b'"type":"message_stop"',
    "openai_text": b'"finish_reason":"stop"',
    "openai_tools": b'"finish_reason":"tool_calls"',
    "openai_rough": b'"finish_reason":"length"',
}


def finish_of(name: str, stream: bytes) -> int:
    """Where the model says that it is done."""
    return stream.index(FINISHES.get(name) or FINISHES["anthropic"])


@pytest.mark.parametrize("name", NAMES)
def test_a_stream_that_stops_before_the_model_was_done_is_an_error(name: str) -> None:
    stream = recorded(name)
    outcomes = [outcome(name, stream[:cut]) for cut in range(len(stream) + 1)]
    successes = [cut for cut, result in enumerate(outcomes) if result is not None]
    assert successes == list(range(successes[0], len(stream) + 1))
    assert successes[0] > finish_of(name, stream)
    for result in outcomes[successes[0] :]:
        # Only what is counted may be missing: every word and call is there.
        assert result is not None
        assert result[0] == EXPECTED[name][0]
        assert result[1].stop == EXPECTED[name][1].stop


def provider_for(name: str, url: str, pool: HttpPool) -> Provider:
    protocol = name.partition("_")[0]
    settings = ProviderSettings(id="test", type=protocol, base_url=url, api_key="k")
    return PROVIDERS[protocol](settings=settings, pool=pool)


@pytest.mark.parametrize(("ending", "step"), [("close", 5), ("reset", 17)])
@pytest.mark.parametrize("name", ["anthropic_tools", "openai_tools"])
async def test_a_connection_that_is_cut_off_anywhere_never_hangs_and_never_succeeds(
    name: str, ending: Literal["close", "reset"], step: int
) -> None:
    stream = recorded(name)
    whole = head() + chunk(stream[:700]) + chunk(stream[700:]) + b"0\r\n\r\n"
    cuts = range(0, finish_of(name, whole), step)
    plays = [Play(pieces=(whole[:cut],), then=ending) for cut in cuts]
    async with byte_server(*plays) as server, watched_pool(backoff_s=()) as pool:
        provider = provider_for(name, server.url, pool)
        for cut in cuts:
            with pytest.raises(ProviderError) as caught, anyio.fail_after(5):
                await provider.respond(REQUEST, lambda _event: None)
            assert caught.value.retryable, (cut, caught.value.message)


@pytest.mark.parametrize("name", NAMES)
async def test_a_stream_over_a_real_connection_gives_its_events(name: str) -> None:
    stream = recorded(name)
    pieces = (head(), *(chunk(stream[i : i + 37]) for i in range(0, len(stream), 37)))
    play = Play(pieces=(*pieces, b"0\r\n\r\n"), then="keep")
    events: list[StreamEvent] = []
    async with byte_server(play) as server, watched_pool() as pool:
        answer = await provider_for(name, server.url, pool).respond(REQUEST, events.append)
    assert (events, answer) == EXPECTED[name]
