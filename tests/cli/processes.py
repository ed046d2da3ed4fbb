"""Running `crush` in ways that `Machine` does not: with a stdin, on a terminal, with closed streams."""

import contextlib
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crush.launch.host import parse_host
from crush.launch.http import request
from tests.e2e.machine import DEADLINE_S, Machine

Done = subprocess.CompletedProcess[bytes]


def fed(machine: Machine, project: Path, data: bytes, *arguments: str) -> Done:
    """`crush` with `data` in a pipe at its stdin."""
    return subprocess.run(
        machine.command(project, *arguments),
        env=machine.env,
        input=data,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def redirected(machine: Machine, project: Path, redirection: str, *arguments: str) -> Done:
    """`crush` as a shell starts it with a redirection such as `<&-`."""
    return subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {redirection}', "sh", *machine.command(project, *arguments)],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )


def on_terminal(
    command: Sequence[str],
    env: Mapping[str, str],
    *,
    lines: int = 24,
    columns: int = 80,
    typed: str = "",
) -> tuple[int, str]:
    """The exit code, and what a terminal of that size got on stdout and stderr."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    with subprocess.Popen(
        command, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        os.write(ours, typed.encode())
        seen = b""
        with contextlib.suppress(OSError):  # EIO: the last process has closed it
            while piece := os.read(ours, 65536):
                seen += piece
        code = process.wait(DEADLINE_S)
    os.close(ours)
    return code, seen.decode().replace("\r\n", "\n")


def ask(machine: Machine, method: str, path: str) -> dict[str, Any]:
    """The server's answer, as another client gets it."""
    host = parse_host(machine.host)
    reply = request(host, method, path, headers={}, body=b"", timeout_s=DEADLINE_S)
    assert reply.status == 200, reply.status_line
    return dict(reply.json())


def last_record(output: str | bytes) -> dict[str, Any]:
    """The last line of a JSON output."""
    record: dict[str, Any] = json.loads(output.splitlines()[-1])
    return record
