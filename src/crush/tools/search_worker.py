"""The search without ripgrep, as a process of its own: the same records on stdout.

Only the part of ripgrep's output is written that `grep` and `glob` read.
"""

import os
import re
import sys
from collections.abc import Iterator

import msgspec

from crush.errors import ToolError
from crush.tools.file_text import load_bytes
from crush.tools.glob_pattern import GlobPattern
from crush.tools.ignore_rules import rules_for
from crush.tools.ripgrep import Search
from crush.tools.tree_walk import walk_tree

_NOTHING, _BAD_PATTERN = 1, 2


def main(request: str) -> int:
    """Runs the search that `request` describes in JSON; returns ripgrep's exit code."""
    search = msgspec.json.decode(request, type=Search)
    if search.pattern is None:
        for path in _files(search):
            sys.stdout.buffer.write(os.fsencode(path) + b"\0")
        return 0
    pattern = re.escape(search.pattern) if search.literal else search.pattern
    try:
        compiled = re.compile(pattern.encode())
    except re.error as exc:
        sys.stderr.write(f"regex parse error: {exc}\n")
        return _BAD_PATTERN
    found = [_search_file(path, compiled) for path in _files(search)]
    return 0 if any(found) else _NOTHING


def _files(search: Search) -> Iterator[str]:
    name_glob = GlobPattern(search.name_glob) if search.name_glob else None
    if not os.path.isdir(search.root):
        yield search.root
        return
    rules = rules_for(search.root, os.environ)
    for entry in walk_tree(search.root, rules, hidden=search.hidden, depth=0, check=lambda: None):
        if entry.is_directory or (name_glob and not name_glob.matches(entry.path)):
            continue
        yield os.path.join(search.root, entry.path)


def _search_file(path: str, pattern: re.Pattern[bytes]) -> bool:
    try:
        data, _ = load_bytes(path)
    except ToolError:
        return False  # unreadable, too large or not a file: ripgrep passes over it too
    if b"\0" in data:
        return False
    found = False
    for number, line in enumerate(data.splitlines(), start=1):
        if match := pattern.search(line):
            _write_match(path, number, line, match)
            found = True
    return found


def _write_match(path: str, number: int, line: bytes, match: re.Match[bytes]) -> None:
    record = {
        "type": "match",
        "data": {
            "path": {"text": os.fsencode(path).decode(errors="replace")},
            "lines": {"text": line.decode(errors="replace")},
            "line_number": number,
            "submatches": [{"start": match.start(), "end": match.end()}],
        },
    }
    sys.stdout.buffer.write(msgspec.json.encode(record) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
