"""`edit`: replaces one text in a file that the session has read, or creates a file."""

from typing import Annotated

from msgspec import Meta, Struct

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.edit_match import Edited, apply_edit
from crush.tools.file_change import FileChange, Planned, check_absent, file_to_edit
from crush.tools.target_path import CallArgs, resolve_path
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


class EditTool:
    """One exact replacement, with tolerance for whitespace that it reports."""

    name = "edit"
    args_type = EditArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._change = FileChange(tool=self.name, plan=_plan, params=EditParams)

    def needs(self, args: EditArgs, context: ToolContext) -> list[Need]:
        return self._change.needs(args, context)

    async def run(self, args: EditArgs, context: ToolContext) -> ToolResult:
        return await self._change.run(args, context)


def _plan(args: EditArgs, context: ToolContext) -> Planned:
    path = resolve_path(args.file_path, context)
    if not args.old_string:
        check_absent(path)
        edited = Edited(text=args.new_string, count=0)
        before, summary = None, "Created"
    else:
        before = file_to_edit(path, context)
        edited = apply_edit(
            before.text, args.old_string, args.new_string, replace_all=args.replace_all
        )
        summary = f"{edited.count} replacement{'' if edited.count == 1 else 's'} in"
    return Planned(
        path=path,
        before=before,
        after=edited.text,
        summary=summary,
        notes=[edited.note],
        metadata=lambda diff: EditMetadata(
            additions=diff.additions,
            removals=diff.removals,
            old_content=before.text if before else "",
            new_content=edited.text,
        ),
    )
