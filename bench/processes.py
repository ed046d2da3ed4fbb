"""Whole processes, measured: wall time, CPU time and peak memory of a command."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

SPAWNER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "spawner.py")
PY = [sys.executable, "-c", "pass"]


class BenchError(Exception):
    """Something could not be measured because it did not run."""


@dataclass(frozen=True)
class Cost:
    """What commands cost that were started together; `out` and `err` are those of all of them."""

    wall_ms: float
    cpu_ms: float
    peak_mib: float
    codes: tuple[int, ...]
    out: str
    err: str


class Spawner:
    """The small process that starts what is measured (`spawner`)."""

    def __init__(self, directory: str) -> None:
        self._out = os.path.join(directory, "out")
        self._err = os.path.join(directory, "err")

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", SPAWNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()

    def run(self, *commands: Sequence[str], env: Mapping[str, str]) -> Cost:
        """Start the commands at once and wait for all. Raises BenchError if one fails."""
        order = {
            "command": commands,
            "env": dict(env),
            "stdout": self._out,
            "stderr": self._err,
        }
        if self._process.stdin is None or self._process.stdout is None:
            raise BenchError("the spawner has no pipes")
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        with open(self._out, encoding="utf-8") as out, open(self._err, encoding="utf-8") as err:
            cost = Cost(
                wall_ms=answer["wall_ms"],
                cpu_ms=answer["cpu_ms"],
                peak_mib=answer["peak_mib"],
                codes=tuple(answer["codes"]),
                out=out.read(),
                err=err.read(),
            )
        if any(cost.codes):
            raise BenchError(f"{commands[0]!r} ended with {cost.codes!r}: {cost.err[-2000:]}")
        return cost
