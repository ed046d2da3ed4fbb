"""What soak tests read off a server from outside: its database, its memory, its descriptors."""

import os
import signal
import sqlite3
from pathlib import Path

from tests.e2e.machine import Machine, is_alive, wait_until


def times(full: int, share: float) -> int:
    """How many rounds a share of `full` is."""
    return max(1, round(full * share))


def end_server(machine: Machine, number: signal.Signals = signal.SIGTERM) -> None:
    """Send the server a signal and wait until it is gone."""
    pid = machine.server_pid()
    os.kill(pid, number)
    wait_until(lambda: not is_alive(pid))


def ends_of_runs(project: Path) -> dict[str, int]:
    """How many `run_complete` the log of a project has for each of its runs."""
    with sqlite3.connect(f"file:{project}/.crush/crush.db?mode=ro", uri=True) as database:
        rows = database.execute(
            "SELECT id, (SELECT count(*) FROM py_events"
            " WHERE run_id = py_runs.id AND type = 'run_complete') FROM py_runs"
        ).fetchall()
    database.close()
    return {str(run_id): int(count) for run_id, count in rows}


def resident_mib(pid: int) -> float:
    return _memory_mib(pid, "VmRSS:")


def peak_mib(pid: int) -> float:
    return _memory_mib(pid, "VmHWM:")


def _memory_mib(pid: int, name: str) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))
