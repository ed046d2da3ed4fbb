"""One finding of `crush doctor`, and sizes as people read them."""

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal, TypeAlias

    Level: TypeAlias = Literal["ok", "warn", "fail"]

_STEP = 1000


class Check:
    """What was looked at, how it stands, and what to do if that is not well."""

    __slots__ = ("hint", "level", "name", "text")

    def __init__(self, name: str, level: "Level", text: str, *, hint: str = "") -> None:
        self.name = name
        self.level = level
        self.text = text
        self.hint = hint


def size_text(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size_bytes < _STEP:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _STEP
    return f"{size_bytes:.1f} GB"


def tree_size(path: str) -> int:
    """Bytes of all files below a directory; what vanishes meanwhile does not count."""
    total = 0
    for directory, _, names in os.walk(path):
        for name in names:
            try:
                total += os.lstat(os.path.join(directory, name)).st_size
            except OSError:
                continue
    return total
