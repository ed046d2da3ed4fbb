"""Glob patterns over relative paths: `*` `?` `[…]` `{a,b}` within a name, `**` across names.

Matching is linear in the path for each star (no backtracking), so no pattern can hang us. A
pattern without `/` is about names at any depth, as in an ignore file.
"""

import fnmatch
import re
from collections.abc import Sequence

from crush.errors import ToolError

_MAX_ALTERNATIVES = 256
_ANY_DEPTH = "**"
_HIDDEN_NAME = re.compile(r"(?:^|[/{,])\.[^/.]")
_INNER_BRACES = re.compile(r"\{([^{}]*)\}")


class GlobPattern:
    """A compiled pattern."""

    def __init__(self, pattern: str) -> None:
        self._alternatives = [_compiled(text) for text in _expand(pattern)]
        self.names_hidden = _HIDDEN_NAME.search(pattern) is not None

    def matches(self, path: str) -> bool:
        names = path.split("/")
        return any(_match(names, parts) for parts in self._alternatives)


_Part = re.Pattern[str] | None  # None: any number of names


def split_static(pattern: str) -> tuple[str, str]:
    """The leading names without a wildcard, and the rest: it narrows where to look."""
    parts = pattern.split("/")
    count = 0
    while count < len(parts) - 1 and not re.search(r"[*?\[{]", parts[count]):
        count += 1
    prefix = "/".join(parts[:count])
    if count and not prefix:
        prefix = "/"
    rest = "/".join(parts[count:])
    # What is left after a prefix was anchored by it.
    return prefix, f"./{rest}" if count and "/" not in rest else rest


def _expand(pattern: str) -> list[str]:
    done: list[str] = []
    pending = [pattern]
    while pending:
        text = pending.pop()
        braces = _INNER_BRACES.search(text)
        if braces is None:
            done.append(text)
        else:
            before, after = text[: braces.start()], text[braces.end() :]
            pending += [before + choice + after for choice in braces[1].split(",")]
        if len(done) + len(pending) > _MAX_ALTERNATIVES:
            raise ToolError("The pattern has too many alternatives.")
    return done


def _compiled(pattern: str) -> list[_Part]:
    names = [name for name in pattern.split("/") if name not in {"", "."}]
    if ".." in names:
        raise ToolError("A pattern cannot contain '..' after a wildcard; use path.")
    if "/" not in pattern:
        names.insert(0, _ANY_DEPTH)
    return [None if name == _ANY_DEPTH else re.compile(fnmatch.translate(name)) for name in names]


def _fits(name: str, part: _Part) -> bool:
    return part is None or part.match(name) is not None


def _match(names: Sequence[str], parts: Sequence[_Part]) -> bool:
    """Greedy with one point of return, which is enough: an earlier `**` never helps a later one."""
    at = part = 0
    resume: tuple[int, int] | None = None
    while at < len(names):
        if part < len(parts) and parts[part] is None:
            resume = (at, part)
            part += 1
        elif part < len(parts) and _fits(names[at], parts[part]):
            at += 1
            part += 1
        elif resume is not None:
            resume = (resume[0] + 1, resume[1])
            at, part = resume[0], resume[1] + 1
        else:
            return False
    return all(left is None for left in parts[part:])
