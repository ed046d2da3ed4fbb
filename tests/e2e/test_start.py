"""Many clients, one server: however they come, each gets its answer and one server is started."""

import os
import random
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from crush.errors import Exit
from crush.launch.host import parse_host
from crush.launch.http import probe_health
from tests.e2e.machine import Machine, all_ended, ended, is_alive, wait_until

INIT_FAILED = "failed to initialize crush server"


def start_many(machine: Machine, number: int) -> None:
    projects = [machine.project(f"p{i}") for i in range(number)]
    started = [machine.start(p, "run", f"SAY answer {i}") for i, p in enumerate(projects)]
    for index, done in enumerate(all_ended(started)):
        assert (done.returncode, done.stdout) == (Exit.OK, f"answer {index}\n"), done.stderr
        assert INIT_FAILED not in done.stderr
    probe_health(parse_host(machine.host))
    assert machine.server_log().count("serving unix://") == 1


@pytest.mark.parametrize("number", [8, 32, 64])
def test_clients_that_start_at_once_share_one_server(machine: Machine, number: int) -> None:
    start_many(machine, number)


def test_a_socket_that_nobody_listens_on_is_replaced(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(machine.socket))
    start_many(machine, 8)


def test_the_others_are_served_when_the_client_that_spawns_is_killed(machine: Machine) -> None:
    first = machine.start(machine.project("first"), "run", "hi")
    projects = [machine.project(f"p{i}") for i in range(8)]
    others = [machine.start(project, "run", "hi") for project in projects]
    moment_s = random.uniform(0.0, 0.4)  # noqa: S311 - any moment will do
    timer = threading.Timer(moment_s, first.kill)
    timer.start()
    for done in all_ended(others):
        assert done.returncode == Exit.OK, done.stderr
        assert INIT_FAILED not in done.stderr
    timer.join()
    ended(first)
    assert machine.server_log().count("serving unix://") == 1


def test_without_a_provider_the_server_starts_all_the_same(machine: Machine) -> None:
    started = [
        machine.start(machine.project(f"ws-{i}", configured=False), "run", "hi") for i in range(8)
    ]
    healthy = threading.Event()
    over = threading.Event()

    def probe() -> None:
        while not over.wait(0.05):
            try:
                probe_health(parse_host(machine.host))
            except Exception:  # noqa: BLE001, S112 - any failure is just "not yet"
                continue
            healthy.set()

    prober = threading.Thread(target=probe)
    prober.start()
    for done in all_ended(started):
        assert done.returncode == Exit.CONFIG
        assert INIT_FAILED not in done.stdout + done.stderr
        for way in ("KEY", "crush.json", "crush models install local"):
            assert way in done.stderr
    wait_until(healthy.is_set)
    over.set()
    prober.join()


def test_ctrl_c_for_the_client_that_spawns_spares_the_server(machine: Machine) -> None:
    project = machine.project("p")
    first = machine.start(project, "run", "SAY late\nPACE 50\nDELTAS 200")
    wait_until(lambda: Path(f"{machine.socket}.lock").exists())
    os.killpg(first.pid, signal.SIGINT)  # a terminal signals the whole group
    ended(first)
    done = machine.run(project, "run", "hi")
    assert done.returncode == Exit.OK, done.stderr
    assert machine.server_log().count("serving unix://") == 1


def test_a_removed_socket_comes_back_without_a_second_server(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "hi")
    pid = machine.server_pid()
    machine.socket.unlink()
    done = machine.run(project, "run", "hi")
    assert done.returncode == Exit.OK, done.stderr
    assert machine.server_pid() == pid
    assert is_alive(pid)


def test_clients_with_different_cache_directories_share_the_host(machine: Machine) -> None:
    projects = [machine.project(f"p{i}") for i in range(6)]
    started = [
        machine.start(p, "run", "hi", env={"CRUSH_CACHE_DIR": str(machine.root / f"cache{i % 3}")})
        for i, p in enumerate(projects)
    ]
    for done in all_ended(started):
        assert done.returncode == Exit.OK, done.stderr
    logs = machine.root.glob("cache*/server-*/stderr.log")
    assert sum(log.read_text().count("serving unix://") for log in logs) == 1


def test_a_file_in_the_way_is_named_and_kept(machine: Machine) -> None:
    machine.socket.write_text("precious")
    done = machine.run(machine.project("p"), "run", "hi")
    assert done.returncode == Exit.ERROR
    assert INIT_FAILED in done.stderr
    assert "is not a socket" in done.stderr
    assert machine.socket.read_text() == "precious"


def test_the_answer_of_another_program_on_the_socket_is_the_cause(machine: Machine) -> None:
    answers = {
        b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n": "500",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\n<p/>": "not",
        b"HTTP/1.1 200": "",
        b"": "",
    }
    project = machine.project("p")
    for answer, words in answers.items():
        machine.socket.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(machine.socket))
            listening.listen(64)
            stranger = threading.Thread(target=_answer, args=(listening, answer), daemon=True)
            stranger.start()
            env = {"CRUSH_SERVER_READY_TIMEOUT": "2s"}
            done = machine.run(project, "run", "hi", env=env)
            listening.shutdown(socket.SHUT_RDWR)
            stranger.join()
        assert done.returncode == Exit.ERROR, (answer, done)
        assert INIT_FAILED in done.stderr
        assert words in done.stderr


def _answer(listening: socket.socket, answer: bytes) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        with connection:
            connection.recv(65536)
            if answer:
                connection.sendall(answer)


def test_a_listener_that_never_answers_ends_the_client_within_its_budget(machine: Machine) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(machine.socket))
        listening.listen(64)
        env = {"CRUSH_SERVER_READY_TIMEOUT": "1s"}
        done = machine.run(machine.project("p"), "run", "hi", env=env)
    assert done.returncode == Exit.ERROR
    assert f"{INIT_FAILED}: server health check failed" in done.stderr


def test_the_server_keeps_nothing_of_the_client_that_starts_it(machine: Machine) -> None:
    """Its environment can be read by every tool of every run, for as long as it lives."""
    secrets = {"OPENAI_API_KEY": "sk-secret", "CRUSH_OPENAI_API_KEY": "sk-shadow", "PIN": "1234"}
    project = machine.project("p")
    assert machine.run(project, "run", "hi", env=secrets).returncode == Exit.OK
    kept = Path(f"/proc/{machine.server_pid()}/environ").read_text().split("\0")
    assert {entry.partition("=")[0] for entry in kept if entry} == {"HOME", "PATH", "LANG"}


def test_a_client_with_few_descriptors_starts_a_server_for_many(machine: Machine) -> None:
    projects = [machine.project(f"p{i}") for i in range(24)]
    few = ["bash", "-c", 'ulimit -Sn 64; exec "$@"', "-"]
    first = subprocess.run(
        [*few, *machine.command(projects[0], "run", "hi")],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert first.returncode == Exit.OK
    for done in all_ended([machine.start(project, "run", "hi") for project in projects]):
        assert done.returncode == Exit.OK, done.stderr


@pytest.mark.parametrize("umask", ["0777", "0"])
def test_the_umask_of_the_first_client_is_not_the_servers(machine: Machine, umask: str) -> None:
    project = machine.project("p")
    command = machine.command(project, "run", "hi")
    started = subprocess.run(
        ["/bin/sh", "-c", f'umask {umask}; exec "$@"', "-", *command],
        env=machine.env,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert started.returncode == Exit.OK
    made = [project / ".crush", *(project / ".crush").iterdir()]
    made += [machine.socket, *(machine.home / ".local" / "state" / "crush").iterdir()]
    modes = {path.stat().st_mode & 0o777 for path in made}
    assert modes == {0o700, 0o600}
