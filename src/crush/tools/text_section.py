"""Some lines of a text file, found without reading more of it than is needed.

Lines end at a newline. Up to `MAX_BYTES` a file is read whole, so that what was seen is known by
its digest; of a larger one only what leads to the section, from the nearer end.
"""

import codecs
import os
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct

from crush.errors import ToolError
from crush.tools.file_kind import HEAD_BYTES, why_not_text
from crush.tools.file_text import MAX_BYTES, decode_text, digest_of, open_regular

MAX_LINE_CHARS = 2000
_KEPT_BYTES = 4 * (MAX_LINE_CHARS + 1)  # of a line: more is never shown
_BLOCK = 64 * 1024
_SKIPPED = 1024 * 1024
_LOOK_BACK = 64 * 1024 * 1024


class Section(Struct, frozen=True, kw_only=True):
    """Lines as they are, cut where nobody would see them.

    Attributes:
        first: number of the first line from 1; below 0 it counts from the end, -1 being the last.
        total: lines of the file, None when they were not counted.
        more: whether lines follow.
        digest: of the whole file; "" when it was not read whole.
    """

    lines: list[str]
    first: int
    total: int | None
    more: bool
    digest: str


def load_section(path: str, *, offset: int, limit: int) -> Section:
    """At most `limit` lines from `offset`, counted from 0, or from the end when it is negative.

    Raises ToolError with the reason if there are none such.
    """
    with open_regular(path) as file:
        head = file.read(HEAD_BYTES)
        if why := why_not_text(head):
            raise ToolError(f"{path!r} {why}.")
        if os.fstat(file.fileno()).st_size <= MAX_BYTES:
            data = head + file.read(MAX_BYTES + 1 - len(head))
            if len(data) <= MAX_BYTES:
                return _of_small(data, path, offset, limit)
        return _of_large(file, path, offset, limit)


def _of_small(data: bytes, path: str, offset: int, limit: int) -> Section:
    lines = decode_text(data, path).split("\n")
    if not lines[-1]:
        lines.pop()  # what follows the last newline is not a line
    if offset < 0:
        offset = max(len(lines) + offset, 0)
    if offset and offset >= len(lines):
        raise _past_the_end(offset, len(lines))
    shown = lines[offset : offset + limit]
    return Section(
        lines=shown,
        first=offset + 1,
        total=len(lines),
        more=offset + len(shown) < len(lines),
        digest=digest_of(data),
    )


def _of_large(file: BinaryIO, path: str, offset: int, limit: int) -> Section:
    first = offset + 1
    if offset >= 0:
        start = _after_lines(file, offset)
    else:
        start = _before_lines(file, -offset)
        first = 1 if start == 0 else offset
    file.seek(start)
    lines: list[str] = []
    more = False
    for raw in _lines(file):
        if len(lines) == limit:
            more = True
            break
        lines.append(_text(raw if start or lines else raw.removeprefix(codecs.BOM_UTF8), path))
    if offset > 0 and not lines:
        raise _past_the_end(offset, offset)
    return Section(lines=lines, first=first, total=None, more=more, digest="")


def _past_the_end(offset: int, total: int) -> ToolError:
    return ToolError(f"offset {offset} is past the end: the file has {total} lines.")


def _after_lines(file: BinaryIO, count: int) -> int:
    """Where the line begins that has so many before it."""
    file.seek(0)
    place = seen = 0
    is_open = False  # whether the last line so far has no newline
    while seen < count:
        block = file.read(_SKIPPED)
        if not block:
            raise _past_the_end(count, seen + is_open)
        is_open = not block.endswith(b"\n")
        found = block.count(b"\n")
        if seen + found < count:
            seen += found
            place += len(block)
            continue
        at = -1
        for _ in range(count - seen):
            at = block.index(b"\n", at + 1)
        return place + at + 1
    return place


def _before_lines(file: BinaryIO, count: int) -> int:
    """Where the last `count` lines begin; 0 if there are no more than that."""
    end = file.seek(0, os.SEEK_END)
    wanted = count + 1  # the newline before the first of them
    place = end
    while place > 0:
        if end - place > _LOOK_BACK:
            raise ToolError(
                f"The last {count} lines are longer than {_LOOK_BACK // 1024**2} MiB; "
                "use an offset nearer to the end, or grep."
            )
        size = min(_BLOCK, place)
        place -= size
        file.seek(place)
        block = file.read(size)
        if place + len(block) == end and not block.endswith(b"\n"):
            wanted -= 1  # the last line has no newline of its own
        found = block.count(b"\n")
        if found < wanted:
            wanted -= found
            continue
        at = len(block)
        for _ in range(wanted):
            at = block.rindex(b"\n", 0, at)
        return place + at + 1
    return 0


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """From here on, without their newlines; of a long one the beginning."""
    line, open_line = b"", False
    while block := file.read(_BLOCK):
        *ended, rest = block.split(b"\n")
        for piece in ended:
            yield (line + piece)[:_KEPT_BYTES]
            line, open_line = b"", False
        line = (line + rest)[:_KEPT_BYTES]
        open_line = open_line or bool(rest)
    if open_line:
        yield line


def _text(raw: bytes, path: str) -> str:
    if b"\0" in raw:
        raise ToolError(f"{path!r} is a binary file.")
    # What was cut may end within a character.
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(raw, final=len(raw) < _KEPT_BYTES)
    except UnicodeDecodeError as exc:
        raise ToolError(f"{path!r} is not UTF-8 text.") from exc
