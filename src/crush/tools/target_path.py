"""Where a path that a model wrote really leads, and what a call was allowed to touch.

Paths are resolved through symlinks before anything is judged. `Shown` ties `run` to what `needs`
resolved: a link that was turned, or a file that changed, while a person decided is noticed.
"""

import contextlib
import os
import weakref
from collections.abc import Iterator

from msgspec import Struct

from crush import paths
from crush.errors import ToolError
from crush.permissions.rules import is_within
from crush.tools.base import ToolContext

_TMP = "/tmp"  # noqa: S108 - what fenced commands call the directory of their session
_MAX_TURNS = 8


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
    target = _as_fenced(os.path.join(context.cwd, path), context)
    for _ in range(_MAX_TURNS):
        real = os.path.realpath(target)
        target = _as_fenced(real, context)
        if target == real:
            return real
    raise ToolError(f"The links of {path!r} lead in circles.")


def _as_fenced(path: str, context: ToolContext) -> str:
    """Where `path` leads for a fenced command: its `/tmp` is the session's own directory."""
    plain = os.path.normpath(path)
    if context.fence is None or not is_within(plain, _TMP):
        return path
    # What the fence mounts below `/tmp` is itself there.
    mounted = (context.tmp, context.cwd, context.fence.root, *context.fence.writable)
    if any(is_within(plain, place) for place in mounted):
        return path
    # Dots are for `realpath` to follow, after the links before them.
    rest = path if path.startswith(f"{_TMP}/") else plain
    return context.tmp + rest.removeprefix(_TMP)


def shown_path(path: str, context: ToolContext) -> str:
    """A real path as the model and fenced commands name it."""
    if context.fence is not None and is_within(path, context.tmp):
        return _TMP + path.removeprefix(context.tmp)
    return path


@contextlib.contextmanager
def paths_shown(context: ToolContext) -> Iterator[None]:
    """Errors that leave this block name files as `shown_path` does."""
    try:
        yield
    except ToolError as exc:
        if context.fence is None or context.tmp not in exc.message:
            raise
        raise ToolError(exc.message.replace(context.tmp, _TMP)) from exc


def resolve_directory(path: str, context: ToolContext) -> str:
    """As `resolve_path`; "" is the working directory."""
    return resolve_path(path or ".", context)


def short_path(path: str, context: ToolContext) -> str:
    """Relative to the working directory when inside it, as people and diffs name files."""
    if is_within(path, context.cwd):
        return os.path.relpath(path, context.cwd)
    return shown_path(path, context)


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
