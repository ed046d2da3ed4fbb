"""Host URLs: what they mean, which directory belongs to them, and a raw connection to one.

One function maps a URL to a connection, so that probe, thin client and SDK cannot disagree.
Imports only what the interpreter has loaded anyway, and the C core of `socket`: the module itself makes
enumerations of all its constants, for 8 ms of CPU.
"""

import _socket
import errno
import os
import stat
import sys
import time

from crush.errors import BlockedError, HostError, NotListeningError, StartError
from crush.paths import Env, cache_dir

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    import socket
    from typing import Self, TypeAlias

    from crush.launch.npipe import PipeStream

    Connection: TypeAlias = "Stream | socket.socket | PipeStream"

MAX_UNIX_PATH = 107 if sys.platform.startswith("linux") else 103
# Crush's own rule for its default; macOS allows one byte less.
_MAX_DEFAULT_PATH = min(104, MAX_UNIX_PATH)
_SAFE = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_UNEXPECTED = frozenset(" ?#\\")
_MAX_PORT = 65535
_RETRY_S = 0.005
# A full backlog (the first is Linux's), and what a server that is leaving may cause.
_TRANSIENT = frozenset((errno.EAGAIN, errno.EWOULDBLOCK, errno.ECONNRESET, errno.ECONNABORTED))
# <sys/un.h> of macOS and the BSDs; Python has no names for them.
_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES = 0, 1, 76


class Stream(_socket.socket):
    """A unix connection: what `socket.socket` adds to its core, as far as clients need it."""

    __slots__ = ()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Host:
    """Where a server listens: `scheme://address`, and a base path that only tcp hosts have."""

    __slots__ = ("address", "base", "scheme")

    def __init__(self, *, scheme: str, address: str, base: str = "") -> None:
        self.scheme = scheme
        self.address = address
        self.base = base

    # `@override` lives in `typing`, see above.
    def __str__(self) -> str:  # type: ignore[explicit-override]
        return f"{self.scheme}://{self.address}{self.base}"

    def __eq__(self, other: object) -> bool:  # type: ignore[explicit-override]
        return isinstance(other, Host) and str(self) == str(other)

    def __hash__(self) -> int:  # type: ignore[explicit-override]
        return hash(str(self))


def parse_host(text: str) -> Host:
    """The host that a URL names; `HostError` says what is wrong with it."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        raise HostError(f"invalid host format: {text}")
    if scheme == "tcp":
        return _parse_tcp(rest)
    if scheme == "unix":
        if not hasattr(_socket, "AF_UNIX"):
            raise HostError("this system has no unix sockets", hint="use npipe:// or tcp://")
        return Host(scheme=scheme, address=_unix_path(rest))
    if scheme == "npipe":
        if not rest or not rest.isprintable():
            raise HostError(f"invalid npipe name: {rest!r}")
        return Host(scheme=scheme, address=rest)
    raise HostError(f"unknown host scheme {scheme!r}", hint="use unix://, tcp:// or npipe://")


def _parse_tcp(rest: str) -> Host:
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    # All of it ends up in a request line, a header and a file name.
    if not rest.isprintable() or not _UNEXPECTED.isdisjoint(rest):
        raise HostError(f"invalid tcp address: unexpected character in {rest!r}")
    try:
        split_authority(authority)
    except ValueError as exc:
        raise HostError(f"invalid tcp address: {exc}") from exc
    return Host(scheme="tcp", address=authority, base=slash + path)


def split_authority(authority: str) -> tuple[str, int]:
    """Host name and port of `name:port` or `[v6]:port`; `ValueError` tells what is wrong."""
    name, colon, port = authority.rpartition(":")
    if not colon or port.endswith("]"):
        raise ValueError(f"missing port in {authority!r}")
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
        if ":" not in name:
            raise ValueError(f"not an IPv6 address: {name!r}")
    elif ":" in name or "[" in name or "]" in name:
        raise ValueError(f"an IPv6 address needs brackets: {authority!r}")
    if not name:
        raise ValueError(f"missing host in {authority!r}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= _MAX_PORT):
        raise ValueError(f"invalid port {port!r}")
    return name, int(port)


def _unix_path(path: str) -> str:
    if not path or "\0" in path:
        raise HostError(f"invalid unix socket path: {path!r}")
    # The server works in `/`: a relative path must mean the same file to both sides.
    path = path if os.path.isabs(path) else os.path.abspath(path)
    if (length := len(os.fsencode(path))) > MAX_UNIX_PATH:
        raise HostError(
            f"unix socket path is {length} bytes long, this system allows {MAX_UNIX_PATH}: {path}",
            hint="use a shorter path",
        )
    return path


if sys.platform == "win32":

    def own_uid() -> int:
        """Files and pipes have no uids there; their access lists are not judged."""
        return 0

    def _default(env: Env) -> Host:
        return Host(scheme="npipe", address=f"//./pipe/pycrush-{_safe(env.get('USERNAME', ''))}")
else:

    def own_uid() -> int:
        return os.geteuid()

    def _default(env: Env) -> Host:
        uid = own_uid()
        name = f"pycrush-{uid}.sock"
        directory = os.path.abspath(_runtime_dir(env))
        if len(os.fsencode(os.path.join(directory, name))) > _MAX_DEFAULT_PATH:
            directory = f"/tmp/pycrush-{uid}"  # noqa: S108 - its owner and mode are checked
        return Host(scheme="unix", address=os.path.join(directory, name))


def default_host(env: Env) -> Host:
    """The host of a client that was told none; a socket's directory is made, or checked."""
    host = _default(env)
    if host.scheme == "unix":
        make_private_dir(os.path.dirname(host.address))
    return host


def is_default(host: Host, env: Env) -> bool:
    return host == _default(env)


def _runtime_dir(env: Env) -> str:
    # `su` and containers leave another user's directory behind: not an error, just not ours.
    runtime = env.get("XDG_RUNTIME_DIR", "")
    if os.path.isabs(runtime) and _is_private(runtime):
        return runtime
    return os.path.join(cache_dir(env), "run")


def _is_private(path: str) -> bool:
    """Whether `path` is a directory (no link) that nobody but us can enter."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    if not stat.S_ISDIR(info.st_mode):
        return False
    return sys.platform == "win32" or (info.st_uid == own_uid() and not info.st_mode & 0o077)


def make_private_dir(path: str) -> None:
    """Make a 0700 directory, or check that the one which is there is just that."""
    if _is_private(path):
        return
    try:
        # The mode is that of the last directory only.
        os.makedirs(path, 0o700, exist_ok=True)
    except OSError as exc:
        cause = exc.strerror or str(exc)
        raise StartError(f"failed to create server working directory: {cause}: {path}") from exc
    if not _is_private(path):
        raise StartError(
            f"{path!r} is not a private directory of ours",
            hint="it must be a directory, owned by you, with mode 0700",
        )


def _safe(text: str) -> str:
    return "".join(c if c in _SAFE else "_" for c in text)


def safe_name(host: Host) -> str:
    """The host as part of a file name (W 1.1)."""
    return _safe(str(host))


def server_dir(host: Host, env: Env) -> str:
    """Runtime state of a host's server: its logs, and the locks of hosts that are no sockets."""
    return os.path.join(os.path.abspath(cache_dir(env)), f"server-{safe_name(host)}")


def dial(host: Host, *, timeout_s: float) -> "Connection":
    """A connected stream to the server at `host`.

    A full backlog is retried until the time is up: it means a busy server, never a dead one.

    Raises:
        NotListeningError: nothing is there; a server may be started.
        BlockedError: something is in the way that waiting does not remove.
        StartError: something is there, and too busy to accept a connection in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return _connect(host, max(deadline - time.monotonic(), 0.001))
        except (FileNotFoundError, ConnectionRefusedError) as exc:
            raise NotListeningError(f"nothing listens at {host}: {_cause(exc)}") from exc
        except OSError as exc:
            message = f"cannot connect to {host}: {_cause(exc)}"
            if not (isinstance(exc, TimeoutError) or exc.errno in _TRANSIENT):
                raise BlockedError(message) from exc
            if time.monotonic() + _RETRY_S > deadline:
                raise StartError(message) from exc
        time.sleep(_RETRY_S)


def _connect(host: Host, timeout_s: float) -> "Connection":
    if host.scheme == "tcp":
        # It tries every address of a name, which the core cannot.
        from socket import create_connection  # noqa: PLC0415

        connected = create_connection(split_authority(host.address), timeout_s)
        connected.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
        return connected
    if host.scheme == "npipe":
        # Only here: the module needs Windows.
        from crush.launch.npipe import open_pipe  # noqa: PLC0415

        return open_pipe(host.address, timeout_s=timeout_s)
    sock = Stream(unix_family())
    try:
        sock.settimeout(timeout_s)
        sock.connect(host.address)
        check_peer(sock)
    except BaseException:
        sock.close()
        raise
    return sock


def unix_family() -> int:
    # Not an attribute everywhere; `parse_host` has refused such hosts there.
    family: int = getattr(_socket, "AF_UNIX")  # noqa: B009 - see above
    return family


def _cause(exc: OSError) -> str:
    return exc.strerror or str(exc) or type(exc).__name__


def peer_uid(sock: _socket.socket) -> int | None:
    """The uid at the other end of a unix connection; None where the system does not tell."""
    if sys.platform.startswith("linux"):
        # struct ucred {pid, uid, gid}
        credentials = sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_PEERCRED, 12)
    elif sys.platform == "darwin" or "bsd" in sys.platform:
        # struct xucred {version, uid, …}
        credentials = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, _XUCRED_BYTES)
    else:
        return None
    return int.from_bytes(credentials[4:8], sys.byteorder)


def check_peer(sock: _socket.socket) -> None:
    """Refuse a socket that another user put where ours should be (W 39)."""
    uid = peer_uid(sock)
    if uid is not None and uid != own_uid():
        raise BlockedError(
            f"the server at this socket belongs to uid {uid}, not to you",
            hint="remove the socket or choose another --host",
        )


def is_loopback(host: Host) -> bool:
    """Whether a tcp host can only be reached from this machine."""
    name = split_authority(host.address)[0]
    if name == "localhost":
        return True
    for family, prefix in ((_socket.AF_INET, b"\x7f"), (_socket.AF_INET6, b"\0" * 15 + b"\x01")):
        try:
            return _socket.inet_pton(family, name).startswith(prefix)
        except OSError:
            continue
    return False
