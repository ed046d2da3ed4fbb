"""`grep`: lines of files that match a pattern, newest file first."""

import os
from collections.abc import Sequence
from typing import Annotated

import anyio
import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.glob_pattern import GlobPattern, split_static
from crush.tools.match_records import Match, MatchCollector
from crush.tools.ripgrep import (
    Finished,
    read_records,
    search_command,
)
from crush.tools.search_worker import Search
from crush.tools.target_path import (
    CallArgs,
    Shown,
    paths_shown,
    resolve_directory,
    short_path,
    shown_path,
)

_MAX_MATCHES = 100
_MAX_WITHHELD = 3
_POOL = 20 * _MAX_MATCHES  # matches to choose the newest files from


class GrepArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `grep`."""

    pattern: str
    path: str = ""
    include: Annotated[str, Meta(description="glob of files, e.g. *.{ts,tsx}")] = ""
    literal_text: bool = False


class GrepParams(Struct, frozen=True, kw_only=True):
    """What a dialog shows."""

    pattern: str
    path: str
    include: str
    literal_text: bool


class GrepMetadata(Struct, frozen=True, kw_only=True):
    """Counts for front ends."""

    number_of_matches: int
    truncated: bool


class GrepTool:
    """Regular expressions of ripgrep; hidden files when `include` names them."""

    name = "grep"
    args_type = GrepArgs
    read_only = True

    def __init__(self, *, description: str, ripgrep: str | None) -> None:
        self.description = description
        self._ripgrep = ripgrep
        self._shown = Shown()

    def needs(self, args: GrepArgs, context: ToolContext) -> list[Need]:
        root = resolve_directory(args.path, context)
        self._shown.remember(args, root)
        return [
            Need(
                tool=self.name,
                action="read",
                kind="read",
                target=root,
                directory=root if os.path.isdir(root) else os.path.dirname(root),
                description=f"Search {short_path(root, context)} for {args.pattern}",
                params=GrepParams(
                    pattern=args.pattern,
                    path=root,
                    include=args.include,
                    literal_text=args.literal_text,
                ),
            )
        ]

    async def run(self, args: GrepArgs, context: ToolContext) -> ToolResult:
        with paths_shown(context):
            prepared = await anyio.to_thread.run_sync(self._prepare, args, context)
            finished = await _search(prepared, context)
        newest = await anyio.to_thread.run_sync(_newest_first, prepared.collector.matches)
        return _result(newest, finished, context, withheld=sorted(prepared.collector.withheld))

    def _prepare(self, args: GrepArgs, context: ToolContext) -> "_Prepared":
        if not args.pattern:
            raise ToolError("pattern is empty.")
        root = resolve_directory(args.path, context)
        self._shown.check_path(args, root)
        if not os.path.lexists(root):
            raise ToolError(f"{root!r} does not exist.")
        root, rest = _narrowed(root, args.include)
        include = GlobPattern(rest) if rest else None
        search = Search(
            root=root,
            hidden=include is not None and include.names_hidden,
            pattern=args.pattern,
            literal=args.literal_text,
            names=include.last_names if include else (),
        )
        base = root if os.path.isdir(root) else os.path.dirname(root)
        return _Prepared(
            search,
            search_command(search, context, ripgrep=self._ripgrep),
            MatchCollector(root=root, base=base, include=include, enough=_POOL),
        )


def _narrowed(root: str, include: str) -> tuple[str, str]:
    """Where files of `include` can be, and what they are called from there."""
    prefix, rest = split_static(include)
    if not prefix or prefix.startswith("/") or ".." in prefix.split("/"):
        return root, include
    place = os.path.join(root, prefix)
    # What was judged is `root`: a link in it may lead elsewhere.
    return (
        (place, rest)
        if os.path.isdir(place) and os.path.realpath(place) == place
        else (root, include)
    )


class _Prepared(Struct, frozen=True):
    search: Search
    command: list[str]
    collector: MatchCollector


async def _search(prepared: _Prepared, context: ToolContext) -> Finished | None:
    """How the search ended; None if the time was up."""
    collector = prepared.collector
    with anyio.move_on_after(context.limits.grep.timeout):
        finished = await read_records(
            prepared.command,
            search=prepared.search,
            context=context,
            separator=b"\n",
            accept=collector.accept,
        )
        if finished.errors and not collector.matches:
            raise ToolError(finished.errors)
        return finished
    return None


def _newest_first(matches: Sequence[Match]) -> list[Match]:
    changed = {path: _changed_at(path) for path in {match.path for match in matches}}
    return sorted(matches, key=lambda match: (-changed[match.path], match.path, match.line))


def _changed_at(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _result(
    matches: Sequence[Match],
    finished: Finished | None,
    context: ToolContext,
    *,
    withheld: Sequence[str],
) -> ToolResult:
    shown = matches[:_MAX_MATCHES]
    complete = finished is not None and finished.exit_code is not None
    truncated = not complete or len(matches) > len(shown)
    lines = [f"Found {len(shown)} matches" if shown else "No matches found"]
    path = ""
    for match in shown:
        if match.path != path:
            lines += [""] if path else []
            path = match.path
            lines.append(f"{clean_text(shown_path(path, context))}:")
        lines.append(f"  Line {match.line}, Char {match.column}: {match.text}")
    if truncated:
        limit_s = context.limits.grep.timeout
        reason = "there are more matches" if finished else f"stopped after {limit_s:g} s"
        lines += ["", f"({reason}; use a narrower pattern or path)"]
    if withheld:
        names = ", ".join(
            clean_text(shown_path(path, context)) for path in withheld[:_MAX_WITHHELD]
        )
        more = ", …" if len(withheld) > _MAX_WITHHELD else ""
        lines += ["", f"(not shown: {names}{more}; keys lie there, so it asks: name one as path)"]
    return ToolResult(
        content="\n".join(lines),
        metadata=GrepMetadata(number_of_matches=len(shown), truncated=truncated),
    )
