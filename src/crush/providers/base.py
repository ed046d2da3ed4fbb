"""What every provider adapter speaks: a neutral request in, neutral stream events out (F 7.3).

An adapter owns one protocol. Retry, limits and error mapping are shared in `_http`; the agent owns
history, tools and persistence.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol

from msgspec import Struct


class TextBlock(Struct, frozen=True):
    """Text of a message."""

    text: str


class ImageBlock(Struct, frozen=True):
    """An image that goes in; raw bytes."""

    data: bytes
    mime_type: str


class ReasoningBlock(Struct, frozen=True):
    """Reasoning that must go back to the provider that made it, with its signature."""

    text: str
    signature: str = ""


class ToolUseBlock(Struct, frozen=True):
    """A call that the model made; `input` is a JSON object as text."""

    id: str
    name: str
    input: str


class ToolResultBlock(Struct, frozen=True):
    """The result of a call."""

    call_id: str
    name: str
    text: str
    is_error: bool = False
    image: ImageBlock | None = None


class UserTurn(Struct, frozen=True):
    """What the user said; never empty."""

    blocks: tuple[TextBlock | ImageBlock, ...]


class AssistantTurn(Struct, frozen=True):
    """What the model said; never empty; every tool use has its result in the next turn."""

    blocks: tuple[TextBlock | ReasoningBlock | ToolUseBlock, ...]


class ToolTurn(Struct, frozen=True):
    """Results of all calls of the assistant turn before it, in the order of the calls."""

    results: tuple[ToolResultBlock, ...]


Turn = UserTurn | AssistantTurn | ToolTurn


class ToolSpec(Struct, frozen=True):
    """A tool as the model sees it; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, object]


class ModelRequest(Struct, frozen=True, kw_only=True):
    """One step: everything that the model is sent.

    Attributes:
        max_tokens: most tokens of the answer, 0 to leave it to the provider (Anthropic: 4,096).
        reasoning_effort: a level that the model knows, "" for its default.
        session_key: stable id of the session, sent as a cache-affinity header.
    """

    model: str
    system: str
    turns: tuple[Turn, ...]
    tools: tuple[ToolSpec, ...] = ()
    max_tokens: int = 0
    temperature: float | None = None
    top_p: float | None = None
    reasoning_effort: str = ""
    think: bool = False
    session_key: str = ""


class TextDelta(Struct, frozen=True):
    """More text."""

    text: str


class ReasoningDelta(Struct, frozen=True):
    """More reasoning."""

    text: str


class ReasoningEnded(Struct, frozen=True):
    """The reasoning block is complete."""

    signature: str = ""


class ToolCallStarted(Struct, frozen=True):
    """The model began a call; its input follows whole in `ToolCallReady`."""

    id: str
    name: str


class ToolCallReady(Struct, frozen=True):
    """A call is complete. `input` is the text as the model wrote it: maybe not valid JSON."""

    id: str
    name: str
    input: str


class RetryWaiting(Struct, frozen=True):
    """The attempt failed; everything emitted since the start of the request is void."""

    attempt: int
    wait_s: float
    message: str


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens of one request. `input_tokens` counts neither cache reads nor cache writes."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


StopReason = Literal["end_turn", "tool_use", "max_tokens", "content_filter", "unknown"]


class Answer(Struct, frozen=True, kw_only=True):
    """How a request ended. `usage` is None when the provider told nothing."""

    stop: StopReason
    usage: Usage | None = None


StreamEvent = (
    TextDelta | ReasoningDelta | ReasoningEnded | ToolCallStarted | ToolCallReady | RetryWaiting
)
EmitStream = Callable[[StreamEvent], None]


class Provider(Protocol):
    """One configured provider, ready to be asked."""

    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        """Ask once, with retries; events go to `emit` in order as they arrive.

        Raises ProviderError when the provider refuses or keeps failing. Cancellation closes the
        connection at once. A stream that ends without the protocol's terminal event is an error.
        """
