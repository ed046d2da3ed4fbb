"""Messages: what is sent, where, with which headers; and the odd ends of its stream."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from crush.config.settings import ProviderSettings
from crush.errors import ProviderError
from crush.providers._anthropic_stream import MessageStream
from crush.providers._errors import ErrorSource
from crush.providers._sse import Frame
from crush.providers.anthropic import AnthropicProvider, build_body
from crush.providers.base import (
    Answer,
    AssistantTurn,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    ReasoningDelta,
    StreamEvent,
    TextBlock,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolResultBlock,
    ToolTurn,
    ToolUseBlock,
    UserTurn,
)
from tests.fakes.byte_server import byte_server, stream_of, watched_pool
from tests.providers.conversation import PNG_BASE64, REQUEST, SCHEMA

SETTINGS = ProviderSettings(id="anthropic", type="anthropic", api_key="k")
SIMPLE = ModelRequest(model="m", system="", turns=(UserTurn((TextBlock("hi"),)),))
CACHED = {"type": "ephemeral"}
IMAGE_JSON = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
}


def body(request: ModelRequest, settings: ProviderSettings = SETTINGS) -> Any:
    return json.loads(build_body(request, settings))


def test_a_conversation_is_written_as_the_api_wants_it() -> None:
    assert body(REQUEST) == {
        "model": "m",
        "max_tokens": 500,
        "stream": True,
        "temperature": 0.5,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": CACHED}],
        "messages": [
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is in this picture?"},
                    {**IMAGE_JSON, "cache_control": CACHED},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "I should look.", "signature": "c2lnbmVk"},
                    {"type": "text", "text": "I look."},
                    {
                        "type": "tool_use",
                        "id": "call_1",
                        "name": "view",
                        "input": {"file_path": "a.png"},
                    },
                    {"type": "tool_use", "id": "call_2", "name": "view", "input": {}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "call_1", "content": [IMAGE_JSON]},
                    {
                        "type": "tool_result",
                        "tool_use_id": "call_2",
                        "is_error": True,
                        "content": [{"type": "text", "text": "The arguments are no JSON."}],
                    },
                    {"type": "text", "text": "Go on.", "cache_control": CACHED},
                ],
            },
        ],
        "tools": [
            {"name": "ls", "description": "Lists.", "input_schema": {"type": "object"}},
            {
                "name": "view",
                "description": "Shows.",
                "input_schema": SCHEMA,
                "cache_control": CACHED,
            },
        ],
    }


def test_no_more_than_four_cache_marks_are_set() -> None:
    longer = replace(REQUEST, turns=REQUEST.turns * 5)
    settings = replace(SETTINGS, system_prompt_prefix="First of all.")
    assert build_body(longer, settings).count(b"cache_control") == 4


def test_caching_can_be_switched_off_by_the_client() -> None:
    settings = replace(SETTINGS, env={"CRUSH_DISABLE_ANTHROPIC_CACHE": "1"})
    assert b"cache_control" not in build_body(REQUEST, settings)


def test_more_turns_leave_the_bytes_before_them_as_they_were() -> None:
    settings = replace(SETTINGS, env={"CRUSH_DISABLE_ANTHROPIC_CACHE": "1"})
    shorter = build_body(replace(REQUEST, tools=(), turns=REQUEST.turns[:2]), settings)
    longer = build_body(replace(REQUEST, tools=()), settings)
    common = shorter[: shorter.index(b'],"temperature"')]
    assert longer.startswith(common)


def test_the_input_of_a_past_call_goes_back_to_the_byte() -> None:
    call = ToolUseBlock("c", "view", '{ "b":1,\n "a": "\\u00e9" }')
    request = replace(SIMPLE, turns=(*SIMPLE.turns, AssistantTurn((call,))))
    assert call.input.encode() in build_body(request, SETTINGS)


def test_what_the_api_would_refuse_is_left_out() -> None:
    turns = (
        UserTurn((TextBlock("  "), ImageBlock(b"", "image/png"), TextBlock("hi"))),
        AssistantTurn((ReasoningBlock("cut off"), TextBlock(""))),
        UserTurn((TextBlock("again"),)),
    )
    sent = body(replace(SIMPLE, turns=turns))
    assert [m["role"] for m in sent["messages"]] == ["user"]
    assert [block["text"] for block in sent["messages"][0]["content"]] == ["hi", "again"]
    assert "system" not in sent
    assert "tools" not in sent


def test_an_empty_result_is_sent_without_content_unless_it_is_an_error() -> None:
    results = (ToolResultBlock("a", "ls", ""), ToolResultBlock("b", "ls", " ", is_error=True))
    sent = body(replace(SIMPLE, turns=(ToolTurn(results),)))["messages"][0]["content"]
    assert "content" not in sent[0]
    assert sent[1]["content"] == [{"type": "text", "text": "error"}]


def test_ids_of_other_providers_are_made_acceptable_on_both_sides() -> None:
    turns = (
        AssistantTurn((ToolUseBlock("functions.view:0", "view", "{}"),)),
        ToolTurn((ToolResultBlock("functions.view:0", "view", "x"),)),
    )
    call, result = body(replace(SIMPLE, turns=turns))["messages"]
    assert call["content"][0]["id"] == "functions_view_0"
    assert result["content"][0]["tool_use_id"] == "functions_view_0"


def test_encrypted_reasoning_goes_back_as_it_came() -> None:
    turn = AssistantTurn((ReasoningBlock("", "redacted:ZW5j"), TextBlock("x")))
    sent = body(replace(SIMPLE, turns=(*SIMPLE.turns, turn)))["messages"][1]["content"]
    assert sent[0] == {"type": "redacted_thinking", "data": "ZW5j"}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (
            replace(SIMPLE, think=True, temperature=0.3),
            {"thinking": {"type": "enabled", "budget_tokens": 2000}, "max_tokens": 4096},
        ),
        (replace(SIMPLE, think=True, max_tokens=100), {"max_tokens": 4000}),
        (
            replace(SIMPLE, reasoning_effort="high", top_p=0.3),
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
            },
        ),
        (replace(SIMPLE, reasoning_effort="extreme"), {"max_tokens": 4096}),
    ],
)
def test_thinking_is_asked_for_and_leaves_out_sampling(
    request_: ModelRequest, expected: Mapping[str, object]
) -> None:
    sent = body(request_)
    assert sent | expected == sent
    assert "temperature" not in sent
    assert "top_p" not in sent


@pytest.mark.parametrize(
    ("base", "path"),
    [("", "/v1/messages"), ("/v1", "/v1/messages"), ("/anthropic", "/anthropic/v1/messages")],
)
@pytest.mark.parametrize(
    ("key", "header", "value"),
    [("k", "x-api-key", "k"), ("Bearer t", "authorization", "Bearer t")],
)
async def test_the_request_goes_to_the_right_place_with_the_right_key(
    base: str, path: str, key: str, header: str, value: str
) -> None:
    whole = stream_of(b'data: {"type":"message_stop"}\n\n')
    async with byte_server(whole) as server, watched_pool() as pool:
        settings = replace(SETTINGS, base_url=server.url + base, api_key=key)
        provider = AnthropicProvider(settings=settings, pool=pool)
        answer = await provider.respond(replace(REQUEST, session_key="s1"), print)
    assert answer == Answer(stop="unknown")
    sent = server.requests[0]
    assert sent.line == f"POST {path} HTTP/1.1"
    assert sent.headers[header] == value
    assert len({"x-api-key", "authorization"} & sent.headers.keys()) == 1
    assert sent.headers["anthropic-version"] == "2023-06-01"
    assert (sent.headers["x-session-id"], sent.headers["x-session-affinity"]) == ("s1", "s1")
    assert "anthropic-beta" not in sent.headers
    assert sent.body == build_body(REQUEST, settings)


async def test_thinking_adds_its_beta_to_the_configured_ones() -> None:
    whole = stream_of(b'data: {"type":"message_stop"}\n\n')
    async with byte_server(whole) as server, watched_pool() as pool:
        settings = replace(SETTINGS, base_url=server.url, headers={"Anthropic-Beta": "mine"})
        await AnthropicProvider(settings=settings, pool=pool).respond(
            replace(SIMPLE, think=True), print
        )
    betas = server.requests[0].headers["anthropic-beta"]
    assert betas == "mine,interleaved-thinking-2025-05-14"


def play(*events: object) -> tuple[list[StreamEvent], MessageStream]:
    heard: list[StreamEvent] = []
    stream = MessageStream(heard.append, ErrorSource("Test", ()))
    for event in events:
        stream.feed(Frame(b"", event if isinstance(event, bytes) else msgspec.json.encode(event)))
    return heard, stream


STOP = {"type": "message_stop"}


@pytest.mark.parametrize(
    ("raw", "stop"),
    [
        ("end_turn", "end_turn"),
        ("stop_sequence", "end_turn"),
        ("tool_use", "tool_use"),
        ("max_tokens", "max_tokens"),
        ("model_context_window_exceeded", "max_tokens"),
        ("refusal", "content_filter"),
        ("pause_turn", "unknown"),
        (None, "unknown"),
    ],
)
def test_stop_reasons_are_translated(raw: str | None, stop: str) -> None:
    _, stream = play({"type": "message_delta", "delta": {"stop_reason": raw}}, STOP)
    assert stream.answer() == Answer(stop=stop)  # type: ignore[arg-type]


def test_an_error_event_ends_the_answer() -> None:
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    with pytest.raises(ProviderError, match="Test: Overloaded") as caught:
        play(error)
    assert caught.value.retryable


def test_an_error_may_come_instead_of_a_stream() -> None:
    _, stream = play()
    with pytest.raises(ProviderError, match="no credit"):
        stream.feed_whole(b'{"type":"error","error":{"type":"x","message":"no credit"}}')


@pytest.mark.parametrize(
    "broken",
    [
        b"{",
        b"[]",
        b"<html>",
        {"type": "content_block_delta", "index": "x", "delta": {"type": "text_delta"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "tool_use"}},
    ],
)
def test_an_event_that_breaks_the_protocol_is_an_error(broken: object) -> None:
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        play(broken)
    assert caught.value.retryable


def test_what_is_newer_than_this_program_is_skipped() -> None:
    heard, stream = play(
        {"type": "message_extra", "x": 1},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "hologram"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{"},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_stop", "index": 7},
        STOP,
        b"[DONE]",
    )
    assert heard == []
    assert stream.closed


def test_content_may_come_with_the_start_of_its_block() -> None:
    def block(index: int, content: object) -> object:
        return {"type": "content_block_start", "index": index, "content_block": content}

    heard, _ = play(
        block(0, {"type": "thinking", "thinking": "hm"}),
        block(1, {"type": "text", "text": "hi"}),
        block(2, {"type": "tool_use", "id": "t", "name": "ls", "input": {"path": "."}}),
        {"type": "content_block_stop", "index": 2},
    )
    assert heard == [
        ReasoningDelta("hm"),
        TextDelta("hi"),
        ToolCallStarted("t", "ls"),
        ToolCallReady("t", "ls", '{"path":"."}'),
    ]


def test_an_open_call_is_complete_when_the_message_is() -> None:
    heard, _ = play(
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "t", "name": "ls", "input": {}},
        },
        STOP,
    )
    assert heard[-1] == ToolCallReady("t", "ls", "{}")
