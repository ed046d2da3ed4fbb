"""`view`: a section of a text file with line numbers; what it reads may be edited afterwards."""

from typing import Annotated

import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.file_text import load_text
from crush.tools.target_path import (
    CallArgs,
    Shown,
    containing_directory,
    resolve_path,
    short_path,
)
from crush.wire.params import ViewParams

_DEFAULT_LINES = 200
_MAX_LINE_CHARS = 2000
_MAX_SECTION_BYTES = 200 * 1024


class ViewArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `view`."""

    file_path: str
    offset: Annotated[int, Meta(description="first line, counted from 0")] = 0
    limit: Annotated[int, Meta(description="lines, default 200")] = 0


class ViewMetadata(Struct, frozen=True, kw_only=True):
    """What was shown, for front ends."""

    file_path: str
    content: str


class _Section(Struct, frozen=True):
    lines: list[str]
    total: int


class ViewTool:
    """Reads text; other files are refused with the reason."""

    name = "view"
    args_type = ViewArgs
    read_only = True

    def __init__(self, *, description: str) -> None:
        self.description = description
        self._shown = Shown()

    def needs(self, args: ViewArgs, context: ToolContext) -> list[Need]:
        path = resolve_path(args.file_path, context)
        self._shown.remember(args, path)
        return [
            Need(
                tool=self.name,
                action="read",
                kind="read",
                target=path,
                directory=containing_directory(path),
                description=f"Read {short_path(path, context)}",
                params=ViewParams(file_path=path, offset=args.offset, limit=args.limit),
            )
        ]

    async def run(self, args: ViewArgs, context: ToolContext) -> ToolResult:
        return await anyio.to_thread.run_sync(self._view, args, context)

    def _view(self, args: ViewArgs, context: ToolContext) -> ToolResult:
        path = resolve_path(args.file_path, context)
        self._shown.check_path(args, path)
        file = load_text(path)
        offset = max(args.offset, 0)
        section = _section(file.text, offset, args.limit if args.limit > 0 else _DEFAULT_LINES)
        content = _checked_size("\n".join(section.lines), path)
        context.files.record(path, file.digest)
        numbered = [f"{offset + 1 + index:6d}|{line}" for index, line in enumerate(section.lines)]
        return ToolResult(
            content="\n".join(("<file>", *numbered, "</file>", *_note(section, offset))),
            metadata=ViewMetadata(file_path=path, content=content),
        )


def _section(text: str, offset: int, limit: int) -> _Section:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()  # what follows the last newline is not a line
    if offset and offset >= len(lines):
        raise ToolError(f"offset {offset} is past the end: the file has {len(lines)} lines.")
    return _Section([_shown_line(line) for line in lines[offset : offset + limit]], len(lines))


def _shown_line(line: str) -> str:
    cleaned = clean_text(line.removesuffix("\r"))
    return cleaned if len(cleaned) <= _MAX_LINE_CHARS else cleaned[:_MAX_LINE_CHARS] + "..."


def _checked_size(content: str, path: str) -> str:
    if len(content.encode()) > _MAX_SECTION_BYTES:
        raise ToolError(
            f"This section of {path!r} is larger than {_MAX_SECTION_BYTES // 1024} KiB; "
            "use a smaller limit, or grep."
        )
    return content


def _note(section: _Section, offset: int) -> list[str]:
    end = offset + len(section.lines)
    if not section.total:
        return ["(the file is empty)"]
    if end < section.total:
        return [f"({section.total} lines in all; continue with offset {end})"]
    return []
