"""Many clients at once, with nothing running: one server, and every client gets its answer."""

import json
import os
import random
import signal
import subprocess
import sys
import threading

import pytest

from tests.launch.place import Place

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client_process.py")


def start_clients(place: Place, count: int) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-P", CLIENT, str(place.host), json.dumps(place.command)],
            env=place.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]


def outcomes(clients: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    results = []
    for client in clients:
        out, err = client.communicate(timeout=18)
        results.append((client.returncode, out, err))
    return results


@pytest.mark.parametrize("count", [8, 32])
def test_clients_that_start_at_once_share_one_server(place: Place, count: int) -> None:
    assert outcomes(start_clients(place, count)) == [(0, "e.2\n", "")] * count
    assert place.ready_servers() == [place.holder()]


@pytest.mark.parametrize("seed", range(4))
def test_a_client_killed_at_any_moment_of_the_start_does_not_hurt_the_others(
    place: Place, seed: int
) -> None:
    moment = random.Random(seed)  # noqa: S311 - repeatable, not secret
    victim, *others = start_clients(place, 5)
    # From before the lock to after the spawn.
    threading.Event().wait(moment.uniform(0, 0.25))
    victim.kill()
    assert outcomes(others) == [(0, "e.2\n", "")] * 4
    victim.communicate(timeout=5)
    assert place.ready_servers() == [place.holder()]


def test_servers_killed_between_storms_are_replaced(place: Place) -> None:
    for generation in (1, 2, 3):
        assert outcomes(start_clients(place, 6)) == [(0, "e.2\n", "")] * 6
        assert len(place.ready_servers()) == generation
        os.kill(place.holder(), signal.SIGKILL)


def test_clients_and_a_server_that_is_told_to_leave_meet_at_any_moment(place: Place) -> None:
    assert outcomes(start_clients(place, 1))[0][0] == 0
    clients = start_clients(place, 8)
    threading.Event().wait(0.05)
    os.kill(place.holder(), signal.SIGTERM)
    assert outcomes(clients) == [(0, "e.2\n", "")] * 8
