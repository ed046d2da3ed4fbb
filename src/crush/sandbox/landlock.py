"""Landlock: what a thread, and all that it starts, may open. The fence where bubblewrap is missing.

Rules only add up: a protected file cannot be taken out of a directory that is granted. So the
directories on the way to it are not granted, only their other entries: nothing new can be made
there. Owns the rights and the order in which they are given up; never call it in a pooled thread.
"""

import ctypes
import os
from collections.abc import Iterator, Sequence

from msgspec import Struct

from crush.permissions.rules import is_within
from crush.sandbox.kernel import Kernel, machine
from crush.sandbox.layout import Layout
from crush.sandbox.seccomp import KEYRINGS, RINGS, SOCKETS, refusing

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_PATH_BENEATH = 1
# Of the first version only what is refused entirely is safe: it let files be truncated.
_OLDEST = 3
_WITH_NETWORK, _WITH_DEVICES, WITH_SCOPES = 4, 5, 6
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL_DEV = 1 << 14, 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV
_MADE_OF_NOTHING = (1 << 6) | (1 << 11)  # devices: nobody needs to make them
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


class Grant(Struct, frozen=True):
    """`rights` on a path and all below it."""

    path: str
    rights: int


def supported_version(kernel: Kernel) -> int:
    """Of the kernel's Landlock; 0 if it has none that is of use here."""
    if not machine():
        return 0
    try:
        version = kernel.syscall(_CREATE, 0, 0, 1)
    except OSError:
        return 0
    return version if version >= _OLDEST else 0


def grants(layout: Layout, *, tmp: str) -> tuple[Grant, ...]:
    """What a fence comes to. Looks at the disk: entries that appear later have no reader there."""
    closed = layout.of("hide")
    kept = (*closed, *layout.of("read"), *layout.links, *layout.absent)
    found = [Grant("/", _READ_DIR)]
    found += [Grant(path, _READ_FILE | _EXECUTE) for path in _around("/", closed)]
    for top in (tmp, *layout.of("write")):
        # A fence for the root of `.git` is another one than for the workspace around it.
        found += [Grant(path, _everything()) for path in _around(top, _inside(kept, top))]
    found += [Grant(path, _READ_FILE | _READ_DIR | _EXECUTE) for path in (tmp,)]
    devices = (os.path.join("/dev", name) for name in _DEVICES)
    found += [Grant(path, _READ_FILE | _WRITE_FILE) for path in devices if os.path.exists(path)]
    return tuple(found)


def open_ruleset(kernel: Kernel, version: int, wanted: Sequence[Grant]) -> int:
    """A descriptor of the rules; needs the rights of this thread, so before they are given up."""
    handled = _handled(version)
    ruleset = _Ruleset(handled, 3 if version >= _WITH_NETWORK else 0, 3)
    sizes = {True: ctypes.sizeof(_Ruleset), False: 16 if version >= _WITH_NETWORK else 8}
    fd = kernel.syscall(_CREATE, ctypes.byref(ruleset), sizes[version >= WITH_SCOPES], 0)
    try:
        for grant in wanted:
            _add(kernel, fd, grant.path, grant.rights & handled)
    except BaseException:
        os.close(fd)
        raise
    return fd


def restrict_this_thread(kernel: Kernel, ruleset: int) -> None:
    """For good: the thread has to end after it started what it was made for."""
    kernel.drop_capabilities()
    kernel.forbid_new_privileges()
    kernel.syscall(_RESTRICT, ruleset, 0)
    kernel.filter_calls(refusing(machine(), SOCKETS, RINGS, KEYRINGS, families=()))


def _handled(version: int) -> int:
    newest = _IOCTL_DEV if version >= _WITH_DEVICES else _TRUNCATE
    return (newest << 1) - 1


def _everything() -> int:
    return ((_IOCTL_DEV << 1) - 1) & ~_MADE_OF_NOTHING


def _inside(paths: Sequence[str], top: str) -> tuple[str, ...]:
    return tuple(path for path in paths if is_within(path, top))


def _around(top: str, holes: Sequence[str]) -> Iterator[str]:
    """Paths that together are `top` without `holes`; links lead elsewhere and are no part of it."""
    if top in holes:
        return
    inner = _inside(holes, top)
    if not inner:
        yield top
        return
    try:
        with os.scandir(top) as entries:
            names = [entry.path for entry in entries if not entry.is_symlink()]
    except OSError:
        return
    for path in names:
        yield from _around(path, inner)


def _add(kernel: Kernel, ruleset: int, path: str, rights: int) -> None:
    try:
        fd = kernel.open_place(path)
    except OSError:
        return  # it went away, is not ours to see, or a link now: nothing is granted
    try:
        directory = os.path.isdir(f"/proc/self/fd/{fd}")
        allowed = rights if directory else rights & _OF_FILES
        if allowed:
            kernel.syscall(_ADD, ruleset, _PATH_BENEATH, ctypes.byref(_Beneath(allowed, fd)), 0)
    finally:
        os.close(fd)
