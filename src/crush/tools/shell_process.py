"""Runs one shell command: its own process group, no terminal, ended as a group, never waited for.

The umask is set by the kernel call that starts the process, so the command's text, `$0` and
syntax errors are exactly the user's. POSIX only.
"""

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping
from subprocess import DEVNULL

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import Process
from msgspec import Struct

from crush.errors import ToolError
from crush.tools.bounded_output import BoundedOutput
from crush.tools.output_pipe import OutputPipe

_TERM_S = 2
_CLEANUP_S = 5
_POLL_S = 0.02

# Programs that would page, edit or ask have nobody to talk to.
_NON_INTERACTIVE = {
    "TERM": "xterm-256color",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "JJ_PAGER": "cat",
    "MANPAGER": "cat",
    "EDITOR": "false",
    "VISUAL": "false",
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "JJ_EDITOR": "false",
    "GIT_TERMINAL_PROMPT": "0",
    "CRUSH": "1",
    "AGENT": "crush",
    "AI_AGENT": "crush",
}


class ShellOutcome(Struct, frozen=True, kw_only=True):
    """`exit_code` as a shell tells it: 128 + N for signal N. `ended_jobs`: some were left."""

    exit_code: int
    stdout: BoundedOutput
    stderr: BoundedOutput
    ended_jobs: bool


async def run_shell(
    command: str, *, cwd: str, env: Mapping[str, str], umask: int, emit: Callable[[str], None]
) -> ShellOutcome:
    """Runs the command to its end. Cancellation ends the whole process group.

    Background jobs of the command end with it (SIGTERM, after 2 s SIGKILL); a daemon that has
    made itself its own session lives on. Output that was written when the shell ends is kept.
    """
    with OutputPipe(emit=emit) as out, OutputPipe(emit=emit) as err:
        process = await _start(command, cwd=cwd, env=env, umask=umask, out=out, err=err)
        out.close_writer()
        err.close_writer()
        ended_jobs = False
        try:
            async with anyio.create_task_group() as followers:
                followers.start_soon(out.follow)
                followers.start_soon(err.follow)
                returncode = await process.wait()
                followers.cancel_scope.cancel()
            out.drain()
            err.drain()
        finally:
            with anyio.move_on_after(_CLEANUP_S, shield=True):
                ended_jobs = await _end_group(process)
    exit_code = returncode if returncode >= 0 else 128 - returncode
    return ShellOutcome(
        exit_code=exit_code, stdout=out.output, stderr=err.output, ended_jobs=ended_jobs
    )


def find_shell(env: Mapping[str, str]) -> list[str]:
    """The start of the command line: bash without start-up files, sh where there is none."""
    directories = [
        directory
        for directory in env.get("PATH", os.defpath).split(os.pathsep)
        if os.path.isabs(directory)  # a relative one could be the repository's
    ]
    path = os.pathsep.join([*directories, "/bin", "/usr/bin"])
    if bash := shutil.which("bash", path=path):
        return [bash, "--norc", "--noprofile"]
    if sh := shutil.which("sh", path=path):
        return [sh]
    raise ToolError("There is no shell on this machine.")


async def _start(
    command: str,
    *,
    cwd: str,
    env: Mapping[str, str],
    umask: int,
    out: OutputPipe,
    err: OutputPipe,
) -> Process:
    if sys.platform == "win32":
        raise ToolError("bash needs a POSIX system.")
    shell = await anyio.to_thread.run_sync(find_shell, env)
    # A start that is cut in two would leave a process nobody knows of.
    with anyio.CancelScope(shield=True):
        try:
            process = await anyio.open_process(
                [*shell, "-c", "--", command],
                stdin=DEVNULL,
                stdout=out.writer,
                stderr=err.writer,
                cwd=cwd,
                env={**env, **_NON_INTERACTIVE},
                start_new_session=True,
                umask=umask,
            )
        except (OSError, ValueError) as exc:
            raise ToolError(f"The command cannot start: {exc}.") from exc
    return process


async def _end_group(process: Process) -> bool:
    """Ends what is left of the group and reaps the shell; whether anything was left."""
    if process.returncode is not None and not await anyio.to_thread.run_sync(_lives, process.pid):
        return False
    _signal_group(process.pid, signal.SIGTERM)
    _signal_group(process.pid, signal.SIGCONT)  # what is stopped hears nothing
    with anyio.move_on_after(_TERM_S):
        await process.wait()
        await anyio.to_thread.run_sync(_wait_group_gone, process.pid)
        return True
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()
    return True


def _wait_group_gone(group: int) -> None:
    """Runs in a thread until the group has ended or the waiting task is cancelled."""
    while _lives(group):
        anyio.from_thread.check_cancelled()
        time.sleep(_POLL_S)


def _lives(group: int) -> bool:
    return _signal_group(group, 0) and _has_living_member(group)


def _signal_group(group: int, number: int) -> bool:
    """False when there is no such group, or none of it is ours to signal."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _has_living_member(group: int) -> bool:
    """Zombies do not count: who reaps an orphan is not in our hands."""
    if not sys.platform.startswith("linux"):
        return True
    return any(name.isdigit() and _is_member(name, group) for name in os.listdir("/proc"))


def _is_member(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, pgrp = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(pgrp) == group and state not in {b"Z", b"X"}
