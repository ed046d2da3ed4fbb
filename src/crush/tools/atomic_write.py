"""Replaces or creates a file so that any reader sees the old bytes or the new ones, never a mix.

A temporary file beside the target is written, synced and renamed (or linked, for a new file, so
that nothing is ever overwritten by a creation). What cannot be done so is refused, not done worse:
a read-only file, a directory that cannot be written, a file that is a mount point. A file with
several hard links gets its own new content; the other names keep the old.
"""

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterator

from crush.errors import ToolError
from crush.tools.file_text import digest_of, load_bytes


def replace_file(path: str, data: bytes, *, expected: str) -> None:
    """Replaces the file whose bytes have the digest `expected`, keeping mode and owner."""
    if not os.access(path, os.W_OK):
        raise ToolError(f"{path!r} is read-only; unchanged.")
    with _translated(path):
        temporary = _temporary_beside(path)
        try:
            _fill(temporary, data, os.stat(path).st_mode & 0o7777, replaced=path)
            # The last thing before the rename: what is replaced is what the caller saw.
            _check_unchanged(path, expected)
            os.replace(temporary, path)
        finally:
            _remove(temporary)
        _sync_directory(os.path.dirname(path))


def create_file(path: str, data: bytes, *, umask: int) -> None:
    """Creates a file and its parents. Raises ToolError if anything is there already."""
    with _translated(path):
        _make_parents(os.path.dirname(path), umask)
        temporary = _temporary_beside(path)
        try:
            _fill(temporary, data, 0o666 & ~umask, replaced=None)
            _publish(temporary, path)
        finally:
            _remove(temporary)
        _sync_directory(os.path.dirname(path))


def _check_unchanged(path: str, expected: str) -> None:
    if digest_of(load_bytes(path)[0]) != expected:
        raise ToolError(f"{path!r} was changed by somebody else just now; view it again.")


def _publish(temporary: str, path: str) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError as exc:
        raise ToolError(f"{path!r} was created by somebody else just now; view it.") from exc
    except OSError as exc:
        # FAT, some network and container file systems have no links.
        if exc.errno not in {errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}:
            raise
        if os.path.lexists(path):
            raise ToolError(f"{path!r} was created by somebody else just now; view it.") from exc
        os.rename(temporary, path)


def _temporary_beside(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".crush-{secrets.token_hex(6)}.tmp")


def _fill(temporary: str, data: bytes, mode: int, *, replaced: str | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(temporary, flags | getattr(os, "O_BINARY", 0), 0o600)
    with open(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        if sys.platform != "win32":
            if replaced is not None:
                mode = _keep_owner(descriptor, os.stat(replaced), mode)
            os.fchmod(descriptor, mode)
        if sys.platform == "linux" and replaced is not None:
            _keep_attributes(descriptor, replaced)
        os.fsync(descriptor)


def _keep_owner(descriptor: int, owner: os.stat_result, mode: int) -> int:
    """Gives the file to `owner` if we may; otherwise drops set-id bits from the mode."""
    mine = os.fstat(descriptor)
    if (mine.st_uid, mine.st_gid) == (owner.st_uid, owner.st_gid):
        return mode
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, owner.st_gid)
        return mode & 0o777
    return mode


def _keep_attributes(descriptor: int, replaced: str) -> None:
    """Access lists, labels and the like; capabilities were granted to the old content."""
    for name in os.listxattr(replaced):
        if name != "security.capability":
            with contextlib.suppress(OSError):
                os.setxattr(descriptor, name, os.getxattr(replaced, name))


def _make_parents(directory: str, umask: int) -> None:
    missing: list[str] = []
    while not os.path.lexists(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            os.mkdir(path)
            # The server's umask is not the client's; set-gid comes from the parent and stays.
            inherited = os.stat(path).st_mode & 0o7000
            os.chmod(path, inherited | (0o777 & ~umask))


def _sync_directory(directory: str) -> None:
    """Makes the rename itself durable; not every file system can."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _remove(temporary: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be written: {exc.strerror or exc}; unchanged.") from exc
