"""The bytes of the wire: one golden file for each type and variant, and nothing without one."""

import importlib
import pkgutil
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec import NODEFAULT

import crush.wire
from crush.wire.codec import decode, decode_event, decode_params, decode_parts, encode
from crush.wire.messages import Message
from crush.wire.params import PARAMS as PARAM_TYPES
from tests.wire.samples import CLASSIC, EVENTS, GOLDEN, PARAMS, PARTS, RECORDS, SAMPLES


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes().removesuffix(b"\n")


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_has_the_bytes_of_its_golden_file(name: str) -> None:
    value, kind = SAMPLES[name]
    assert encode(value) == golden(name)
    assert msgspec.json.decode(golden(name), type=kind) == value


@pytest.mark.parametrize("name", SAMPLES)
def test_unknown_fields_are_passed_over(name: str) -> None:
    value, kind = SAMPLES[name]
    if name == "part-opaque":  # what it holds is kept as it came
        return
    tree = msgspec.json.decode(golden(name))
    assert msgspec.json.decode(msgspec.json.encode(_with_news(tree)), type=kind) == value


def _with_news(tree: Any) -> Any:
    """Every object with a key that nobody knows, but for those whose keys are data."""
    if isinstance(tree, dict):
        as_data = {"params", "notes", "env", "models", "providers"}
        return {
            **{key: value if key in as_data else _with_news(value) for key, value in tree.items()},
            "from_the_future": [1, {"a": None}],
        }
    return [_with_news(item) for item in tree] if isinstance(tree, list) else tree


def test_there_is_no_golden_file_without_a_sample() -> None:
    assert {path.stem for path in GOLDEN.glob("*.json")} == set(SAMPLES)


def _public_structs() -> set[type[msgspec.Struct]]:
    found = set()
    for module in pkgutil.iter_modules(crush.wire.__path__, "crush.wire."):
        for value in vars(importlib.import_module(module.name)).values():
            if (
                isinstance(value, type)
                and issubclass(value, msgspec.Struct)
                and value.__module__ == module.name
                and not value.__name__.startswith("_")
            ):
                found.add(value)
    return found


def _structs_in(value: object) -> Iterator[msgspec.Struct]:
    if isinstance(value, msgspec.Struct):
        yield value
        for name in value.__struct_fields__:
            yield from _structs_in(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from _structs_in(item)
    elif isinstance(value, dict):
        yield from _structs_in(list(value.values()))


def test_every_field_of_every_type_differs_from_its_default_in_some_sample() -> None:
    told: dict[type[msgspec.Struct], set[str]] = defaultdict(set)
    for value, _ in SAMPLES.values():
        for struct in _structs_in(value):
            for field in msgspec.structs.fields(struct):
                default = field.default
                if field.default_factory is not NODEFAULT:
                    default = field.default_factory()
                if getattr(struct, field.name) != default:
                    told[type(struct)].add(field.name)
    untold = {
        f"{kind.__name__}.{name}"
        for kind in _public_structs()
        for name in kind.__struct_fields__
        if name not in told[kind]
    }
    assert untold == {"AgentInit.interactive", "AgentEvent.message"}, untold


def test_every_tag_of_a_union_has_a_sample() -> None:
    def tags(values: Any) -> set[str]:
        return {str(type(value).__struct_config__.tag) for value in values}

    def known(name: str, module: str) -> set[str]:
        union = getattr(importlib.import_module(module), name)
        return {str(kind.__struct_config__.tag) for kind in union.__args__}

    assert tags(PARTS.values()) == known("Part", "crush.wire.parts")
    assert tags(EVENTS.values()) == known("AnyEvent", "crush.wire.events")
    assert tags(CLASSIC.values()) == known("ClassicEvent", "crush.wire.classic")


@pytest.mark.parametrize("tool", PARAM_TYPES)
def test_params_are_read_by_the_name_of_their_tool(tool: str) -> None:
    assert decode_params(tool, msgspec.Raw(golden(f"params-{tool}"))) == PARAMS[tool]


def test_params_of_another_tool_or_shape_come_as_they_came() -> None:
    raw = msgspec.Raw(b'{"a": 1}')
    assert decode_params("mcp_docs_find", raw) is raw
    assert decode_params("bash", raw) is raw


def test_the_codec_reads_what_it_wrote() -> None:
    for event in EVENTS.values():
        assert decode_event(encode(event)) == event
    for name in ("message", "message-bare"):
        assert decode(golden(name), Message) == RECORDS[name]
    for part in PARTS.values():
        assert decode_parts(encode([part])) == [part]


def test_what_a_classic_client_dereferences_is_always_there() -> None:
    """W 0.1 no. 5: a Go client panics without these."""
    workspace = msgspec.json.decode(golden("workspace-bare"))
    assert workspace["config"]["options"]["tui"] == {}
    assert workspace["config"]["providers"] == {}
    assert workspace["env"] == []


def test_the_type_stands_before_the_payload_in_the_inner_envelope() -> None:
    """W 4.2: a Go reader that fails on the payload keeps what it had read before."""
    for name in CLASSIC:
        outer, inner = golden(f"classic-{name}").split(b'"payload":', 2)[:2]
        assert outer.startswith(b'{"type":"')
        assert inner.startswith(b'{"type":"')
