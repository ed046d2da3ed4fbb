"""`bash`: one shell command in the foreground. It has no time limit; cancelling the run ends it."""

import signal
import time
from typing import Annotated

import anyio.to_thread
from msgspec import Meta, Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.shell_process import ShellOutcome, run_shell
from crush.tools.target_path import CallArgs, Shown, check_directory, resolve_directory
from crush.wire.params import BashParams

_MAX_CHARS = 30_000


class BashArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `bash`; `auto_background_after` in seconds."""

    command: str
    description: Annotated[str, Meta(description="what it does, in a few words")] = ""
    working_dir: str = ""
    run_in_background: Annotated[bool, Meta(description="not available yet")] = False
    auto_background_after: int = 0


class BashMetadata(Struct, frozen=True, kw_only=True):
    """The call for front ends; times in milliseconds."""

    start_time: int
    end_time: int
    output: str
    description: str
    working_directory: str


class BashTool:
    """A command that fails is a result, not an error of the tool."""

    name = "bash"
    args_type = BashArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description
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
        started = time.time_ns()
        outcome = await run_shell(
            args.command,
            cwd=directory,
            env=context.env,
            umask=context.umask,
            emit=context.emit_output,
        )
        output = _output(outcome)
        return ToolResult(
            content=f"{output}\n\n<cwd>{directory}</cwd>" if output else "no output",
            metadata=BashMetadata(
                start_time=started // 1_000_000,
                end_time=time.time_ns() // 1_000_000,
                output=output,
                description=args.description,
                working_directory=directory,
            ),
        )


def _directory(args: BashArgs, context: ToolContext) -> str:
    """The real working directory. Raises ToolError if the call cannot work."""
    if args.run_in_background:
        raise ToolError("run_in_background is not available yet; run it in the foreground.")
    if not args.command.strip():
        raise ToolError("command is empty.")
    directory = resolve_directory(args.working_dir, context)
    check_directory(directory)
    return directory


def _output(outcome: ShellOutcome) -> str:
    """stdout, then stderr, then what there is to say about the end."""
    stderr = outcome.stderr.text(_MAX_CHARS // 2)
    stdout = outcome.stdout.text(_MAX_CHARS - len(stderr))
    notes: list[str] = []
    if outcome.ended_jobs:
        notes.append("(background jobs of this command were ended with it)")
    if outcome.exit_code:
        notes.append(f"Exit code {outcome.exit_code}{_signal_name(outcome.exit_code)}")
    return "\n".join(part for part in (stdout.rstrip("\n"), stderr.rstrip("\n"), *notes) if part)


def _signal_name(exit_code: int) -> str:
    try:
        return f" ({signal.Signals(exit_code - 128).name})"
    except ValueError:
        return ""
