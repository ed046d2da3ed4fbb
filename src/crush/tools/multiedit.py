"""`multiedit`: several replacements in one file, in order; those that fail are reported."""

from collections.abc import Sequence

from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.edit_match import apply_edit
from crush.tools.file_change import FileChange, Planned, check_absent, file_to_edit
from crush.tools.target_path import CallArgs, resolve_path
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


class MultieditTool:
    """All edits that are possible make one atomic write."""

    name = "multiedit"
    args_type = MultieditArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._change = FileChange(tool=self.name, plan=_plan, params=MultieditParams)

    def needs(self, args: MultieditArgs, context: ToolContext) -> list[Need]:
        return self._change.needs(args, context)

    async def run(self, args: MultieditArgs, context: ToolContext) -> ToolResult:
        return await self._change.run(args, context)


class _Applied(Struct, frozen=True):
    """The text after all edits that were possible, and what became of each."""

    text: str
    count: int
    notes: list[str]
    failed: list[FailedEdit]


def _plan(args: MultieditArgs, context: ToolContext) -> Planned:
    if not args.edits:
        raise ToolError("edits is empty.")
    path = resolve_path(args.file_path, context)
    before = None
    if args.edits[0].old_string:
        before = file_to_edit(path, context)
    else:
        check_absent(path)
    applied = _apply(args.edits, before.text if before else None)
    if before is not None and applied.text == before.text:
        raise ToolError("The edits change nothing when all are applied.")
    return Planned(
        path=path,
        before=before,
        after=applied.text,
        summary=f"{applied.count} of {len(args.edits)} edits applied to",
        notes=[*applied.notes, *_reports(applied.failed)],
        metadata=lambda diff: MultieditMetadata(
            additions=diff.additions,
            removals=diff.removals,
            old_content=before.text if before else "",
            new_content=applied.text,
            edits_applied=applied.count,
            edits_failed=applied.failed,
        ),
    )


def _apply(edits: Sequence[EditOperation], text: str | None) -> _Applied:
    """In order, each on what the one before left; the first makes the text if there is none."""
    first = 1 if text is None else 0
    text = edits[0].new_string if text is None else text
    notes: list[str] = []
    failed: list[FailedEdit] = []
    for index, edit in enumerate(edits[first:], start=first + 1):
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
    if len(failed) == len(edits):
        raise ToolError("\n".join(("No edit could be applied.", *_reports(failed))))
    return _Applied(text, len(edits) - len(failed), notes, failed)


def _reports(failed: Sequence[FailedEdit]) -> list[str]:
    return [f"Edit {item.index} failed: {item.error}" for item in failed]
