"""The data directory and its files: made private, checked, judged by the file system they are on."""

import os
import sys

from crush import paths
from crush.errors import StoreError
from crush.store.failures import system_error

# Machines that mount one of these share no memory, which the write-ahead log needs.
_NETWORK = (
    "nfs nfs4 cifs smb smb2 smb3 smbfs 9p afs ceph lustre glusterfs ncpfs"
    " fuse.sshfs fuse.glusterfs fuse.s3fs fuse.rclone"
)
_MOUNT_POINT = 4  # column of /proc/self/mountinfo


def make_private_dir(path: str) -> None:
    """Create the directory, 0700, with a `.gitignore` that covers all of it. Raises StoreError."""
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.makedirs(path, mode=0o700, exist_ok=True)
        _refuse_strangers(path)
        _create(os.path.join(path, ".gitignore"), b"*\n", 0o644)
    except OSError as exc:
        raise system_error(exc, path) from exc


def _refuse_strangers(path: str) -> None:
    """Whoever owns the directory reads and replaces what is in it. Root works for others, too."""
    if sys.platform == "win32":
        return
    owner = os.stat(path).st_uid
    if paths.is_planted(path) or (owner not in {os.geteuid(), 0} and os.geteuid() != 0):
        raise StoreError(
            f"the data directory {path!r} belongs to uid {owner}, not to you",
            hint="name one of your own with --data-dir, or `options.data_directory`",
        )


def make_private_file(path: str) -> bool:
    """Create a database file, 0600, in a private directory; whether its file system is local.

    SQLite gives its side files the mode of the database.
    """
    directory = os.path.dirname(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _create(path, b"", 0o600)
    except OSError as exc:
        raise system_error(exc, path) from exc
    return is_local(os.path.realpath(path), _mounts())


def is_local(path: str, mounts: str) -> bool:
    """Whether the mount that holds `path` is none of a network; `mounts` as Linux lists them."""
    best, kind = "", ""
    for line in mounts.splitlines():
        where, _, what = line.partition(" - ")
        point = where.split(" ")[_MOUNT_POINT].replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, what.split(" ")[0]
    return kind not in _NETWORK.split()


def _create(path: str, content: bytes, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def _mounts() -> str:
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:  # not Linux: SQLite itself says whether it can use the write-ahead log
        return ""
