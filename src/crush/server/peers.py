"""Who may talk to this server: our own user, no browser page, no foreign host name (architecture §11).

On unix sockets the kernel names the peer's user. A process behind a fence of ours has the same user
and is refused by its user namespace: else it would approve its own requests. On loopback tcp the peer's user is looked up in the
kernel's connection table, the Host must be one of ours and an Origin is refused: that is what stops
web pages and DNS rebinding.
"""

import os
import socket
import struct
import sys
from asyncio import Transport
from contextlib import suppress
from weakref import WeakSet

import anyio.to_thread
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from crush.errors import ForbiddenError
from crush.launch.host import Host, is_loopback
from crush.sandbox.peer_namespace import is_fenced

_LOCAL_PEERCRED = 1  # macOS <sys/un.h>
_SOL_LOCAL = 0
_FOREIGN = "this server belongs to another user"
_GONE = "the connection is gone"
_FENCED = "a sandboxed process may not talk to this server"


def unix_peer(sock: socket.socket) -> tuple[int, int]:
    """User and process that connected to a unix socket; no process (0) where it is not told."""
    if sys.platform == "darwin":
        record = sock.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
        return int(struct.unpack_from("II", record)[1]), 0
    record = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, uid, _ = struct.unpack("3i", record)
    return int(uid), int(pid)


def tcp_peer(local: tuple[str, int], peer: tuple[str, int]) -> tuple[int, str] | None:
    """User and inode of the other end of a loopback connection; None if the kernel does not say.

    Reads a table of all connections: for a thread.
    """
    table = "/proc/net/tcp6" if ":" in peer[0] else "/proc/net/tcp"
    wanted = (_kernel_address(*peer[:2]), _kernel_address(*local[:2]))
    try:
        with open(table, encoding="ascii") as lines:
            for line in lines:
                fields = line.split()
                # A closed socket that still has data to deliver belongs to no process: its inode
                # is 0, and so is its uid, whoever sent that data.
                if (fields[1], fields[2]) == wanted and fields[9] != "0":
                    return int(fields[7]), fields[9]
    except OSError:
        return None
    return None


def holder_of(inode: str) -> int:
    """A process that holds this socket; 0 if none shows it. Looks at every process: for a thread."""
    wanted = f"socket:[{inode}]"
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as fds:  # ended, or not ours
            if any(_leads_to(fd.path, wanted) for fd in fds):
                return int(pid)
    return 0


def _leads_to(link: str, wanted: str) -> bool:
    try:
        return os.readlink(link) == wanted
    except OSError:
        return False  # closed meanwhile


def _kernel_address(host: str, port: int) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    packed = socket.inet_pton(family, host)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


def check_unix_peer(uid: int, pid: int) -> None:
    """Our own user, not behind a fence."""
    if uid != os.geteuid():
        raise ForbiddenError(_FOREIGN)
    if pid and is_fenced(pid):
        raise ForbiddenError(_FENCED)


def check_tcp_peer(local: tuple[str, int], peer_address: tuple[str, int]) -> None:
    """As `check_unix_peer`, by the kernel's tables. Blocks: for a thread."""
    peer = tcp_peer(local, peer_address)
    if peer is None or peer[0] != os.geteuid():
        raise ForbiddenError(_FOREIGN)
    if sys.platform == "linux":
        # Who shows no process hides it: a fenced one can, and nothing else has a reason to.
        pid = holder_of(peer[1])
        if not pid or is_fenced(pid):
            raise ForbiddenError(_FENCED)


def check_name(request: web.Request) -> None:
    """On tcp under one of our names, or not at all."""
    authority = request.headers.get("Host", "")
    if not is_ours(authority):
        raise ForbiddenError(f"host {authority!r} is not served here")


def is_ours(authority: str) -> bool:
    """Whether a Host header names this machine by a name that nobody else can make resolve to it."""
    for address in (authority.lower(), f"{authority.lower()}:80"):
        try:
            return is_loopback(Host(scheme="tcp", address=address))
        except ValueError:  # the port may be missing
            continue
    return False


def check_browser(request: web.Request) -> None:
    """No web page may ask anything, on any transport."""
    if "Origin" in request.headers:
        raise ForbiddenError("requests from web pages are refused")
    if request.headers.get("Sec-Fetch-Site", "none") != "none":
        raise ForbiddenError("requests from web pages are refused")


async def _check(transport: Transport, *, is_tcp: bool) -> None:
    if is_tcp:
        ends = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        await anyio.to_thread.run_sync(check_tcp_peer, *ends)
        return
    try:
        peer = unix_peer(transport.get_extra_info("socket"))
    except OSError as exc:
        raise ForbiddenError(_GONE) from exc
    # In the loop: a thread would take ten times as long, and meanwhile a client that has said
    # everything may hang up, which voids the body that it has sent.
    check_unix_peer(*peer)


def guard(*, is_tcp: bool) -> Middleware:
    """The middleware that runs the checks before anything else."""
    checked: WeakSet[Transport] = WeakSet()  # connections; the other end of one stays the same

    @web.middleware
    async def peers(request: web.Request, handler: Handler) -> web.StreamResponse:
        check_browser(request)
        if is_tcp:
            check_name(request)
        transport = request.transport
        if transport is None:
            raise ForbiddenError(_GONE)
        if transport not in checked:
            await _check(transport, is_tcp=is_tcp)
            checked.add(transport)
        return await handler(request)

    return peers
