"""The texts in a JSON value: found, or changed each by itself, so that the value stays one."""

from collections.abc import Callable, Iterator

import msgspec


def texts_in(value: object) -> Iterator[str]:
    """Every text of it, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)


def change_texts(encoded: bytes, change: Callable[[str], str]) -> bytes:
    """The JSON text with every text in it changed; numbers stay numbers."""
    return msgspec.json.encode(_changed(msgspec.json.decode(encoded), change))


def _changed(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {change(str(key)): _changed(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_changed(inner, change) for inner in value]
    return value
