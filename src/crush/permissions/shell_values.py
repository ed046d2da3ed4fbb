"""What is known of a word's value before the shell expands it.

A word comes as two strings of one length: `value`, what quote removal leaves, and `shape`, the same
with every quoted character masked. What an expansion will put there is `UNKNOWN` in `value`. Globs,
brace lists and tildes are looked for in `shape`, where only unquoted ones are left.
"""

import re

from crush.permissions.shell_script import Word

UNKNOWN = "\0"
QUOTED = "q"
ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")


def word_value(raw: str, *, value: str, shape: str, assigned: bool) -> Word:
    """The word; bash makes neither globs nor brace lists nor several words of what is `assigned`.

    A text that begins with `~` always means the home directory, as it is written: `~user`, `~+` and
    a name that really begins with a tilde (`'~'/x`) have none.
    """
    firm = [at for at in (_tilde_at(raw, value, shape, assigned), value.find(UNKNOWN)) if at >= 0]
    if assigned:
        return _word(raw, value, unsure=firm, splits=False, glob="")
    braces, glob = _braces_at(shape), _glob_at(shape)
    if braces >= 0:
        firm.append(braces)
    splits = braces >= 0 or glob >= 0 or UNKNOWN in shape
    if glob < 0:
        return _word(raw, value, unsure=firm, splits=splits, glob="")
    pattern = "" if firm else _pattern(value, shape)
    return _word(raw, value, unsure=[*firm, glob], splits=splits, glob=pattern)


def _word(raw: str, value: str, *, unsure: list[int], splits: bool, glob: str) -> Word:
    if not unsure:
        return Word(raw=raw, text=value, prefix=value, splits=splits)
    return Word(raw=raw, text=None, prefix=value[: min(unsure)], splits=splits, glob=glob)


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


def _tilde_at(raw: str, value: str, shape: str, assigned: bool) -> int:
    """Where a tilde means anything but the home directory at the word's beginning."""
    if value.startswith("~") and not (raw.startswith("~") and raw[1:2] in ("", "/")):
        return 0
    if assigned or ASSIGNMENT.match(shape):
        later = [at for at in (shape.find(":~"), shape.find("=~")) if at >= 0]
        return min(later, default=-1)
    return -1


def _pattern(value: str, shape: str) -> str:
    """The glob that bash would match: characters that were quoted stay so, by a backslash."""
    return "".join(
        "\\" + character if mask == QUOTED and character in "*?[]\\" else character
        for character, mask in zip(value, shape, strict=True)
    )
