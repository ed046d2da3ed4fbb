"""Where a path that a model wrote really leads, and what a call was allowed to touch.

Paths are resolved through symlinks before anything is judged. `Shown` ties `run` to what `needs`
resolved: a link that was turned, or a file that changed, while a person decided is noticed.
"""

import os
import weakref

from msgspec import Struct

from crush import paths
from crush.errors import ToolError
from crush.permissions.rules import is_within
from crush.tools.base import ToolContext


class CallArgs(Struct, frozen=True, kw_only=True, eq=False, weakref=True):
    """Base of arguments. Compared by identity: one object is one call."""


class _Target(Struct, frozen=True):
    path: str
    digest: str | None


class Shown:
    """What `needs` resolved for a call, kept for exactly as long as the call's arguments live."""

    def __init__(self) -> None:
        self._targets: weakref.WeakKeyDictionary[CallArgs, _Target] = weakref.WeakKeyDictionary()

    def remember(self, call: CallArgs, path: str, digest: str | None = None) -> None:
        """`digest` is that of the content that was shown; None if there was no file or no need."""
        self._targets[call] = _Target(path, digest)

    def check_path(self, call: CallArgs, path: str) -> None:
        """Raises ToolError if the call now leads elsewhere. A call nobody asked about passes."""
        shown = self._targets.get(call)
        if shown is not None and shown.path != path:
            raise ToolError(
                f"{shown.path!r} was to be used, but the path now leads to {path!r}; nothing done."
            )

    def check_content(self, call: CallArgs, path: str, digest: str | None) -> None:
        """Raises ToolError if the path or the content is not what was shown."""
        self.check_path(call, path)
        shown = self._targets.get(call)
        if shown is not None and shown.digest != digest:
            raise ToolError(f"{path!r} changed while the call waited; view it again.")


def resolve_path(path: str, context: ToolContext) -> str:
    """The real absolute path; of a file that does not exist, below its deepest real parent."""
    if not path.strip():
        raise ToolError("The path is empty.")
    if "\0" in path:
        raise ToolError("The path contains a NUL character.")
    if path == "~" or path.startswith("~/"):
        path = paths.home(context.env) + path[1:]
    return os.path.realpath(os.path.join(context.cwd, path))


def resolve_directory(path: str, context: ToolContext) -> str:
    """As `resolve_path`; "" is the working directory."""
    return resolve_path(path or ".", context)


def short_path(path: str, context: ToolContext) -> str:
    """Relative to the working directory when inside it, as people and diffs name files."""
    return os.path.relpath(path, context.cwd) if is_within(path, context.cwd) else path


def containing_directory(path: str) -> str:
    """What a dialog shows: a file's directory, a directory itself."""
    return path if os.path.isdir(path) else os.path.dirname(path)


def check_directory(path: str) -> None:
    """Raises ToolError unless `path` is a directory that can be entered."""
    if not os.path.isdir(path):
        reason = "is not a directory" if os.path.lexists(path) else "does not exist"
        raise ToolError(f"{path!r} {reason}.")
    if not os.access(path, os.R_OK | os.X_OK):
        raise ToolError(f"{path!r} cannot be read: permission denied.")
