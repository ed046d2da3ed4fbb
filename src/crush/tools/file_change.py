"""What edit, multiedit and write share: the file as the session knows it, the need, the commit."""

import os
from typing import TypeVar

from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need, is_within
from crush.tools.atomic_write import create_file, replace_file
from crush.tools.base import ToolContext
from crush.tools.file_text import FileText, digest_of, encode_text, exists, load_text
from crush.tools.target_path import containing_directory, short_path
from crush.wire.params import EditParams, MultieditParams, WriteParams

_ChangeParams = TypeVar("_ChangeParams", EditParams, WriteParams, MultieditParams)


class Planned(Struct, frozen=True, kw_only=True):
    """A change that is ready to be shown or made; `before` is None for a new file."""

    path: str
    before: FileText | None
    after: str

    @property
    def old_text(self) -> str:
        return self.before.text if self.before else ""

    @property
    def digest(self) -> str | None:
        return self.before.digest if self.before else None


def known_file(path: str, context: ToolContext) -> FileText | None:
    """The file, None if there is none.

    Raises ToolError unless the session has read exactly these bytes.
    """
    if not exists(path):
        return None
    known = context.files.digest(path)
    if os.path.isdir(path):
        raise ToolError(f"{path!r} is a directory.")
    if known is None:
        raise ToolError(f"{path!r} has not been read in this session; view it first.")
    file = load_text(path)
    if file.digest != known:
        raise ToolError(f"{path!r} changed since it was last read; view it again.")
    return file


def check_absent(path: str) -> None:
    """Raises ToolError if a file that is to be created exists."""
    if exists(path):
        raise ToolError(f"{path!r} exists already; give old_string, or use write to replace it.")


def change_need(
    tool: str, planned: Planned, context: ToolContext, *, params: type[_ChangeParams]
) -> Need:
    """The need of a change, with both contents for the dialog's diff."""
    inside = is_within(planned.path, context.cwd)
    verb = "Change" if planned.before else "Create"
    return Need(
        tool=tool,
        action="write",
        kind="write",
        target=planned.path,
        directory=context.cwd if inside else containing_directory(planned.path),
        description=f"{verb} {short_path(planned.path, context)}",
        params=params(
            file_path=planned.path, old_content=planned.old_text, new_content=planned.after
        ),
    )


def save_change(planned: Planned, context: ToolContext) -> None:
    """Writes the change if the file is still what the plan was made on, and records it as read."""
    data = encode_text(planned.after, bom=bool(planned.before and planned.before.bom))
    if planned.before is None:
        create_file(planned.path, data, umask=context.umask)
    else:
        replace_file(planned.path, data, expected=planned.before.digest)
    context.files.record(planned.path, digest_of(data))
    before = planned.before.text if planned.before else None
    context.files.changed(planned.path, before=before, after=planned.after)


def link_note(planned: Planned) -> str:
    """Tells that other names of the file keep the old content."""
    if planned.before is None or planned.before.links == 1:
        return ""
    return "The file had other hard links; those keep the old content."


def result_text(*lines: str) -> str:
    return "\n".join(("<result>", *(line for line in lines if line), "</result>"))
