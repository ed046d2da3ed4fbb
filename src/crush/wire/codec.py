"""Bytes to Structs and back, in one place (style §7): lenient on reading, exact on writing."""

from typing import TypeVar, get_args

import msgspec
from msgspec import Raw

from crush.wire.events import AnyEvent
from crush.wire.messages import Message
from crush.wire.params import PARAMS, Params
from crush.wire.parts import Opaque, OpaquePart, Part

T = TypeVar("T")

_encoder = msgspec.json.Encoder()
_parts = msgspec.json.Decoder(list[Part])
_part: msgspec.json.Decoder[Part] = msgspec.json.Decoder(Part)
_raw_parts = msgspec.json.Decoder(list[Raw] | None)
_event: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


class _TaggedRaw(msgspec.Struct):
    type: str
    data: Raw


class _RawMessage(msgspec.Struct):
    parts: list[Raw] | None = None


class _EventTag(msgspec.Struct):
    type: str


_tagged_raw = msgspec.json.Decoder(_TaggedRaw)
_raw_message = msgspec.json.Decoder(_RawMessage)
_event_tag = msgspec.json.Decoder(_EventTag)
_message = msgspec.json.Decoder(Message)
_headless = msgspec.json.Decoder(dict[str, Raw])


def encode(value: object) -> bytes:
    """JSON on one line, as the wire has it."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """One value of `kind`. Raises msgspec.ValidationError or msgspec.DecodeError."""
    return msgspec.json.decode(data, type=kind)


def encode_parts(parts: list[Part]) -> bytes:
    """The stored form of a message's parts."""
    return _encoder.encode(parts)


def decode_parts(data: bytes | str) -> list[Part]:
    """Parts of any origin: null is empty, a part that we cannot read becomes an opaque one."""
    try:
        return _parts.decode(data)
    except msgspec.ValidationError:
        return [_decode_part(raw) for raw in _raw_parts.decode(data) or ()]


def _decode_part(raw: Raw) -> Part:
    try:
        return _part.decode(raw)
    except msgspec.ValidationError:
        try:
            tagged = _tagged_raw.decode(raw)
        except msgspec.ValidationError:
            return OpaquePart(Opaque(type="", data=raw.copy()))
        return OpaquePart(Opaque(type=tagged.type, data=tagged.data.copy()))


def decode_message(data: bytes | str) -> Message:
    """A message of any origin; parts as in `decode_parts`."""
    try:
        return _message.decode(data)
    except msgspec.ValidationError:
        fields = _headless.decode(data)
        parts = [_decode_part(raw) for raw in _raw_message.decode(data).parts or ()]
        fields["parts"] = Raw(b"[]")
        return msgspec.structs.replace(_message.decode(_encoder.encode(fields)), parts=parts)


def decode_event(data: bytes | str) -> AnyEvent | None:
    """One event of format 2; None for a kind that this version does not know."""
    try:
        return _event.decode(data)
    except msgspec.ValidationError:
        if _event_tag.decode(data).type in _EVENT_TAGS:
            raise
        return None


_EVENT_TAGS = frozenset(str(kind.__struct_config__.tag) for kind in get_args(AnyEvent))


def decode_params(tool_name: str, params: Raw) -> Params | Raw:
    """The params of a permission request as the Struct of its tool, or as they came."""
    kind = PARAMS.get(tool_name)
    if kind is None:
        return params
    try:
        return msgspec.json.decode(params, type=kind)
    except msgspec.ValidationError:
        return params


def params_object(params: object) -> Raw:
    """Params as the wire needs them: an object. JSON text is parsed, nothing becomes `{}`."""
    if isinstance(params, str):
        try:
            parsed = msgspec.json.decode(params)
        except msgspec.DecodeError:
            return Raw(_encoder.encode({"input": params}))
        return Raw(_encoder.encode(parsed if isinstance(parsed, dict) else {"input": parsed}))
    return Raw(_encoder.encode({} if params is None else params))
