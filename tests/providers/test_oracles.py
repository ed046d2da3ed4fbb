"""The vendors' SDKs as oracles: the same stream means the same, the same request looks the same."""

import importlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from crush.config.settings import ProviderSettings
from crush.providers._http import HttpPool
from crush.providers.anthropic import AnthropicProvider
from crush.providers.base import (
    ReasoningDelta,
    ReasoningEnded,
    StreamEvent,
    TextDelta,
    ToolCallReady,
)
from crush.providers.openai_chat import OpenAiChatProvider
from tests.fakes.byte_server import byte_server, stream_of, watched_pool
from tests.providers.conversation import REQUEST

STREAMS = Path(__file__).parent / "streams"
NEUTRAL_STOPS = {"stop": "end_turn", "tool_calls": "tool_use"}


@pytest.fixture(scope="module")
def sdks() -> Any:
    """`sdk_oracles`, imported only if one of these tests runs."""
    return importlib.import_module("tests.providers.sdk_oracles")


def provider(protocol: str, url: str, pool: HttpPool) -> AnthropicProvider | OpenAiChatProvider:
    settings = ProviderSettings(id="test", type=protocol, base_url=url, api_key="k")
    if protocol == "anthropic":
        return AnthropicProvider(settings=settings, pool=pool)
    return OpenAiChatProvider(settings=settings, pool=pool)


@pytest.mark.parametrize(
    "name", ["anthropic_text", "anthropic_tools", "openai_text", "openai_tools"]
)
async def test_the_sdk_understands_a_stream_as_we_do(name: str, sdks: Any) -> None:
    protocol = name.partition("_")[0]
    ask: Callable[[str], Awaitable[Any]] = getattr(sdks, f"ask_{protocol}")
    play = stream_of((STREAMS / f"{name}.sse").read_bytes())
    events: list[StreamEvent] = []
    async with byte_server(play) as server:
        async with watched_pool() as pool:
            answer = await provider(protocol, server.url, pool).respond(REQUEST, events.append)
        told = await ask(server.url)
    assert told.text == "".join(e.text for e in events if isinstance(e, TextDelta))
    assert told.reasoning == "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    assert told.signature == "".join(e.signature for e in events if isinstance(e, ReasoningEnded))
    ready = [e for e in events if isinstance(e, ToolCallReady)]
    assert told.calls == [(e.id, e.name, json.loads(e.input)) for e in ready]
    assert NEUTRAL_STOPS.get(told.stop, told.stop) == answer.stop
    assert told.usage == answer.usage


@pytest.mark.parametrize("protocol", ["anthropic", "openai"])
async def test_the_sdk_sends_a_conversation_as_we_do(protocol: str, sdks: Any) -> None:
    send: Callable[[str], Awaitable[None]] = getattr(sdks, f"send_{protocol}")
    request = replace(REQUEST, reasoning_effort="high")
    async with byte_server(stream_of((STREAMS / f"{protocol}_text.sse").read_bytes())) as server:
        async with watched_pool() as pool:
            await provider(protocol, server.url, pool).respond(request, lambda _event: None)
        await send(server.url)
    ours, theirs = server.requests
    assert json.loads(ours.body) == json.loads(theirs.body)
    path = "/v1/messages" if protocol == "anthropic" else "/chat/completions"
    assert ours.line == theirs.line == f"POST {path} HTTP/1.1"
    assert ours.headers["content-type"] == theirs.headers["content-type"]
