"""What edit, multiedit and write share: plan a change, show it, and make it if nothing moved."""

import os
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import anyio.to_thread
from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need, is_within
from crush.tools.atomic_write import create_file, replace_file
from crush.tools.base import ToolContext, ToolResult
from crush.tools.file_text import (
    FileText,
    digest_of,
    encode_text,
    exists,
    load_text,
    refuse_irregular,
)
from crush.tools.line_diff import LineDiff, diff_lines
from crush.tools.session_tmp import make_session_tmp
from crush.tools.similar_names import did_you_mean
from crush.tools.target_path import (
    CallArgs,
    Shown,
    containing_directory,
    paths_shown,
    short_path,
    shown_path,
)
from crush.wire.params import EditParams, MultieditParams, WriteParams

A = TypeVar("A", bound=CallArgs)


class Planned(Struct, frozen=True, kw_only=True):
    """A change that is ready to be shown or made.

    Attributes:
        before: the file as the session knows it, None for a new one.
        summary: what is done to the file, in front of its name.
        notes: further lines for the model.
        metadata: of the result, from the diff.
    """

    path: str
    before: FileText | None
    after: str
    summary: str
    notes: Sequence[str] = ()
    metadata: Callable[[LineDiff], Struct]

    @property
    def old_text(self) -> str:
        return self.before.text if self.before else ""

    @property
    def digest(self) -> str | None:
        return self.before.digest if self.before else None


class FileChange(Generic[A]):
    """The life of a changing call: planned for `needs`, planned again for `run`, then written.

    What `run` finds must be what `needs` showed.
    """

    def __init__(
        self,
        *,
        tool: str,
        plan: Callable[[A, ToolContext], Planned],
        params: type[EditParams] | type[WriteParams] | type[MultieditParams],
    ) -> None:
        self._tool = tool
        self._plan = plan
        self._params = params
        self._shown = Shown()

    def needs(self, args: A, context: ToolContext) -> list[Need]:
        """The need of the change, with both contents for the dialog's diff."""
        with paths_shown(context):
            planned = self._plan(args, context)
        self._shown.remember(args, planned.path, planned.digest)
        inside = is_within(planned.path, context.cwd)
        verb = "Change" if planned.before else "Create"
        return [
            Need(
                tool=self._tool,
                action="write",
                kind="write",
                target=planned.path,
                directory=context.cwd if inside else containing_directory(planned.path),
                description=f"{verb} {short_path(planned.path, context)}",
                params=self._params(
                    file_path=planned.path, old_content=planned.old_text, new_content=planned.after
                ),
            )
        ]

    async def run(self, args: A, context: ToolContext) -> ToolResult:
        return await anyio.to_thread.run_sync(self._change, args, context)

    def _change(self, args: A, context: ToolContext) -> ToolResult:
        with paths_shown(context):
            planned = self._plan(args, context)
            self._shown.check_content(args, planned.path, planned.digest)
            _save(planned, context)
        diff = diff_lines(planned.old_text, planned.after, short_path(planned.path, context))
        name = shown_path(planned.path, context)
        lines = (
            f"{planned.summary} {name} (+{diff.additions} -{diff.removals})",
            *planned.notes,
            _link_note(planned),
        )
        return ToolResult(
            content="\n".join(("<result>", *filter(None, lines), "</result>")),
            metadata=planned.metadata(diff),
        )


def known_file(path: str, context: ToolContext) -> FileText | None:
    """The file, None if there is none.

    Raises ToolError unless the session has read exactly these bytes.
    """
    try:
        refuse_irregular(os.lstat(path), path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be used: {exc.strerror or exc}.") from exc
    known = context.files.digest(path)
    if known is None:
        raise ToolError(f"{path!r} has not been read in this session; view it first.")
    file = load_text(path)
    if file.digest != known:
        raise ToolError(f"{path!r} changed since it was last read; view it again.")
    return file


def file_to_edit(path: str, context: ToolContext) -> FileText:
    """As `known_file`, of a file that must be there."""
    if (file := known_file(path, context)) is None:
        raise ToolError(
            f"{path!r} does not exist; an empty old_string creates it.{did_you_mean(path)}"
        )
    return file


def check_absent(path: str) -> None:
    """Raises ToolError if a file that is to be created exists."""
    if exists(path):
        raise ToolError(f"{path!r} exists already; give old_string, or use write to replace it.")


def _save(planned: Planned, context: ToolContext) -> None:
    """Writes the change if the file is still what the plan was made on, and records it as read."""
    data = encode_text(planned.after, bom=bool(planned.before and planned.before.bom))
    if planned.before is not None:
        replace_file(planned.path, data, expected=planned.before.digest)
    else:
        if is_within(planned.path, context.tmp):
            make_session_tmp(context.tmp)  # for its owner alone, whatever the client's umask
        create_file(planned.path, data, umask=context.umask)
    context.files.record(planned.path, digest_of(data))
    before = planned.before.text if planned.before else None
    context.files.changed(planned.path, before=before, after=planned.after)


def _link_note(planned: Planned) -> str:
    """Tells that other names of the file keep the old content."""
    if planned.before is None or planned.before.links == 1:
        return ""
    return "The file had other hard links; those keep the old content."
