"""Clients that come while a server goes: each ends with its answer, on the old server or a new one."""

import random
import time

import pytest

from crush.errors import CrushError, Exit
from crush.launch.host import parse_host
from crush.launch.http import request
from tests.e2e.machine import Machine, all_ended
from tests.soak.counts import times

pytestmark = pytest.mark.soak

ROUNDS = 200


def ask_to_leave(machine: Machine) -> int:
    """The status of the answer; 0 if nobody answered."""
    try:
        return request(
            parse_host(machine.host),
            "POST",
            "/v1/control",
            headers={},
            body=b'{"command": "shutdown_if_idle"}',
            timeout_s=5,
        ).status
    except CrushError:
        return 0


def test_clients_that_meet_a_leaving_server_are_served(machine: Machine, share: float) -> None:
    moments = random.Random(2)  # noqa: S311 - repeatable, not secret
    projects = [machine.project(f"p{i}") for i in range(3)]
    statuses: list[int] = []
    for number in range(times(ROUNDS, share)):
        clients = [machine.start(project, "run", f"SAY {number}") for project in projects]
        time.sleep(moments.uniform(0, 0.12))
        statuses.append(ask_to_leave(machine))
        for done in all_ended(clients):
            assert (done.returncode, done.stdout) == (Exit.OK, f"{number}\n"), done.stderr
    assert set(statuses) <= {0, 200, 409}
    assert 200 in statuses, "no round met a server that left"
