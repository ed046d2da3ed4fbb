"""`write`: a whole file at once. A file that exists must have been read in this session."""

from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.file_change import FileChange, Planned, known_file
from crush.tools.target_path import CallArgs, resolve_path
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
        self._change = FileChange(tool=self.name, plan=_plan, params=WriteParams)

    def needs(self, args: WriteArgs, context: ToolContext) -> list[Need]:
        return self._change.needs(args, context)

    async def run(self, args: WriteArgs, context: ToolContext) -> ToolResult:
        return await self._change.run(args, context)


def _plan(args: WriteArgs, context: ToolContext) -> Planned:
    path = resolve_path(args.file_path, context)
    before = known_file(path, context)
    after, notes = args.content, []
    if before is not None:
        if _is_crlf(before.text) and "\r" not in after and "\n" in after:
            # A model is shown no carriage returns, so it cannot have meant to remove them.
            after = after.replace("\n", "\r\n")
            notes.append("Its CRLF line endings were kept.")
        if after == before.text:
            raise ToolError(f"{path!r} already has exactly this content.")
    return Planned(
        path=path,
        before=before,
        after=after,
        summary="Replaced" if before else "Created",
        notes=notes,
        metadata=lambda diff: WriteMetadata(
            diff=diff.text, additions=diff.additions, removals=diff.removals
        ),
    )


def _is_crlf(text: str) -> bool:
    newlines = text.count("\n")
    return newlines > 0 and newlines == text.count("\r\n")
