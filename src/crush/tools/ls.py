"""`ls`: a directory as a tree, without what the ignore rules leave out."""

from collections.abc import Sequence
from typing import Annotated

import anyio
import anyio.from_thread
import anyio.to_thread
from msgspec import Meta, Struct, field

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.ignore_rules import rules_for
from crush.tools.target_path import (
    CallArgs,
    Shown,
    check_directory,
    paths_shown,
    resolve_directory,
    short_path,
    shown_path,
)
from crush.tools.tree_walk import Entry, walk_tree
from crush.wire.params import LsParams

_LIMIT_S = 10


class LsArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `ls`."""

    path: str = ""
    ignore: Annotated[list[str], Meta(description="globs to leave out")] = field(
        default_factory=list
    )
    depth: Annotated[int, Meta(description="levels, default all")] = 0


class LsMetadata(Struct, frozen=True, kw_only=True):
    """Counts for front ends."""

    number_of_files: int
    truncated: bool


class _Found(Struct, kw_only=True):
    """Filled while the walk goes on, so that a time limit keeps what there is."""

    entries: list[Entry]
    root: str = ""


class LsTool:
    """Breadth first, so that the limit cuts the depths."""

    name = "ls"
    args_type = LsArgs
    read_only = True

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._shown = Shown()

    def needs(self, args: LsArgs, context: ToolContext) -> list[Need]:
        path = resolve_directory(args.path, context)
        self._shown.remember(args, path)
        return [
            Need(
                tool=self.name,
                action="list",
                kind="list",
                target=path,
                directory=path,
                description=f"List {short_path(path, context)}",
                params=LsParams(path=path, ignore=args.ignore or None, depth=args.depth),
            )
        ]

    async def run(self, args: LsArgs, context: ToolContext) -> ToolResult:
        found = _Found(entries=[])
        complete = False
        with paths_shown(context), anyio.move_on_after(_LIMIT_S):
            complete = await anyio.to_thread.run_sync(self._list, args, context, found)
        return _result(found, context, complete=complete)

    def _list(self, args: LsArgs, context: ToolContext, found: _Found) -> bool:
        """Fills `found` in a thread, which a cancellation ends; whether that is all."""
        root = resolve_directory(args.path, context)
        self._shown.check_path(args, root)
        check_directory(root)
        rules = rules_for(root, context.env, extra=args.ignore)
        found.root = root
        check = anyio.from_thread.check_cancelled
        limits = context.limits.ls
        depth = args.depth if args.depth > 0 else limits.max_depth
        for entry in walk_tree(root, rules, hidden=True, depth=depth, check=check):
            if len(found.entries) == limits.max_items:
                return False
            found.entries.append(entry)
        return True


def _result(found: _Found, context: ToolContext, *, complete: bool) -> ToolResult:
    lines = [f"- {clean_text(shown_path(found.root, context))}/", *_tree(found.entries)]
    if not complete:
        lines = [
            f"(cut after {len(found.entries)} entries; list a subdirectory for more)",
            "",
            *lines,
        ]
    return ToolResult(
        content="\n".join(lines),
        metadata=LsMetadata(number_of_files=len(found.entries), truncated=not complete),
    )


def _tree(entries: Sequence[Entry]) -> list[str]:
    ordered = sorted(entries, key=lambda entry: entry.path.split("/"))
    return [
        f"{'  ' * entry.depth}- {clean_text(entry.path.rpartition('/')[2])}"
        f"{'/' if entry.is_directory else ''}"
        for entry in ordered
    ]
