"""The vendors' own SDKs, asked the same as our adapters. Importing this module costs seconds.

Their parameters are typed, so mypy holds `send_*` to the shapes that the APIs accept.
"""

import json

import anthropic
import openai
from anthropic.types import MessageParam
from msgspec import Struct
from openai.types.chat import ChatCompletionMessageParam

from crush.providers.base import Usage
from tests.providers.conversation import PNG_BASE64


class Told(Struct, frozen=True):
    """An answer as an SDK understands it; inputs of calls are parsed."""

    text: str
    calls: list[tuple[str, str, object]]
    reasoning: str
    signature: str
    stop: str | None
    usage: Usage


def _anthropic(url: str) -> anthropic.AsyncAnthropic:
    return anthropic.AsyncAnthropic(base_url=url, api_key="k", max_retries=0)


def _openai(url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=url, api_key="k", max_retries=0)


async def ask_anthropic(url: str) -> Told:
    async with (
        _anthropic(url) as client,
        client.messages.stream(
            model="m", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream,
    ):
        message = await stream.get_final_message()
    usage = message.usage
    thoughts = [block for block in message.content if block.type == "thinking"]
    return Told(
        text="".join(block.text for block in message.content if block.type == "text"),
        calls=[(b.id, b.name, b.input) for b in message.content if b.type == "tool_use"],
        reasoning="".join(block.thinking for block in thoughts),
        signature="".join(block.signature for block in thoughts),
        stop=message.stop_reason,
        usage=Usage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=usage.cache_read_input_tokens or 0,
            cache_write_tokens=usage.cache_creation_input_tokens or 0,
        ),
    )


async def ask_openai(url: str) -> Told:
    async with (
        _openai(url) as client,
        client.chat.completions.stream(
            model="m",
            messages=[{"role": "user", "content": "hi"}],
            stream_options={"include_usage": True},
        ) as stream,
    ):
        completion = await stream.get_final_completion()
    message = completion.choices[0].message
    usage = completion.usage
    assert usage is not None
    assert usage.prompt_tokens_details is not None
    assert usage.completion_tokens_details is not None
    cached = usage.prompt_tokens_details.cached_tokens or 0
    return Told(
        text=message.content or "",
        calls=[
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or ()
        ],
        reasoning=(message.model_extra or {}).get("reasoning_content") or "",
        signature="",
        stop=completion.choices[0].finish_reason,
        usage=Usage(
            input_tokens=usage.prompt_tokens - cached,
            output_tokens=usage.completion_tokens,
            cache_read_tokens=cached,
            reasoning_tokens=usage.completion_tokens_details.reasoning_tokens or 0,
        ),
    )


async def send_anthropic(url: str) -> None:
    """The conversation of `conversation.REQUEST`, with its cache marks."""
    messages: list[MessageParam] = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is in this picture?"},
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": PNG_BASE64},
                    "cache_control": {"type": "ephemeral"},
                },
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
                {
                    "type": "tool_result",
                    "tool_use_id": "call_1",
                    "content": [
                        {
                            "type": "image",
                            "source": {
                                "type": "base64",
                                "media_type": "image/png",
                                "data": PNG_BASE64,
                            },
                        }
                    ],
                },
                {
                    "type": "tool_result",
                    "tool_use_id": "call_2",
                    "is_error": True,
                    "content": [{"type": "text", "text": "The arguments are no JSON."}],
                },
                {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral"}},
            ],
        },
    ]
    async with (
        _anthropic(url) as client,
        client.messages.stream(
            model="m",
            max_tokens=500,
            system=[{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
            messages=messages,
            tools=[
                {"name": "ls", "description": "Lists.", "input_schema": {"type": "object"}},
                {
                    "name": "view",
                    "description": "Shows.",
                    "input_schema": {
                        "type": "object",
                        "properties": {"file_path": {"type": "string"}},
                        "required": ["file_path"],
                    },
                    "cache_control": {"type": "ephemeral"},
                },
            ],
            thinking={"type": "adaptive"},
            output_config={"effort": "high"},
        ) as stream,
    ):
        await stream.until_done()


async def send_openai(url: str) -> None:
    """The conversation of `conversation.REQUEST`."""
    picture = f"data:image/png;base64,{PNG_BASE64}"
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is in this picture?"},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
        {
            "role": "assistant",
            "content": "I look.",
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "view", "arguments": '{"file_path": "a.png"}'},
                },
                {
                    "id": "call_2",
                    "type": "function",
                    "function": {"name": "view", "arguments": "{}"},
                },
            ],
        },
        {
            "role": "tool",
            "tool_call_id": "call_1",
            "content": "The image is in the next user message.",
        },
        {"role": "tool", "tool_call_id": "call_2", "content": "The arguments are no JSON."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Image from view (call_1):"},
                {"type": "image_url", "image_url": {"url": picture}},
            ],
        },
        {"role": "user", "content": "Go on."},
    ]
    async with _openai(url) as client:
        stream = await client.chat.completions.create(
            model="m",
            messages=messages,
            stream=True,
            stream_options={"include_usage": True},
            max_completion_tokens=500,
            temperature=0.5,
            reasoning_effort="high",
            tools=[
                {
                    "type": "function",
                    "function": {
                        "name": "ls",
                        "description": "Lists.",
                        "parameters": {"type": "object"},
                    },
                },
                {
                    "type": "function",
                    "function": {
                        "name": "view",
                        "description": "Shows.",
                        "parameters": {
                            "type": "object",
                            "properties": {"file_path": {"type": "string"}},
                            "required": ["file_path"],
                        },
                    },
                },
            ],
        )
        async for _chunk in stream:
            pass
