"""Background jobs and the end of the server: nothing that it started is left."""

import json
import os
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.e2e.machine import Machine, is_alive, wait_until

DAEMON = """
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open("daemon.tmp", "w") as file:
            file.write(str(os.getpid()))
        os.rename("daemon.tmp", "daemon")
        time.sleep(600)
    os._exit(0)
os.wait()
"""


def job(command: str) -> str:
    call = {"command": command, "description": "d", "run_in_background": True}
    return "TOOL bash " + json.dumps(call)


def told(project: Path) -> list[dict[str, object]]:
    """What the log of a project says of its jobs, in order."""
    with closing(sqlite3.connect(f"file:{project}/.crush/crush.db?mode=ro", uri=True)) as database:
        rows = database.execute(
            "SELECT body FROM py_events WHERE type = 'job_updated' ORDER BY seq"
        ).fetchall()
    return [json.loads(body)["job"] for (body,) in rows]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc to find daemons")
def test_jobs_end_with_the_server_and_are_told_of(machine: Machine) -> None:
    project = machine.project("p")
    (project / "daemon.py").write_text(DAEMON)
    done = machine.run(
        project,
        "run",
        "-y",
        job("trap '' TERM; python3 daemon.py; echo $$ >stubborn; while :; do sleep 0.05; done")
        + "\n---\n"
        + job("exec >&- 2>&-; echo $$ >silent; exec sleep 600")
        + "\n---\n"
        + job("echo $$ >loud; exec yes")
        + "\n---\nSAY started",
    )
    assert done.returncode == Exit.OK, done.stderr
    wait_until((project / "daemon").exists)
    pids = [int((project / name).read_text()) for name in ("stubborn", "silent", "loud", "daemon")]
    assert all(map(is_alive, pids))
    server = machine.server_pid()
    started = time.monotonic()
    os.kill(server, signal.SIGTERM)
    wait_until(lambda: not is_alive(server))
    assert time.monotonic() - started < 10
    assert not any(map(is_alive, pids))
    ends = [said for said in told(project) if said["state"] != "running"]
    assert sorted(str(said["id"]) for said in ends) == ["001", "002", "003"]
    assert {said["ended_by"] for said in ends} == {"server"}
    assert "Traceback" not in machine.server_log()
    left = [
        file for file in (machine.home / ".cache" / "crush" / "tmp").rglob("*") if file.is_file()
    ]
    assert left == []
