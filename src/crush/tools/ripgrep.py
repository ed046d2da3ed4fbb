"""How a search is run: ripgrep, or our own walker as a process with the same output.

The walker is a process too, because Python's regex engine can be made to run for ever and only a
process can be ended. Records stream in until the reader has enough.
"""

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from subprocess import DEVNULL, PIPE

import anyio
import msgspec
from anyio.abc import ByteReceiveStream, Process
from msgspec import Struct

from crush import paths
from crush.errors import ToolError
from crush.permissions.rules import is_within
from crush.tools.base import ToolContext
from crush.tools.file_text import MAX_BYTES
from crush.tools.ignore_rules import builtin_file, user_file
from crush.tools.search_worker import Search

_MAX_RECORD_BYTES = 256 * 1024
_MAX_NAMED_BYTES = 2 * 1024**3
_MAX_ERROR_BYTES = 16 * 1024
_CLEANUP_S = 5
_PASSED = ("PATH", "HOME", "USERPROFILE", "XDG_CONFIG_HOME", "CRUSH_GLOBAL_CONFIG", "SYSTEMROOT")


class Finished(Struct, frozen=True):
    """How the process ended; `exit_code` None when it was stopped because there was enough."""

    exit_code: int | None
    errors: str


def find_ripgrep() -> str | None:
    """The binary of the `ripgrep` package, which lies beside our Python, else one on PATH."""
    name = "rg.exe" if sys.platform == "win32" else "rg"
    beside = os.path.join(os.path.dirname(sys.executable), name)
    return beside if os.access(beside, os.X_OK) else shutil.which("rg")


def search_command(search: Search, context: ToolContext, *, ripgrep: str | None) -> list[str]:
    """The arguments of the process that answers `search`: ripgrep, or our worker without one."""
    if ripgrep is None:
        request = msgspec.json.encode(search).decode()
        return [sys.executable, "-P", "-m", "crush.tools.search_worker", request]
    command = [ripgrep, "--no-config", "--no-messages", "--no-require-git"]
    ignore_files = [builtin_file(), user_file(context.env)]
    if is_within(search.root, context.cwd):
        ignore_files.append(os.path.join(context.cwd, ".crushignore"))
    for path in filter(os.path.isfile, ignore_files):
        command += ["--ignore-file", path]
    if search.hidden:
        command.append("--hidden")
    if search.names:
        # A type narrows; --glob would also bring back what the ignore files leave out.
        for name in search.names:
            command += ["--type-add", f"wanted:{name}"]
        command += ["--type", "wanted"]
    if search.pattern is None:
        return [*command, "--files", "--null", "--", search.root]
    if search.literal:
        command.append("--fixed-strings")
    # Of many files the large ones are no sources; one that is named is meant.
    most = _MAX_NAMED_BYTES if os.path.isfile(search.root) else MAX_BYTES
    command += ["--json", "--crlf", "--max-filesize", str(most)]
    return [*command, "-e", search.pattern, "--", search.root]


def relative_name(path: str, base: str) -> str:
    """A found path relative to where the search began, with `/`, as patterns are written."""
    return path.removeprefix(base).lstrip(os.sep).replace(os.sep, "/")


async def read_records(
    command: list[str],
    *,
    search: Search,
    context: ToolContext,
    separator: bytes,
    accept: Callable[[bytes], bool],
) -> Finished:
    """Runs the process and hands each record to `accept` until it returns False.

    A record that is too long arrives cut. The process never outlives the call.
    """
    env = {name: context.env[name] for name in _PASSED if name in context.env}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the worker finds what we find
    # ripgrep reads --ignore-file as relative to where it runs.
    cwd = context.cwd if is_within(search.root, context.cwd) else paths.home(context.env)
    process = await _start(command, cwd=cwd, env=env)
    errors = bytearray()
    stdout, stderr = process.stdout, process.stderr
    if stdout is None or stderr is None:
        raise RuntimeError("a process started with pipes has none")
    try:
        async with anyio.create_task_group() as readers:
            readers.start_soon(_collect, stderr, errors)
            more = await _split(stdout, separator, accept)
            if not more:
                readers.cancel_scope.cancel()
        exit_code = await process.wait() if more else None
        return Finished(exit_code, errors.decode(errors="replace").strip())
    finally:
        if process.returncode is None:
            process.kill()
        with anyio.move_on_after(_CLEANUP_S, shield=True):
            await process.aclose()


async def _start(command: list[str], *, cwd: str, env: Mapping[str, str]) -> Process:
    # A start that is cut in two would leave a process nobody knows of.
    with anyio.CancelScope(shield=True):
        try:
            process = await anyio.open_process(
                command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, cwd=cwd, env=env
            )
        except (OSError, ValueError) as exc:
            raise ToolError(f"The search cannot start: {exc}.") from exc
    return process


async def _split(
    stream: ByteReceiveStream, separator: bytes, accept: Callable[[bytes], bool]
) -> bool:
    """Feeds `accept`; False if it had enough before the end."""
    rest = b""
    skipping = False
    async for chunk in stream:
        data = rest + chunk
        if skipping:
            _, ended, data = chunk.partition(separator)
            skipping = not ended
        *records, rest = data.split(separator)
        if len(rest) > _MAX_RECORD_BYTES:
            # Its start is enough to know the file; collecting the rest costs its length squared.
            records.append(rest)
            rest, skipping = b"", True
        for record in records:
            if not accept(record):
                return False
    return not rest or accept(rest)


async def _collect(stream: ByteReceiveStream, into: bytearray) -> None:
    async for chunk in stream:
        into += chunk[: max(0, _MAX_ERROR_BYTES - len(into))]
