"""Figures of starts: the first `crush run` with nothing running, 64 of them, the server alone."""

from collections.abc import Iterator
from contextlib import ExitStack

from bench.clients import HELLO, wall
from bench.figure import Figure
from bench.processes import BenchError, Cost
from bench.stage import Stage, stage
from bench.wire import follow_directory

AT_ONCE = 64
OPEN = 10


def cold(rounds: int) -> Iterator[Figure]:
    """`crush run hi` with nothing running; the model behind http, then behind https."""
    for name, scheme in (("cold", "http"), ("cold-tls", "https")):
        with stage(rounds=rounds, tls=scheme == "https") as on:

            def hello(on: Stage = on) -> Cost:
                cost = on.crush("run", "hi")
                on.expect(cost, HELLO)
                return cost

            taken = on.repeat(hello, before=on.stop_server)
        what = f"`crush run hi`, nothing running, {scheme} model: wall"
        yield wall(name, what, taken, budget=400)


def storm(rounds: int) -> Iterator[Figure]:
    """64 clients at once in 64 directories with nothing running; all right, one server."""
    with stage(rounds=rounds) as on:
        directories = [on.machine.project(f"p{i}") for i in range(AT_ONCE)]

        def all_at_once() -> Cost:
            cost = on.crush_in(directories, "run", "hi")
            # Text and line break are two writes, which other clients may part.
            if cost.out.count(HELLO.rstrip()) != AT_ONCE or cost.err:
                raise BenchError(f"not all answers arrived: {cost.out!r} {cost.err!r}")
            return cost

        taken = on.repeat(all_at_once, rounds=max(3, rounds // 5), before=on.stop_server)
    yield wall("storm", f"{AT_ONCE} `crush run` at once, nothing running", taken, budget=3600)


def ready(rounds: int) -> Iterator[Figure]:
    """From the spawn to the line on the readiness pipe."""
    took: list[float] = []
    pys: list[float] = []
    with stage(rounds=rounds) as on:
        for _ in range(rounds + 1):
            on.stop_server()
            pys.append(on.py().wall_ms)
            took.append(on.start_server())
    yield Figure(
        name="ready",
        what="server ready after spawn",
        unit="ms",
        samples=tuple(took[1:]),
        py=tuple(pys[1:]),
        budget=350,
    )


def memory(rounds: int) -> Iterator[Figure]:
    """Resident memory of the server: after a first run, and with ten followed sessions."""
    idle: list[float] = []
    busy: list[float] = []
    for _ in range(max(3, rounds // 5)):
        with stage(rounds=1) as on, ExitStack() as followed:
            on.crush("run", "hi")
            idle.append(on.server_memory_mib())
            for number in range(OPEN):
                project = on.machine.project(f"open{number}")
                followed.enter_context(follow_directory(on.host, str(project)))
                on.crush("run", "hi", project=project)
            busy.append(on.server_memory_mib())
    yield _memory("memory", "server resident: idle, after a run", idle, budget_mb=60)
    yield _memory("memory-open", f"… with {OPEN} open sessions", busy, budget_mb=90)


def _memory(name: str, what: str, samples: list[float], *, budget_mb: float) -> Figure:
    in_mb = tuple(mib * 1024 * 1024 / 1e6 for mib in samples)
    return Figure(name=name, what=what, unit="MB", samples=in_mb, budget=budget_mb)
