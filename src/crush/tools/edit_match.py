"""Finds what an edit means in a text, and applies it: pure, the file's line endings kept.

Exact and unique first; then whole lines compared without regard to whitespace, the replacement
indented as the file is; then an error that shows what was closest. Matching sees only LF;
replaced text gets the ending that the file uses, everything else keeps its own.
"""

import bisect
import itertools
import re
import sys
from collections.abc import Iterator, Sequence

from msgspec import Struct

from crush.errors import ToolError
from crush.tools.clean_text import clean_text
from crush.tools.indentation import reindent

_SHOWN_PLACES = 5
_SHOWN_LINES = 30
_COUNTED = 100
_MAX_VOTES = 1_000_000


class Edited(Struct, frozen=True, kw_only=True):
    """The text afterwards; `note` tells the model when the match was not exact."""

    text: str
    count: int
    note: str = ""


class _Match(Struct, frozen=True, kw_only=True):
    spans: Sequence[tuple[int, int]]
    new: str
    note: str = ""


def apply_edit(text: str, old: str, new: str, *, replace_all: bool) -> Edited:
    """Raises ToolError, for the model to read, when the edit is not possible or not unique."""
    flat, old, new = _flat(text), _flat(old), _flat(new)
    if old == new:
        raise ToolError("old_string and new_string are the same; nothing to change.")
    if not old:
        raise ToolError("old_string is empty.")
    match = _exact(flat, old, new, replace_all=replace_all) or _by_lines(flat, old, new)
    return Edited(text=_splice(text, match), count=len(match.spans), note=match.note)


def _flat(text: str) -> str:
    return text.replace("\r\n", "\n")


def _exact(flat: str, old: str, new: str, *, replace_all: bool) -> _Match | None:
    if replace_all:
        starts = list(_occurrences(flat, old, step=len(old)))
    else:
        starts = list(itertools.islice(_occurrences(flat, old, step=1), _COUNTED))
        if len(starts) > 1:
            lines = [flat.count("\n", 0, start) + 1 for start in starts[:_SHOWN_PLACES]]
            raise ToolError(
                f"old_string occurs {_times(starts)} ({_places(lines, starts)}). "
                "Add surrounding lines to make it unique, or set replace_all."
            )
    if not starts:
        return None
    return _Match(spans=[(start, start + len(old)) for start in starts], new=new)


def _occurrences(text: str, part: str, *, step: int) -> Iterator[int]:
    """Where `part` begins; `step` 1 also finds those that overlap. `find` is linear, `re` not."""
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + step)


def _times(starts: Sequence[int]) -> str:
    return f"{len(starts)} times" if len(starts) < _COUNTED else f"{_COUNTED} times or more"


def _places(lines: Sequence[int], starts: Sequence[int]) -> str:
    more = ", …" if len(starts) > len(lines) else ""
    return f"lines {', '.join(map(str, lines))}{more}"


def _by_lines(flat: str, old: str, new: str) -> _Match:
    lines, wanted = flat.split("\n"), _lines(old)
    starts = _windows([_normal(line) for line in lines], [_normal(line) for line in wanted])
    if not starts:
        raise ToolError(_not_found(lines, wanted))
    if len(starts) > 1:
        numbers = [start + 1 for start in starts[:_SHOWN_PLACES]]
        raise ToolError(
            f"old_string is not in the file as written; without regard to whitespace it occurs "
            f"{_times(starts)} ({_places(numbers, starts)}). Add surrounding lines."
        )
    first, last = starts[0], starts[0] + len(wanted)
    begin = sum(len(line) + 1 for line in lines[:first])
    end = begin + sum(len(line) + 1 for line in lines[first:last]) - 1
    if not new and end < len(flat):
        end += 1  # whole lines were deleted: no empty line stays behind
    replacement = reindent(_lines(new), wanted, lines[first:last], lines) if new else ()
    return _Match(
        spans=[(begin, end)],
        new="\n".join(replacement),
        note=f"Matched lines {first + 1}-{last} ignoring whitespace; indentation was adapted.",
    )


def _lines(text: str) -> list[str]:
    return text.removesuffix("\n").split("\n")


def _normal(line: str) -> str:
    """Without what `view` did not show, and without regard to the amount of whitespace."""
    plain = line.isascii() and line.isprintable()
    return " ".join((line if plain else clean_text(line)).split())


def _windows(lines: list[str], wanted: list[str]) -> list[int]:
    """Where `wanted` stands in `lines`; nowhere if it is blank."""
    if not any(wanted):
        return []
    ids = {line: index for index, line in enumerate(dict.fromkeys(wanted), start=1)}
    if len(ids) > sys.maxunicode:
        return []
    # One character per line: searching in a string is linear, comparing windows is not.
    haystack = "".join(chr(ids.get(line, 0)) for line in lines)
    needle = "".join(chr(ids[line]) for line in wanted)
    return list(itertools.islice(_occurrences(haystack, needle, step=1), _COUNTED))


def _not_found(lines: Sequence[str], wanted: Sequence[str]) -> str:
    start = _closest(lines, wanted)
    if start is None:
        return "old_string was not found in the file. View the part again and copy it exactly."
    window = lines[start : start + min(len(wanted), _SHOWN_LINES)]
    shown = "\n".join(
        f"{start + 1 + index:6d}|{_visible(line)}" for index, line in enumerate(window)
    )
    return (
        "old_string was not found in the file. The closest lines are (→ is a tab, · a leading or "
        f"trailing space):\n{shown}"
    )


def _closest(lines: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The window that has most lines in common with `wanted`, if at least half."""
    places: dict[str, list[int]] = {}
    for index, line in enumerate(wanted):
        if normal := _normal(line):
            places.setdefault(normal, []).append(index)
    votes: dict[int, int] = {}
    budget = _MAX_VOTES
    for index, line in enumerate(lines):
        alike = places.get(_normal(line), [])
        budget -= len(alike)
        if budget < 0:
            return None
        for place in alike:
            votes[index - place] = votes.get(index - place, 0) + 1
    if not votes:
        return None
    start = max(votes, key=lambda candidate: (votes[candidate], -candidate))
    return max(start, 0) if 2 * votes[start] >= len(wanted) else None


def _visible(line: str) -> str:
    body = line.strip(" \t")
    if not body:
        return line.replace("\t", "→").replace(" ", "·")
    left, _, right = line.partition(body)
    margin = (side.replace("\t", "→").replace(" ", "·") for side in (left, right))
    return body.join(margin)


def _splice(text: str, match: _Match) -> str:
    """The match in the flat text, carried over to the text with its own line endings."""
    crlf_at = [found.start() - index for index, found in enumerate(re.finditer("\r\n", text))]
    new = match.new.replace("\n", dominant_newline(text))
    pieces: list[str] = []
    done = 0
    for start, end in match.spans:
        begin = start + bisect.bisect_left(crlf_at, start)
        pieces += (text[done:begin], new)
        done = end + bisect.bisect_left(crlf_at, end)
    return "".join((*pieces, text[done:]))


def dominant_newline(text: str) -> str:
    crlf = text.count("\r\n")
    return "\r\n" if crlf * 2 > text.count("\n") else "\n"
