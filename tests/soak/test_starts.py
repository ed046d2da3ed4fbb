"""Many clients at once with nothing running, again and again: one server, every client its answer."""

import random
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.e2e.machine import Machine, all_ended, ended
from tests.soak.counts import end_server, times

pytestmark = pytest.mark.soak

ROUNDS = 20


def projects_of(machine: Machine, number: int) -> list[Path]:
    return [machine.project(f"p{i}") for i in range(number)]


def all_at_once(machine: Machine, projects: list[Path]) -> None:
    """A client in each project; all are right, and what they said is theirs."""
    started = [machine.start(p, "run", f"SAY answer {i}") for i, p in enumerate(projects)]
    for index, done in enumerate(all_ended(started)):
        assert (done.returncode, done.stdout) == (Exit.OK, f"answer {index}\n"), done.stderr


def servers_since(machine: Machine, before: int) -> int:
    """Servers that became ready since the log held `before` of them."""
    return machine.server_log().count("serving unix://") - before


@pytest.mark.parametrize("number", [8, 32, 64])
def test_clients_at_once_share_one_server_every_time(
    machine: Machine, share: float, number: int
) -> None:
    projects = projects_of(machine, number)
    for done in range(times(ROUNDS, share)):
        all_at_once(machine, projects)
        assert servers_since(machine, done) == 1
        end_server(machine)


@pytest.mark.parametrize("number", [8, 32, 64])
def test_a_stale_socket_is_no_obstacle(machine: Machine, share: float, number: int) -> None:
    projects = projects_of(machine, number)
    for done in range(times(ROUNDS, share)):
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(machine.socket))  # nobody will listen
        all_at_once(machine, projects)
        assert servers_since(machine, done) == 1
        end_server(machine)


@pytest.mark.parametrize("number", [8, 32, 64])
def test_a_server_that_was_killed_is_replaced_by_one(
    machine: Machine, share: float, number: int
) -> None:
    projects = projects_of(machine, number)
    for done in range(times(ROUNDS, share)):
        all_at_once(machine, projects)
        assert servers_since(machine, done) == 1
        end_server(machine, signal.SIGKILL)  # its socket stays


@pytest.mark.parametrize("number", [8, 32, 64])
def test_the_spawner_killed_at_any_moment_hurts_nobody_else(
    machine: Machine, share: float, number: int
) -> None:
    """It may die before, while and after it spawns; only its own answer is lost with it."""
    moments = random.Random(number)  # noqa: S311 - repeatable, not secret
    projects = projects_of(machine, number)
    for _ in range(times(ROUNDS, share)):
        victim = machine.start(projects[0], "run", "SAY victim")
        time.sleep(0.005)  # the first to come is the one that spawns
        others = [machine.start(p, "run", f"SAY {i}") for i, p in enumerate(projects[1:])]
        time.sleep(moments.uniform(0, 0.3))
        victim.kill()
        for index, done in enumerate(all_ended(others)):
            assert (done.returncode, done.stdout) == (Exit.OK, f"{index}\n"), done.stderr
        ended(victim)
        end_server(machine)


def test_a_machine_is_left_as_it_was(machine: Machine, share: float) -> None:
    """After all the rounds there is no socket, no lock that is held, no stray file beside it."""
    projects = projects_of(machine, 8)
    for _ in range(times(ROUNDS, share)):
        all_at_once(machine, projects)
        end_server(machine)
    left = {path.name for path in machine.root.iterdir() if path not in projects}
    assert left == {"home", "s.sock.lock", "s.sock.start"}
    shutil.rmtree(machine.home)
