"""Bubblewrap: what is not allowed is not mounted, and nothing of the machine is reachable.

Owns the command line. The options are said in a memory file: they may be many, and variables must
not show in a list of processes. No `--new-session`: signals must reach clean-up traps.
"""

import os
import stat
import subprocess
from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct

from crush.permissions.rules import is_within
from crush.sandbox.fence import Fence
from crush.sandbox.held import Held
from crush.sandbox.layout import Access, Layout

_ALWAYS = (
    # As root the rest is no fence without these: capabilities over our own mounts are as good as
    # real ones, and a further user namespace gives them all back.
    *("--unshare-user", "--disable-userns", "--cap-drop", "ALL"),
    *("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent"),
    *("--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"),
)
# Root owns these, so file modes do not stop it: `core_pattern` names a program the kernel runs.
# Bubblewrap itself looks after `sysrq-trigger`, `irq` and `bus`.
_KERNEL_OF_ROOT = ("fs", "acpi", "scsi", "dynamic_debug")
_PRIVATE = ("/tmp", "/run", "/dev", "/proc")  # noqa: S108 - names of mounts
_NAME_SERVICE = ("resolv.conf", "nsswitch.conf", "hosts")
# How a NixOS finds its programs.
_RUN_NEEDED = ("/run/current-system", "/run/booted-system", "/run/opengl-driver")
_SEARCHED = ("/usr/bin", "/bin", "/usr/local/bin", "/run/current-system/sw/bin")


class Wrapped(Struct, frozen=True, kw_only=True):
    """`arguments` go to bubblewrap by a descriptor; `env` has no variable that loads code into it."""

    arguments: tuple[str, ...]
    env: dict[str, str]


def find_bubblewrap() -> str:
    """The installed program, "" if there is none: never one that a PATH of somebody's names."""
    for directory in _SEARCHED:
        path = os.path.join(directory, "bwrap")
        if os.access(path, os.X_OK):
            return path
    return ""


def binds_descriptors(program: str) -> bool:
    """Whether this bubblewrap can mount what a descriptor stands for: versions since 2024 can."""
    done = subprocess.run(  # noqa: S603 - a program of the system
        [program, "--help"], capture_output=True, check=False, env={}, stdin=subprocess.DEVNULL
    )
    return b"--ro-bind-fd" in done.stdout


def wrap(
    *, fence: Fence, layout: Layout, cwd: str, env: Mapping[str, str], held: Held | None
) -> Wrapped:
    """The options of a fence; every path of `layout.absent` exists by now.

    With `held` places are mounted by descriptors, which are added there.
    """
    arguments = [*_ALWAYS, *_kernel(), *([] if fence.network else ["--unshare-net"])]
    arguments += ["--bind", fence.tmp, "/tmp", *_run(network=fence.network)]  # noqa: S108 - inside
    mounts = _needed({**dict.fromkeys(layout.absent, "read"), **layout.access})
    # Parents first: what is mounted later lies on top.
    for path in sorted(mounts, key=lambda name: (name.count(os.sep), name)):
        arguments += _mount(path, mounts[path], held)
    arguments += _sealed(mounts)
    for name in (name for name in env if _is_loader(name)):
        arguments += ["--setenv", name, env[name]]
    plain = {name: value for name, value in env.items() if not _is_loader(name)}
    return Wrapped(
        arguments=(*arguments, "--chdir", cwd),
        env={**plain, "TMPDIR": "/tmp"},  # noqa: S108 - a directory of this session inside
    )


def joined(arguments: Iterable[str]) -> bytes:
    """As `--args` reads them."""
    return b"".join(os.fsencode(argument) + b"\0" for argument in arguments)


def _kernel() -> Iterator[str]:
    yield from ("--ro-bind", "/proc/sys", "/proc/sys")
    for name in _KERNEL_OF_ROOT if os.geteuid() == 0 else ():
        path = f"/proc/{name}"
        if os.path.exists(path):
            yield from ("--ro-bind", path, path)


def _run(*, network: bool) -> Iterator[str]:
    """`/run` holds the sockets of daemons. Names are resolved by files that often lie there too."""
    if not os.path.isdir("/run") or os.path.islink("/run"):
        return
    yield from ("--tmpfs", "/run")
    needed = [path for path in _RUN_NEEDED if os.path.lexists(path)]
    if network:
        found = (os.path.realpath(os.path.join("/etc", name)) for name in _NAME_SERVICE)
        needed += [path for path in found if path.startswith("/run/") and os.path.isfile(path)]
    for path in needed:
        if os.path.islink(path):
            yield from ("--symlink", os.readlink(path), path)
        else:
            yield from ("--ro-bind", path, path)
    yield from ("--remount-ro", "/run")


def _mount(path: str, access: Access, held: Held | None) -> tuple[str, ...]:
    if access == "hide":
        is_directory = stat.S_ISDIR(os.stat(path).st_mode)
        return ("--tmpfs", path) if is_directory else ("--ro-bind", "/dev/null", path)
    bind = "--bind" if access == "write" else "--ro-bind"
    if held is None:
        return (f"{bind}-try", path, path)  # what is gone needs no guard
    fd = held.place(path)
    return () if fd is None else (f"{bind}-fd", str(fd), path)


def _needed(mounts: dict[str, Access]) -> dict[str, Access]:
    """Without those that lie in a directory that is not the machine's inside anyway."""
    writable = [path for path, access in mounts.items() if access == "write"]
    return {
        path: access
        for path, access in mounts.items()
        if not any(is_within(path, private) for private in _PRIVATE)
        or any(is_within(path, reached) for reached in writable)
    }


def _sealed(mounts: Mapping[str, Access]) -> Iterator[str]:
    """Hidden directories are empty and stay so, or one could be taken for ours."""
    for path, access in mounts.items():
        if access == "hide" and os.path.isdir(path):
            yield from ("--remount-ro", path)


def _is_loader(name: str) -> bool:
    """Variables that decide which code a program loads: bubblewrap itself runs outside."""
    return name.startswith(("LD_", "DYLD_")) or name == "GLIBC_TUNABLES"
