"""The search without ripgrep, as a process of its own: the same records on stdout.

Only the part of ripgrep's output is written that `grep` and `glob` read.
"""

import base64
import os
import re
import sys
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from crush.errors import ToolError
from crush.tools.file_text import load_bytes
from crush.tools.glob_pattern import GlobPattern
from crush.tools.ignore_rules import rules_for
from crush.tools.tree_walk import walk_tree

_NOTHING, _FAILED = 1, 2


class Search(Struct, frozen=True, kw_only=True):
    """What to look for below `root`.

    `pattern` None lists files; a file fits one of `names`, globs without a directory, if there are any.
    """

    root: str
    hidden: bool
    pattern: str | None = None
    literal: bool = False
    names: tuple[str, ...] = ()


def main(request: str) -> int:
    """Runs the search that `request` describes in JSON; returns ripgrep's exit code."""
    search = msgspec.json.decode(request, type=Search)
    if search.pattern is None:
        for path in _files(search):
            sys.stdout.buffer.write(os.fsencode(path) + b"\0")
        return 0
    try:
        pattern = re.compile(re.escape(search.pattern) if search.literal else search.pattern)
    except (re.error, OverflowError, RecursionError) as exc:
        sys.stderr.write(f"regex parse error: {exc}\n")
        return _FAILED
    if not os.path.isdir(search.root):
        return _search_one(search.root, pattern)
    found = [_search_file(path, pattern) for path in _files(search)]
    return 0 if any(found) else _NOTHING


def _files(search: Search) -> Iterator[str]:
    names = [GlobPattern(name) for name in search.names]
    if not os.path.isdir(search.root):
        yield search.root
        return
    rules = rules_for(search.root, os.environ)
    for entry in walk_tree(search.root, rules, hidden=search.hidden, depth=0, check=lambda: None):
        if entry.is_directory:
            continue
        if not names or any(name.matches(entry.path) for name in names):
            yield os.path.join(search.root, entry.path)


def _search_one(path: str, pattern: re.Pattern[str]) -> int:
    """A file that was named: why it cannot be searched is said."""
    try:
        load_bytes(path)
    except ToolError as exc:
        sys.stderr.write(f"{exc.message}\n")
        return _FAILED
    return 0 if _search_file(path, pattern) else _NOTHING


def _search_file(path: str, pattern: re.Pattern[str]) -> bool:
    try:
        data = load_bytes(path).data
    except ToolError:
        return False  # unreadable, too large or not a file: ripgrep passes over it too
    if b"\0" in data:
        return False
    found = False
    lines = data.decode(errors="replace").removesuffix("\n").split("\n") if data else []
    for number, line in enumerate(lines, start=1):
        text = line.removesuffix("\r")
        if match := pattern.search(text):
            _write_match(path, number, text, len(text[: match.start()].encode()))
            found = True
    return found


def _write_match(path: str, number: int, text: str, start: int) -> None:
    """`start` counts bytes, as ripgrep does."""
    record = {
        "type": "match",
        "data": {
            "path": {"bytes": base64.b64encode(os.fsencode(path)).decode()},
            "lines": {"text": text},
            "line_number": number,
            "submatches": [{"start": start}],
        },
    }
    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
