"""Walks a directory breadth first, so that a limit cuts the depths and not half of the top.

Links are not followed. The caller's `check` runs once per directory and may raise to stop.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator

from msgspec import Struct

from crush.errors import ToolError
from crush.tools.ignore_rules import IgnoreRules
from crush.tools.open_directory import OpenDirectory

_MAX_ENTRIES = 100_000  # of one directory; more than that nobody reads


class Entry(Struct, frozen=True):
    """`path` is relative to the root, `depth` 1 for the root's own entries."""

    path: str
    depth: int
    is_directory: bool


def walk_tree(
    root: str, rules: IgnoreRules, *, hidden: bool, depth: int, check: Callable[[], None]
) -> Iterator[Entry]:
    """Entries below `root`, sorted by name within a directory; `depth` 0 is without limit.

    `rules` are those inside `root`.
    """
    pending = deque([("", 1, rules)])
    while pending:
        check()
        directory, level, here = pending.popleft()
        for name, is_directory in _entries(os.path.join(root, directory)):
            path = os.path.join(directory, name)
            full = os.path.join(root, path)
            if name.startswith(".") and not hidden:
                continue
            if here.ignores(full, is_directory=is_directory):
                continue
            yield Entry(path, level, is_directory)
            if is_directory and (not depth or level < depth):
                pending.append((path, level + 1, here.entering(full)))


def _entries(path: str) -> list[tuple[str, bool]]:
    try:
        with OpenDirectory(path) as directory:
            return sorted(directory.entries(_MAX_ENTRIES))
    except (OSError, ToolError):
        # Gone, closed to us or a link meanwhile: it has nothing to show.
        return []
