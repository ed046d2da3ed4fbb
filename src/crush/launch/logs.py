"""The log files of a server: private, appended to, rotated by the holder of the server lock only."""

import contextlib
import os
import stat

from crush.errors import StartError

MAX_BYTES = 10 * 1024 * 1024
KEEP = 3
_TAIL_BYTES = 16 * 1024


def open_log(path: str) -> int:
    """A descriptor for appending to a log that only we can read."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    # O_NONBLOCK: somebody's pipe in its place is refused instead of waited for.
    for name in ("O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK"):
        flags |= getattr(os, name, 0)
    fd = os.open(path, flags, 0o600)
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise StartError(f"log file {path!r} is not a regular file")
    if hasattr(os, "fchmod") and info.st_mode & 0o077:
        os.fchmod(fd, 0o600)
    return fd


def rotate(path: str, fd: int, *, max_bytes: int = MAX_BYTES) -> bool:
    """Start a new file behind the same descriptor once the old one is full.

    `path` becomes `path.1`, and so on; three old ones are kept. Whoever writes to `fd`, be it the
    interpreter's own stderr, goes on without noticing.
    """
    if os.fstat(fd).st_size < max_bytes:
        return False
    for number in range(KEEP - 1, 0, -1):
        if os.path.exists(f"{path}.{number}"):
            os.replace(f"{path}.{number}", f"{path}.{number + 1}")
    with contextlib.suppress(FileNotFoundError):  # somebody cleaned up
        os.replace(path, f"{path}.1")
    fresh = open_log(path)
    try:
        os.dup2(fresh, fd, inheritable=os.get_inheritable(fd))
    finally:
        os.close(fresh)
    return True


def size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def tail(path: str, *, lines: int, since: int = 0) -> list[str]:
    """The last lines of a log, of what was appended after the first `since` bytes."""
    try:
        with open(path, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            # A file that shrank was rotated: then all of it is new.
            start = since if since <= end else 0
            file.seek(max(start, end - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-lines:]
