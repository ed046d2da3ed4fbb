r"""Path patterns of rules: like `.gitignore`, but anchored, and compared with real paths.

`*` and `?` stay within one name, `**` between slashes is any number of names, `dir/**` covers `dir`
too, `\` takes a character as it is. A relative pattern is below the working directory.
"""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, Self

from crush.permissions.real_path import real_path
from crush.permissions.wildcards import Name, Wild, fits_path, plain_or_glob

_Names = Sequence[Name | Literal[Wild.MANY]]


class PathPattern:
    """One pattern, for one working directory and one home."""

    __slots__ = ("_names",)

    def __init__(self, names: _Names) -> None:
        self._names = names

    @classmethod
    def parse(cls, text: str, *, root: str, home: str) -> Self:
        """Raises ValueError, which says what is wrong."""
        if text in {"~", "~/"} or text.startswith("~/"):
            start, rest = home, text[1:].lstrip("/")
        elif text.startswith("/"):
            start, rest = "/", text
        else:
            start, rest = root, text
        return cls([*_split(start), *_names_of(rest)])

    def covers(self, path: str) -> bool:
        """Whether `path` fits; one that is not resolved and absolute never does."""
        names = _split(path)
        return os.path.isabs(path) and ".." not in names and fits_path(self._names, names)

    def resolved(self) -> Self:
        """The same, with links followed in the part that has nothing wild."""
        fixed = next(
            (at for at, name in enumerate(self._names) if not isinstance(name, str)),
            len(self._names),
        )
        real = real_path("/" + "/".join(str(name) for name in self._names[:fixed]))
        return type(self)([*_split(real), *self._names[fixed:]])


def check_path_pattern(text: str) -> None:
    """Raises ValueError, which says what is wrong, for what is no path pattern."""
    PathPattern.parse(text, root="/", home="/")


def escape_path(path: str) -> str:
    """The pattern that fits `path` alone."""
    return "".join(f"\\{char}" if char in "*?\\" else char for char in path)


def _split(path: str) -> list[str]:
    return [name for name in path.split("/") if name]


def _names_of(text: str) -> Iterator[Name | Literal[Wild.MANY]]:
    for name in text.split("/"):
        if name == "**":
            yield Wild.MANY
        elif name == "..":
            raise ValueError("`..` cannot stand in a pattern: write the path that is meant")
        elif name not in {"", "."}:
            yield plain_or_glob(list(_characters(name)))
    if text.endswith("/") and text.strip("/"):
        yield Wild.MANY


def _characters(name: str) -> Iterator[str | Wild]:
    if "**" in name.replace("\\*", ""):
        raise ValueError("`**` stands alone between slashes: `dir/**`, `**/name`")
    wild = {"*": Wild.MANY, "?": Wild.ONE}
    escaped = False
    for char in name:
        if escaped or char != "\\":
            yield char if escaped else wild.get(char, char)
            escaped = False
        else:
            escaped = True
    if escaped:
        raise ValueError("a `\\` escapes the character behind it, and none is there")
