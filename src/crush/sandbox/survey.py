"""What is protected in a workspace right now: a bounded walk, repeated no more than it costs.

A big tree is not walked before every command: a walk that took a second is good for ten. The
workspace's own entries are looked at each time.
"""

import os
import time
from collections import deque
from threading import Lock

from msgspec import Struct

from crush.permissions.protected import is_bare_repository, is_protected_entry

_MOST_DIRECTORIES = 20_000
_MOST_FOUND = 200
_REST_FACTOR = 10
# Written by package managers and builds, thousands of times; nobody's editor or shell opens them.
_VENDORED = frozenset(
    {
        *("node_modules", ".venv", "venv", "site-packages", "__pycache__", "target", ".tox"),
        *(".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis", ".eggs"),
    }
)


class Survey(Struct, frozen=True):
    """Protected entries below a root, nearest first; `complete` if nothing was left out."""

    entries: tuple[str, ...]
    complete: bool


class _Walk(Struct, frozen=True):
    survey: Survey
    good_until: float


class Surveyor:
    """Remembers one walk per root. Thread-safe."""

    def __init__(self) -> None:
        self._walks: dict[str, _Walk] = {}
        self._lock = Lock()

    def look(self, root: str) -> Survey:
        """Blocks for at most a walk of the tree."""
        with self._lock:
            walk = self._walks.get(root)
            if walk is None or time.monotonic() >= walk.good_until:
                walk = self._walks[root] = _walk(root)
        nested = (path for path in walk.survey.entries if os.path.lexists(path))
        return Survey(
            tuple(dict.fromkeys((*own_entries(root), *nested))), complete=walk.survey.complete
        )


def own_entries(root: str) -> tuple[str, ...]:
    """The protected entries that lie in `root` itself."""
    parent = os.path.basename(root)
    return tuple(
        os.path.join(root, name)
        for name in sorted(os.listdir(root))
        if is_protected_entry(name, parent=parent)
    )


def _walk(root: str) -> _Walk:
    start = time.monotonic()
    found: list[str] = []
    todo = deque([root])
    for _ in range(_MOST_DIRECTORIES):
        if not todo or len(found) >= _MOST_FOUND:
            break
        _look_into(todo.popleft(), root, found, todo)
    now = time.monotonic()
    survey = Survey(tuple(found[:_MOST_FOUND]), complete=not todo)
    return _Walk(survey, good_until=now + _REST_FACTOR * (now - start))


def _look_into(directory: str, root: str, found: list[str], todo: deque[str]) -> None:
    parent = os.path.basename(directory)
    try:
        with os.scandir(directory) as entries:
            listed = list(entries)
    except OSError:
        return
    has_head = directory != root and any(entry.name == "HEAD" for entry in listed)
    if has_head and is_bare_repository(directory):
        found.append(directory)
        return
    for entry in listed:
        if is_protected_entry(entry.name, parent=parent):
            found.append(entry.path)
        elif entry.is_dir(follow_symlinks=False) and entry.name not in _VENDORED:
            todo.append(entry.path)
