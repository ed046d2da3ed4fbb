"""What a glob of the shell finds on the disk, as far as a look that takes no time can tell."""

import fnmatch
import os
import re
from collections.abc import Sequence
from functools import lru_cache

_MOST = 2000
_MOST_ENTRIES = 20_000
_MOST_DIRECTORIES = 200
_WILD = re.compile(r"[*?\[]")
# Nothing is tried a second time (`?>`, `*+`): a long row of brackets costs no time.
_ESCAPED_OR_BRACKET = re.compile(
    r"\\(?P<escaped>.)"
    r"|\[[!^]?\]?(?:(?>\[(?P<kind>[:.=])[^\]]*?(?P=kind)\])|\\.|[^\]\\])*+\]",
    re.DOTALL,
)


def find_globbed(pattern: str) -> Sequence[str]:
    """The paths that an absolute pattern finds; not all of them if they are too many."""
    found = ["/"]
    budget = _MOST_ENTRIES
    for name in plain_brackets(pattern).split("/"):
        if not name:
            continue
        if not _WILD.search(name):
            paths = (os.path.join(directory, name) for directory in found)
            found = [path for path in paths if os.path.lexists(path)]
            continue
        directories, found = found, []
        for directory in directories[:_MOST_DIRECTORIES]:
            entries = _entries(directory)[:budget]
            budget -= len(entries)
            fitting = (entry for entry in entries if fits_glob(name, entry, finds_dots=False))
            found += [os.path.join(directory, entry) for entry in fitting]
    return found[:_MOST]


def fits_glob(name: str, text: str, *, finds_dots: bool) -> bool:
    """Whether a name with wildcards stands for `text`, in any case."""
    if not finds_dots and text.startswith(".") and name[:1] in {"*", "?"}:
        return False
    return bool(_regex(name.casefold()).match(text.casefold()))


def plain_brackets(pattern: str) -> str:
    """The pattern with `?` for each bracket, and with what is escaped in one of its own.

    Which characters a bracket holds depends on classes and the locale: it may hold any.
    """
    return _ESCAPED_OR_BRACKET.sub(_plain, pattern)


def _plain(found: re.Match[str]) -> str:
    escaped = found["escaped"]
    if escaped is None:
        return "?"
    return f"[{escaped}]" if escaped in "*?[" else str(escaped)


def _entries(directory: str) -> Sequence[str]:
    try:
        return os.listdir(directory)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=256)
def _regex(name: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(name))
