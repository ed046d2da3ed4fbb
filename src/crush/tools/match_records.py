"""Reads ripgrep's JSON records into matches, until there are enough."""

import base64
import os

import msgspec
from msgspec import Struct, field

from crush.permissions.protected import secret_file_reason
from crush.tools.clean_text import clean_text
from crush.tools.glob_pattern import GlobPattern
from crush.tools.ripgrep import relative_name

_COLUMNS = 500
_LEAD = 100  # columns kept before a match far to the right


class _Text(Struct, frozen=True):
    """Text of ripgrep's JSON: as such, or base64 when it is not UTF-8."""

    text: str | None = None
    base64: str | None = field(default=None, name="bytes")

    def raw(self) -> bytes:
        if self.text is not None:
            return self.text.encode(errors="surrogateescape")
        return base64.b64decode(self.base64 or "")


class _Submatch(Struct, frozen=True):
    start: int


class _Line(Struct, frozen=True):
    path: _Text
    lines: _Text = _Text("")
    line_number: int | None = None
    submatches: list[_Submatch] = []


class _Record(Struct, frozen=True):
    type: str
    data: msgspec.Raw


class Match(Struct, frozen=True):
    """One line; `column` counts characters from 1, `text` is cut around the match."""

    path: str
    line: int
    column: int
    text: str


class MatchCollector:
    """Turns ripgrep's records into matches until there are enough.

    Permission was for `root`. A file below it whose name says that keys or passwords are in it is
    `withheld`, unless the name of `root` says so already.
    """

    def __init__(self, *, root: str, base: str, include: GlobPattern | None, enough: int) -> None:
        self.matches: list[Match] = []
        self.withheld: set[str] = set()
        self._withholds = not secret_file_reason(root)
        self._base = base
        self._include = include
        self._enough = enough
        self._current = base

    def accept(self, record: bytes) -> bool:
        try:
            kind, line = _decode(record)
        except msgspec.DecodeError:
            # A line so long that its record arrived cut.
            self._add(Match(self._current, 0, 1, "(a line too long to show)"))
            return len(self.matches) < self._enough
        if line is not None:
            self._current = os.fsdecode(line.path.raw())
            if kind == "match":
                self._add(_match_of(self._current, line))
        return len(self.matches) < self._enough

    def _add(self, match: Match) -> None:
        relative = relative_name(match.path, self._base)
        if self._include is not None and not self._include.matches(relative):
            return
        if self._withholds and secret_file_reason(match.path):
            self.withheld.add(match.path)
        else:
            self.matches.append(match)


def _decode(record: bytes) -> tuple[str, _Line | None]:
    decoded = msgspec.json.decode(record, type=_Record)
    if decoded.type not in {"begin", "match"}:
        return decoded.type, None
    return decoded.type, msgspec.json.decode(decoded.data, type=_Line)


def _match_of(path: str, line: _Line) -> Match:
    raw = line.lines.raw()
    start = line.submatches[0].start if line.submatches else 0
    column = len(raw[:start].decode(errors="replace"))
    text = raw.decode(errors="replace").rstrip("\r\n")
    first = max(0, column - _LEAD) if column >= _COLUMNS else 0
    shown = ("..." if first else "") + text[first : first + _COLUMNS]
    more = "..." if len(text) > first + _COLUMNS else ""
    return Match(path, line.line_number or 0, column + 1, clean_text(shown) + more)
