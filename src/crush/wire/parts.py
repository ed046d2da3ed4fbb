"""Content parts of a message: `{"type": <tag>, "data": {…}}` (docs/reference/wire.md, W 5.2).

Adjacent tagging is expressed as an internally tagged wrapper with one field `data`, so msgspec
decodes the union natively. Fields that must be present even when empty have a `default_factory`
(msgspec omits only fields whose value is the plain default); fields that are absent when empty
have a plain default.
"""

from typing import Literal

import msgspec
from msgspec import Struct, field


class Text(Struct, frozen=True, kw_only=True):
    """Plain text, Markdown by convention."""

    text: str = field(default_factory=str)


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the model thought; `signature` proves it to the provider that made it. Times in seconds."""

    thinking: str = field(default_factory=str)
    signature: str = field(default_factory=str)
    started_at: int = 0
    finished_at: int = 0


class ImageUrl(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An image by address."""

    url: str
    detail: str = ""


class Binary(Struct, frozen=True, kw_only=True):
    """An attached file; the names are those of the stored form, `Data` is base64."""

    path: str = field(name="Path", default_factory=str)
    mime_type: str = field(name="MIMEType", default_factory=str)
    data: bytes = field(name="Data", default_factory=bytes)


class ToolCall(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A call that the model made; `input` is a JSON document as text, whole once `finished`."""

    id: str
    name: str = field(default_factory=str)
    input: str = field(default_factory=str)
    type: str = ""
    provider_executed: bool = False
    finished: bool = False


class ToolResult(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a call returned: text for the model, media as base64, `metadata` JSON text for front ends."""

    tool_call_id: str
    name: str = field(default_factory=str)
    content: str = field(default_factory=str)
    data: bytes = b""
    mime_type: str = ""
    metadata: str = field(default_factory=str)
    is_error: bool = field(default_factory=bool)


FinishReason = Literal[
    "end_turn",
    "max_tokens",
    "tool_use",
    "canceled",
    "error",
    "content_filter",
    "unknown",
    "stop",
]


class Finish(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Ends a message; `time` in seconds, 0 on user and tool messages, whose reason is `stop`."""

    reason: str = field(default_factory=str)  # a FinishReason when we wrote it
    time: int = field(default_factory=int)
    message: str = ""
    details: str = ""


class ShellCommand(Struct, frozen=True, kw_only=True):
    """A command that the user ran with `!`."""

    command: str = field(default_factory=str)
    output: str = field(default_factory=str)
    exit_code: int = field(default_factory=int)


class Opaque(Struct, frozen=True, kw_only=True):
    """A part of a kind that we do not know, kept as it came."""

    type: str
    data: msgspec.Raw


class TextPart(Struct, frozen=True, tag="text"):
    """A `text` part."""

    data: Text


class ReasoningPart(Struct, frozen=True, tag="reasoning"):
    """A `reasoning` part."""

    data: Reasoning


class ImageUrlPart(Struct, frozen=True, tag="image_url"):
    """An `image_url` part."""

    data: ImageUrl


class BinaryPart(Struct, frozen=True, tag="binary"):
    """A `binary` part."""

    data: Binary


class ToolCallPart(Struct, frozen=True, tag="tool_call"):
    """A `tool_call` part."""

    data: ToolCall


class ToolResultPart(Struct, frozen=True, tag="tool_result"):
    """A `tool_result` part."""

    data: ToolResult


class FinishPart(Struct, frozen=True, tag="finish"):
    """A `finish` part."""

    data: Finish


class ShellCommandPart(Struct, frozen=True, tag="shell_command"):
    """A `shell_command` part."""

    data: ShellCommand


class OpaquePart(Struct, frozen=True, tag="opaque"):
    """A part of an unknown kind; never sent to a classic client, which would drop the whole list."""

    data: Opaque


Part = (
    TextPart
    | ReasoningPart
    | ImageUrlPart
    | BinaryPart
    | ToolCallPart
    | ToolResultPart
    | FinishPart
    | ShellCommandPart
    | OpaquePart
)
