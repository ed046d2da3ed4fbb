"""What a project would run or allow itself once it is trusted: every item, in words, and their hash.

Programs named here may read other files of the project; those are not covered, a person knows that
from reading what is shown.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import cast

import msgspec
from msgspec import Struct

from crush import paths
from crush.config.discovery import Layer
from crush.config.document import read_text
from crush.errors import ConfigError

_SECTIONS = ("permissions", "hooks", "mcp", "lsp")
_SCRIPTS = ("crushrc", ".crushrc")
# Where a backquote runs something; elsewhere it is Markdown.
_EXPANDED = frozenset({"api_key", "base_url", "extra_headers"})
_MAX_SCRIPT_BYTES = 256 * 1024


class Item(Struct, frozen=True):
    """One thing: the file that it is in, the key there (or `script`), and its text."""

    file: str
    what: str
    text: str


class WhatRuns(Struct, frozen=True, kw_only=True):
    """Everything that counts in one directory.

    Attributes:
        cwd: the directory, real.
        root: its git root, or the directory itself; files of items are relative to it.
        problem: why nobody can judge it; then it is never trusted.
    """

    cwd: str
    root: str
    items: tuple[Item, ...]
    problem: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(msgspec.json.encode(self.items)).hexdigest()

    def permission_files(self) -> list[str]:
        """The files that give permissions, absolute."""
        files = (item.file for item in self.items if item.what == "permissions")
        return [os.path.normpath(os.path.join(self.root, file)) for file in files]


def what_runs(cwd: str, layers: Sequence[Layer]) -> WhatRuns:
    """What the project files among `layers`, and the scripts beside them, would run in `cwd`."""
    root = paths.git_root(cwd) or cwd
    problem = ""
    items = [
        Item(os.path.relpath(layer.path, root), what, text)
        for layer in layers
        if layer.scope == "project"
        for what, text in _in_document(layer.document)
    ]
    for path in _scripts(cwd, root):
        try:
            text = read_text(path, max_bytes=_MAX_SCRIPT_BYTES)
        except ConfigError as exc:
            problem, text = exc.message, ""
        if text is not None:
            items.append(Item(os.path.relpath(path, root), "script", text))
    return WhatRuns(
        cwd=os.path.realpath(cwd), root=os.path.realpath(root), items=tuple(items), problem=problem
    )


def _scripts(cwd: str, root: str) -> Iterator[str]:
    for directory in reversed(directories_up(cwd, root)):
        for name in _SCRIPTS:
            path = os.path.join(directory, name)
            if os.path.lexists(path) and not paths.is_planted(path):
                yield path


def directories_up(cwd: str, root: str) -> list[str]:
    """From `cwd` up to `root`, which is `cwd` or above it."""
    found = [cwd]
    while found[-1] != root and os.path.dirname(found[-1]) != found[-1]:
        found.append(os.path.dirname(found[-1]))
    return found


def _in_document(document: dict[str, object]) -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if key in _SECTIONS:
            if value:
                yield key, _as_text(value)
        else:
            yield from _commands((key,), value)


def _commands(keys: tuple[str, ...], value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        is_expanded = len(keys) > 2 and keys[0] == "providers" and keys[2] in _EXPANDED  # noqa: PLR2004 - providers, id, key
        if "$(" in value or (is_expanded and "`" in value):
            yield ".".join(keys), value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _commands((*keys, str(key)), inner)
    elif isinstance(value, list):
        for index, inner in enumerate(cast("Iterable[object]", value)):
            yield from _commands((*keys, str(index)), inner)


def _as_text(value: object) -> str:
    """The same for the same meaning, however the file is laid out."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2).decode()
