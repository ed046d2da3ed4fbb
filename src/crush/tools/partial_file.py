"""A file that arrives piece by piece: nobody sees it before it is whole, nothing is left if it never is.

It grows beside its target, or where the target's missing directories will be, and takes the target's
place at once. Everything here blocks.
"""

import os
import stat
import sys

from crush.errors import ToolError
from crush.tools.atomic_write import (
    _keep_attributes,
    _keep_owner,
    _make_parents,
    _publish,
    _remove,
    _sync_directory,
    _temporary_beside,
    _translated,
)


def file_state(path: str) -> str | None:
    """What tells one state of the file from the next, None if there is none.

    Raises ToolError for what no file can replace.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be used: {exc.strerror or exc}.") from exc
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{path!r} is a directory; name a file in it.")
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{path!r} is not a regular file.")
    if not os.access(path, os.W_OK):
        raise ToolError(f"{path!r} is read-only; unchanged.")
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


class PartialFile:
    """One file on its way. After `discard` or `commit` nothing of it is left but the target."""

    def __init__(self, path: str, *, umask: int) -> None:
        self._path = path
        self._umask = umask
        with _translated(path):
            self._temporary = _temporary_beside(_nearest(path))
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            self._file = os.fdopen(os.open(self._temporary, flags, 0o600), "wb", buffering=0)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with _translated(self._path):
            while view:
                view = view[self._file.write(view) :]

    def commit(self, *, expected: str | None) -> None:
        """Put the file in its place if what is there is still in the state `expected`."""
        with _translated(self._path):
            self._finish(replaces=expected is not None)
            # The last thing before the rename: what is replaced, and where, is what was asked about.
            if os.path.realpath(self._path) != self._path or file_state(self._path) != expected:
                raise ToolError(f"{self._path!r} was changed by somebody else just now; unchanged.")
            if expected is None:
                _make_parents(os.path.dirname(self._path), self._umask)
                _publish(self._temporary, self._path)
            else:
                os.replace(self._temporary, self._path)
            _sync_directory(os.path.dirname(self._path))

    def discard(self) -> None:
        """Also after `commit`, which may leave a second name."""
        self._file.close()
        _remove(self._temporary)

    def _finish(self, *, replaces: bool) -> None:
        descriptor = self._file.fileno()
        if sys.platform != "win32":
            mode = 0o666 & ~self._umask
            if replaces:
                old = os.stat(self._path)
                mode = _keep_owner(descriptor, old, old.st_mode & 0o777)
            os.fchmod(descriptor, mode)
        if sys.platform == "linux" and replaces:
            _keep_attributes(descriptor, self._path)
        os.fsync(descriptor)
        self._file.close()


def _nearest(path: str) -> str:
    """`path`, moved up to the deepest directory that exists: the same file system."""
    parent = os.path.dirname(path)
    while not os.path.lexists(parent):
        path, parent = parent, os.path.dirname(parent)
    return path
