"""`crush status`: the truth about every kind of thing that can be at a host; it starts nothing."""

import contextlib
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from crush.cli.status import duration
from crush.errors import Exit
from crush.launch.protocol import build_id
from tests.e2e.machine import Machine, ended, wait_until

Answer = Callable[[str], bytes]


def status(machine: Machine) -> dict[str, Any]:
    """What it says in JSON, after a check that its words for people agree."""
    project = machine.root / "place"
    project.mkdir(exist_ok=True)
    told = machine.run(project, "status", "--json")
    record: dict[str, Any] = json.loads(told.stdout)
    shown = machine.run(project, "status")
    assert told.returncode == shown.returncode == (0 if record["healthy"] else Exit.ERROR)
    assert told.stderr == shown.stderr == ""
    rows = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert (rows["server"], rows["host"]) == (record["state"], machine.host)
    assert record["detail"] in shown.stdout
    assert record["hint"] in shown.stdout
    assert record["host"] == machine.host
    assert record["client_build_id"] == build_id()
    return record


@pytest.fixture
def listen(machine: Machine) -> Iterator[Callable[[Answer], None]]:
    """Another program at the machine's socket, which answers each request head."""
    with contextlib.ExitStack() as opened:

        def start(answer: Answer) -> None:
            listening = opened.enter_context(socket.socket(socket.AF_UNIX))
            listening.bind(str(machine.socket))
            listening.listen()
            thread = threading.Thread(target=serve, args=(listening, answer))
            thread.start()
            opened.callback(thread.join, 5)
            opened.callback(listening.shutdown, socket.SHUT_RDWR)

        yield start


def serve(listening: socket.socket, answer: Answer) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(answer(connection.recv(65536).decode()))


def http(body: object) -> bytes:
    text = json.dumps(body).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


def test_nothing_at_all(machine: Machine) -> None:
    record = status(machine)

    assert (record["state"], record["healthy"]) == ("stopped", False)
    assert record["detail"] == "no server is running"
    assert not machine.socket.exists()
    assert not Path(f"{machine.socket}.lock").exists()


def test_an_idle_server(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi", env={"CRUSH_SERVER_IDLE_TIMEOUT": "77"})

    record = status(machine)

    assert (record["state"], record["healthy"], record["detail"]) == ("running", True, "")
    assert record["pid"] == machine.server_pid()
    assert record["build_id"] == build_id()
    assert record["protocol"] == {"min": 1, "max": 1}
    assert record["linger_s"] == 77
    assert 0 < record["uptime_s"] < 60
    assert (record["is_busy"], record["sessions"], record["workspaces"]) == (False, [], [])


def test_a_busy_server_names_its_sessions_and_what_waits_behind_them(machine: Machine) -> None:
    project = machine.project("p")
    latch = machine.root / "latch"
    machine.run(project, "run", "--detach", f"LATCH {latch}\nSAY one")
    machine.run(project, "run", "--detach", "-C", "SAY two")

    record = status(machine)
    latch.touch()
    wait_until(lambda: not status(machine)["is_busy"])

    (session,) = record["sessions"]
    assert (record["state"], record["healthy"], record["is_busy"]) == ("running", True, True)
    assert session["title"].startswith("LATCH")
    assert session["data_dir"] == str(project / ".crush")
    assert len(session["runs"]) == 2


def test_a_dead_server_left_its_socket(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi")
    os.kill(machine.server_pid(), signal.SIGKILL)

    record = status(machine)

    assert (record["state"], record["healthy"]) == ("stale", False)
    assert machine.socket.exists()


def test_a_server_that_does_not_answer_is_named(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi")
    pid = machine.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        done = machine.run(machine.root, "status", "--json")
    finally:
        os.kill(pid, signal.SIGCONT)

    record = json.loads(done.stdout)
    assert done.returncode == Exit.ERROR
    assert (record["state"], record["healthy"], record["pid"]) == ("silent", False, pid)
    assert f"process {pid} is the server but does not answer" in record["detail"]
    assert "crush stop --force" in record["hint"]


def test_a_server_whose_socket_is_gone_is_named(machine: Machine) -> None:
    machine.run(machine.project("p"), "run", "hi")
    machine.socket.unlink()

    record = status(machine)

    assert (record["state"], record["pid"]) == ("silent", machine.server_pid())
    assert "nothing listens" in record["detail"]


@pytest.mark.parametrize(
    ("build", "speaks", "busy", "healthy", "detail"),
    [
        ("0.0.1+a", (1, 1), False, True, "older than this crush and idle: the next run replaces"),
        ("0.0.1+a", (1, 1), True, True, "older than this crush and busy: it serves until"),
        ("99.0.0+a", (1, 1), False, True, "of another build than this crush, and serves it"),
        ("99.0.0+a", (2, 3), False, False, "speaks protocol 2 to 3, which this crush does not"),
        ("0.0.1+a", (2, 3), True, False, "speaks protocol 2 to 3, which this crush does not"),
        ("0.0.1+a", (2, 3), False, True, "older than this crush and idle: the next run replaces"),
    ],
)
def test_another_build_says_what_would_happen(  # noqa: PLR0917 - one row of the table
    machine: Machine,
    listen: Callable[[Answer], None],
    build: str,
    speaks: tuple[int, int],
    busy: bool,
    healthy: bool,
    detail: str,
) -> None:
    version = {
        "version": build.partition("+")[0],
        "build_id": build,
        "protocol": {"min": speaks[0], "max": speaks[1]},
        "pid": os.getpid(),
        "instance_id": "x",
    }
    facts = {"is_busy": busy, "uptime_s": 1.0, "linger_s": 60.0, "sessions": [], "workspaces": []}
    listen(lambda head: http(version if "/v1/version" in head else facts))

    record = status(machine)

    assert (record["state"], record["healthy"]) == ("mismatched", healthy)
    assert detail in record["detail"]


def test_a_server_of_ours_from_before_there_was_a_status_is_still_judged(
    machine: Machine, listen: Callable[[Answer], None]
) -> None:
    version = {"version": "0", "build_id": build_id(), "protocol": {"min": 1, "max": 1}, "pid": 1}

    def answer(head: str) -> bytes:
        if "/v1/status" in head:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        return http(version)

    listen(answer)

    assert status(machine)["state"] == "running"


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (
            http({"version": "v0.90.0", "commit": "", "go_version": "go1.26", "platform": "linux"}),
            "what answers is a Crush server, version v0.90.0",
        ),
        (http({"hello": "world"}), "what answers is an HTTP server, but none of crush"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "404 Not Found"),
        (b"220 mail.example ESMTP\r\n", "no HTTP answer"),
        (b"", "closed the connection without an answer"),
    ],
)
def test_something_else_that_answers_is_foreign(
    machine: Machine, listen: Callable[[Answer], None], answer: bytes, detail: str
) -> None:
    listen(lambda _head: answer)

    record = status(machine)

    assert (record["state"], record["healthy"]) == ("foreign", False)
    assert detail in record["detail"]
    assert record["hint"] == "choose another --host"


def test_a_file_in_the_way(machine: Machine) -> None:
    machine.socket.write_text("notes")

    record = status(machine)

    assert (record["state"], record["healthy"]) == ("blocked", False)
    assert record["detail"] == f"{machine.socket} is not a socket"
    assert machine.socket.read_text() == "notes"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to another user")
def test_another_users_socket(machine: Machine, listen: Callable[[Answer], None]) -> None:
    listen(lambda _head: b"")
    os.chown(machine.socket, 12345, 12345)

    record = status(machine)

    assert record["state"] == "blocked"
    assert "is a socket of uid 12345, not yours" in record["detail"]


def test_tcp_with_nobody_there(machine: Machine) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    host = f"tcp://127.0.0.1:{port}"

    done = machine.run(machine.root, "status", "--json", "-H", host)

    assert (done.returncode, json.loads(done.stdout)["state"]) == (Exit.ERROR, "stopped")


def test_looking_at_a_server_does_not_hold_up_a_run(machine: Machine) -> None:
    project = machine.project("p")
    latch = machine.root / "latch"
    process = machine.start(project, "run", f"LATCH {latch}\nSAY done")
    wait_until(lambda: machine.socket.exists() and status(machine).get("is_busy"))
    latch.touch()

    assert ended(process).stdout == "done\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h 0 min"),
        (90_061, "1 d 1 h"),
    ],
)
def test_times_are_told_in_their_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
