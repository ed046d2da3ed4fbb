"""What server and worker of the embedded model say to each other: one JSON object a line."""

from typing import Literal

import msgspec
from msgspec import Struct


class ChatMessage(Struct, frozen=True):
    """One turn, as plain text."""

    role: Literal["system", "user", "assistant"]
    content: str


class Chat(Struct, frozen=True, kw_only=True, tag_field="type", tag="chat"):
    """Answer this conversation; ids grow."""

    id: int
    messages: tuple[ChatMessage, ...]
    max_tokens: int
    temperature: float
    top_p: float


class Cancel(Struct, frozen=True, tag_field="type", tag="cancel"):
    """Stop this chat; it still ends with a `Done`. Unknown and finished ids are ignored."""

    id: int


class Ready(Struct, frozen=True, tag_field="type", tag="ready"):
    """The model is loaded. Always the first message, unless it is `Unusable`."""

    threads: int


class Unusable(Struct, frozen=True, tag_field="type", tag="unusable"):
    """The model cannot be loaded; the worker ends."""

    reason: Literal["missing", "engine", "weights"]
    message: str


class Progress(Struct, frozen=True, tag_field="type", tag="progress"):
    """A part of the prompt has been read; says only that the worker is alive."""

    id: int


class Delta(Struct, frozen=True, tag_field="type", tag="delta"):
    """More of the answer."""

    id: int
    text: str


class Done(Struct, frozen=True, kw_only=True, tag_field="type", tag="done"):
    """The answer has ended; `input_tokens` includes the cached ones."""

    id: int
    stop: Literal["stop", "length", "cancelled"]
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0


class Failed(Struct, frozen=True, tag_field="type", tag="failed"):
    """This chat could not be answered; the worker lives on."""

    id: int
    message: str
    overflow: bool = False


ToWorker = Chat | Cancel
FromWorker = Ready | Unusable | Progress | Delta | Done | Failed

to_worker: msgspec.json.Decoder[ToWorker] = msgspec.json.Decoder(ToWorker)
from_worker: msgspec.json.Decoder[FromWorker] = msgspec.json.Decoder(FromWorker)


def line(message: ToWorker | FromWorker) -> bytes:
    return msgspec.json.encode(message) + b"\n"
