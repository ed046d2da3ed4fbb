"""Tries to get out of a fence, from inside: a program of its own, given to `python -c` as text.

Prints a word for each way that worked, then `done`. Standard library only, and nothing of ours.
Arguments: a socket, a port, a process and the digest of its environment, a file to write outside.
"""

import contextlib
import ctypes
import hashlib
import os
import socket
import sys

_SOME_TIME_S = 0.5
_MS_REMOUNT_BIND = 32 | 4096
_NEW_USER_AND_MOUNTS = 0x10000000 | 0x00020000


def main(arguments: list[str]) -> None:
    own_socket, port, server, digest, outside = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    found = [
        *_writes("write", outside),
        *_writes("usr", "/usr/.crush-probe"),
        *_opens("core_pattern", "/proc/sys/kernel/core_pattern"),
        *_connects("socket", socket.AF_UNIX, own_socket),
        *_connects("network", socket.AF_INET, ("127.0.0.1", int(port))),
        *_reads("environment", f"/proc/{server}/environ", digest),
        *_remounts("remount", libc),
    ]
    if hasattr(libc, "unshare") and libc.unshare(_NEW_USER_AND_MOUNTS) == 0:
        found += _remounts("namespace", libc)
    sys.stdout.write("\n".join([*found, "done", ""]))


def _writes(word: str, path: str) -> list[str]:
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
    except OSError:
        return []
    os.unlink(path)
    return [word]


def _opens(word: str, path: str) -> list[str]:
    try:
        os.close(os.open(path, os.O_WRONLY))
    except OSError:
        return []
    return [word]


def _connects(word: str, family: int, address: object) -> list[str]:
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as outgoing:
        outgoing.settimeout(_SOME_TIME_S)
        outgoing.connect(address)  # type: ignore[arg-type]  # what the family wants
        return [word]
    return []


def _reads(word: str, path: str, digest: str) -> list[str]:
    """The digest tells the server from another process of that number in here."""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        return [word] if hashlib.sha256(file.read()).hexdigest() == digest else []
    return []


def _remounts(word: str, libc: ctypes.CDLL) -> list[str]:
    if not hasattr(libc, "unshare"):  # not Linux
        return []
    return [word] if libc.mount(b"none", b"/", None, _MS_REMOUNT_BIND, None) == 0 else []


if __name__ == "__main__":
    main(sys.argv[1:])
