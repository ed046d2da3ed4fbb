"""The table that `python -m bench` prints."""

from collections.abc import Sequence

from bench.figure import Figure

_OVER = 1.0


def rows(figures: Sequence[Figure]) -> list[str]:
    """One line a figure; what is over its budget is marked."""
    table = [("figure", "measured", "min-max", "py", "budget", "ratio", "")]
    table += [_row(figure) for figure in figures]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if column in {0, 6} else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _row(figure: Figure) -> tuple[str, str, str, str, str, str, str]:
    in_py, ratio = figure.in_py, figure.ratio
    budget = "" if figure.budget is None else f"{_number(figure.budget)} {figure.unit}"
    if figure.budget is not None and in_py is not None:
        budget += f" ({figure.budget / figure.py_ms:.1f} py)"
    return (
        figure.what,
        f"{_number(figure.median)} {figure.unit}",
        f"{_number(min(figure.samples))}-{_number(max(figure.samples))}",
        "" if in_py is None else f"{in_py:.1f}",
        budget,
        "" if ratio is None else f"{ratio:.2f}",
        "OVER" if ratio is not None and ratio > _OVER else "",
    )


def _number(value: float) -> str:
    digits = max(2 - len(str(int(value))) + 1, 0)  # three in all
    return f"{value:,.{digits}f}"
