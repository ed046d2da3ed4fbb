"""What `known_commands.toml` says, read and made ready: entries, their options, their subcommands.

The file explains its own form. Nothing here judges a command.
"""

import os
import re
from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from crush.errors import ConfigError

Takes = Literal["nothing", "value", "attached", "last", "two"]

_ARITIES: Mapping[str, Takes] = {
    "=": "value",
    "?": "attached",
    "+": "last",
    "==": "two",
    "": "nothing",
}
_OPTION = re.compile(r"(?P<name>-[^=?+]+)(?P<sign>==|[=?+]|)(?P<kind>[a-z-]*)")


class Entry(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry as it is written in the file."""

    reason: str = ""
    any: bool = False
    builtin: bool = False
    options: str = ""
    share: tuple[str, ...] = ()
    never: Mapping[str, str] = {}
    needs: str = ""
    operands: int | None = None
    operand: str = ""
    first: str = ""
    least: int = 0
    frees: str = ""
    words: bool = False
    apart: bool = False
    ordered: bool = False
    stops: bool = False
    ends: bool = True
    bare: bool = False
    runs: str = ""
    check: str = ""
    commands: Mapping[str, "Entry"] = {}
    same: str = ""


class Document(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    kinds: Mapping[str, str]
    shared: Mapping[str, str]
    commands: Mapping[str, Entry]


class Option(Struct, frozen=True, kw_only=True):
    """What may follow an option, and the pattern that it has to match, if there is one."""

    takes: Takes
    kind: str
    pattern: re.Pattern[str] | None


class Known(Struct, frozen=True, kw_only=True):
    """An entry made ready. `title` is the command as a person says it: `git log`."""

    title: str
    entry: Entry
    options: Mapping[str, Option]
    never: Mapping[str, str]
    needs: frozenset[str]
    frees: frozenset[str]
    operand: re.Pattern[str] | None
    first: re.Pattern[str] | None
    commands: Mapping[str, "Known"]


def load_known() -> Mapping[str, Known]:
    """Every command by its name. Reading takes some 15 ms: the caller keeps the result."""
    # `importlib.resources` would cost 4 ms.
    path = os.path.join(os.path.dirname(__file__), "known_commands.toml")
    with open(path, "rb") as file:
        document = msgspec.toml.decode(file.read(), type=Document)
    reader = _Reader(document)
    return {name: reader.known(name, entry, {}) for name, entry in document.commands.items()}


class _Reader:
    def __init__(self, document: Document) -> None:
        self._document = document
        self._patterns = {name: re.compile(pattern) for name, pattern in document.kinds.items()}
        self._shared = {name: self._options(written) for name, written in document.shared.items()}

    def known(self, title: str, entry: Entry, never: Mapping[str, str]) -> Known:
        """`never` is what the command above says of long options: it holds below it as well."""
        entry = self._followed(entry)
        options = {
            name: option for shared in entry.share for name, option in self._shared[shared].items()
        }
        never = {**never, **entry.never}
        below = {name: harm for name, harm in never.items() if name.startswith("--")}
        return Known(
            title=title,
            entry=entry,
            options={**options, **self._options(entry.options)},
            never=entry.never if entry.any else never,
            needs=frozenset(entry.needs.split()),
            frees=frozenset(entry.frees.split()),
            operand=self._pattern(entry.operand),
            first=self._pattern(entry.first),
            commands={
                name: self.known(f"{title} {name}", command, below)
                for name, command in entry.commands.items()
            },
        )

    def _followed(self, entry: Entry) -> Entry:
        """The entry that this one is the same as, or itself."""
        if not entry.same:
            return entry
        name, *names = entry.same.split()
        found = self._document.commands[name]
        for name in names:
            found = found.commands[name]
        return found

    def _options(self, written: str) -> dict[str, Option]:
        return dict(self._option(word) for word in written.split())

    def _option(self, word: str) -> tuple[str, Option]:
        found = _OPTION.fullmatch(word)
        if found is None:
            raise ConfigError(f"known_commands.toml: {word!r} is no option")
        kind = found["kind"]
        option = Option(
            takes=_ARITIES[found["sign"]],
            kind=kind,
            pattern=None if kind == "inside" else self._pattern(kind),
        )
        return found["name"], option

    def _pattern(self, kind: str) -> re.Pattern[str] | None:
        return self._patterns[kind] if kind else None
