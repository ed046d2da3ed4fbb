"""The OpenAI Chat Completions protocol and its dialects: a neutral request as its JSON body.

What vendors want differently is data in `_DIALECTS`. The answer is read in `_openai_stream`.
"""

from typing import Literal

import msgspec
from anyio import to_thread
from msgspec import Struct

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError
from crush.providers._blocks import base64_text, input_text
from crush.providers._bounded import bounded
from crush.providers._endpoint import build_endpoint
from crush.providers._http import HttpPool
from crush.providers._openai_stream import ChatStream
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

Json = dict[str, object]


class _Dialect(Struct, frozen=True, kw_only=True):
    """Where a type of provider departs from the rest.

    Attributes:
        base_url: "" if it has to be configured.
        limit: the field of the most tokens of an answer.
        reasoning: as a word, or as an object of its own.
        echoes_reasoning: past reasoning goes back; OpenAI itself refuses the field.
    """

    base_url: str = ""
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    reasoning: Literal["word", "object"] = "word"
    echoes_reasoning: bool = True


_PLAIN = _Dialect()
_DIALECTS = {
    "openai": _Dialect(
        base_url="https://api.openai.com/v1",
        limit="max_completion_tokens",
        echoes_reasoning=False,
    ),
    "openrouter": _Dialect(base_url="https://openrouter.ai/api/v1", reasoning="object"),
    "vercel": _Dialect(base_url="https://ai-gateway.vercel.sh/v1", reasoning="object"),
}


class OpenAiChatProvider:
    """A provider that speaks Chat Completions."""

    def __init__(self, *, settings: ProviderSettings, pool: HttpPool) -> None:
        base_url = settings.base_url or _dialect(settings).base_url
        if not base_url:
            raise ConfigError(
                f"provider {settings.id!r} of type {settings.type!r} needs a base_url"
            )
        self._settings = settings
        self._pool = pool
        key = settings.api_key.removeprefix("Bearer ")
        self._endpoint = build_endpoint(
            settings,
            url=f"{base_url}/chat/completions",
            own_headers={"authorization": f"Bearer {key}"} if key else {},
        )

    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        """See `Provider.respond`."""
        session, errors = request.session_key, self._endpoint.errors
        return await self._pool.post_sse(
            self._endpoint,
            await to_thread.run_sync(build_body, request, self._settings),
            headers={"x-session-id": session, "x-session-affinity": session} if session else {},
            start=lambda: ChatStream(bounded(emit, errors), errors),
            emit=emit,
        )


def _dialect(settings: ProviderSettings) -> _Dialect:
    return _DIALECTS.get(settings.type, _PLAIN)


def build_body(request: ModelRequest, settings: ProviderSettings) -> bytes:
    """The JSON body; the same request always gives the same bytes."""
    dialect = _dialect(settings)
    body: Json = {
        "model": request.model,
        "messages": _messages(request, settings, dialect),
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if request.tools:
        body["tools"] = [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                },
            }
            for tool in request.tools
        ]
    if request.max_tokens:
        body[dialect.limit] = request.max_tokens
    if request.temperature is not None:
        body["temperature"] = request.temperature
    if request.top_p is not None:
        body["top_p"] = request.top_p
    return msgspec.json.encode(body | _reasoning(request, dialect) | dict(settings.extra_body))


def _reasoning(request: ModelRequest, dialect: _Dialect) -> Json:
    effort = request.reasoning_effort
    if dialect.reasoning == "word":
        return {"reasoning_effort": effort} if effort else {}
    if effort:
        return {"reasoning": {"enabled": True, "effort": effort}}
    return {"reasoning": {"enabled": True}} if request.think else {}


def _messages(request: ModelRequest, settings: ProviderSettings, dialect: _Dialect) -> list[Json]:
    messages: list[Json] = [
        {"role": "system", "content": text}
        for text in (settings.system_prompt_prefix, request.system)
        if text.strip()
    ]
    for turn in request.turns:
        messages.extend(_turn(turn, dialect))
    return messages


def _turn(turn: Turn, dialect: _Dialect) -> list[Json]:
    match turn:
        case UserTurn(blocks=blocks):
            return _user(blocks)
        case AssistantTurn(blocks=blocks):
            return _assistant(blocks, dialect)
        case ToolTurn(results=results):
            return _tool_results(results)


def _user(blocks: tuple[TextBlock | ImageBlock, ...]) -> list[Json]:
    parts: list[Json] = []
    texts: list[str] = []
    for block in blocks:
        match block:
            case TextBlock(text=text):
                if text:
                    texts.append(text)
                    parts.append({"type": "text", "text": text})
            case ImageBlock():
                if block.data:
                    parts.append(_image(block))
    if not parts:
        return []
    # Simple servers know text only as a string, not as a list of parts.
    content: object = "\n\n".join(texts) if len(texts) == len(parts) else parts
    return [{"role": "user", "content": content}]


def _assistant(
    blocks: tuple[TextBlock | ReasoningBlock | ToolUseBlock, ...], dialect: _Dialect
) -> list[Json]:
    texts: list[str] = []
    reasoning: list[str] = []
    calls: list[Json] = []
    for block in blocks:
        match block:
            case TextBlock(text=text):
                texts.append(text)
            case ReasoningBlock(text=text, signature=signature):
                if not signature:  # a signed one is of another protocol
                    reasoning.append(text)
            case ToolUseBlock(id=call_id, name=name):
                function = {"name": name, "arguments": input_text(block.input)}
                calls.append({"id": call_id, "type": "function", "function": function})
    content = "\n\n".join(text for text in texts if text)
    if not content and not calls:
        return []
    message: Json = {"role": "assistant", "content": content or None}
    if dialect.echoes_reasoning and any(reasoning):
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    return [message]


def _tool_results(results: tuple[ToolResultBlock, ...]) -> list[Json]:
    """One message a result; images, which a result cannot hold, follow as if the user sent them."""
    messages: list[Json] = []
    parts: list[Json] = []
    for result in results:
        text = result.text
        if result.image is not None and result.image.data:
            parts.append({"type": "text", "text": f"Image from {result.name} ({result.call_id}):"})
            parts.append(_image(result.image))
            text = text or "The image is in the next user message."
        messages.append({"role": "tool", "tool_call_id": result.call_id, "content": text})
    if parts:
        messages.append({"role": "user", "content": parts})
    return messages


def _image(image: ImageBlock) -> Json:
    url = f"data:{image.mime_type};base64,{base64_text(image)}"
    return {"type": "image_url", "image_url": {"url": url}}
