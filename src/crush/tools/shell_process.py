"""One shell command that runs: its process, its two streams, its one end.

Whoever starts it runs `follow` in a task that outlives every waiter; the call that wants the result
and the job that it may become only wait for it. POSIX only.
"""

import logging
import signal
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from functools import partial

import anyio
import anyio.to_thread
from msgspec import Struct

from crush.errors import ToolError
from crush.sandbox.fence import Child
from crush.tools.launcher import Launcher, signal_group
from crush.tools.output_file import OutputFile
from crush.tools.output_pipe import OutputPipe
from crush.tools.process_kin import group_lives, marked, signal_marked
from crush.tools.shell_env import find_shell, shell_env

_TERM_S = 2.0
_STRAY_TERM_S = 0.5
_KILL_S = 3.0
_POLL_S = 0.02
_POLL_MAX_S = 0.2

log = logging.getLogger(__name__)


class ShellOrder(Struct, frozen=True, kw_only=True):
    """What is to be run.

    Attributes:
        workspace: where no shell is taken from.
        env: of the client, as it is.
        tmp: the directory for temporary files; "" leaves the client's.
        mark: tells the command's processes from all others.
        only_reads: see `shell_env`.
    """

    command: str
    cwd: str
    workspace: str
    env: Mapping[str, str]
    umask: int
    tmp: str
    mark: str
    only_reads: bool


class ShellProcess:
    """A command that was started."""

    def __init__(
        self,
        *,
        order: ShellOrder,
        child: Child,
        launcher: Launcher,
        out: OutputPipe,
        err: OutputPipe,
        record: OutputFile,
    ) -> None:
        self.order = order
        self.record = record
        self.kind = launcher.kind
        self.left_jobs = False  # it ended and processes of its group did not
        self._child = child
        self._launcher = launcher
        self._out = out
        self._err = err
        self._stop = anyio.CancelScope()
        self._ended = anyio.Event()

    @property
    def is_done(self) -> bool:
        return self._ended.is_set()

    @property
    def exit_code(self) -> int:
        """As a shell tells it: 128 + N for signal N. Of a command that is done."""
        code = self._child.returncode
        if code is None:  # it hangs in the kernel, killed
            return 128 + signal.SIGKILL
        return code if code >= 0 else 128 - code

    @property
    def notices(self) -> list[str]:
        return list(self._launcher.notices())

    def stdout(self, limit: int) -> str:
        return self._out.output.text(limit)

    def stderr(self, limit: int) -> str:
        return self._err.output.text(limit)

    def only_record(self) -> None:
        """Its result is nobody's any more: from now on only the record has its output."""
        self._out.only_record()
        self._err.only_record()

    async def wait(self) -> None:
        """Until it has ended and all its output is recorded."""
        await self._ended.wait()

    async def end(self) -> None:
        """End it with everything that it started, and wait for that."""
        self._stop.cancel()
        await self.wait()

    async def follow(self) -> None:
        """Read what it writes until its own process has ended, then end what it left.

        A command that ends by itself takes its group along; a daemon that has made itself its own
        session lives on. A command that is ended takes that along too.
        """
        try:
            async with anyio.create_task_group() as readers:
                readers.start_soon(self._out.follow)
                readers.start_soon(self._err.follow)
                try:
                    with self._stop:
                        await self._wait_child()
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._end_rest()
                    readers.cancel_scope.cancel()
            await self._out.drain()
            await self._err.drain()
        finally:
            self._out.close()
            self._err.close()
            self._ended.set()

    async def _end_rest(self) -> None:
        if self._child.returncode is None:
            await self._end_all()
        elif await anyio.to_thread.run_sync(group_lives, self._child.pid):
            # What holds a fence up may outlive its command by a moment, and is no job of it.
            self.left_jobs = self.kind != "bubblewrap"
            await self._end_group()

    async def _end_all(self) -> None:
        await self._end_group()
        await end_marked({self.order.mark})

    async def _end_group(self) -> None:
        await anyio.to_thread.run_sync(self._signal, signal.SIGTERM)
        with anyio.move_on_after(_TERM_S):
            await self._wait_gone()
            return
        await anyio.to_thread.run_sync(self._signal, signal.SIGKILL)
        with anyio.move_on_after(_KILL_S):
            await self._wait_gone()

    async def _wait_child(self) -> None:
        """A server that is out of descriptors must not lose sight of its commands."""
        while True:
            try:
                await self._child.wait()
            except OSError as exc:
                log.warning("command %s cannot be waited for: %s", self.order.mark, exc)
                await anyio.sleep(_POLL_MAX_S)
            if self._child.returncode is not None:
                return

    async def _wait_gone(self) -> None:
        await self._wait_child()
        await _wait_none(partial(group_lives, self._child.pid))

    def _signal(self, number: int) -> None:
        """What holds a fence up must not be hit, and is gone when the command is."""
        if self._child.returncode is None:
            self._launcher.signal(self._child, number)
        else:
            signal_group(self._child.pid, number)


async def end_marked(marks: Collection[str]) -> None:
    """End what carries one of these marks and has left its group: SIGTERM, then SIGKILL."""
    if not await anyio.to_thread.run_sync(signal_marked, marks, signal.SIGTERM):
        return
    with anyio.move_on_after(_STRAY_TERM_S):
        await _wait_none(partial(marked, marks))
        return
    with anyio.move_on_after(_KILL_S):  # what they fork meanwhile is found by the next look
        await _wait_none(partial(signal_marked, marks, signal.SIGKILL))


async def _wait_none(look: Callable[[], object]) -> None:
    """Until nothing is found any more; the kernel tells nobody of processes that are not ours."""
    pause = _POLL_S
    while True:
        if not await anyio.to_thread.run_sync(look):
            return
        await anyio.sleep(pause)
        pause = min(pause * 2, _POLL_MAX_S)


async def start_shell(
    order: ShellOrder, *, launcher: Launcher, record: OutputFile, emit: Callable[[str], None]
) -> ShellProcess:
    """Start it. Raises ToolError if it cannot be."""
    if sys.platform == "win32":
        raise ToolError("bash needs a POSIX system.")
    shell = await anyio.to_thread.run_sync(lambda: find_shell(order.env, workspace=order.workspace))
    with ExitStack() as undo:
        try:
            out = OutputPipe(record=record, emit=emit)
            undo.callback(out.close)
            err = OutputPipe(record=record, emit=emit)
            undo.callback(err.close)
            # A start that is cut in two would leave a process nobody knows of.
            with anyio.CancelScope(shield=True):
                child = await launcher.start(
                    [*shell, "-c", "--", order.command],
                    cwd=order.cwd,
                    env=shell_env(
                        order.env, tmp=order.tmp, mark=order.mark, only_reads=order.only_reads
                    ),
                    umask=order.umask,
                    stdout=out.writer,
                    stderr=err.writer,
                )
        except (OSError, ValueError) as exc:
            raise ToolError(f"The command cannot start: {exc}.") from exc
        undo.pop_all()
    out.close_writer()
    err.close_writer()
    return ShellProcess(
        order=order, child=child, launcher=launcher, out=out, err=err, record=record
    )
