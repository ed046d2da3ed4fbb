"""A process that was started behind a fence: waiting for it, and the processes that belong to it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import anyio
import anyio.to_thread


class FencedChild:
    """Implements `Child`. Reaped once, by whoever waits first; any number of tasks may wait."""

    def __init__(
        self, process: "subprocess.Popen[bytes]", *, settle: Callable[[], Sequence[str]]
    ) -> None:
        self._process = process
        self._settle = settle
        self._settled = anyio.Lock()
        self._notices: tuple[str, ...] | None = None

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    @property
    def notices(self) -> tuple[str, ...]:
        """What the fence has to say of a command that was waited for: one sentence each."""
        return self._notices or ()

    async def wait(self) -> int:
        while self._process.poll() is None:
            await self._wait_end()
        with anyio.CancelScope(shield=True):  # what it left behind is put right whoever gave up
            async with self._settled:
                if self._notices is None:
                    self._notices = tuple(await anyio.to_thread.run_sync(self._settle))
        return self._process.returncode

    async def _wait_end(self) -> None:
        if sys.platform != "linux":
            await anyio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)
            return
        # One for each waiter: a descriptor can be waited for once. The pid is a zombie's at worst.
        fd = os.pidfd_open(self.pid)
        try:
            await anyio.wait_readable(fd)
        finally:
            os.close(fd)


def signal_group(leader: int, number: int) -> None:
    """Every member of the group that is ours to signal; none is no error."""
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        return


def signal_below(leader: int, number: int, *, spare: int) -> bool:
    """Signals the descendants of `leader` that are more than `spare` generations below it.

    Whether there were any. Orphans count: inside a PID namespace they stay below its first process.
    """
    reached = list(_below(leader, spare))
    for pid in reached:
        try:
            os.kill(pid, number)
            if number in {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}:
                os.kill(pid, signal.SIGCONT)  # what is stopped hears nothing
        except (ProcessLookupError, PermissionError):
            continue
    return bool(reached)


def _below(leader: int, spare: int) -> Iterator[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            children.setdefault(_parent(name), []).append(int(name))
    generation, depth = [leader], 0
    while generation:
        generation = [child for parent in generation for child in children.get(parent, ())]
        depth += 1
        if depth > spare:
            yield from generation


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return -1
