"""What a command's text must be like before anyone reads it as shell.

Characters that bash, the grammar and a person take for different things are refused here, with
the reason; so is what is too long to be read in time.
"""

import re
import unicodedata

MAX_BYTES = 16 * 1024

_CONTROL_NAMES = {
    "\0": "a NUL",
    "\r": "a carriage return",
    "\v": "a vertical tab",
    "\f": "a form feed",
    "\ufeff": "a byte order mark",
}
_ASCII_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
# Separators, controls, format characters (invisible or bidirectional) and halves of pairs.
_MISLEADING = frozenset({"Zs", "Zl", "Zp", "Cc", "Cf", "Cs"})
# Letters and a pattern of dots that show as nothing.
_BLANK = frozenset("\u115f\u1160\u2800\u3164\uffa0")


def screen(text: str) -> str:
    """Why `text` is not to be read at all; "" if it may be."""
    if len(text) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES} bytes"
    control = _ASCII_CONTROL.search(text)
    if control:
        return f"it contains {_named(control.group())}"
    if text.isascii():
        return ""
    for character in text:
        if character.isascii():
            continue
        if character in _BLANK or unicodedata.category(character) in _MISLEADING:
            return f"it contains {_named(character)}"
    if len(text.encode()) > MAX_BYTES:
        return f"it is longer than {MAX_BYTES} bytes"
    return ""


def _named(character: str) -> str:
    if character in _CONTROL_NAMES:
        return _CONTROL_NAMES[character]
    if unicodedata.category(character) == "Cs":
        return "bytes that are not UTF-8"
    name = unicodedata.name(character, "a control character").lower()
    return f"{name} (U+{ord(character):04X})"
