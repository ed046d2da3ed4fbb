"""Nothing that a command does behind a fence reaches out of it; each attack works without one."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.attacks import EVERY
from tests.sandbox.yard import Yard, fill, interpreter, kinds, new_yard

PROJECT = Path(__file__).parents[2]
NOBODY = 65534
ROOT_ONLY = {"write_usr", "core_pattern", "mount", "make_device"}
USERS = [os.getuid(), *([NOBODY] if os.getuid() == 0 else [])]


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        fill(made)
        yield made


def attack(yard: Yard, kind: str, uid: int) -> list[str]:
    if not interpreter(uid):
        pytest.skip(f"user {uid} can start no Python here")
    if uid != os.getuid():
        subprocess.run(["/bin/chown", "-R", f"{uid}:{uid}", str(yard.top)], check=True)
    done = subprocess.run(
        [sys.executable, "-m", "tests.sandbox.raid", str(uid), kind, str(yard.top)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}/src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("uid", USERS)
@pytest.mark.parametrize("kind", kinds())
def test_no_attack_works_behind_a_fence(yard: Yard, kind: str, uid: int) -> None:
    assert attack(yard, kind, uid) == ["done"]


@pytest.mark.parametrize("uid", USERS)
def test_every_attack_works_without_one(yard: Yard, uid: int) -> None:
    worked = set(attack(yard, "none", uid))
    assert worked == {*EVERY, "done"} - (ROOT_ONLY if uid else set())
