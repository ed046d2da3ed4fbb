"""One server for a long time: memory, descriptors and threads stay as they are."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from crush.launch.host import parse_host
from crush.launch.http import open_stream
from crush.launch.thin_json import dumps, loads
from tests.e2e.machine import Machine, wait_until
from tests.soak.counts import descriptors, resident_mib, threads, times

pytestmark = pytest.mark.soak

RUNS = 10_000
STAGES = 10
CLIENTS = 4
PROJECTS = 2
# Caches of SQLite (8 MB a database) fill up slowly; nothing else grows.
MOST_MIB = 90.0
GROWTH_MIB = 8.0  # in the second half
SETTLED = STAGES // 2


def run_to_end(machine: Machine, project: Path, prompt: str) -> str:
    """One run on one connection; the state in which it ended."""
    body = {"path": str(project), "prompt": prompt, "env": machine.env, "mode": "yolo"}
    response = open_stream(
        parse_host(machine.host),
        "POST",
        "/v1/runs",
        headers={},
        body=dumps(body).encode(),
        budget_s=10,
    )
    last = ""
    for _, data in response.frames():
        last = data
    state: str = loads(last)["run"]["state"]
    return state


def test_ten_thousand_runs_leave_nothing_behind(machine: Machine, share: float) -> None:
    projects = [machine.project(f"p{i}") for i in range(PROJECTS)]
    for project in projects:
        assert machine.run(project, "run", "hi").stdout
    pid = machine.server_pid()
    memory: list[float] = []
    counts: list[tuple[int, int]] = []
    in_stage = times(RUNS, share) // STAGES or 1

    def one(number: int) -> str:
        prompt = 'TOOL view {"file_path": "crush.json"}' if number % 4 == 0 else "DELTAS 50"
        return run_to_end(machine, projects[number % PROJECTS], prompt)

    for stage in range(STAGES):
        with ThreadPoolExecutor(CLIENTS) as pool:
            states = set(pool.map(one, range(in_stage)))
        assert states == {"done"}
        memory.append(resident_mib(pid))
        counts.append((descriptors(pid), threads(pid)))
        sys.stdout.write(f"after {(stage + 1) * in_stage} runs: {memory[-1]:.1f} MiB, ")
        sys.stdout.write(f"{counts[-1][0]} descriptors, {counts[-1][1]} threads\n")
    assert machine.server_pid() == pid
    assert max(fds for fds, _ in counts[SETTLED:]) <= max(fds for fds, _ in counts[:SETTLED]) + 4
    assert max(t for _, t in counts[SETTLED:]) <= max(t for _, t in counts[:SETTLED]) + 4
    assert memory[-1] < MOST_MIB
    assert memory[-1] - memory[SETTLED - 1] < GROWTH_MIB, memory


def test_projects_that_nobody_uses_are_closed(machine: Machine) -> None:
    """A project costs a thread, connections and a lock only for as long as it is used."""
    first = machine.project("first")
    machine.run(first, "run", "hi")
    pid = machine.server_pid()
    before = descriptors(pid)
    projects = [machine.project(f"p{i}") for i in range(64)]
    for project in projects:
        assert run_to_end(machine, project, "hi") == "done"
    open_then = descriptors(pid), threads(pid)
    assert open_then[0] > before + 64
    wait_until(lambda: descriptors(pid) <= before, within_s=60)
    sys.stdout.write(f"64 projects: {open_then}, then {descriptors(pid), threads(pid)}, ")
    sys.stdout.write(f"{resident_mib(pid):.1f} MiB\n")
    assert threads(pid) < open_then[1] - 60
    assert threading.active_count() < 10
    assert os.path.exists(machine.socket)
