"""`write`: a whole file at once. A file that exists must have been read in this session."""

import anyio.to_thread
from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.file_change import (
    Planned,
    change_need,
    known_file,
    link_note,
    result_text,
    save_change,
)
from crush.tools.line_diff import diff_lines
from crush.tools.target_path import CallArgs, Shown, resolve_path, short_path
from crush.wire.params import WriteParams


class WriteArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `write`."""

    file_path: str
    content: str


class WriteMetadata(Struct, frozen=True, kw_only=True):
    """The change for front ends, as a unified diff."""

    diff: str
    additions: int
    removals: int


class WriteTool:
    """Creates or replaces; missing directories are made when it runs, not when it asks."""

    name = "write"
    args_type = WriteArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._shown = Shown()

    def needs(self, args: WriteArgs, context: ToolContext) -> list[Need]:
        change = _plan(args, context)
        self._shown.remember(args, change.path, change.digest)
        return [change_need(self.name, change, context, params=WriteParams)]

    async def run(self, args: WriteArgs, context: ToolContext) -> ToolResult:
        return await anyio.to_thread.run_sync(self._write, args, context)

    def _write(self, args: WriteArgs, context: ToolContext) -> ToolResult:
        change = _plan(args, context)
        self._shown.check_content(args, change.path, change.digest)
        save_change(change, context)
        diff = diff_lines(change.old_text, change.after, short_path(change.path, context))
        crlf_note = "Its CRLF line endings were kept." if change.after != args.content else ""
        return ToolResult(
            content=result_text(
                f"{'Replaced' if change.before else 'Created'} {change.path} "
                f"(+{diff.additions} -{diff.removals})",
                crlf_note,
                link_note(change),
            ),
            metadata=WriteMetadata(
                diff=diff.text, additions=diff.additions, removals=diff.removals
            ),
        )


def _plan(args: WriteArgs, context: ToolContext) -> Planned:
    path = resolve_path(args.file_path, context)
    before = known_file(path, context)
    after = args.content
    if before is not None:
        if _is_crlf(before.text) and "\r" not in after:
            # A model is shown no carriage returns, so it cannot have meant to remove them.
            after = after.replace("\n", "\r\n")
        if after == before.text:
            raise ToolError(f"{path!r} already has exactly this content.")
    return Planned(path=path, before=before, after=after)


def _is_crlf(text: str) -> bool:
    newlines = text.count("\n")
    return newlines > 0 and newlines == text.count("\r\n")
