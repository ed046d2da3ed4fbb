"""`view`: a section of a text file with line numbers, or an image.

What it shows whole may be edited afterwards.
"""

import os
from typing import Annotated

import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.file_kind import HEAD_BYTES, image_type
from crush.tools.file_text import digest_of, exists, load_bytes, open_regular
from crush.tools.image_file import fit_image
from crush.tools.similar_names import did_you_mean
from crush.tools.target_path import (
    CallArgs,
    Shown,
    containing_directory,
    paths_shown,
    resolve_path,
    short_path,
)
from crush.tools.text_section import MAX_LINE_CHARS, Section, load_section
from crush.wire.params import ViewParams

_DEFAULT_LINES = 200
_MAX_SECTION_BYTES = 200 * 1024


class ViewArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `view`."""

    file_path: str
    offset: Annotated[int, Meta(description="first line from 0; negative: from the end")] = 0
    limit: Annotated[int, Meta(description="lines, default 200")] = 0


class ViewMetadata(Struct, frozen=True, kw_only=True):
    """What was shown, for front ends."""

    file_path: str
    content: str


class ViewTool:
    """Reads text and images; other files are refused with the reason."""

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
        with paths_shown(context):
            path = resolve_path(args.file_path, context)
            self._shown.check_path(args, path)
            if not exists(path):
                raise ToolError(f"{path!r} cannot be read: no such file.{did_you_mean(path)}")
            if mime_type := _image_type(path):
                return _image(path, mime_type, context)
            limit = args.limit if args.limit > 0 else _DEFAULT_LINES
            section = load_section(path, offset=args.offset, limit=limit)
            return _text(path, section, context)


def _image_type(path: str) -> str:
    if os.path.isdir(path):
        raise ToolError(f"{path!r} is a directory; use ls.")
    with open_regular(path) as file:
        return image_type(file.read(HEAD_BYTES))


def _image(path: str, mime_type: str, context: ToolContext) -> ToolResult:
    data = load_bytes(path).data
    image = fit_image(data, mime_type, path)
    context.files.record(path, digest_of(data))
    return ToolResult(
        content=image.description,
        data=image.data,
        mime_type=image.mime_type,
        metadata=ViewMetadata(file_path=path, content=""),
    )


def _text(path: str, section: Section, context: ToolContext) -> ToolResult:
    lines = [_shown_line(line) for line in section.lines]
    content = "\n".join(lines)
    if len(content.encode()) > _MAX_SECTION_BYTES:
        raise ToolError(
            f"This section of {path!r} is larger than {_MAX_SECTION_BYTES // 1024} KiB; "
            "use a smaller limit, or grep."
        )
    context.files.record(path, section.digest)
    numbered = [f"{section.first + index:6d}|{line}" for index, line in enumerate(lines)]
    return ToolResult(
        content="\n".join(("<file>", *numbered, "</file>", *_note(section))),
        metadata=ViewMetadata(file_path=path, content=content),
    )


def _shown_line(line: str) -> str:
    cleaned = clean_text(line.removesuffix("\r"))
    return cleaned if len(cleaned) <= MAX_LINE_CHARS else cleaned[:MAX_LINE_CHARS] + "..."


def _note(section: Section) -> list[str]:
    if not section.lines:
        return ["(the file is empty)"]
    from_the_end = section.first < 0
    following = section.first + len(section.lines) - (0 if from_the_end else 1)
    count = "more lines follow" if section.total is None else f"{section.total} lines in all"
    notes = [f"({count}; continue with offset {following})"] if section.more else []
    if from_the_end:
        notes.append("(numbers count from the end of this large file: -1 is the last line)")
    return notes
