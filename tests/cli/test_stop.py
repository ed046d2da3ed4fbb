"""`crush stop`: polite first; with `--force` it ends the server, and provably nothing else."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.e2e.machine import Machine, ended, is_alive, wait_until


def lock_of(machine: Machine) -> Path:
    return Path(f"{machine.socket}.lock")


def test_nothing_to_stop_is_well(machine: Machine) -> None:
    for options in ([], ["--force"]):
        done = machine.run(machine.root, "stop", *options)

        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout == f"no server is running at {machine.host}\n"
    assert not lock_of(machine).exists()


def test_an_idle_server_leaves(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi")
    pid = machine.server_pid()

    done = machine.run(machine.root, "stop")

    assert (done.returncode, done.stdout) == (0, f"stopped the server at {machine.host}\n")
    assert not machine.socket.exists()
    wait_until(lambda: not is_alive(pid))


def test_a_busy_server_stays_and_says_why(machine: Machine) -> None:
    project = machine.project("p")
    latch = machine.root / "latch"
    process = machine.start(project, "run", f"LATCH {latch}\nSAY safe")
    wait_until(lambda: machine.run(machine.root, "status", "--json").stdout.count("LATCH"))

    done = machine.run(machine.root, "stop")
    latch.touch()

    assert (done.returncode, done.stdout) == (Exit.ERROR, "")
    assert "the server is busy:\n  LATCH " in done.stderr
    assert f"(in {project})" in done.stderr
    assert "hint: `crush stop --force`" in done.stderr
    assert ended(process).stdout == "safe\n"


def test_force_ends_a_busy_server_at_a_stored_step(machine: Machine) -> None:
    project = machine.project("p")
    process = machine.start(project, "run", "SAY one\nPACE 50\nDELTAS 1000")
    wait_until(lambda: machine.run(machine.root, "status", "--json").stdout.count("SAY one"))
    pid = machine.server_pid()

    done = machine.run(machine.root, "stop", "--force")

    assert (done.returncode, done.stderr) == (0, "")
    assert ended(process).returncode == Exit.SERVER_LOST
    wait_until(lambda: not is_alive(pid))
    assert "one" in machine.run(project, "session", "last").stdout


def test_a_hung_server_is_not_touched_without_force(machine: Machine) -> None:
    with hung_server(machine) as pid:
        done = machine.run(machine.root, "stop")

        assert done.returncode == Exit.ERROR
        assert f"process {pid} is the server but does not answer" in done.stderr
        assert is_alive(pid)


@contextmanager
def hung_server(machine: Machine) -> Iterator[int]:
    machine.run(machine.project("p"), "run", "hi")
    pid = machine.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        if is_alive(pid):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.timeout(40)
@pytest.mark.soak
def test_force_kills_a_hung_server_after_its_time(machine: Machine) -> None:
    with hung_server(machine) as pid:
        process = machine.start(machine.root, "stop", "--force")
        out, err = process.communicate(timeout=30)

        assert (process.returncode, out) == (0, f"stopped the server at {machine.host}\n")
        assert "it did not leave within 15 s; killing it" in err
        assert not is_alive(pid)
    assert machine.run(machine.root / "p", "run", "hi").returncode == 0


def test_force_ends_a_server_whose_socket_is_gone(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi")
    pid = machine.server_pid()
    machine.socket.unlink()

    done = machine.run(machine.root, "stop", "--force")

    assert (done.returncode, done.stderr) == (0, "")
    wait_until(lambda: not is_alive(pid))


def test_a_server_on_tcp_is_seen_and_stopped_like_another(machine: Machine) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    server = machine.start(machine.root, "server", "-H", host, "--dangerously-no-auth")

    def state() -> str:
        told = machine.run(machine.root, "status", "--json", "-H", host).stdout
        return str(json.loads(told)["state"])

    wait_until(lambda: state() == "running")
    polite = machine.run(machine.root, "stop", "-H", host)

    assert (polite.returncode, polite.stdout) == (0, f"stopped the server at {host}\n")
    assert ended(server).returncode == 0
    assert state() == "stopped"


def test_a_process_that_only_stands_in_the_lock_file_is_not_killed(machine: Machine) -> None:
    """Its number was written there, but another process holds the lock."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as victim:
        lock = lock_of(machine)
        holder = (
            "import fcntl, sys; f = open(sys.argv[1], 'r+'); fcntl.flock(f, fcntl.LOCK_EX);"
            "print(flush=True); input()"
        )
        lock.write_text(json.dumps({"pid": victim.pid, "instance_id": "x"}))
        with subprocess.Popen(
            [sys.executable, "-c", holder, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as other:
            assert other.stdout is not None
            other.stdout.readline()

            done = machine.run(machine.root, "stop", "--force")

            assert done.returncode == Exit.ERROR
            assert f"process {victim.pid} stands in the server lock" in done.stderr
            assert victim.poll() is None
            assert other.poll() is None
            other.communicate(b"\n")
        victim.communicate(b"\n")
    lock.unlink()


@pytest.mark.parametrize("options", [[], ["--force"]])
def test_what_is_not_a_server_of_ours_is_left_alone(machine: Machine, options: list[str]) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(machine.socket))
        listening.listen()
        began = time.monotonic()

        done = machine.run(machine.root, "stop", *options)

    assert done.returncode == Exit.ERROR
    assert f"there is no server to stop at {machine.host}" in done.stderr
    assert time.monotonic() - began < 10
    assert machine.socket.exists()
