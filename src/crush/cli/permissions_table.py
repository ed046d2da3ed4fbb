"""The table of `crush permissions test`: JSON Lines of commands and what is expected of each.

A line that is broken is one that does not fit, with the reason: a table must not pass for a typing
error in it.
"""

from typing import Literal

import msgspec
from msgspec import Struct

from crush.errors import UsageError
from crush.permissions.rules import Effect
from crush.wire.messages import Mode

Expectation = Literal["allow", "ask", "deny", "not-allow"]


class _Record(Struct, frozen=True):
    """What a line says; other keys are ignored."""

    command: str
    expect: Expectation
    mode: Mode = "workspace"


class Line(Struct, frozen=True, kw_only=True):
    """One line of the table; `problem` says what is wrong with it."""

    number: int
    command: str = ""
    expect: Expectation = "not-allow"
    mode: Mode = "workspace"
    problem: str = ""

    def expects(self, effect: Effect) -> bool:
        return effect != "allow" if self.expect == "not-allow" else effect == self.expect


def read_lines(path: str) -> list[Line]:
    """All lines that are not blank. Raises UsageError if the file cannot be read."""
    try:
        with open(path, "rb") as file:
            content = file.read()
    except (OSError, ValueError) as exc:
        raise UsageError(f"the table {path!r} cannot be read: {exc}") from exc
    lines = content.split(b"\n")
    return [_line(number, raw) for number, raw in enumerate(lines, 1) if raw.strip()]


def _line(number: int, raw: bytes) -> Line:
    try:
        record = msgspec.json.decode(raw, type=_Record)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        return Line(number=number, problem=f"the line is broken: {exc}")
    return Line(number=number, command=record.command, expect=record.expect, mode=record.mode)
