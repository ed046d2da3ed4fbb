r"""Variables in configuration values: the shell's `$VAR` and `${VAR…}`, nothing else of the shell.

`$NAME`, `${NAME}`, `${NAME:-default}`, `${NAME:+if set}`, `${NAME:?message}`, nested in the part after
the colon; `$$` and `\$` are a dollar sign. Commands are recognised and refused. Errors show the
reference as it stands in the file, never a value and never the text around it.
"""

import re
from collections.abc import Callable, Mapping

from msgspec import Struct

from crush.errors import ConfigError

Lookup = Callable[[str], str | None]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHOWN = 60
_MAX_DEPTH = 20
_COMMANDS = "commands in configuration are not run yet: put the value into a variable"


class ExpansionError(ConfigError):
    """A template that cannot be expanded; `where` it stands is added by the caller."""


class _Cursor(Struct):
    """Where the reader stands; parts of `${NAME:-…}` that are not needed are read all the same."""

    template: str
    lookup: Lookup
    at: int = 0
    depth: int = 0


def references(template: str) -> list[str]:
    """The variables that a template mentions, for a message."""
    return list(dict.fromkeys(re.findall(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)", template)))


# Of our own variables this one is a secret: `$TOKEN` must not become the server's.
_NEVER_SHADOWS = frozenset({"CRUSH_TOKEN"})


def variables(env: Mapping[str, str]) -> Lookup:
    """The variables of an environment; `CRUSH_X` stands before `X` (F 1.5)."""

    def lookup(name: str) -> str | None:
        shadow = f"CRUSH_{name}"
        if shadow in env and shadow not in _NEVER_SHADOWS:
            return env[shadow]
        return env.get(name)

    return lookup


def expand(template: str, lookup: Lookup) -> str:
    """The value of a template; an unset variable is empty.

    Raises ExpansionError.
    """
    if not any(mark in template for mark in "$`"):
        return template
    return _text(_Cursor(template, lookup), closing=False, wanted=True)


def _text(cursor: _Cursor, *, closing: bool, wanted: bool) -> str:
    """Text up to the end, or with `closing` up to the brace that ends a reference."""
    pieces: list[str] = []
    template = cursor.template
    escaped = {"$", "`", "}"} if closing else {"$", "`"}
    while cursor.at < len(template):
        char = template[cursor.at]
        if closing and char == "}":
            cursor.at += 1
            return "".join(pieces)
        if char == "`":
            raise ExpansionError(_COMMANDS)
        if char == "$":
            pieces.append(_reference(cursor, wanted=wanted))
            continue
        if char == "\\" and template[cursor.at + 1 : cursor.at + 2] in escaped:
            cursor.at += 1
        pieces.append(template[cursor.at])
        cursor.at += 1
    if closing:
        raise ExpansionError("a `${` without its `}`")
    return "".join(pieces)


def _reference(cursor: _Cursor, *, wanted: bool) -> str:
    """What stands for the reference at the cursor; the cursor moves behind it."""
    start = cursor.at
    follows = cursor.template[start + 1 : start + 2]
    if follows == "(":
        raise ExpansionError(_COMMANDS)
    if follows == "$":
        cursor.at += 2
        return "$"
    if follows == "{":
        return _braced(cursor, start, wanted=wanted)
    name = _NAME.match(cursor.template, start + 1)
    if name is None:
        raise ExpansionError("a `$` that begins no variable (a dollar sign is written `$$`)")
    cursor.at = name.end()
    return (cursor.lookup(name[0]) or "") if wanted else ""


def _braced(cursor: _Cursor, start: int, *, wanted: bool) -> str:
    name = _NAME.match(cursor.template, start + 2)
    if name is None:
        raise ExpansionError("a `${` that begins no variable")
    cursor.at = name.end()
    value = (cursor.lookup(name[0]) or "") if wanted else ""
    operator = cursor.template[cursor.at : cursor.at + 2]
    if operator.startswith("}"):
        cursor.at += 1
        return value
    if operator not in {":-", ":+", ":?"}:
        raise ExpansionError(f"`${{{name[0]}` must go on with `}}`, `:-`, `:+` or `:?`")
    cursor.at += 2
    if cursor.depth == _MAX_DEPTH:
        raise ExpansionError(f"references nested deeper than {_MAX_DEPTH}")
    cursor.depth += 1
    use_word = wanted and (bool(value) if operator == ":+" else operator == ":-" and not value)
    word = _text(cursor, closing=True, wanted=use_word)
    cursor.depth -= 1
    if operator == ":?" and wanted and not value:
        raise ExpansionError(f"`{_shown(cursor.template[start : cursor.at])}` is not set")
    if use_word:
        return word
    return "" if operator == ":+" else value


def _shown(reference: str) -> str:
    return reference if len(reference) <= _SHOWN else reference[:_SHOWN] + "…"
