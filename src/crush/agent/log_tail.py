"""The last entries of a log, read from its end over the files that it was rotated into.

An entry begins with a time and takes in the lines behind it, such as a traceback.
"""

import os
import re
from collections.abc import Iterator
from typing import BinaryIO

from crush.launch.logs import KEEP

ENTRY_BYTES = 1024 * 1024  # of one entry, the first so many
_BLOCK_BYTES = 8 * 1024
_BEGINNING = re.compile(rb"(?<=\n)\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ")


def last_entries(path: str, count: int) -> list[str]:
    """At most `count`, the oldest first. Blocking."""
    found: list[str] = []
    for name in (path, *(f"{path}.{number}" for number in range(1, KEEP + 1))):
        if len(found) >= count:
            break
        try:
            with open(name, "rb") as file:
                for entry in _from_the_end(file):
                    found.append(entry.decode(errors="replace").rstrip("\n"))
                    if len(found) == count:
                        break
        except FileNotFoundError:
            continue
    return found[::-1]


def _from_the_end(file: BinaryIO) -> Iterator[bytes]:
    """The entries of one file, the last one first; a line before the first entry is one too."""
    start = file.seek(0, os.SEEK_END)
    held = b""  # the end of an entry that begins further ahead
    while start:
        block = min(_BLOCK_BYTES, start)
        start -= block
        file.seek(start)
        held = file.read(block) + held
        # A beginning in what was held was found before, or is cut by the edge of the block.
        edge = block + len(b"2026-01-01 00:00:00,000 ")
        for beginning in reversed([*_BEGINNING.finditer(held, 0, edge)]):
            yield held[beginning.start() :]
            held = held[: beginning.start()]
        held = held[:ENTRY_BYTES]
    if held:
        yield held


def one_line(entry: str, *, most: int) -> str:
    """An entry as one line: of a traceback the place and the error."""
    first, *rest = (line.strip() for line in entry.splitlines() if line.strip())
    places = [line for line in rest if line.startswith('File "')]
    kept = [first, *places[-1:], *(rest[-1:] if rest[-1:] != places[-1:] else [])]
    line = " | ".join(kept)
    return line if len(line) <= most else f"{line[: most - 1]}…"
