"""A shopping list with prices in cents."""

from typing import NamedTuple


class Item(NamedTuple):
    """So many pieces of something, at a price for one."""

    name: str
    price_cents: int
    count: int = 1


def total_cents(items: list[Item]) -> int:
    return sum(item.price_cents for item in items)
