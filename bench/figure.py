"""What a benchmark hands back: samples of one figure, in its unit, with its budget."""

from dataclasses import dataclass
from statistics import median
from typing import Literal

Unit = Literal["ms", "MiB", "kB", "MB", "x"]

# `python -c pass` on the machine for which the budgets were written. Times are judged by the ratio
# to what it takes here and now, since absolute times move with the machine and its load.
PY_WALL_MS = 16.0
PY_CPU_MS = 14.4


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table.

    Attributes:
        budget: in `unit`, on the machine of the budgets; None where there is none.
        py: samples of `python -c pass`, taken between those of this figure, of the same kind (wall
            or CPU); empty for what is no time.
        py_ms: what the budget takes a py to be.
    """

    name: str
    what: str
    unit: Unit
    samples: tuple[float, ...]
    budget: float | None = None
    py: tuple[float, ...] = ()
    py_ms: float = PY_WALL_MS
    note: str = ""

    @property
    def median(self) -> float:
        return median(self.samples)

    @property
    def in_py(self) -> float | None:
        return self.median / median(self.py) if self.py else None

    @property
    def ratio(self) -> float | None:
        """Measured by budget; over 1 the budget is not met."""
        if self.budget is None:
            return None
        if self.in_py is None:
            return self.median / self.budget
        return self.in_py / (self.budget / self.py_ms)

    def as_json(self) -> dict[str, object]:
        return {
            "name": self.name,
            "what": self.what,
            "unit": self.unit,
            "median": self.median,
            "min": min(self.samples),
            "max": max(self.samples),
            "n": len(self.samples),
            "py": self.in_py,
            "budget": self.budget,
            "ratio": self.ratio,
            "note": self.note,
        }
