"""Chat Completions: what is sent in which dialect, and what vendors make of the stream."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError, ProviderError
from crush.providers._errors import ErrorSource
from crush.providers._http import HttpPool
from crush.providers._openai_stream import ChatStream
from crush.providers._sse import Frame
from crush.providers.base import (
    Answer,
    AssistantTurn,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
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
from crush.providers.openai_chat import OpenAiChatProvider, build_body
from tests.fakes.byte_server import byte_server, refusal, stream_of, watched_pool
from tests.providers.conversation import PNG_BASE64, REQUEST, SCHEMA

SETTINGS = ProviderSettings(id="test", type="openai-compat", base_url="http://h/v1", api_key="k")
SIMPLE = ModelRequest(model="m", system="", turns=(UserTurn((TextBlock("hi"),)),))
IMAGE_JSON = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{PNG_BASE64}"},
}


def body(request: ModelRequest, settings: ProviderSettings = SETTINGS) -> Any:
    return json.loads(build_body(request, settings))


def test_a_conversation_is_written_as_the_api_wants_it() -> None:
    def call(call_id: str, arguments: str) -> object:
        return {
            "id": call_id,
            "type": "function",
            "function": {"name": "view", "arguments": arguments},
        }

    def tool(name: str, description: str, parameters: object) -> object:
        function = {"name": name, "description": description, "parameters": parameters}
        return {"type": "function", "function": function}

    assert body(REQUEST) == {
        "model": "m",
        "max_tokens": 500,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0.5,
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is in this picture?"}, IMAGE_JSON],
            },
            {
                "role": "assistant",
                "content": "I look.",
                "tool_calls": [call("call_1", '{"file_path": "a.png"}'), call("call_2", "{}")],
            },
            {
                "role": "tool",
                "tool_call_id": "call_1",
                "content": "The image is in the next user message.",
            },
            {"role": "tool", "tool_call_id": "call_2", "content": "The arguments are no JSON."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "Image from view (call_1):"}, IMAGE_JSON],
            },
            {"role": "user", "content": "Go on."},
        ],
        "tools": [tool("ls", "Lists.", {"type": "object"}), tool("view", "Shows.", SCHEMA)],
    }


def test_what_says_nothing_is_left_out() -> None:
    turns = (
        UserTurn((TextBlock(""), ImageBlock(b"", "image/png"))),
        AssistantTurn((ReasoningBlock("hm"), TextBlock(""))),
        *SIMPLE.turns,
    )
    assert body(replace(SIMPLE, turns=turns)) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_the_prefix_of_the_provider_is_a_system_message_before_ours() -> None:
    sent = body(REQUEST, replace(SETTINGS, system_prompt_prefix="First."))["messages"][:2]
    assert [message["content"] for message in sent] == ["First.", "Be brief."]


def test_the_extra_body_wins() -> None:
    sent = body(REQUEST, replace(SETTINGS, extra_body={"temperature": 1, "seed": 7}))
    assert (sent["temperature"], sent["seed"], sent["model"]) == (1, 7, "m")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("openai", {"max_completion_tokens": 9, "reasoning_effort": "high"}),
        ("ollama", {"max_tokens": 9, "reasoning_effort": "high"}),
        ("openrouter", {"max_tokens": 9, "reasoning": {"enabled": True, "effort": "high"}}),
    ],
)
def test_dialects_name_limits_and_reasoning_differently(
    kind: str, expected: Mapping[str, object]
) -> None:
    request = replace(SIMPLE, max_tokens=9, reasoning_effort="high", top_p=0.9)
    sent = body(request, replace(SETTINGS, type=kind))
    known = {"model", "messages", "stream", "stream_options", "top_p"}
    assert {name: value for name, value in sent.items() if name not in known} == expected
    assert sent["top_p"] == 0.9


def test_reasoning_without_a_level_is_only_an_object_where_there_is_one() -> None:
    request = replace(SIMPLE, think=True)
    assert body(request, replace(SETTINGS, type="vercel"))["reasoning"] == {"enabled": True}
    assert "reasoning" not in body(request)


def test_past_reasoning_goes_back_except_to_openai_and_except_if_it_is_signed() -> None:
    def echoed(block: ReasoningBlock, kind: str) -> object:
        turns = (*SIMPLE.turns, AssistantTurn((block, TextBlock("x"))))
        sent = body(replace(SIMPLE, turns=turns), replace(SETTINGS, type=kind))
        return sent["messages"][1].get("reasoning_content")

    assert echoed(ReasoningBlock("hm"), "openai-compat") == "hm"
    assert echoed(ReasoningBlock("hm"), "openai") is None
    assert echoed(ReasoningBlock("hm", "signed"), "openai-compat") is None


@pytest.mark.parametrize("kind", ["openai-compat", "ollama", "lmstudio", "litellm"])
def test_a_provider_without_a_place_of_its_own_needs_a_base_url(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"'mine'.*base_url"):
        OpenAiChatProvider(settings=ProviderSettings(id="mine", type=kind), pool=HttpPool())


@pytest.mark.parametrize(("key", "sent"), [("k", "Bearer k"), ("Bearer k", "Bearer k"), ("", None)])
async def test_the_request_goes_to_the_right_place_with_the_right_key(
    key: str, sent: str | None
) -> None:
    play = stream_of(b'data: {"choices":[{"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
    async with byte_server(play) as server, watched_pool() as pool:
        settings = replace(SETTINGS, base_url=f"{server.url}/v1", api_key=key)
        provider = OpenAiChatProvider(settings=settings, pool=pool)
        await provider.respond(replace(REQUEST, session_key="s1"), print)
    request = server.requests[0]
    assert request.line == "POST /v1/chat/completions HTTP/1.1"
    assert request.headers.get("authorization") == sent
    assert (request.headers["x-session-id"], request.headers["x-session-affinity"]) == ("s1", "s1")
    assert request.body == build_body(REQUEST, settings)


async def test_a_bare_json_answer_is_read_like_a_stream() -> None:
    whole = {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hi",
                    "reasoning_content": "hm",
                    "tool_calls": [
                        {"id": "a", "function": {"name": "ls", "arguments": "{}"}},
                        {"id": "b", "function": {"name": "ls", "arguments": {"path": "."}}},
                    ],
                },
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
    }
    events: list[StreamEvent] = []
    async with (
        byte_server(refusal(200, json.dumps(whole).encode())) as server,
        watched_pool() as pool,
    ):
        settings = replace(SETTINGS, base_url=server.url)
        answer = await OpenAiChatProvider(settings=settings, pool=pool).respond(
            SIMPLE, events.append
        )
    assert events == [
        ReasoningDelta("hm"),
        ReasoningEnded(),
        TextDelta("hi"),
        ToolCallStarted("a", "ls"),
        ToolCallReady("a", "ls", "{}"),
        ToolCallStarted("b", "ls"),
        ToolCallReady("b", "ls", '{"path":"."}'),
    ]
    assert answer == Answer(stop="tool_use", usage=Usage(input_tokens=5, output_tokens=2))


def play(*chunks: object, event: bytes = b"") -> tuple[list[StreamEvent], ChatStream]:
    heard: list[StreamEvent] = []
    stream = ChatStream(heard.append, ErrorSource("Test", ()))
    for chunk in chunks:
        stream.feed(Frame(event, chunk if isinstance(chunk, bytes) else msgspec.json.encode(chunk)))
    return heard, stream


def delta(finish: str | None = None, **fields: object) -> object:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": finish}]}


def calls(*deltas: object) -> object:
    return delta(tool_calls=list(deltas))


def call(
    index: int | None = None,
    *,
    id: str | None = None,  # noqa: A002 - the protocol's own word
    name: str | None = None,
    args: object = None,
) -> object:
    return {"index": index, "id": id, "function": {"name": name, "arguments": args}}


FINISH = delta("tool_calls")


def heard_calls(*chunks: object) -> list[tuple[str, str, str]]:
    """Id, name and input of all calls of a stream; each starts before it is ready."""
    events, stream = play(*chunks, FINISH)
    assert stream.answer().stop == "tool_use"
    started = [(e.id, e.name) for e in events if isinstance(e, ToolCallStarted)]
    ready = [e for e in events if isinstance(e, ToolCallReady)]
    assert started == [(e.id, e.name) for e in ready]
    assert len(set(started)) == len(started)
    return [(e.id, e.name, e.input) for e in ready]


def test_arguments_are_put_together_from_their_pieces() -> None:
    assert heard_calls(
        calls(call(0, id="a", name="ls", args="")),
        calls(call(0, args='{"pa')),
        calls(call(0, args=None)),
        calls(call(0, args='th": "."}')),
    ) == [("a", "ls", '{"path": "."}')]


def test_several_calls_may_come_in_one_delta_and_grow_by_turns() -> None:
    assert heard_calls(
        calls(call(0, id="a", name="ls", args="{"), call(1, id="b", name="view", args="{")),
        calls(call(1, args='"x":1'), call(0, args='"y":2')),
        calls(call(0, args="}"), call(1, args="}")),
    ) == [("a", "ls", '{"y":2}'), ("b", "view", '{"x":1}')]


def test_an_id_or_a_name_that_is_repeated_is_the_same_call() -> None:
    again = {"id": "a", "name": "ls"}
    assert heard_calls(
        calls(call(0, **again, args='{"a"')),
        calls(call(0, **again, args=":1}")),
    ) == [("a", "ls", '{"a":1}')]


def test_a_name_may_come_after_the_id() -> None:
    assert heard_calls(calls(call(0, id="a")), calls(call(0, name="ls", args="{}"))) == [
        ("a", "ls", "{}")
    ]


def test_missing_ids_are_made_up_and_differ() -> None:
    first, second = heard_calls(
        calls(call(0, name="ls", args="{}")), calls(call(1, id="", name="ls", args="{}"))
    )
    assert first[0].startswith("call_")
    assert second[0].startswith("call_")
    assert first[0] != second[0]


def test_an_id_that_two_calls_have_is_given_to_one_of_them() -> None:
    first, second = heard_calls(
        calls(call(0, id="x", name="ls", args="{}")), calls(call(1, id="x", name="ls", args="{}"))
    )
    assert first[0] == "x"
    assert second[0] != "x"


@pytest.mark.parametrize("index", [0, None])
def test_calls_without_numbers_of_their_own_are_told_apart(index: int | None) -> None:
    by_id = heard_calls(
        calls(call(index, id="a", name="ls", args='{"n":1}')),
        calls(call(index, id="b", name="ls", args='{"n":2}')),
    )
    assert by_id == [("a", "ls", '{"n":1}'), ("b", "ls", '{"n":2}')]
    by_order = heard_calls(
        calls(call(index, name="ls", args='{"n":1}')), calls(call(index, name="ls", args='{"n":2}'))
    )
    assert [found[2] for found in by_order] == ['{"n":1}', '{"n":2}']


def test_a_call_is_ready_as_soon_as_the_next_one_shows_that_it_is_complete() -> None:
    events, _ = play(
        calls(call(0, id="a", name="ls", args="{}")), calls(call(1, id="b", name="ls"))
    )
    assert events == [
        ToolCallStarted("a", "ls"),
        ToolCallReady("a", "ls", "{}"),
        ToolCallStarted("b", "ls"),
    ]


def test_input_that_is_no_json_goes_on_as_the_model_wrote_it() -> None:
    assert heard_calls(calls(call(0, id="a", name="ls", args='{"a'))) == [("a", "ls", '{"a')]


def test_a_call_without_a_name_is_an_error() -> None:
    with pytest.raises(ProviderError, match="cannot be read"):
        play(calls(call(0, id="a", args="{}")), FINISH)


@pytest.mark.parametrize(
    ("raw", "stop"),
    [
        ("stop", "end_turn"),
        ("length", "max_tokens"),
        ("tool_calls", "tool_use"),
        ("function_call", "tool_use"),
        ("content_filter", "content_filter"),
        ("eos", "unknown"),
    ],
)
def test_finish_reasons_are_translated(raw: str, stop: str) -> None:
    assert play(delta(raw))[1].answer() == Answer(stop=stop)  # type: ignore[arg-type]


def test_a_stop_with_calls_is_a_use_of_tools() -> None:
    _, stream = play(calls(call(0, id="a", name="ls", args="{}")), delta("stop"))
    assert stream.answer().stop == "tool_use"


@pytest.mark.parametrize("raw", ["error", "network_error", "insufficient_system_resource"])
def test_a_finish_reason_that_means_failure_is_one(raw: str) -> None:
    with pytest.raises(ProviderError) as caught:
        play(delta(raw))
    assert caught.value.retryable


@pytest.mark.parametrize("last", [b"[DONE]", delta("")])
def test_an_end_without_a_finish_reason_is_an_error(last: object) -> None:
    _, stream = play(delta(content="half"), last)
    with pytest.raises(ProviderError, match="broke off") as caught:
        stream.answer()
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 9, "completion_tokens": 2}, Usage(input_tokens=9, output_tokens=2)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                "completion_tokens_details": {"reasoning_tokens": 1},
            },
            Usage(
                input_tokens=2,
                output_tokens=5,
                cache_read_tokens=4,
                cache_write_tokens=3,
                reasoning_tokens=1,
            ),
        ),
        (
            {"prompt_tokens": 9, "prompt_tokens_details": None, "prompt_cache_hit_tokens": 4},
            Usage(input_tokens=5, cache_read_tokens=4),
        ),
        (
            {"prompt_tokens": 3, "cached_tokens": 4, "completion_tokens": None},
            Usage(input_tokens=0, cache_read_tokens=4),
        ),
    ],
)
def test_usage_leaves_the_cached_tokens_out_of_the_input(
    usage: Mapping[str, object], expected: Usage
) -> None:
    assert play(delta("stop"), {"choices": [], "usage": usage})[1].answer().usage == expected
    in_choice = {"choices": [{"index": 0, "finish_reason": "stop", "usage": usage}]}
    assert play(in_choice)[1].answer().usage == expected


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}])
def test_usage_that_tells_nothing_is_none(usage: object) -> None:
    assert play(delta("stop"), {"choices": [], "usage": usage})[1].answer().usage is None


def test_reasoning_under_two_names_is_heard_once() -> None:
    events, _ = play(
        delta(reasoning="a", reasoning_content="a"), delta(reasoning="b"), delta(content="c")
    )
    assert events == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
        ReasoningEnded(),
        TextDelta("c"),
    ]


def test_odd_but_plain_content_is_understood() -> None:
    events, _ = play(
        {"choices": None},
        {"choices": [{"index": 1, "delta": {"content": "other"}}]},
        {"choices": [{"delta": None}]},
        {"choices": [{"index": None, "delta": {}}], "usage": {}},
        delta(reasoning={"odd": 1}),
        delta(content=[{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
        delta(refusal="no"),
    )
    assert events == [TextDelta("ab"), TextDelta("no")]


@pytest.mark.parametrize(
    "chunk",
    [
        {"error": {"message": "sorry", "type": "server_error"}},
        {"error": {"message": "sorry", "code": 502}, "choices": []},
        {"object": "error", "message": "sorry"},
        {"error": "sorry"},
    ],
)
def test_an_error_in_the_stream_ends_the_answer(chunk: object) -> None:
    with pytest.raises(ProviderError, match="Test: sorry"):
        play(delta(content="half"), chunk)


@pytest.mark.parametrize("data", [b"sorry", b'{"message":"sorry"}'])
def test_an_event_named_error_is_one_whatever_it_holds(data: bytes) -> None:
    with pytest.raises(ProviderError, match="Test: sorry"):
        play(data, event=b"error")


@pytest.mark.parametrize("data", [b"{", b"[]", b"<html>", b'{"choices":[{"delta":{"content":1}}]}'])
def test_an_event_that_breaks_the_protocol_is_an_error(data: bytes) -> None:
    with pytest.raises(ProviderError, match="cannot be read") as caught:
        play(data)
    assert caught.value.retryable
