"""A directory held open, so that what was judged by its path is what is used.

A resolved path has no links in it. Between judging and opening, another process can put a link in
the place of one of its directories; so every step of the way is opened without following links, and
files are used by their name in the directory that was reached. Windows has no such calls: there the
path is used as it is.
"""

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from types import TracebackType
from typing import Self

from crush.errors import ToolError
from crush.tools.exchange import exchange

_LOCK_WITHIN_S = 1.0
_LOCK_AGAIN_S = 0.002

# Passing through a directory needs no right to read it, where the system tells the two apart.
_PASS = getattr(os, "O_PATH", os.O_RDONLY) | getattr(os, "O_DIRECTORY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_BY_DESCRIPTOR = os.open in os.supports_dir_fd


class OpenDirectory:
    """The directory at a resolved path; a context manager. Names are those of its entries."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        if _BY_DESCRIPTOR:
            self._descriptor = _walk(self.path)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor; a link is not followed. Never waits for the other end of a FIFO."""
        flags |= _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        return os.open(self._place(name), flags, mode, dir_fd=self._descriptor)

    def stat(self, name: str) -> os.stat_result:
        return os.stat(self._place(name), dir_fd=self._descriptor, follow_symlinks=False)

    def exists(self, name: str) -> bool:
        """Whether anything has this name, a dangling link included."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def is_writable(self, name: str) -> bool:
        return os.access(self._place(name), os.W_OK, dir_fd=self._descriptor)

    def make(self, name: str, *, umask: int) -> None:
        """Make a directory as a client with this umask would; it may be there already."""
        try:
            os.mkdir(self._place(name), 0o777, dir_fd=self._descriptor)
        except FileExistsError:
            return
        if not _BY_DESCRIPTOR:
            return
        descriptor = self.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            # The server's umask is not the client's; set-gid comes from the parent and stays.
            inherited = os.fstat(descriptor).st_mode & 0o7000
            os.fchmod(descriptor, inherited | (0o777 & ~umask))
        finally:
            os.close(descriptor)

    def replace(self, old: str, new: str) -> None:
        os.replace(
            self._place(old),
            self._place(new),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def link(self, old: str, new: str) -> None:
        os.link(
            self._place(old),
            self._place(new),
            src_dir_fd=self._descriptor,
            dst_dir_fd=self._descriptor,
        )

    def exchange(self, one: str, other: str) -> bool:
        """Swap two entries in one step; False where that is not possible."""
        return self._descriptor is not None and exchange(self._descriptor, one, other)

    @contextmanager
    def reserved(self) -> Iterator[None]:
        """Let nobody else do what is done here, as far as they ask: other sessions of ours do.

        Whoever keeps the lock for long has other plans with it, and a directory that cannot be read
        cannot be locked: then it goes without.
        """
        with ExitStack() as held:
            if self._descriptor is not None:
                with suppress(OSError):
                    descriptor = self.open(".", os.O_RDONLY | os.O_DIRECTORY)
                    held.callback(os.close, descriptor)
                    _lock(descriptor)
            yield

    def sync(self) -> None:
        """Make changed names durable; not every file system can."""
        if self._descriptor is not None:
            with suppress(OSError):
                descriptor = self.open(".", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def unlink(self, name: str) -> None:
        os.unlink(self._place(name), dir_fd=self._descriptor)

    def entries(self, most: int) -> list[tuple[str, bool]]:
        """Names, and whether each is a directory; raises OSError where that may not be read."""
        with ExitStack() as held:
            place: int | str = self.path
            if self._descriptor is not None:
                place = self.open(".", os.O_RDONLY | os.O_DIRECTORY)
                held.callback(os.close, place)
            found = held.enter_context(os.scandir(place))
            return [
                (entry.name, entry.is_dir(follow_symlinks=False)) for entry in islice(found, most)
            ]

    def _place(self, name: str) -> str:
        return name if self._descriptor is not None else os.path.join(self.path, name)


def containing(path: str) -> tuple[OpenDirectory, str]:
    """The directory of a resolved path, still to be entered, and the name in it."""
    directory, name = os.path.split(path)
    if not name:
        raise ToolError(f"{path!r} is a directory; use ls.")
    return OpenDirectory(directory), name


if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        """A directory cannot be locked here."""

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        end = time.monotonic() + _LOCK_WITHIN_S
        while time.monotonic() < end:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_LOCK_AGAIN_S)
            else:
                return


def _walk(path: str) -> int:
    if os.name == "posix" and hasattr(os, "O_NOFOLLOW_ANY"):  # macOS does the walk itself
        return os.open(path, _PASS | os.O_NOFOLLOW_ANY)
    descriptor = os.open(os.path.splitdrive(path)[0] + os.sep, _PASS)
    try:
        for name in path.split(os.sep):
            if name:
                above, descriptor = descriptor, _step(descriptor, name, path)
                os.close(above)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _step(above: int, name: str, path: str) -> int:
    try:
        return os.open(name, _PASS | _NO_LINK, dir_fd=above)
    except OSError as exc:
        if exc.errno in {errno.ELOOP, errno.ENOTDIR} and _is_link(name, above):
            raise ToolError(
                f"{path!r} leads elsewhere now: {name!r} became a link. Nothing was done."
            ) from exc
        raise


def _is_link(name: str, above: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
    except OSError:
        return False
