"""`glob`: names of files by pattern, shortest path first."""

import os

import anyio
import anyio.to_thread
from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.glob_pattern import GlobPattern, split_static
from crush.tools.ripgrep import read_records, relative_name, search_command
from crush.tools.search_worker import Search
from crush.tools.target_path import (
    CallArgs,
    Shown,
    check_directory,
    paths_shown,
    resolve_directory,
    resolve_path,
    short_path,
    shown_path,
)

_MAX_RESULTS = 100
_POOL = 20 * _MAX_RESULTS  # matches to choose the shortest from


class GlobArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `glob`."""

    pattern: str
    path: str = ""


class GlobParams(Struct, frozen=True, kw_only=True):
    """What a dialog shows."""

    pattern: str
    path: str


class GlobMetadata(Struct, frozen=True, kw_only=True):
    """Counts for front ends."""

    number_of_files: int
    truncated: bool


class _Found(Struct, frozen=True):
    paths: list[str]
    truncated: bool


class GlobTool:
    """Files only; hidden ones when the pattern names them."""

    name = "glob"
    args_type = GlobArgs
    read_only = True

    def __init__(self, *, description: str, ripgrep: str | None) -> None:
        self.description = description
        self._ripgrep = ripgrep
        self._shown = Shown()

    def needs(self, args: GlobArgs, context: ToolContext) -> list[Need]:
        root, _ = _root_and_rest(args, context)
        self._shown.remember(args, root)
        return [
            Need(
                tool=self.name,
                action="list",
                kind="list",
                target=root,
                directory=root,
                description=f"Find {args.pattern} in {short_path(root, context)}",
                params=GlobParams(pattern=args.pattern, path=root),
            )
        ]

    async def run(self, args: GlobArgs, context: ToolContext) -> ToolResult:
        with paths_shown(context):
            prepared = await anyio.to_thread.run_sync(self._prepare, args, context)
            found = await _find(prepared, context) if prepared else _Found([], truncated=False)
        shown = sorted(found.paths, key=lambda path: (len(path), path))[:_MAX_RESULTS]
        truncated = found.truncated or len(found.paths) > _MAX_RESULTS
        lines = [clean_text(shown_path(path, context)) for path in shown] or ["No files found"]
        if truncated:
            lines += ["", "(more files match or the time was up; use a narrower pattern or path)"]
        return ToolResult(
            content="\n".join(lines),
            metadata=GlobMetadata(number_of_files=len(shown), truncated=truncated),
        )

    def _prepare(self, args: GlobArgs, context: ToolContext) -> "_Prepared | None":
        """What to run; None when the literal part of the pattern leads nowhere."""
        root, rest = _root_and_rest(args, context)
        self._shown.check_path(args, root)
        check_directory(resolve_directory(args.path, context))
        pattern = GlobPattern(rest)
        if not os.path.isdir(root):
            return None
        search = Search(root=root, hidden=pattern.names_hidden, names=pattern.last_names)
        command = search_command(search, context, ripgrep=self._ripgrep)
        return _Prepared(search, command, pattern)


class _Prepared(Struct, frozen=True):
    search: Search
    command: list[str]
    pattern: GlobPattern


def _root_and_rest(args: GlobArgs, context: ToolContext) -> tuple[str, str]:
    prefix, rest = split_static(args.pattern)
    base = resolve_directory(args.path, context)
    if not prefix:
        return base, rest
    anchored = prefix.startswith(("/", "~"))
    return resolve_path(prefix if anchored else os.path.join(base, prefix), context), rest


async def _find(prepared: _Prepared, context: ToolContext) -> _Found:
    root = prepared.search.root
    found: list[str] = []

    def accept(record: bytes) -> bool:
        path = os.fsdecode(record)
        if prepared.pattern.matches(relative_name(path, root)):
            found.append(path)
        return len(found) < _POOL

    with anyio.move_on_after(context.limits.glob.timeout):
        finished = await read_records(
            prepared.command,
            search=prepared.search,
            context=context,
            separator=b"\0",
            accept=accept,
        )
        if finished.errors and not found:
            raise ToolError(finished.errors)
        return _Found(found, truncated=finished.exit_code is None)
    return _Found(found, truncated=True)
