"""The codec is lenient where others wrote and exact where we do: properties over many records."""

import types
import typing
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Raw

from crush.wire.classic import Change, ClassicEvent, ClassicMessage
from crush.wire.codec import (
    decode,
    decode_event,
    decode_parts,
    encode,
    encode_parts,
    params_object,
)
from crush.wire.events import AnyEvent, MessageStarted, PartAdded
from crush.wire.messages import Message, Run, Session
from crush.wire.parts import Opaque, OpaquePart, Part, Text, TextPart
from crush.wire.requests import SessionWithMessages, StartRun
from tests.wire.samples import GOLDEN, MESSAGE_FULL, PARTS, SESSION_FULL

QUICK = settings(max_examples=60, deadline=None)

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    Raw: JSON.map(lambda value: Raw(msgspec.json.encode(value))),
    int: st.integers(-(2**63), 2**63 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
}


def records(kind: Any) -> st.SearchStrategy[Any]:
    """Values of any type that the wire uses."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        fields = msgspec.structs.fields(kind)
        return st.builds(kind, **{field.name: records(field.type) for field in fields})
    arguments = [] if typing.get_origin(kind) is typing.Literal else typing.get_args(kind)
    inner = [records(each) for each in arguments]
    match typing.get_origin(kind):
        case types.UnionType | typing.Union:
            return st.one_of(inner)
        case origin if origin is Change:
            return st.builds(Change, st.sampled_from(["created", "updated", "deleted"]), *inner)
        case origin if origin is list:
            return st.lists(*inner, max_size=4)
        case origin if origin is dict:
            return st.dictionaries(*inner, max_size=3)
    return SIMPLE[kind] if kind in SIMPLE else st.from_type(kind)


@pytest.mark.parametrize("kind", [Message, Session, Run, StartRun])
@QUICK
@given(data=st.data())
def test_records_come_out_as_they_went_in(kind: type[msgspec.Struct], data: st.DataObject) -> None:
    value = data.draw(records(kind))
    assert decode(encode(value), kind) == value
    assert b"\n" not in encode(value)  # an event is one line


@QUICK
@given(event=records(AnyEvent))
def test_events_come_out_as_they_went_in(event: AnyEvent) -> None:
    assert decode_event(encode(event)) == event


@QUICK
@given(event=records(ClassicEvent))
def test_classic_events_come_out_as_they_went_in(event: ClassicEvent) -> None:
    assert msgspec.json.decode(encode(event), type=ClassicEvent) == event


@QUICK
@given(parts=st.lists(records(Part), max_size=5))
def test_stored_parts_come_out_as_they_went_in(parts: list[Part]) -> None:
    assert decode_parts(encode_parts(parts)) == parts


TAGS = st.sampled_from(["text", "tool_call", "tool_result", "finish", "opaque", "hologram", ""])
STRANGE_PART = (
    st.fixed_dictionaries({"type": TAGS, "data": JSON})
    | st.fixed_dictionaries({"type": TAGS})
    | st.fixed_dictionaries({"type": JSON, "data": JSON})
    | st.dictionaries(st.text(max_size=5), JSON, max_size=3)
    | JSON
)


@QUICK
@given(strange=st.lists(STRANGE_PART, max_size=5), known=st.lists(records(Part), max_size=3))
def test_no_part_costs_the_others(strange: list[object], known: list[Part]) -> None:
    mixed = [*strange, *known]
    read = decode_parts(msgspec.json.encode(mixed))
    assert len(read) == len(mixed)
    assert read[len(strange) :] == known
    assert decode_parts(encode_parts(read)) == read


@QUICK
@given(strange=st.lists(STRANGE_PART, max_size=5))
def test_a_message_with_any_parts_is_read(strange: list[object]) -> None:
    told = {"id": "m", "role": "user", "session_id": "s", "parts": strange, "model": "x"}
    data = msgspec.json.encode(told)
    message = decode(data, Message)
    assert (message.id, message.model, len(message.parts)) == ("m", "x", len(strange))


UNKNOWN = b'{"type":"hologram","data":{"depth":3}}'
OPAQUE = OpaquePart(Opaque(type="hologram", data=Raw(b'{"depth":3}')))
TEXT = TextPart(Text(text="still here"))


def _message(parts: bytes) -> bytes:
    return b'{"id":"m","role":"user","session_id":"s","parts":%s}' % parts


def test_an_unknown_part_becomes_an_opaque_one_wherever_messages_travel() -> None:
    parts = b'[%s,{"type":"text","data":{"text":"still here"}}]' % UNKNOWN
    message = decode(_message(parts), Message)
    assert message.parts == [OPAQUE, TEXT]

    started = b'{"type":"message_started","session_id":"s","message":%s}' % _message(parts)
    event = decode_event(started)
    assert isinstance(event, MessageStarted)
    assert event.message == message

    listed = b"[%s,%s]" % (_message(parts), _message(b"[]"))
    assert decode(listed, list[Message])[0] == message

    session = (GOLDEN / "session.json").read_bytes()
    whole = decode(b'{"session":%s,"messages":%s}' % (session, listed), SessionWithMessages)
    assert whole.session == SESSION_FULL
    assert whole.messages[0] == message

    change = b'{"type":"created","payload":%s}' % _message(parts)
    classic = decode(b'{"type":"message","payload":%s}' % change, ClassicMessage)
    assert classic.payload.payload == message


def test_an_unknown_part_that_is_added_becomes_an_opaque_one() -> None:
    event = decode_event(
        b'{"type":"part_added","session_id":"s","message_id":"m","content":%s}' % UNKNOWN
    )
    assert isinstance(event, PartAdded)
    assert event.content == OPAQUE


def test_only_messages_are_mended() -> None:
    """What a tool was asked may look like a message; it is nobody's to change."""
    data = b'{"type":"opaque","data":{"type":"x","data":{"parts":[{"type":"odd"}]}}}'
    assert decode_parts(b"[%s]" % data) == [
        OpaquePart(Opaque(type="x", data=Raw(b'{"parts":[{"type":"odd"}]}')))
    ]


@pytest.mark.parametrize("data", [b"null", b"[]"])
def test_no_list_is_an_empty_list(data: bytes) -> None:
    assert decode_parts(data) == []
    assert decode(_message(data), Message).parts == []


def test_an_unknown_event_is_skipped() -> None:
    assert decode_event(b'{"type": "hologram_shown","session_id":"s","question":{}}') is None


@pytest.mark.parametrize(
    "data",
    [
        b'{"type":"delta"}',
        b'{"type":"message_started","session_id":"s","message":{"parts":[]}}',
        b'{"session_id":"s"}',
        b"[1]",
    ],
)
def test_a_known_event_that_is_broken_is_an_error(data: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        decode_event(data)


def test_what_is_no_json_is_an_error() -> None:
    for read in (decode_parts, lambda data: decode(data, Message), decode_event):
        with pytest.raises(msgspec.DecodeError):
            read(b'{"parts": [')


def test_keys_that_are_missing_take_their_defaults() -> None:
    start = decode(b'{"path":"/p","prompt":"hi"}', StartRun)
    assert (start.mode, start.umask, start.env, start.detach) == ("workspace", 0o022, {}, False)


@pytest.mark.parametrize(
    ("given_params", "on_the_wire"),
    [
        ({"command": "ls"}, {"command": "ls"}),
        ('{"command": "ls"}', {"command": "ls"}),
        (None, {}),
        ("not json", {"input": "not json"}),
        ("[1]", {"input": [1]}),
        ("null", {"input": None}),
    ],
)
def test_params_are_always_an_object(given_params: object, on_the_wire: object) -> None:
    """W 0.1 no. 10: a string, or nothing, leaves a Go client without any."""
    assert msgspec.json.decode(params_object(given_params)) == on_the_wire


def test_a_tool_result_is_the_same_in_every_place_it_travels_to() -> None:
    part = PARTS["tool_result"]
    assert decode_parts(encode_parts([part])) == [part]
    assert decode(encode(MESSAGE_FULL), Message).parts[1] == part
    assert decode(encode([MESSAGE_FULL]), list[Message])[0].parts[1] == part
