"""The shell commands of one project: those that a call waits for, and the jobs that go on without.

A command becomes a job where it stands: its process, pipes and record stay, it gets an id. Jobs end
with the server. What ended is kept for a while.
"""

import logging
import os
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct

from crush.errors import CrushError, ToolError
from crush.tools.clean_text import clean_bytes, open_end
from crush.tools.launcher import Launcher
from crush.tools.output_file import OutputFile
from crush.tools.shell_process import ShellOrder, ShellProcess, end_marked, start_shell
from crush.wire.events import JobUpdated
from crush.wire.ids import RunId
from crush.wire.jobs import Job, JobOutput

MAX_RUNNING = 50
MAX_ENDED = 50
KEEP_ENDED_S = 8 * 3600.0

log = logging.getLogger(__name__)

Publish = Callable[[JobUpdated], Awaitable[None]]


class _Entry:
    def __init__(self, process: ShellProcess, begun: Job) -> None:
        self.process = process
        self.begun = begun
        self.ended_by = ""
        self.ended_at_ms = 0

    @property
    def is_running(self) -> bool:
        return not self.ended_at_ms

    @property
    def is_old(self) -> bool:
        return not self.is_running and self.ended_at_ms < now_ms() - KEEP_ENDED_S * 1000

    def job(self) -> Job:
        job = msgspec.structs.replace(self.begun, output_bytes=self.process.record.size)
        if self.is_running:
            return job
        return msgspec.structs.replace(
            job,
            state="killed" if self.ended_by else "exited",
            exit_code=self.process.exit_code,
            ended_at_ms=self.ended_at_ms,
            ended_by=self.ended_by,
        )


class JobText(Struct, frozen=True, kw_only=True):
    """A job and what it wrote, cut in the middle if it is long."""

    job: Job
    text: str


class Jobs:
    """`directory` holds long output and may be shared; `tasks` outlives every call and every job.

    `publish` is told when a job began and ended, in this order.
    """

    def __init__(self, *, directory: str, tasks: TaskGroup, publish: Publish) -> None:
        self._directory = directory
        self._tasks = tasks
        self._publish = publish
        self._telling = anyio.Lock()
        self._entries: dict[str, _Entry] = {}
        self._by_process: dict[ShellProcess, _Entry | None] = {}  # those that run
        self._last_id = 0
        self._closing = False
        self._all_ended = anyio.Event()

    @property
    def running(self) -> int:
        """How many jobs run; commands that a call waits for are not jobs."""
        return sum(entry.is_running for entry in self._entries.values())

    @property
    def has_room(self) -> bool:
        return self.running < MAX_RUNNING

    def check_room(self) -> None:
        """Raises ToolError if no further job may run."""
        if not self.has_room:
            raise ToolError(
                f"{MAX_RUNNING} background jobs are running; end one with job_kill first."
            )

    async def start(
        self, order: ShellOrder, *, launcher: Launcher, emit: Callable[[str], None]
    ) -> ShellProcess:
        """Start a command that its caller waits for, and ends if it does not wait to the end."""
        if self._closing:
            raise ToolError("The server is stopping.")
        record = OutputFile(directory=self._directory)
        process = await start_shell(order, launcher=launcher, record=record, emit=emit)
        self._by_process[process] = None
        self._tasks.start_soon(self._follow, process)
        return process

    async def keep(self, process: ShellProcess, described: Job) -> Job:
        """Make it a job, described but for its id and state. It runs; there is room."""
        self.check_room()
        self._last_id += 1
        begun = msgspec.structs.replace(described, id=f"{self._last_id:03X}", state="running")
        entry = _Entry(process, begun)
        process.only_record()
        self._entries[begun.id] = entry
        self._by_process[process] = entry
        await self._tell(entry.job())
        return entry.job()

    async def abandon(self, process: ShellProcess) -> None:
        """Whoever was to learn of the command does not: end it, whatever it has become."""
        entry = self._by_process.get(process)
        if entry is not None:
            await self._end(entry, "session")
        elif not process.is_done:
            await process.end()

    def listed(self) -> list[Job]:
        """In the order of their beginning."""
        return [entry.job() for entry in self._entries.values() if not entry.is_old]

    def find(self, job_id: str) -> Job | None:
        """None for an unknown one."""
        entry = self._entries.get(job_id)
        return None if entry is None or entry.is_old else entry.job()

    async def wait(self, job_id: str) -> None:
        """Until the job has ended; at once for an unknown one."""
        if entry := self._entries.get(job_id):
            await entry.process.wait()

    async def kill(self, job_id: str, *, by: str) -> Job | None:
        """End a job with everything it started; as it is then. None for an unknown one."""
        entry = self._entries.get(job_id)
        if entry is None:
            return None
        await self._end(entry, by)
        return entry.job()

    async def end_of_run(self, run_id: RunId) -> None:
        """End those that a run has left and nobody will look after."""
        async with anyio.create_task_group() as ends:
            for entry in self._entries.values():
                if entry.begun.run_id == run_id:
                    ends.start_soon(self._end, entry, "session")

    async def text(self, job_id: str, *, limit: int) -> JobText | None:
        """What it wrote, clean, in at most about `limit` characters."""
        entry = self._entries.get(job_id)
        if entry is None:
            return None
        job = entry.job()  # first: what ended by now has written everything
        return JobText(job=job, text=await entry.process.record.text(limit))

    async def output(self, job_id: str, *, offset: int, limit: int) -> JobOutput | None:
        """A stretch of what it wrote, clean; it never ends within a character or an escape."""
        entry = self._entries.get(job_id)
        if entry is None:
            return None
        done = not entry.is_running
        found = await entry.process.record.read(offset=offset, limit=limit)
        held = open_end(found.data)
        if (done and found.is_last) or (held == len(found.data) and not found.is_last):
            held = 0
        shown = found.data[: len(found.data) - held]
        return JobOutput(
            text=clean_bytes(shown),
            offset=found.offset,
            next_offset=found.offset + len(shown),
            skipped=found.skipped,
            done=done and found.is_last,
        )

    async def close(self) -> None:
        """End everything, also what ended jobs have left behind, and wait until it is told."""
        self._closing = True
        marks = {entry.process.order.mark for entry in self._entries.values()}
        async with anyio.create_task_group() as ends:
            for process, entry in list(self._by_process.items()):
                ends.start_soon(
                    process.end if entry is None else partial(self._end, entry, "server")
                )
        if self._by_process:
            await self._all_ended.wait()
        await end_marked(marks)
        for entry in self._entries.values():
            await entry.process.record.close()
        self._entries.clear()

    async def _end(self, entry: _Entry, by: str) -> None:
        if entry.is_running:
            entry.ended_by = entry.ended_by or by
            await entry.process.end()

    async def _follow(self, process: ShellProcess) -> None:
        try:
            await process.follow()
        finally:
            entry = self._by_process[process]
            if entry is not None:
                entry.ended_at_ms = now_ms()
            try:
                await self._settle(process, entry)
            finally:
                del self._by_process[process]
                if self._closing and not self._by_process:
                    self._all_ended.set()

    async def _settle(self, process: ShellProcess, entry: _Entry | None) -> None:
        if entry is None:
            await process.record.close()
        else:
            await self._tell(entry.job())
            await self._forget()

    async def _tell(self, job: Job) -> None:
        async with self._telling:
            try:
                await self._publish(
                    JobUpdated(session_id=job.session_id, run_id=job.run_id, job=job)
                )
            except CrushError as exc:
                log.warning("job %s is not told of: %s", job.id, exc.message)

    async def _forget(self) -> None:
        """What ended long ago, or is too much."""
        ended = [entry for entry in self._entries.values() if not entry.is_running]
        ended.sort(key=lambda entry: entry.ended_at_ms)
        for number, entry in enumerate(ended):
            if number < len(ended) - MAX_ENDED or entry.is_old:
                del self._entries[entry.begun.id]
                await entry.process.record.close()


def new_mark() -> str:
    """For the processes of one command; nobody else's, whichever server started them."""
    return f"{os.getpid()}-{secrets.token_hex(8)}"


def now_ms() -> int:
    return time.time_ns() // 1_000_000
