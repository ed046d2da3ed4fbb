"""JSON without the `json` package: its C core alone, for the thin client and the launcher.

`json` imports `re`, and that `enum`, `functools` and `collections`: 8 ms of CPU, as much as the rest
of the interpreter's start. A Python without this core gets the package.
"""

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    from typing import Any

try:
    from _json import encode_basestring_ascii, make_encoder, make_scanner
except ImportError:
    from json import JSONDecoder, JSONEncoder

    _scan = JSONDecoder().scan_once  # type: ignore[attr-defined]  # not declared
    _encode = JSONEncoder().encode
else:

    class _Reading:
        """What the scanner is told: the defaults of `json.loads`."""

        strict = True
        object_hook = None
        object_pairs_hook = None
        parse_float = float
        parse_int = int
        parse_constant = float  # of "NaN", "Infinity" and "-Infinity"

    _scan = make_scanner(_Reading)  # type: ignore[arg-type]  # declared too narrowly

    def _refuse(value: object) -> object:
        raise TypeError(f"{value!r} is not JSON")

    def _encode(value: object) -> str:  # type: ignore[misc]  # the other one calls it `o`
        # A new encoder each time, since it remembers what it is inside of.
        encoder = make_encoder(
            {}, _refuse, encode_basestring_ascii, None, ": ", ", ", False, False, True
        )
        return "".join(encoder(value, 0))


_WHITESPACE = " \t\n\r"


def loads(text: str | bytes) -> "Any":
    """The value in `text`. Raises ValueError for anything but one JSON value."""
    if isinstance(text, bytes):
        text = text.decode()
    start = len(text) - len(text.lstrip(_WHITESPACE))
    try:
        value, end = _scan(text, start)
    except StopIteration as exc:
        raise ValueError(f"no JSON value at {exc.value}") from exc
    if text[end:].strip(_WHITESPACE):
        raise ValueError(f"more than one JSON value: {text[end : end + 20]!r}")
    return value


def dumps(value: object) -> str:
    """One line, ASCII. Raises TypeError for what JSON does not have."""
    return _encode(value)
