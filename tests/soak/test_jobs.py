"""A job that writes 2 GB, and fifty at once that write what they can: memory, disk, descriptors, time."""

import json
import os
import time
from pathlib import Path

import pytest

from crush.errors import Exit
from crush.tools.jobs import MAX_RUNNING
from crush.tools.output_file import CAP_BYTES
from tests.e2e.machine import Machine, is_alive, wait_until
from tests.soak.counts import descriptors, end_server, peak_mib, resident_mib

pytestmark = pytest.mark.soak

SIZE = 2 * 1024**3
MOST_MIB = 200.0
LINE = "0123456789abcde"


def call(tool: str, **arguments: object) -> str:
    return f"TOOL {tool} {json.dumps(arguments)}"


def background(command: str) -> str:
    return call("bash", command=command, description="d", run_in_background=True)


def nameless_bytes(pid: int) -> int:
    """What the open files of a process hold on the disk that have no name."""
    total = 0
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        if str(os.readlink(fd)).endswith(" (deleted)"):
            total += fd.stat().st_blocks * 512
    return total


def test_two_gigabytes_cost_neither_memory_nor_disk(machine: Machine, share: float) -> None:
    size = int(SIZE * share)
    project = machine.project("p")
    script = [
        background(
            f"yes {LINE} | head -c {size}; touch written; until [ -e go ]; do sleep 0.1; done"
        ),
        "SAY started",
    ]
    # Detached: the jobs of another run end when nobody follows it any more.
    done = machine.run(project, "run", "-y", "--detach", "\n---\n".join(script))
    assert done.returncode == Exit.OK, done.stderr
    server = machine.server_pid()
    wait_until((project / "written").exists, within_s=300)
    assert peak_mib(server) < MOST_MIB
    assert nameless_bytes(server) <= CAP_BYTES + 64 * 1024
    read = machine.run(
        project,
        "run",
        "-y",
        "-C",
        "--output-format",
        "json",
        call("job_output", shell_id="001") + "\n---\nECHO",
    )
    assert read.returncode == Exit.OK, read.stderr
    (project / "go").touch()
    end_server(machine)


def test_fifty_floods_at_once_leave_the_server_usable_and_nothing_behind(machine: Machine) -> None:
    project = machine.project("p")
    for start in range(0, MAX_RUNNING, 10):
        script = [background(f"echo $$ >pid{start + n}; exec yes {LINE}") for n in range(10)]
        done = machine.run(project, "run", "-y", "-C" if start else "-y", "\n---\n".join(script))
        assert done.returncode == Exit.OK, done.stderr
    server = machine.server_pid()
    pids = [int(file.read_text()) for file in project.glob("pid*")]
    assert len(pids) == MAX_RUNNING
    started = time.monotonic()
    assert machine.run(project, "run", "hi").returncode == Exit.OK
    assert time.monotonic() - started < 5
    assert peak_mib(server) < MOST_MIB
    assert nameless_bytes(server) <= MAX_RUNNING * (CAP_BYTES + 64 * 1024)
    assert resident_mib(server) < MOST_MIB
    assert descriptors(server) < 40 + 4 * MAX_RUNNING
    end_server(machine)
    assert not any(map(is_alive, pids))
