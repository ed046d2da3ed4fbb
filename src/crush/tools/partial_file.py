"""A file that arrives piece by piece: nobody sees it before it is whole, nothing is left if it never is.

It grows beside its target, under a name of its own, and takes the target's place at once. Directories
that were made for it go again if it fails. Everything here blocks.
"""

import contextlib
import os
import secrets
import stat
import sys

from crush.errors import ToolError
from crush.tools.atomic_write import (
    _keep_attributes,
    _keep_owner,
    _make_parents,
    _publish,
    _translated,
)
from crush.tools.open_directory import OpenDirectory, containing


def file_state(path: str) -> str | None:
    """What tells one state of the file from the next, None if there is none.

    Raises ToolError for what no file can replace.
    """
    if os.path.isdir(path):
        raise ToolError(f"{path!r} is a directory; name a file in it.")
    parent, name = containing(path)
    try:
        with parent as directory:
            return _state(directory, name, path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be used: {exc.strerror or exc}.") from exc


class PartialFile:
    """One file on its way. After `discard` nothing is left but what was committed."""

    def __init__(self, path: str, *, umask: int) -> None:
        parent, self._name = containing(path)
        self._path = path
        self._umask = umask
        self._temporary = f".crush-{secrets.token_hex(6)}.tmp"
        self._made = _missing(parent.path)
        self._open = contextlib.ExitStack()
        try:
            with _translated(path):
                _make_parents(parent.path, umask)
                self._directory = self._open.enter_context(parent)
                descriptor = parent.open(self._temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
                self._file = self._open.enter_context(os.fdopen(descriptor, "wb", buffering=0))
        except BaseException:
            self._close()
            raise

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        with _translated(self._path):
            while view:
                view = view[self._file.write(view) :]

    def commit(self, *, expected: str | None) -> None:
        """Put the file in its place if what is there is still in the state `expected`."""
        directory = self._directory
        with _translated(self._path):
            self._check(self._name, expected)
            self._finish(replaces=expected is not None)
            with directory.reserved():
                self._check(self._name, expected)
                if expected is None:
                    _publish(directory, self._temporary, self._name, self._path)
                elif directory.exchange(self._temporary, self._name):
                    self._keep_if_expected(expected)
                else:
                    directory.replace(self._temporary, self._name)
            directory.sync()
        self._made = []

    def discard(self) -> None:
        """Also after `commit`, which leaves what was replaced."""
        with contextlib.suppress(FileNotFoundError):
            self._directory.unlink(self._temporary)
        self._close()

    def _check(self, name: str, expected: str | None) -> None:
        if _state(self._directory, name, self._path) != expected:
            raise ToolError(f"{self._path!r} was changed by somebody else just now; unchanged.")

    def _keep_if_expected(self, expected: str) -> None:
        """The temporary name has what was replaced: put it back if somebody wrote in that moment."""
        try:
            self._check(self._temporary, expected)
        except ToolError:
            self._directory.exchange(self._temporary, self._name)
            raise

    def _finish(self, *, replaces: bool) -> None:
        descriptor = self._file.fileno()
        if sys.platform != "win32":
            mode = 0o666 & ~self._umask
            if replaces:
                # Set-id bits were given to the old content.
                mode = _keep_owner(descriptor, self._directory.stat(self._name)) & 0o777
            os.fchmod(descriptor, mode)
        if sys.platform == "linux" and replaces:
            _keep_attributes(descriptor, self._directory, self._name)
        os.fsync(descriptor)
        self._file.close()  # Windows replaces no open file

    def _close(self) -> None:
        self._open.close()
        for path in self._made:
            with contextlib.suppress(OSError):  # somebody uses it
                os.rmdir(path)


def _state(directory: OpenDirectory, name: str, path: str) -> str | None:
    try:
        found = directory.stat(name)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{path!r} is not a regular file.")
    if not directory.is_writable(name):
        raise ToolError(f"{path!r} is read-only; unchanged.")
    return f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}"


def _missing(directory: str) -> list[str]:
    """The directories on the way that are not there, deepest first."""
    missing: list[str] = []
    while not os.path.lexists(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    return missing
