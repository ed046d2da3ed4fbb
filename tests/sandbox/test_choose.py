"""A sandbox counts only if its self-test cannot get out."""

import os
import time
from collections.abc import Iterator, Sequence
from subprocess import DEVNULL, Popen
from typing import cast

import pytest
from typing_extensions import override

from crush.sandbox import choose, probe
from crush.sandbox.choose import find_sandbox
from crush.sandbox.fence import Fence, SandboxKind
from crush.sandbox.layout import Layout
from crush.sandbox.wall import Order, Wall
from crush.sandbox.walls import available_walls
from tests.sandbox.yard import Yard, kinds, new_yard, sandbox_of, shell

ENV = dict(os.environ)


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


class OpenWall:
    """A wall with a hole the size of a door."""

    kind: SandboxKind = "bubblewrap"
    can_open_network = True
    holds_names = False
    limits = ""

    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "Popen[bytes]":
        return Popen(
            order.argv, stdin=DEVNULL, stdout=order.stdout, stderr=order.stderr, env=order.env
        )

    def signal(self, leader: int, number: int) -> None:
        os.kill(leader, number)


class BrokenWall(OpenWall):
    @override
    def start(self, order: Order, *, fence: Fence, layout: Layout) -> "Popen[bytes]":
        del order, fence, layout
        raise PermissionError("no namespaces for you")


def offer(monkeypatch: pytest.MonkeyPatch, *walls: object) -> None:
    offered = cast("Sequence[Wall]", walls)
    monkeypatch.setattr(choose, "available_walls", lambda: offered)


async def test_the_best_of_this_machine_holds(yard: Yard) -> None:
    found = await find_sandbox(ENV, hidden=[str(yard.hidden)])
    assert found.kind == kinds()[0]
    if found.kind == "bubblewrap":
        assert (found.reason, found.remedy) == ("", "")
    assert os.listdir(yard.hidden) == []
    ended = await shell(found, yard.fence(), f"echo x > {yard.outside}/x")
    assert ended.returncode != 0


@pytest.mark.parametrize("kind", kinds())
async def test_trying_takes_no_time_that_anybody_notices(yard: Yard, kind: str) -> None:
    hidden = [str(yard.hidden)]
    took = []
    for _ in range(3):
        start = time.perf_counter()
        assert await choose._try_to_get_out(sandbox_of(kind, hidden), ENV, hidden) == ""
        took.append(time.perf_counter() - start)
    assert min(took) < 0.15


async def test_one_that_lets_something_through_counts_as_absent(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch, OpenWall())
    found = await find_sandbox({**ENV, "HOME": str(yard.home)}, hidden=[str(yard.hidden)])
    assert found.kind == "none"
    for word in ("write", "socket", "network", "environment"):
        assert word in found.reason
    assert found.remedy
    assert os.listdir(yard.home) == []
    with pytest.raises(OSError, match="does not hold"):
        await shell(found, yard.fence(), "true")


async def test_the_next_one_is_taken_and_says_why(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = available_walls()[-1]
    offer(monkeypatch, BrokenWall(), good)
    found = await find_sandbox(ENV, hidden=[str(yard.hidden)])
    assert found.kind == good.kind
    assert "no namespaces for you" in found.reason
    offer(monkeypatch)
    nothing = await find_sandbox(ENV, hidden=[str(yard.hidden)])
    assert nothing.kind == "none"
    assert "bubblewrap" in nothing.remedy


def test_the_probe_finds_what_is_open(yard: Yard) -> None:
    assert probe._writes("write", str(yard.outside / "x")) == ["write"]
    assert os.listdir(yard.outside) == []
    assert probe._writes("write", str(yard.outside / "no" / "x")) == []
    assert probe._opens("x", str(yard.write("outside/file"))) == ["x"]
    assert probe._reads("x", str(yard.outside / "file"), "not its digest") == []
