"""`*` among other things, matched without backtracking over it twice: no pattern takes long.

Used for the characters of a name and for the names of a path alike.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Literal


class Wild(Enum):
    """`ONE` stands for any single item, `MANY` for any number of them, also none."""

    ONE = "?"
    MANY = "*"


class Glob(tuple[str | Wild, ...]):
    """The characters of a name, some of them wild."""

    __slots__ = ()

    def fits(self, text: str) -> bool:
        return _fits(self, text)


Name = str | Glob


def fits_name(name: Name, text: str) -> bool:
    return name == text if isinstance(name, str) else name.fits(text)


def fits_path(names: Sequence[Name | Literal[Wild.MANY]], path: Sequence[str]) -> bool:
    """Whether the names of a path fit; `MANY` is any number of them."""
    return _fits(names, path)


def _fits(pattern: Sequence[Name | Wild], items: Sequence[str]) -> bool:
    """Greedy from the last `MANY`: what stood before it fitted as early as it could."""
    at = here = 0
    star = resume = -1
    while here < len(items):
        if at < len(pattern) and pattern[at] is Wild.MANY:
            star, resume, at = at, here, at + 1
        elif at < len(pattern) and _fits_one(pattern[at], items[here]):
            at, here = at + 1, here + 1
        elif star >= 0:
            resume += 1
            at, here = star + 1, resume
        else:
            return False
    return all(element is Wild.MANY for element in pattern[at:])


def _fits_one(element: Name | Wild, item: str) -> bool:
    if isinstance(element, Wild):
        return element is Wild.ONE
    return fits_name(element, item)


def plain_or_glob(elements: Sequence[str | Wild]) -> Name:
    """A string if nothing in it is wild."""
    literal = [element for element in elements if isinstance(element, str)]
    return "".join(literal) if len(literal) == len(elements) else Glob(elements)
