"""The two locks of a host: who may start a server, and who is the server.

`flock` on files that are never removed: `<socket>.start` and `<socket>.lock` beside a socket,
because clients with different cache directories may share one host; elsewhere in the host's
state directory, by machine, because a cache may lie on a shared home.
"""

import _socket
import contextlib
import os
import stat
import sys

from crush.errors import StartError
from crush.launch.host import Host, make_private_dir, server_dir
from crush.launch.thin_json import dumps, loads
from crush.paths import Env

TYPE_CHECKING = False  # `typing` is worth 4 ms
if TYPE_CHECKING:
    from typing import Self

if sys.platform == "win32":
    import msvcrt

    # Far behind the content: a locked region of Windows cannot be read by others.
    _LOCKED_BYTE = 1 << 30

    def _lock(fd: int) -> None:
        os.lseek(fd, _LOCKED_BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except PermissionError as exc:
            raise BlockingIOError(exc.errno, "held by another process") from exc

    def _check_owner(path: str, fd: int) -> None:
        """Access lists are not judged."""
else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _check_owner(path: str, fd: int) -> None:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise StartError(f"lock file {path!r} is not a regular file")
        if info.st_uid != os.geteuid():
            raise StartError(f"lock file {path!r} belongs to uid {info.st_uid}, not to you")
        if info.st_mode & 0o077:
            os.fchmod(fd, 0o600)


class LockHeldError(StartError):
    """Another process is the server of this host."""

    def __init__(self, path: str, holder: dict[str, object]) -> None:
        pid = holder.get("pid")
        self.pid = pid if isinstance(pid, int) else 0
        who = f"process {self.pid}" if self.pid else "another process"
        super().__init__(f"{who} holds the server lock {path}", hint="`crush stop --force` ends it")


class FileLock:
    """An exclusive lock that lasts until the last copy of its descriptor is closed.

    A child that inherits the descriptor keeps the lock when we die.
    """

    __slots__ = ("_fd", "path")

    def __init__(self, path: str, fd: int) -> None:
        self.path = path
        self._fd = fd

    def fileno(self) -> int:
        return self._fd

    def is_current(self) -> bool:
        """Whether the file we locked is still the one that others would find."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return os.path.samestat(found, os.fstat(self._fd))

    def record(self, holder: dict[str, object]) -> None:
        """Write down who holds the lock; only error texts depend on it."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, dumps(holder).encode())

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def start_lock_path(host: Host, env: Env) -> str:
    return _path(host, env, "start")


def server_lock_path(host: Host, env: Env) -> str:
    return _path(host, env, "lock")


def _path(host: Host, env: Env, kind: str) -> str:
    if host.scheme == "unix":
        return f"{host.address}.{kind}"
    return os.path.join(server_dir(host, env), f"{_socket.gethostname()}.{kind}")


def try_lock(path: str) -> FileLock | None:
    """The lock, or None while another process holds it; `StartError` if it cannot be had at all."""
    while True:
        try:
            fd = _open(path)
        except OSError as exc:
            raise StartError(f"cannot open lock file {path!r}: {exc.strerror}") from exc
        lock = FileLock(path, fd)
        try:
            _lock(fd)
        except BlockingIOError:
            lock.close()
            return None
        except OSError as exc:
            lock.close()
            raise StartError(f"cannot lock {path!r}: {exc.strerror}") from exc
        # A cleaner of temporary directories may have removed it between the two calls.
        if lock.is_current():
            return lock
        lock.close()


def _open(path: str) -> int:
    directory = os.path.dirname(path)
    if os.path.basename(directory).startswith("server-"):
        make_private_dir(directory)
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    fd = os.open(path, flags, 0o600)
    try:
        _check_owner(path, fd)
    except BaseException:
        os.close(fd)
        raise
    return fd


def find_holder(path: str) -> LockHeldError | None:
    """Who holds a server lock, as the error that it may become; None if nobody does."""
    if not os.path.exists(path):
        return None
    lock = try_lock(path)
    if lock is None:
        return LockHeldError(path, read_holder(path))
    lock.close()
    return None


def read_holder(path: str) -> dict[str, object]:
    """What the holder of a server lock wrote down; empty if that cannot be read."""
    with contextlib.suppress(OSError, ValueError), open(path, "rb") as file:
        holder = loads(file.read(4096))
        if isinstance(holder, dict):
            return holder
    return {}
