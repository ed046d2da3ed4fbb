"""What a glob of the shell finds on the disk, as far as a look that takes no time can tell."""

import fnmatch
import os
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

_MOST = 2000
_WILD = re.compile(r"[*?\[]")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def find_globbed(pattern: str) -> Sequence[str]:
    """The paths that an absolute pattern finds; not all of them if they are too many."""
    found = ["/"]
    for name in plain_brackets(pattern).split("/"):
        if name:
            found = [path for directory in found for path in _entries(directory, name)][:_MOST]
    return found


def fits_glob(name: str, text: str, *, finds_dots: bool) -> bool:
    """Whether a name with wildcards stands for `text`, in any case."""
    if not finds_dots and text.startswith(".") and name[:1] in {"*", "?"}:
        return False
    return bool(_regex(name.casefold()).match(text.casefold()))


def plain_brackets(pattern: str) -> str:
    """The pattern with what is escaped in brackets, and brackets as Python understands them."""
    return _ESCAPED.sub(lambda found: f"[{found[1]}]", pattern).replace("[^", "[!")


def _entries(directory: str, name: str) -> Iterator[str]:
    if not _WILD.search(name):
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            yield path
        return
    try:
        entries = os.listdir(directory)
    except (OSError, ValueError):
        return
    for entry in entries[: _MOST * 10]:
        if fits_glob(name, entry, finds_dots=False):
            yield os.path.join(directory, entry)


@lru_cache(maxsize=256)
def _regex(name: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(name))
