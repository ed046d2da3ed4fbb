"""What is known of a word's value before the shell expands it.

A word comes as two strings of one length: `value`, what quote removal leaves, and `shape`, the same
with every quoted character masked. What an expansion will put there is `UNKNOWN` in `value`. Globs,
brace lists and tildes are looked for in `shape`, where only unquoted ones are left.
"""

import re

from crush.permissions.shell_script import Word

UNKNOWN = "\0"
QUOTED = "q"
_ORDINARY = re.compile(r"[A-Za-z0-9_/.,:+@%^-]*")
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


def word_value(raw: str, *, value: str, shape: str, assigned: bool) -> Word:
    """The word; a value that is `assigned` is neither split nor matched against files.

    A text that begins with `~` always means the home directory, as it is written: `~user`, `~+` and
    a name that really begins with a tilde (`'~'/x`) have none.
    """
    if shape == raw and _ORDINARY.fullmatch(raw):  # most words, in a fifth of the time
        return Word(raw=raw, text=value, prefix=value)
    tilde = _tilde_at(raw, value, shape, assigned=assigned)
    braces = _braces_at(shape)  # in assigned values too: `export a={b,c}` is two words
    firm = [at for at in (tilde, braces, value.find(UNKNOWN)) if at >= 0]
    glob = -1 if assigned else _glob_at(shape)
    unsure = [*firm, glob] if glob >= 0 else firm
    if not unsure:
        return Word(raw=raw, text=value, prefix=value)
    return Word(
        raw=raw,
        text=None,
        prefix=value[: min(unsure)],
        splits=not assigned and (glob >= 0 or braces >= 0 or UNKNOWN in shape),
        glob=_pattern(value, shape) if glob >= 0 and not firm else "",
    )


def _glob_at(shape: str) -> int:
    bracket = shape.find("[")
    if shape.find("]", bracket) < 0:
        bracket = -1
    found = [at for at in (shape.find("*"), shape.find("?"), bracket) if at >= 0]
    return min(found, default=-1)


def _braces_at(shape: str) -> int:
    """Where a brace list may begin: a `{`, then a `,` or `..`, then a `}`."""
    begin = shape.find("{")
    if begin < 0:
        return -1
    inner = [at for at in (shape.find(",", begin), shape.find("..", begin)) if at >= 0]
    return begin if inner and shape.find("}", min(inner)) >= 0 else -1


def _tilde_at(raw: str, value: str, shape: str, *, assigned: bool) -> int:
    """Where a tilde means anything but the home directory at the word's beginning."""
    if value.startswith("~") and not (raw.startswith("~") and raw[1:2] in ("", "/")):
        return 0
    if assigned or ASSIGNMENT.match(shape):
        later = [at + 1 for at in (shape.find(":~"), shape.find("=~")) if at >= 0]
        return min(later, default=-1)
    return -1


def _pattern(value: str, shape: str) -> str:
    """The glob that bash would match: characters that were quoted stay so, by a backslash."""
    return "".join(
        "\\" + character if mask == QUOTED and character in "*?[]\\" else character
        for character, mask in zip(value, shape, strict=True)
    )
