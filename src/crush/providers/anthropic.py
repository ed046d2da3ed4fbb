"""The Anthropic Messages protocol: where it is, and a neutral request as its JSON body.

The answer is read in `_anthropic_stream`.
"""

from typing import Literal

import msgspec
from anyio import to_thread
from msgspec import Raw, Struct

from crush.config.settings import ProviderSettings
from crush.providers._anthropic_stream import REDACTED, MessageStream
from crush.providers._blocks import base64_text, input_text
from crush.providers._bounded import bounded
from crush.providers._endpoint import build_endpoint
from crush.providers._http import HttpPool
from crush.providers.base import (
    Answer,
    AssistantTurn,
    EmitStream,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    UserTurn,
)

_BASE_URL = "https://api.anthropic.com"
_VERSION = "2023-06-01"
_INTERLEAVED = "interleaved-thinking-2025-05-14"
_DEFAULT_MAX_TOKENS = 4096
_THINKING_TOKENS = 2000
_EFFORTS = frozenset({"low", "medium", "high", "xhigh", "max"})
_CACHED_TURNS = 2  # with the system text and the tools: the four marks that the API allows

Json = dict[str, object]


class AnthropicProvider:
    """A provider that speaks Messages: Anthropic's own and those that imitate it."""

    def __init__(self, *, settings: ProviderSettings, pool: HttpPool) -> None:
        self._settings = settings
        self._pool = pool
        base_url = settings.base_url or _BASE_URL
        self._endpoint = build_endpoint(
            settings,
            url=f"{base_url}/messages" if base_url.endswith("/v1") else f"{base_url}/v1/messages",
            own_headers={"anthropic-version": _VERSION, **_key_header(settings.api_key)},
        )

    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        """See `Provider.respond`."""
        body = await to_thread.run_sync(build_body, request, self._settings)
        errors = self._endpoint.errors
        return await self._pool.post_sse(
            self._endpoint,
            body,
            headers=self._request_headers(request),
            start=lambda: MessageStream(bounded(emit, errors), errors),
            emit=emit,
        )

    def _request_headers(self, request: ModelRequest) -> dict[str, str]:
        headers = {}
        if request.session_key:
            headers["x-session-id"] = headers["x-session-affinity"] = request.session_key
        if _thinking(request, self._settings):
            configured = self._endpoint.headers.get("anthropic-beta")
            headers["anthropic-beta"] = (
                f"{configured},{_INTERLEAVED}" if configured else _INTERLEAVED
            )
        return headers


def _key_header(key: str) -> dict[str, str]:
    if not key:
        return {}
    return {"authorization": key} if key.startswith("Bearer ") else {"x-api-key": key}


def build_body(request: ModelRequest, settings: ProviderSettings) -> bytes:
    """The JSON body; the same request always gives the same bytes."""
    cached = not settings.env.get("CRUSH_DISABLE_ANTHROPIC_CACHE")
    body: Json = {
        "model": request.model,
        "max_tokens": request.max_tokens or _DEFAULT_MAX_TOKENS,
        "stream": True,
    }
    system: list[Json] = [
        {"type": "text", "text": text}
        for text in (settings.system_prompt_prefix, request.system)
        if text.strip()
    ]
    tools: list[Json] = [
        {
            "name": tool.name,
            "description": tool.description,
            "input_schema": dict(tool.parameters),
        }
        for tool in request.tools
    ]
    messages = _messages(request.turns)
    if cached:
        _mark_last(system)
        _mark_last(tools)
        users = [message.blocks for message in messages if message.role == "user"]
        for blocks in users[-_CACHED_TURNS:]:
            _mark_last(blocks)
    if system:
        body["system"] = system
    body["messages"] = [{"role": m.role, "content": m.blocks} for m in messages]
    if tools:
        body["tools"] = tools
    return msgspec.json.encode(body | (_thinking(request, settings) or _sampling(request)))


def _mark_last(blocks: list[Json]) -> None:
    if blocks:
        blocks[-1]["cache_control"] = {"type": "ephemeral"}


def _thinking(request: ModelRequest, settings: ProviderSettings) -> Json:
    """Settings of reasoning; the API refuses sampling values beside them."""
    if request.reasoning_effort in _EFFORTS:
        thinking = {"type": "adaptive"}
        if settings.base_url in {"", _BASE_URL}:  # newer models show no reasoning unless asked
            thinking["display"] = "summarized"
        return {
            "thinking": thinking,
            "output_config": {"effort": request.reasoning_effort},
        }
    if request.think:
        # The budget is part of `max_tokens` and has to leave room for an answer.
        limit = request.max_tokens or _DEFAULT_MAX_TOKENS
        return {
            "thinking": {"type": "enabled", "budget_tokens": _THINKING_TOKENS},
            "max_tokens": max(limit, 2 * _THINKING_TOKENS),
        }
    return {}


def _sampling(request: ModelRequest) -> Json:
    values = {"temperature": request.temperature, "top_p": request.top_p}
    return {name: value for name, value in values.items() if value is not None}


class _Message(Struct, frozen=True):
    role: Literal["user", "assistant"]
    blocks: list[Json]


def _messages(turns: tuple[Turn, ...]) -> list[_Message]:
    """Messages with alternating roles: results and what the user added are one message."""
    messages: list[_Message] = []
    for turn in turns:
        role, blocks = _turn_blocks(turn)
        if not blocks:
            continue
        if messages and messages[-1].role == role:
            messages[-1].blocks.extend(blocks)
        else:
            messages.append(_Message(role, blocks))
    return messages


def _turn_blocks(turn: Turn) -> tuple[Literal["user", "assistant"], list[Json]]:
    match turn:
        case UserTurn(blocks=blocks):
            return "user", [written for block in blocks for written in _content(block)]
        case AssistantTurn(blocks=blocks):
            return "assistant", [written for block in blocks for written in _content(block)]
        case ToolTurn(results=results):
            return "user", [_result(result) for result in results]


def _content(block: TextBlock | ImageBlock | ReasoningBlock | ToolUseBlock) -> list[Json]:
    """A block as the API has it; none where it would be refused."""
    match block:
        case TextBlock(text=text):
            return [{"type": "text", "text": text}] if text.strip() else []
        case ImageBlock():
            return [_image(block)] if block.data else []
        case ReasoningBlock(text=text, signature=signature):
            if signature.startswith(REDACTED):
                data = signature.removeprefix(REDACTED)
                return [{"type": "redacted_thinking", "data": data}]
            # Without a signature it is another provider's, or was cut off: not accepted back.
            if not signature:
                return []
            return [{"type": "thinking", "thinking": text, "signature": signature}]
        case ToolUseBlock():
            return [
                {
                    "type": "tool_use",
                    "id": _call_id(block.id),
                    "name": block.name,
                    "input": Raw(input_text(block.input).encode()),
                }
            ]


def _result(result: ToolResultBlock) -> Json:
    content: list[Json] = []
    if result.text.strip():
        content.append({"type": "text", "text": result.text})
    elif result.is_error:  # an error without content is refused
        content.append({"type": "text", "text": "error"})
    if result.image is not None and result.image.data:
        content.append(_image(result.image))
    written: Json = {"type": "tool_result", "tool_use_id": _call_id(result.call_id)}
    if content:
        written["content"] = content
    if result.is_error:
        written["is_error"] = True
    return written


def _image(image: ImageBlock) -> Json:
    source = {"type": "base64", "media_type": image.mime_type, "data": base64_text(image)}
    return {"type": "image", "source": source}


def _call_id(call_id: str) -> str:
    """Ids of other providers may have characters that the API refuses."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in call_id)
