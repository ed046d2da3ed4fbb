"""Chooses the sandbox of this machine: the best one from inside which nothing gets out.

A sandbox that is not tried is a hope. Each candidate runs `probe.py` once; whatever works there
makes it count as absent, with the reason.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources

import anyio
import anyio.to_thread
from msgspec import Struct

from crush.errors import CrushError
from crush.paths import home
from crush.sandbox.child import signal_group
from crush.sandbox.fence import Fence
from crush.sandbox.sandbox import Sandbox
from crush.sandbox.walls import available_walls

_PATIENCE_S = 10
_LINUX_REMEDY = "install bubblewrap (`apt install bubblewrap`, `dnf install bubblewrap`, …)"
_NAMESPACES_REMEDY = (
    "let users make namespaces: `sysctl kernel.unprivileged_userns_clone=1`, or on Ubuntu"
    " `sysctl kernel.apparmor_restrict_unprivileged_userns=0`"
)
_MOST_ADDRESS = 100


class _Stage(Struct, frozen=True, kw_only=True):
    """What a probe is let loose on; `environment` is the digest of ours."""

    python: str
    program: str
    environment: str
    fence: Fence
    socket: str
    port: int
    outside: str


async def find_sandbox(env: Mapping[str, str], *, hidden: Sequence[str]) -> Sandbox:
    """The sandbox for a server that keeps its own things in `hidden`, directories that exist."""
    hidden = await anyio.to_thread.run_sync(_real, hidden)
    walls = await anyio.to_thread.run_sync(available_walls)
    failed: list[str] = []
    for wall in walls:
        sandbox = Sandbox(wall=wall, hidden=hidden, reason=wall.limits, remedy="")
        worked = await _try_to_get_out(sandbox, env, hidden)
        if not worked:
            if wall.kind == "landlock":
                sandbox.remedy = _NAMESPACES_REMEDY if failed else _LINUX_REMEDY
            sandbox.reason = "; ".join((*failed, *filter(None, [sandbox.reason])))
            return sandbox
        failed.append(f"{wall.kind} does not hold: {worked}")
    reason = "; ".join(failed) or f"this system ({sys.platform}) has none that we know"
    remedy = _NAMESPACES_REMEDY if failed else _LINUX_REMEDY
    return Sandbox(
        wall=None,
        hidden=hidden,
        reason=reason,
        remedy=remedy if sys.platform == "linux" else "",
    )


def _real(paths: Sequence[str]) -> list[str]:
    return [os.path.realpath(path) for path in paths]


async def _try_to_get_out(sandbox: Sandbox, env: Mapping[str, str], hidden: Sequence[str]) -> str:
    """What worked, or why it could not be tried; "" if the sandbox holds."""
    stages = contextlib.ExitStack()
    try:
        stage = await anyio.to_thread.run_sync(_set_stage, stages, env, hidden)
        with anyio.fail_after(_PATIENCE_S):
            said = await _run_probe(sandbox, stage)
    except (OSError, TimeoutError, CrushError) as exc:
        return f"its self-test failed: {exc}"
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(stages.close)
    lines = said.splitlines()
    if lines[-1:] != ["done"]:
        return f"its self-test said {said[:200]!r}"
    return ", ".join(lines[:-1])


async def _run_probe(sandbox: Sandbox, stage: _Stage) -> str:
    argv = [stage.python, "-I", "-S", "-c", stage.program, stage.socket, str(stage.port)]
    argv += [str(os.getpid()), stage.environment, stage.outside]
    output = os.path.join(stage.fence.root, "output")
    fd = await anyio.to_thread.run_sync(os.open, output, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        child = await sandbox.start(
            argv,
            fence=stage.fence,
            cwd=stage.fence.root,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},
            umask=0o077,
            stdout=fd,
            stderr=fd,
        )
        try:
            await child.wait()
        finally:
            with anyio.CancelScope(shield=True):  # a server that leaves leaves nothing behind
                if child.returncode is None:
                    signal_group(child.pid, signal.SIGKILL)
                    await child.wait()
        said = await anyio.to_thread.run_sync(os.pread, fd, 4096, 0)
        return said.decode(errors="replace")
    finally:
        os.close(fd)


def _own_environment() -> bytes:
    """As the kernel shows it: from the start of the process, whatever was set since."""
    with contextlib.suppress(OSError), open("/proc/self/environ", "rb") as file:
        return file.read()
    return b""


def _set_stage(
    stages: contextlib.ExitStack, env: Mapping[str, str], hidden: Sequence[str]
) -> _Stage:
    try:
        top = os.path.realpath(tempfile.mkdtemp(prefix="crush-probe-"))
        stages.callback(shutil.rmtree, top, ignore_errors=True)
        for name in ("root", "tmp"):
            os.mkdir(os.path.join(top, name))
        listener = stages.enter_context(socket.create_server(("127.0.0.1", 0)))
        fence = Fence(root=os.path.join(top, "root"), tmp=os.path.join(top, "tmp"))
        token = secrets.token_hex(4)
        probe = resources.files("crush.sandbox").joinpath("probe.py")
        return _Stage(
            # Not that of a virtual environment, which may lie where the fence hides it.
            python=os.path.realpath(sys.executable),
            program=probe.read_text(encoding="utf-8"),
            environment=hashlib.sha256(_own_environment()).hexdigest(),
            fence=fence,
            socket=stages.enter_context(_listening_in([*hidden, top], f".probe-{token}")),
            port=listener.getsockname()[1],
            outside=os.path.join(home(env), f".crush-probe-{token}"),
        )
    except BaseException:
        stages.close()
        raise


@contextlib.contextmanager
def _listening_in(directories: Sequence[str], name: str) -> Iterator[str]:
    """A socket in the first directory that takes one, where it lies as ours does."""
    for directory in directories:
        path = os.path.join(directory, name)
        if len(os.fsencode(path)) > _MOST_ADDRESS:
            continue
        with socket.socket(socket.AF_UNIX) as listener:
            try:
                listener.bind(path)
            except OSError:
                continue
            try:
                listener.listen()
                yield path
            finally:
                os.unlink(path)
            return
    raise OSError("no directory takes a socket")
