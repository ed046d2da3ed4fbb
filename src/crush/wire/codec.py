"""Bytes to Structs and back, in one place (style §7): lenient on reading, exact on writing."""

from typing import TypeVar, get_args

import msgspec
from msgspec import Raw

from crush.wire.events import AnyEvent
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


class _EventTag(msgspec.Struct):
    type: str


_tagged_raw = msgspec.json.Decoder(_TaggedRaw)
_event_tag = msgspec.json.Decoder(_EventTag)
_fields = msgspec.json.Decoder(dict[str, Raw])
_items = msgspec.json.Decoder(list[Raw])


def encode(value: object) -> bytes:
    """JSON on one line, as the wire has it."""
    return _encoder.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """One value of `kind`; a part in it that we cannot read becomes an opaque one.

    Raises msgspec.ValidationError or msgspec.DecodeError.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        return msgspec.json.decode(_mended(Raw(data)), type=kind)


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


# Where messages stand: in events of both formats, in lists, in a session's answer.
_LEADING_TO_PARTS = frozenset({"message", "messages", "payload"})
_PART_ADDED = b'"part_added"'


def _mended(raw: Raw) -> Raw:
    """The same record with readable parts wherever it holds messages."""
    start = bytes(raw).lstrip()[:1]
    if start == b"[":
        return Raw(_encoder.encode([_mended(item) for item in _items.decode(raw)]))
    if start != b"{":
        return raw
    fields = _fields.decode(raw)
    for name, value in fields.items():
        if name == "parts":
            parts = [_decode_part(part) for part in _raw_parts.decode(value) or ()]
            fields[name] = Raw(_encoder.encode(parts))
        elif name == "content" and bytes(fields.get("type", b"")) == _PART_ADDED:
            fields[name] = Raw(_encoder.encode(_decode_part(value)))
        elif name in _LEADING_TO_PARTS:
            fields[name] = _mended(value)
    return Raw(_encoder.encode(fields))


def decode_event(data: bytes | str) -> AnyEvent | None:
    """One event of format 2; None for a kind that this version does not know."""
    try:
        return _event.decode(data)
    except msgspec.ValidationError:
        if _event_tag.decode(data).type not in _EVENT_TAGS:
            return None
        return _event.decode(_mended(Raw(data)))


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
