"""Figures of a client: `crush run hi` with a server running, `--version`, `--help`."""

from collections.abc import Iterator
from functools import partial

from bench.figure import PY_CPU_MS, PY_WALL_MS, Figure
from bench.processes import Cost
from bench.stage import Round, Stage, stage

HELLO = "Hello, how can I help?\n"


def wall(name: str, what: str, taken: list[Round], *, budget: float, note: str = "") -> Figure:
    """The wall time of whole processes as a figure."""
    return Figure(
        name=name,
        what=what,
        unit="ms",
        samples=tuple(each.cost.wall_ms for each in taken),
        py=tuple(each.py.wall_ms for each in taken),
        budget=budget,
        note=note,
    )


def cpu(name: str, what: str, taken: list[Round], *, budget: float) -> Figure:
    """Their CPU time."""
    return Figure(
        name=name,
        what=what,
        unit="ms",
        samples=tuple(each.cost.cpu_ms for each in taken),
        py=tuple(each.py.cpu_ms for each in taken),
        py_ms=PY_CPU_MS,
        budget=budget,
    )


def hello(rounds: int) -> Iterator[Figure]:
    """`crush run hi` on a server that runs."""
    with stage(rounds=rounds) as on:
        on.start_server()
        taken = on.repeat(lambda: _hello(on))
    yield wall("hello", "`crush run hi`, server up: wall", taken, budget=50)
    yield cpu("hello-cpu", "… CPU of the client", taken, budget=36)
    yield Figure(
        name="hello-memory",
        what="… peak memory of the client",
        unit="MiB",
        samples=tuple(each.cost.peak_mib for each in taken),
        budget=16,
    )


def _hello(on: Stage) -> Cost:
    cost = on.crush("run", "hi")
    on.expect(cost, HELLO)
    return cost


def flags(rounds: int) -> Iterator[Figure]:
    """Commands that need no server."""
    with stage(rounds=rounds) as on:
        for flag, in_py in (("--version", 2), ("--help", 4)):
            taken = on.repeat(partial(on.bare, flag))
            yield wall(flag.strip("-"), f"`crush {flag}`", taken, budget=in_py * PY_WALL_MS)
