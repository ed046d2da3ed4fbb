"""`edit`: replaces one text in a file that the session has read, or creates a file."""

from typing import Annotated

import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.edit_match import apply_edit
from crush.tools.file_change import (
    Planned,
    change_need,
    check_absent,
    known_file,
    link_note,
    result_text,
    save_change,
)
from crush.tools.line_diff import diff_lines
from crush.tools.target_path import CallArgs, Shown, resolve_path, short_path
from crush.wire.params import EditParams


class EditArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `edit`."""

    file_path: str
    old_string: Annotated[str, Meta(description='"" creates the file')]
    new_string: str
    replace_all: bool = False


class EditMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The change for front ends; contents that are "" are left out."""

    additions: int
    removals: int
    old_content: str = ""
    new_content: str = ""


class _Plan(Struct, frozen=True):
    change: Planned
    summary: str
    note: str


class EditTool:
    """One exact replacement, with tolerance for whitespace that it reports."""

    name = "edit"
    args_type = EditArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._shown = Shown()

    def needs(self, args: EditArgs, context: ToolContext) -> list[Need]:
        change = _plan(args, context).change
        self._shown.remember(args, change.path, change.digest)
        return [change_need(self.name, change, context, params=EditParams)]

    async def run(self, args: EditArgs, context: ToolContext) -> ToolResult:
        return await anyio.to_thread.run_sync(self._edit, args, context)

    def _edit(self, args: EditArgs, context: ToolContext) -> ToolResult:
        plan = _plan(args, context)
        change = plan.change
        self._shown.check_content(args, change.path, change.digest)
        save_change(change, context)
        diff = diff_lines(change.old_text, change.after, short_path(change.path, context))
        return ToolResult(
            content=result_text(
                f"{plan.summary} {change.path} (+{diff.additions} -{diff.removals})",
                plan.note,
                link_note(change),
            ),
            metadata=EditMetadata(
                additions=diff.additions,
                removals=diff.removals,
                old_content=change.old_text,
                new_content=change.after,
            ),
        )


def _plan(args: EditArgs, context: ToolContext) -> _Plan:
    path = resolve_path(args.file_path, context)
    if not args.old_string:
        check_absent(path)
        return _Plan(Planned(path=path, before=None, after=args.new_string), "Created", "")
    before = known_file(path, context)
    if before is None:
        raise ToolError(f"{path!r} does not exist; an empty old_string creates it.")
    edited = apply_edit(before.text, args.old_string, args.new_string, replace_all=args.replace_all)
    change = Planned(path=path, before=before, after=edited.text)
    plural = "" if edited.count == 1 else "s"
    return _Plan(change, f"{edited.count} replacement{plural} in", edited.note)
