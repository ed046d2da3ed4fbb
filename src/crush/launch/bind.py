"""The server's side of a host: the server lock, the socket, and giving both back.

Only the holder of the server lock touches the socket path. A socket is bound under another name
and renamed over the path, so that there is no moment without one.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
import time

from crush.errors import CrushError, HostError, NotListeningError, StartError
from crush.launch.host import Host, dial, is_loopback, own_uid, split_authority, unix_family
from crush.launch.lock import FileLock, LockHeldError, read_holder, server_lock_path, try_lock
from crush.paths import Env

BACKLOG = 1024
# A client that looks whether the lock is held takes it for an instant.
_LOCK_TRIES, _LOCK_PAUSE_S = 5, 0.01
_PROBE_S = 0.2
# What a vanished peer does not acknowledge for so long ends its connection.
_UNHEARD_MS = 30_000
_STAND_INS = (b"~", b"_", b"0")


class Listener:
    """A listening socket and the server lock of its host, until `close`.

    `socket` is None for a named pipe: who serves it creates it by its name, and the lock is all
    there is to hold.
    """

    def __init__(self, host: Host, *, env: Env, instance_id: str, allow_remote: bool) -> None:
        """Become the server of `host`.

        Raises:
            LockHeldError: another process is.
            StartError: the path is in use by something else, or cannot be used.
        """
        self._host = host
        self._env = env
        self._instance_id = instance_id
        self._identity: tuple[int, int] | None = None
        if host.scheme == "tcp" and not (allow_remote or is_loopback(host)):
            raise HostError(
                f"{host} can be reached from other machines", hint="--allow-remote permits that"
            )
        self._lock = _take_lock(host, env)
        try:
            self._record()
            self.socket = self._listen()
        except BaseException:
            self._lock.close()
            raise

    def _record(self) -> None:
        self._lock.record(
            {
                "pid": os.getpid(),
                "instance_id": self._instance_id,
                "started_at": int(time.time()),
            }
        )

    def _listen(self) -> socket.socket | None:
        if self._host.scheme == "tcp":
            return _listen_tcp(self._host)
        if self._host.scheme == "npipe":
            return None
        return self._listen_unix()

    def _listen_unix(self) -> socket.socket:
        path = self._host.address
        _check_in_the_way(self._host)
        bound, stand_in = _bind_beside(path)
        try:
            os.chmod(stand_in, 0o600)
            # Not before the mode is right: nobody can connect until then.
            bound.listen(BACKLOG)
            self._identity = _identity(stand_in)
            os.rename(stand_in, path)
        except BaseException as exc:
            bound.close()
            with contextlib.suppress(OSError):
                os.unlink(stand_in)
            if isinstance(exc, OSError):
                raise StartError(f"failed to listen on {path}: {exc.strerror}") from exc
            raise
        return bound

    def still_ours(self) -> bool:
        """Whether clients that look for this host find us: socket and lock file are in place."""
        if not self._lock.is_current():
            return False
        return self._identity is None or _identity(self._host.address) == self._identity

    def rebind(self) -> socket.socket | None:
        """Put lock file and socket back after someone removed them.

        Returns the new listening socket; the former one can still hold accepted connections and
        is the caller's to close. `LockHeldError` means that another server has taken our place.
        """
        if not self._lock.is_current():
            lock = _take_lock(self._host, self._env)
            self._lock.close()
            self._lock = lock
            self._record()
        if self._identity is not None and _identity(self._host.address) != self._identity:
            self.socket = self._listen_unix()
        return self.socket

    def withdraw(self) -> None:
        """Take no more clients: the path is removed if it is still our socket.

        The lock stays: a successor is started at once, but does not run before we are done.
        """
        if self._identity is not None and _identity(self._host.address) == self._identity:
            with contextlib.suppress(OSError):
                os.unlink(self._host.address)
        if self.socket is not None:
            self.socket.close()

    def close(self) -> None:
        """Give the host back; the lock is freed last."""
        self.withdraw()
        self._lock.close()


def _take_lock(host: Host, env: Env) -> FileLock:
    path = server_lock_path(host, env)
    for _ in range(_LOCK_TRIES):
        if (lock := try_lock(path)) is not None:
            return lock
        time.sleep(_LOCK_PAUSE_S)
    raise LockHeldError(path, read_holder(path))


def _identity(path: str) -> tuple[int, int] | None:
    try:
        info = os.lstat(path)
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _check_in_the_way(host: Host) -> None:
    """Refuse to replace anything but a dead socket of ours."""
    path = host.address
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise StartError(f"failed to listen on {path}: {exc.strerror}") from exc
    if not stat.S_ISSOCK(info.st_mode):
        raise StartError(
            f"{path} exists and is not a socket", hint="move it away or choose another --host"
        )
    if info.st_uid != own_uid():
        raise StartError(f"{path} is a socket of uid {info.st_uid}, not yours")
    if _listens(host):
        raise StartError(f"another program listens on {path}", hint="choose another --host")


def _listens(host: Host) -> bool:
    try:
        dial(host, timeout_s=_PROBE_S).close()
    except NotListeningError:
        return False
    except CrushError:
        return True
    return True


def _bind_beside(path: str) -> tuple[socket.socket, str]:
    """A socket under a name that is never longer than `path`, whose length is limited.

    The name is always the same, so that what a crash leaves behind is found by the next start.
    """
    for last in _STAND_INS:
        stand_in = os.fsdecode(os.fsencode(path)[:-1] + last)
        if stand_in == path:
            continue
        if _identity(stand_in) is not None:
            if not stat.S_ISSOCK(os.lstat(stand_in).st_mode):
                continue
            if _listens(Host(scheme="unix", address=stand_in)):
                continue
            with contextlib.suppress(OSError):
                os.unlink(stand_in)
        bound = socket.socket(unix_family())
        try:
            bound.bind(stand_in)
        except OSError as exc:
            bound.close()
            if exc.errno == errno.EADDRINUSE:
                continue
            raise StartError(f"failed to listen on {path}: {exc.strerror}") from exc
        return bound, stand_in
    raise StartError(f"failed to listen on {path}: no free name beside it")


def _listen_tcp(host: Host) -> socket.socket:
    name, port = split_authority(host.address)
    try:
        family, _, _, _, address = socket.getaddrinfo(
            name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except OSError as exc:
        raise StartError(f"failed to listen on {host.address}: {exc.strerror}") from exc
    try:
        if sys.platform == "win32":
            # There, SO_REUSEADDR would let another program take the port away.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # connections inherit it
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
        listening.bind(address)
        listening.listen(BACKLOG)
    except OSError as exc:
        listening.close()
        raise StartError(f"failed to listen on {host.address}: {exc.strerror}") from exc
    return listening
