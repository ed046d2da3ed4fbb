"""`crush.lock`: one process at a time opens a data directory, Crush's own server included (F 1.6).

The lock is the flock; the JSON inside only tells who holds it. The file is never unlinked, since
two processes could then hold locks on two files of one name.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Self

from crush.errors import StoreError
from crush.store.failures import system_error

if sys.platform == "win32":
    import msvcrt

    _LOCKED_BYTE = 1 << 30  # beyond the text, so that others can read who holds the lock

    def _lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class DirectoryLock:
    """A held lock."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: str, *, version: str) -> Self:
        """Take the lock at once or raise a StoreError that names the holder."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            descriptor = os.open(path, flags, 0o600)
        except OSError as exc:
            raise system_error(exc, path) from exc
        try:
            _lock(descriptor)
            _write_holder(descriptor, version)
        except (BlockingIOError, PermissionError) as exc:
            error = _held(descriptor, path)
            os.close(descriptor)
            raise error from exc
        except OSError as exc:
            os.close(descriptor)
            raise system_error(exc, path) from exc
        return cls(descriptor)

    def release(self) -> None:
        """Let others in; a second call does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.ftruncate(descriptor, 0)
            os.close(descriptor)


def _write_holder(descriptor: int, version: str) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    holder = {"pid": os.getpid(), "version": version, "started_at": now}
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(holder).encode())


def _held(descriptor: int, path: str) -> StoreError:
    directory = os.path.dirname(path)
    try:
        holder = json.loads(os.read(descriptor, 4096))
        pid = int(holder["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        pid = 0
    if pid == os.getpid():
        return StoreError(f"the data directory {directory!r} is already open in this process")
    who = f"process {pid}" if pid else "another process"
    return StoreError(
        f"{who} has the data directory {directory!r} open",
        hint="Stop the crush that runs there, or set `options.data_directory` to another place.",
    )
