"""`bash`: one shell command. No time limit: what takes long goes on as a background job.

A command that failed at its fence may be run again without it, if a person lets it.
"""

import os
import time
from collections.abc import Awaitable, Callable
from typing import Annotated

import anyio
import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.sandbox.fence import SandboxKind
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.exit_text import exit_text
from crush.tools.fence_refusal import refusal
from crush.tools.jobs import new_mark, now_ms
from crush.tools.launcher import Confines, FencedLauncher, Launcher, PlainLauncher
from crush.tools.session_tmp import make_session_tmp
from crush.tools.shell_process import ShellOrder, ShellProcess
from crush.tools.target_path import CallArgs, Shown, check_directory, resolve_directory
from crush.wire.jobs import Job
from crush.wire.params import BashParams

MAX_CHARS = 30_000
FENCED_TMP = "/tmp"  # noqa: S108 - a directory of the session is mounted there
_BACKGROUND_AFTER_S = 60
_INSTANT_FAILURE_S = 1


class BashArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `bash`; `auto_background_after` in seconds, 0 is the default."""

    command: str
    description: Annotated[str, Meta(description="what it does, in a few words")] = ""
    working_dir: str = ""
    run_in_background: bool = False
    auto_background_after: Annotated[int, Meta(description="seconds, default 60")] = 0


class BashMetadata(Struct, frozen=True, kw_only=True):
    """The call for front ends; times in milliseconds. `shell_id` is that of the job, or ""."""

    start_time: int
    end_time: int
    output: str
    description: str
    working_directory: str
    background: bool
    shell_id: str
    sandbox: SandboxKind


class _Done(Struct, frozen=True, kw_only=True):
    """What became of the command. `job` None: it has ended."""

    text: str
    sandbox: SandboxKind
    job: Job | None = None
    refused: str = ""


class BashTool:
    """A command that fails is a result, not an error of the tool."""

    name = "bash"
    args_type = BashArgs
    read_only = False

    def __init__(self, *, description: str, sandbox: Callable[[], Awaitable[Confines]]) -> None:
        self.description = description
        self._sandbox = sandbox
        self._shown = Shown()

    def needs(self, args: BashArgs, context: ToolContext) -> list[Need]:
        directory = _directory(args, context)
        self._shown.remember(args, directory)
        return [
            Need(
                tool=self.name,
                action="execute",
                kind="execute",
                target=args.command,
                directory=directory,
                description=f"Execute command: {args.command}",
                params=BashParams(
                    command=args.command,
                    description=args.description,
                    working_dir=args.working_dir,
                    run_in_background=args.run_in_background,
                    auto_background_after=args.auto_background_after,
                ),
            )
        ]

    async def run(self, args: BashArgs, context: ToolContext) -> ToolResult:
        directory = await anyio.to_thread.run_sync(_directory, args, context)
        self._shown.check_path(args, directory)
        started = time.time_ns() // 1_000_000
        launcher, tmp = await self._confine(context)
        done = await _perform(args, context, directory, launcher=launcher, tmp=tmp)
        if done.refused:
            done = await _escape(args, context, directory, done)
        shown = clean_text(directory)
        return ToolResult(
            content=f"{done.text}\n\n<cwd>{shown}</cwd>" if done.text else "no output",
            metadata=BashMetadata(
                start_time=started,
                end_time=now_ms(),
                output=done.text,
                description=clean_text(args.description),
                working_directory=shown,
                background=done.job is not None,
                shell_id="" if done.job is None else done.job.id,
                sandbox=done.sandbox,
            ),
        )

    async def _confine(self, context: ToolContext) -> tuple[Launcher, str]:
        """Who starts the command, and its directory for temporary files ("" for the client's)."""
        if context.fence is None:
            return PlainLauncher(), ""
        sandbox = await self._sandbox()
        if sandbox.kind == "none":
            raise ToolError("Not run: it may only run in a sandbox, and this machine has none.")
        await anyio.to_thread.run_sync(make_session_tmp, context.tmp)
        launcher = FencedLauncher(sandbox=sandbox, fence=context.fence)
        return launcher, FENCED_TMP if sandbox.kind == "bubblewrap" else context.tmp


async def _perform(
    args: BashArgs, context: ToolContext, directory: str, *, launcher: Launcher, tmp: str
) -> _Done:
    """Runs it until it ends or becomes a job. Cut off, it is ended with all that it started."""
    jobs = context.jobs
    if args.run_in_background:
        jobs.check_room()
    order = ShellOrder(
        command=args.command,
        cwd=directory,
        workspace=context.cwd,
        env=context.env,
        umask=context.umask,
        tmp=tmp,
        mark=new_mark(),
        only_reads=context.only_reads,
    )
    begun = now_ms()
    process = await jobs.start(order, launcher=launcher, emit=context.emit_output)
    is_told = False
    try:
        with anyio.move_on_after(_patience(args)):
            await process.wait()
        if not process.is_done and not args.run_in_background and not jobs.has_room:
            await process.wait()
        if process.is_done:
            done = await _ended(process, context)
        else:
            job = await jobs.keep(process, _described(args, context, directory, process, begun))
            done = await _handed_over(args, context, process, job)
        is_told = True
    finally:
        if not is_told:
            with anyio.CancelScope(shield=True):
                await jobs.abandon(process)
    return done


async def _escape(args: BashArgs, context: ToolContext, directory: str, failed: _Done) -> _Done:
    """Again without the fence if that is allowed; otherwise the failure, explained."""
    if not await context.escape(f"the sandbox refused {failed.refused}"):
        note = (
            f"(The sandbox refused {failed.refused}. Running it outside the sandbox needs a"
            " permission, which was not given. Go on without it if you can.)"
        )
        return _Done(text=_joined(failed.text, note), sandbox=failed.sandbox)
    done = await _perform(args, context, directory, launcher=PlainLauncher(), tmp="")
    note = f"(The sandbox refused {failed.refused}; with permission it ran again outside.)"
    return _Done(text=_joined(done.text, note), sandbox=done.sandbox, job=done.job)


def _patience(args: BashArgs) -> float:
    if args.run_in_background:
        return _INSTANT_FAILURE_S
    return args.auto_background_after if args.auto_background_after > 0 else _BACKGROUND_AFTER_S


async def _ended(process: ShellProcess, context: ToolContext) -> _Done:
    """stdout, then stderr, then what there is to say about the end."""
    stderr = process.stderr(MAX_CHARS // 2).rstrip("\n")
    stdout = process.stdout(MAX_CHARS - len(stderr)).rstrip("\n")
    refused = ""
    if (fence := context.fence) is not None:
        refused = await anyio.to_thread.run_sync(
            lambda: refusal(
                kind=process.kind,
                fence=fence,
                cwd=process.order.cwd,
                exit_code=process.exit_code,
                stdout=stdout,
                stderr=stderr,
                may_write=_may_write,
            )
        )
    notes = [f"({clean_text(notice)})" for notice in process.notices]
    if process.left_jobs:
        notes.append("(background jobs of this command were ended with it)")
    text = _joined(stdout, stderr, *notes, exit_text(process.exit_code))
    return _Done(text=text, sandbox=process.kind, refused=refused)


async def _handed_over(
    args: BashArgs, context: ToolContext, process: ShellProcess, job: Job
) -> _Done:
    found = await context.jobs.text(job.id, limit=MAX_CHARS)
    text = "" if found is None else found.text.rstrip("\n")
    why = "Started" if args.run_in_background else f"Still running after {_patience(args):g} s, now"
    note = f"({why} as background job {job.id}: job_output reads it, job_kill ends it.)"
    return _Done(text=_joined(text, note), sandbox=process.kind, job=job)


def _described(
    args: BashArgs, context: ToolContext, directory: str, process: ShellProcess, begun_ms: int
) -> Job:
    return Job(
        id="",
        session_id=context.session_id,
        run_id=context.run_id,
        tool_call_id=context.call_id,
        command=clean_text(args.command),
        description=clean_text(args.description),
        working_directory=clean_text(directory),
        state="running",
        sandbox=process.kind,
        started_at_ms=begun_ms,
    )


def _directory(args: BashArgs, context: ToolContext) -> str:
    """The real working directory. Raises ToolError if the call cannot work."""
    if not args.command.strip():
        raise ToolError("command is empty.")
    directory = resolve_directory(args.working_dir, context)
    check_directory(directory)
    return directory


def _may_write(path: str) -> bool:
    """Whether the user may, at least by the permissions of what is there."""
    while not os.path.lexists(path):
        path = os.path.dirname(path)
    return os.access(path, os.W_OK)


def _joined(*parts: str) -> str:
    return "\n".join(filter(None, parts))
