r"""The value of `$'…'`: bash's backslash escapes, for characters that every locale has alike."""

import re

from crush.permissions.shell_unreadable import UnreadableError

_PIECE = re.compile(
    r"(?P<plain>[^\\']+)"
    r"|\\(?:(?P<letter>[abeEfnrtv\\'\"?])"
    r"|x(?P<hex>[0-9A-Fa-f]{1,2})"
    r"|u(?P<short>[0-9A-Fa-f]{1,4})"
    r"|U(?P<long>[0-9A-Fa-f]{1,8})"
    r"|(?P<octal>[0-7]{1,3})"
    r"|c(?P<control>[A-Za-z]))"
)
_LETTERS = {
    "a": "\a",
    "b": "\b",
    "e": "\x1b",
    "E": "\x1b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_ASCII_END = 0x80


def ansi_c_value(source: str, start: int, *, limit: int) -> tuple[str, int]:
    """The value of the string whose text begins at `start`, and the offset after its quote."""
    pieces: list[str] = []
    pos = start
    while pos < limit and source[pos] != "'":
        found = _PIECE.match(source, pos, limit)
        if found is None:
            raise UnreadableError("an escape that is not known", pos)
        pieces.append(_decoded(found, pos))
        pos = found.end()
    if pos >= limit:
        raise UnreadableError("a single quote is not closed", start)
    return "".join(pieces), pos + 1


def _decoded(found: re.Match[str], pos: int) -> str:
    kind, text = found.lastgroup, found.group(found.lastgroup or 0)
    match kind:
        case "plain":
            return text
        case "letter":
            return _LETTERS.get(text, text)
        case "control":
            return chr(ord(text.upper()) & 0x1F)
        case _:
            code = int(text, 8 if kind == "octal" else 16)
    if not 0 < code < _ASCII_END:  # a NUL ends the string, a byte depends on the locale
        raise UnreadableError("an escape for other than ASCII characters", pos)
    return chr(code)
