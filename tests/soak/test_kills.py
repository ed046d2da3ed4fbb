"""kill -9 at any moment of a turn: nothing accepted is lost, nothing ends twice, sessions go on."""

import random
import signal
import time

import pytest

from crush.errors import Exit
from tests.e2e.machine import Machine, ended
from tests.soak.counts import end_server, ends_of_runs, times

pytestmark = pytest.mark.soak

ROUNDS = 50
TURN = """
THINK about it
SAY first words
TOOL view {"file_path": "crush.json"}
---
TOOL ls {}
TOOL view {"file_path": "crush.json"}
---
TOOL write {"file_path": "w.txt", "content": "x"}
---
PACE 2
DELTAS 40
TOOL bash {"command": "sleep 0.05; echo y", "description": "d"}
---
SAY the end
"""


def test_a_server_killed_at_any_moment_of_a_turn_loses_nothing(
    machine: Machine, share: float
) -> None:
    moments = random.Random(1)  # noqa: S311 - repeatable, not secret
    project = machine.project("p")
    began = time.monotonic()
    assert machine.run(project, "run", "-y", TURN).returncode == Exit.OK
    cold_s = time.monotonic() - began
    for number in range(times(ROUNDS, share)):
        running = machine.start(project, "run", "-y", TURN)
        time.sleep(moments.uniform(0, cold_s))
        end_server(machine, signal.SIGKILL)
        cut = ended(running)
        assert cut.returncode in {Exit.OK, Exit.SERVER_LOST}, cut.stderr

        # The scripted model refuses any history that a provider would refuse. A prompt that was cut
        # before any answer stands beside the new one, and the model obeys both.
        again = machine.run(project, "run", "-y", "-C", f"SAY still here {number}")
        assert again.returncode == Exit.OK, again.stderr
        assert again.stdout.endswith(f"still here {number}\n")
        assert set(ends_of_runs(project).values()) == {1}
