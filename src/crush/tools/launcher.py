"""How a command's process comes to be: as the user's own, or behind the fence of a sandbox.

One launcher starts one command and is asked about it; what is started leads its own process group,
has no terminal and no input.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from subprocess import DEVNULL
from typing import Protocol

import anyio

from crush.sandbox.fence import Child, Fence, SandboxKind


class Launcher(Protocol):
    """Starts one command."""

    @property
    def kind(self) -> SandboxKind:
        """What confines the command."""

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        umask: int,
        stdout: int,
        stderr: int,
    ) -> Child:
        """Raises OSError or ValueError: nothing was started."""

    def signal(self, child: Child, number: int) -> None:
        """To every process of a command that has not ended. May look through `/proc`: in a thread."""

    def notices(self) -> Sequence[str]:
        """What is to be said of the command once it was waited for: one sentence each."""


class FencedProcess(Child, Protocol):
    """A process behind a fence."""

    @property
    def notices(self) -> Sequence[str]: ...


class Confines(Protocol):
    """The sandbox of the server, as far as commands need it (`sandbox.sandbox.Sandbox`)."""

    kind: SandboxKind

    async def start(
        self,
        argv: Sequence[str],
        *,
        fence: Fence,
        cwd: str,
        env: Mapping[str, str],
        umask: int,
        stdout: int,
        stderr: int,
    ) -> FencedProcess: ...

    def signal(self, child: Child, number: int) -> None: ...


class PlainLauncher:
    """Without any fence: the command may do what the user may."""

    kind: SandboxKind = "none"

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        umask: int,
        stdout: int,
        stderr: int,
    ) -> Child:
        # The kernel call that starts the process sets the umask, so the command's text, `$0` and
        # its syntax errors are exactly the user's.
        return await anyio.open_process(
            argv,
            stdin=DEVNULL,
            stdout=stdout,
            stderr=stderr,
            cwd=cwd,
            env=env,
            start_new_session=True,
            umask=umask,
        )

    def signal(self, child: Child, number: int) -> None:
        signal_group(child.pid, number)

    def notices(self) -> Sequence[str]:
        return ()


class FencedLauncher:
    """Behind one fence of the server's sandbox."""

    def __init__(self, *, sandbox: Confines, fence: Fence) -> None:
        self.kind = sandbox.kind
        self._sandbox = sandbox
        self._fence = fence
        self._process: FencedProcess | None = None

    async def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        umask: int,
        stdout: int,
        stderr: int,
    ) -> Child:
        self._process = await self._sandbox.start(
            argv, fence=self._fence, cwd=cwd, env=env, umask=umask, stdout=stdout, stderr=stderr
        )
        return self._process

    def signal(self, child: Child, number: int) -> None:
        self._sandbox.signal(child, number)

    def notices(self) -> Sequence[str]:
        return () if self._process is None else self._process.notices


def signal_group(group: int, number: int) -> bool:
    """False when there is no such group, or none of it is ours to signal."""
    if sys.platform == "win32":
        return False
    try:
        os.killpg(group, number)
        if number == signal.SIGTERM:
            os.killpg(group, signal.SIGCONT)  # what is stopped hears nothing
    except (ProcessLookupError, PermissionError):
        return False
    return True
