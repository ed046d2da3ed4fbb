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
_PLAIN_NAME = re.compile(r"[\w.*? +@~-]+")  # what every dialect of globs reads alike
_MAX_NAMES = 32
_INNER_BRACES = re.compile(r"\{([^{}]*)\}")


class GlobPattern:
    """A compiled pattern.

    `last_names` are globs without braces, one of which the name of every file that matches fits, as
    other programs understand them too; none when that cannot be said.
    """

    def __init__(self, pattern: str) -> None:
        expanded = _expand(pattern)
        compiled = [_compiled(text) for text in expanded]
        self._open = [parts for parts in compiled if parts[-1:] == [None]]
        self._named = [(parts[:-1], last) for parts in compiled if parts and (last := parts[-1])]
        self._here = ""
        self._names: list[re.Pattern[str]] = self._names_in("")
        self.names_hidden = _HIDDEN_NAME.search(pattern) is not None
        self.last_names = _last_names(expanded)

    def matches(self, path: str) -> bool:
        directory, _, name = path.rpartition("/")
        if directory != self._here:
            # Paths come directory by directory: what those before the name must be is settled once.
            self._here, self._names = directory, self._names_in(directory)
        if any(last.match(name) for last in self._names):
            return True
        return any(_match(path.split("/"), parts) for parts in self._open)

    def _names_in(self, directory: str) -> list[re.Pattern[str]]:
        names = directory.split("/") if directory else []
        return [last for before, last in self._named if _match(names, before)]


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


def _last_names(alternatives: Sequence[str]) -> tuple[str, ...]:
    names = {text.rpartition("/")[2] for text in alternatives}
    plain = all(_PLAIN_NAME.fullmatch(name) and name != _ANY_DEPTH for name in names)
    return tuple(sorted(names)) if plain and len(names) <= _MAX_NAMES else ()


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
