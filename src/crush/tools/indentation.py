"""Gives replacement lines the indentation that a file really uses."""

import re
from collections.abc import Sequence
from functools import reduce
from math import gcd

_TAB = "\t"


def reindent(
    new: Sequence[str], wanted: Sequence[str], found: Sequence[str], file: Sequence[str]
) -> list[str]:
    """`new` was written beside `wanted`, which stands in the file as `found`.

    A line that is also in `wanted` stays as the file has it. Any other keeps its depth relative to
    the first line of `wanted`, in the file's unit.
    """
    kept: dict[str, list[str]] = {}
    for line, actual in zip(wanted, found, strict=True):
        kept.setdefault(line, []).append(actual)
    source, target = _unit([*wanted, *new]), _unit(file)
    shift = _levels(_first(found), target) - _levels(_first(wanted), source)
    return [
        kept[line].pop(0) if kept.get(line) else _shifted(line, source, target, shift)
        for line in new
    ]


def _shifted(line: str, source: str, target: str, shift: int) -> str:
    body = line.lstrip(" \t")
    return target * max(0, _levels(line, source) + shift) + body if body else ""


def _first(lines: Sequence[str]) -> str:
    return next((line for line in lines if line.strip()), "")


def _margin(line: str) -> str:
    return line[: len(line) - len(line.lstrip(" \t"))]


def _levels(line: str, unit: str) -> int:
    """Depth of a line; half a unit counts as one, so that nothing collapses."""
    width = len(_margin(line).replace(_TAB, unit if unit != _TAB else "    "))
    size = 4 if unit == _TAB else len(unit)
    return (width + size - 1) // size


def _unit(lines: Sequence[str]) -> str:
    """One level of indentation: a tab, or the spaces by which depths differ."""
    margins = [margin for line in lines if line.strip() and (margin := _margin(line))]
    if not margins:
        return "    "
    tabs = sum(margin.startswith(_TAB) for margin in margins)
    if tabs * 2 >= len(margins):
        return _TAB
    widths = {len(margin) for margin in margins if re.fullmatch(" +", margin)}
    step = reduce(gcd, widths, 0)
    return " " * (step if step > 1 else 4)
