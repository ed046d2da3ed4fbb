"""Replaces or creates a file so that any reader sees the old bytes or the new ones, never a mix.

A temporary file beside the target is written, synced and put in its place. What was replaced is
looked at once more: if somebody wrote in that very moment, it is put back, so that nothing is lost.
What cannot be done so is refused, not done worse: a read-only file, a directory that cannot be
written, a file that is a mount point. Other hard links of a file keep the old content.
"""

import contextlib
import errno
import os
import secrets
import sys
from collections.abc import Iterator

from crush.errors import ToolError
from crush.tools.file_text import digest_of, load_entry
from crush.tools.open_directory import OpenDirectory, containing

_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})


def replace_file(path: str, data: bytes, *, expected: str) -> None:
    """Replaces the file whose bytes have the digest `expected`, keeping mode and owner."""
    parent, name = containing(path)
    with _translated(path), parent as directory:
        if not directory.is_writable(name):
            raise ToolError(f"{path!r} is read-only; unchanged.")
        with _temporary(directory) as temporary:
            _fill(directory, temporary, data, replaced=name)
            with directory.reserved():
                _check(directory, name, path, expected)
                if directory.exchange(temporary, name):
                    _keep_if_expected(directory, temporary, name, path, expected)
                else:
                    directory.replace(temporary, name)
        directory.sync()


def create_file(path: str, data: bytes, *, umask: int) -> None:
    """Creates a file and its parents. Raises ToolError if anything is there already."""
    with _translated(path):
        parent, name = containing(path)
        _make_parents(parent.path, umask)
        with parent as directory, _temporary(directory) as temporary:
            _fill(directory, temporary, data, mode=0o666 & ~umask)
            with directory.reserved():
                _publish(directory, temporary, name, path)
            directory.sync()


def _check(directory: OpenDirectory, name: str, path: str, expected: str) -> None:
    if digest_of(load_entry(directory, name, path).data) != expected:
        raise ToolError(f"{path!r} was changed by somebody else just now; view it again.")


def _keep_if_expected(
    directory: OpenDirectory, temporary: str, name: str, path: str, expected: str
) -> None:
    """`temporary` names what was replaced. Puts it back, and raises, if it is not what we saw."""
    ours = directory.stat(name)
    try:
        _check(directory, temporary, path, expected)
    except ToolError:
        directory.exchange(temporary, name)
        if not os.path.samestat(directory.stat(temporary), ours):
            # Somebody replaced ours meanwhile: theirs is the latest and stays.
            directory.exchange(temporary, name)
        raise


def _publish(directory: OpenDirectory, temporary: str, name: str, path: str) -> None:
    taken = f"{path!r} was created by somebody else just now; view it."
    try:
        directory.link(temporary, name)
    except FileExistsError as exc:
        raise ToolError(taken) from exc
    except OSError as exc:
        # FAT, some network and container file systems have no links.
        if exc.errno not in _NO_LINKS:
            raise
        if directory.exists(name):
            raise ToolError(taken) from exc
        directory.replace(temporary, name)


@contextlib.contextmanager
def _temporary(directory: OpenDirectory) -> Iterator[str]:
    """A name that is free, and free again afterwards."""
    name = f".crush-{secrets.token_hex(6)}.tmp"
    try:
        yield name
    finally:
        with contextlib.suppress(FileNotFoundError):
            directory.unlink(name)


def _fill(
    directory: OpenDirectory, temporary: str, data: bytes, *, mode: int = 0, replaced: str = ""
) -> None:
    """Write and sync the file; mode, owner and attributes are those of `replaced`, if there is one."""
    descriptor = directory.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    with open(descriptor, "wb", buffering=0) as file:
        view = memoryview(data)
        while view:
            view = view[file.write(view) :]
        if sys.platform != "win32":
            if replaced:
                mode = _keep_owner(descriptor, directory.stat(replaced))
            os.fchmod(descriptor, mode)
        if sys.platform == "linux" and replaced:
            _keep_attributes(descriptor, directory, replaced)
        os.fsync(descriptor)


def _keep_owner(descriptor: int, owner: os.stat_result) -> int:
    """Gives the file to `owner` if we may; its mode, without set-id bits if we may not."""
    mine = os.fstat(descriptor)
    mode = owner.st_mode & 0o7777
    if (mine.st_uid, mine.st_gid) == (owner.st_uid, owner.st_gid):
        return mode
    try:
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
    except PermissionError:
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, -1, owner.st_gid)
        return mode & 0o777
    return mode


def _keep_attributes(descriptor: int, directory: OpenDirectory, replaced: str) -> None:
    """Access lists, labels and the like; capabilities were granted to the old content."""
    source = directory.open(replaced, os.O_RDONLY)
    try:
        for name in os.listxattr(source):
            if name != "security.capability":
                with contextlib.suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(source, name))
    finally:
        os.close(source)


def _make_parents(path: str, umask: int) -> None:
    missing: list[str] = []
    while not os.path.lexists(path):
        path, name = os.path.split(path)
        missing.append(name)
    for name in reversed(missing):
        with OpenDirectory(path) as directory:
            directory.make(name, umask=umask)
        path = os.path.join(path, name)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be written: {exc.strerror or exc}; unchanged.") from exc
