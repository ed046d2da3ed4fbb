"""`multiedit`: several replacements in one file, in order; those that fail are reported."""

from collections.abc import Sequence

import anyio.to_thread
from msgspec import Struct

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
from crush.wire.params import MultieditParams


class EditOperation(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One replacement."""

    old_string: str
    new_string: str
    replace_all: bool = False


class MultieditArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `multiedit`."""

    file_path: str
    edits: list[EditOperation]


class FailedEdit(Struct, frozen=True, kw_only=True):
    """An edit that was skipped; `index` counts from 1."""

    index: int
    error: str
    edit: EditOperation


class MultieditMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The change for front ends; contents that are "" are left out."""

    additions: int
    removals: int
    edits_applied: int
    old_content: str = ""
    new_content: str = ""
    edits_failed: Sequence[FailedEdit] = ()


class _Plan(Struct, frozen=True):
    change: Planned
    applied: int
    notes: list[str]
    failed: list[FailedEdit]


class MultieditTool:
    """All edits that are possible make one atomic write."""

    name = "multiedit"
    args_type = MultieditArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._shown = Shown()

    def needs(self, args: MultieditArgs, context: ToolContext) -> list[Need]:
        change = _plan(args, context).change
        self._shown.remember(args, change.path, change.digest)
        return [change_need(self.name, change, context, params=MultieditParams)]

    async def run(self, args: MultieditArgs, context: ToolContext) -> ToolResult:
        return await anyio.to_thread.run_sync(self._edit, args, context)

    def _edit(self, args: MultieditArgs, context: ToolContext) -> ToolResult:
        plan = _plan(args, context)
        change = plan.change
        self._shown.check_content(args, change.path, change.digest)
        save_change(change, context)
        diff = diff_lines(change.old_text, change.after, short_path(change.path, context))
        return ToolResult(
            content=result_text(
                f"{plan.applied} of {len(args.edits)} edits applied to {change.path} "
                f"(+{diff.additions} -{diff.removals})",
                *plan.notes,
                *_reports(plan.failed),
                link_note(change),
            ),
            metadata=MultieditMetadata(
                additions=diff.additions,
                removals=diff.removals,
                old_content=change.old_text,
                new_content=change.after,
                edits_applied=plan.applied,
                edits_failed=plan.failed,
            ),
        )


def _plan(args: MultieditArgs, context: ToolContext) -> _Plan:
    if not args.edits:
        raise ToolError("edits is empty.")
    path = resolve_path(args.file_path, context)
    creates = not args.edits[0].old_string
    if creates:
        check_absent(path)
        before = None
    else:
        before = known_file(path, context)
        if before is None:
            raise ToolError(f"{path!r} does not exist; an empty first old_string creates it.")
    text = before.text if before else args.edits[0].new_string
    notes: list[str] = []
    failed: list[FailedEdit] = []
    for index, edit in enumerate(args.edits[creates:], start=1 + creates):
        try:
            edited = apply_edit(
                text, edit.old_string, edit.new_string, replace_all=edit.replace_all
            )
        except ToolError as exc:
            failed.append(FailedEdit(index=index, error=exc.message, edit=edit))
            continue
        text = edited.text
        if edited.note:
            notes.append(f"Edit {index}: {edited.note}")
    if len(failed) == len(args.edits):
        raise ToolError("\n".join(("No edit could be applied.", *_reports(failed))))
    if before is not None and text == before.text:
        raise ToolError("The edits change nothing when all are applied.")
    return _Plan(
        Planned(path=path, before=before, after=text),
        len(args.edits) - len(failed),
        notes,
        failed,
    )


def _reports(failed: Sequence[FailedEdit]) -> list[str]:
    return [f"Edit {item.index} failed: {item.error}" for item in failed]
