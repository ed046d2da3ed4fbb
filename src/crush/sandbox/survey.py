"""What is protected in a workspace right now: a bounded walk, repeated no more than it costs.

A big tree is not walked before every command: a walk that took a second is good for ten. The
workspace's own entries are looked at each time.
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
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
    """Protected entries of a root and below it; `complete` if nothing was left out."""

    entries: tuple[str, ...]
    complete: bool


class _Walk(Struct, frozen=True):
    below: frozenset[str]
    complete: bool
    good_until: float


class Surveyor:
    """Remembers one walk per root. Thread-safe; blocks for at most a walk of the tree."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._walks: dict[str, _Walk] = {}
        self._known: dict[str, frozenset[str]] = {}
        self._lock = Lock()

    def look(self, root: str) -> Survey:
        with self._lock:
            walk = self._walk(root)
        nested = sorted(path for path in walk.below if os.path.lexists(path))
        return Survey((*own_entries(root), *nested), complete=walk.complete)

    def new_below(self, root: str) -> Sequence[str]:
        """What has come further down since the last call, or since the first look at `root`.

        Not since a command began: the walk may be older, and would not be asked a second time.
        """
        with self._lock:
            walk = self._walk(root)
            known = self._known[root]
            self._known[root] = known | walk.below
        return sorted(path for path in walk.below - known if os.path.lexists(path))

    def _walk(self, root: str) -> _Walk:
        start = self._clock()
        walk = self._walks.get(root)
        if walk is None or start >= walk.good_until:
            below, complete = _search(root)
            now = self._clock()
            walk = _Walk(below, complete, good_until=now + _REST_FACTOR * (now - start))
            self._walks[root] = walk
            self._known.setdefault(root, below)
        return walk


def own_entries(root: str) -> tuple[str, ...]:
    """The protected entries that lie in `root` itself; none if it is not there any more."""
    parent = os.path.basename(root)
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return ()
    return tuple(
        os.path.join(root, name) for name in names if is_protected_entry(name, parent=parent)
    )


def _search(root: str) -> tuple[frozenset[str], bool]:
    """Protected entries below `root`, without its own, and whether these are all."""
    found: list[str] = []
    todo = deque([root])
    for _ in range(_MOST_DIRECTORIES):
        if not todo or len(found) > _MOST_FOUND:
            break
        _look_into(todo.popleft(), root, found, todo)
    complete = not todo and len(found) <= _MOST_FOUND
    return frozenset(found[:_MOST_FOUND]), complete


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
            if directory != root:
                found.append(entry.path)
        elif entry.is_dir(follow_symlinks=False) and entry.name not in _VENDORED:
            todo.append(entry.path)
