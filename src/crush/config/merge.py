"""How a later configuration document changes an earlier one (F 2.1)."""

from collections.abc import Mapping


def merge(earlier: Mapping[str, object], later: Mapping[str, object]) -> dict[str, object]:
    """Objects merge key by key, arrays are joined, of anything else the later value wins.

    Neither argument is changed. Keys keep the order in which they first appeared.
    """
    merged = dict(earlier)
    for key, value in later.items():
        merged[key] = _join(merged[key], value) if key in merged else value
    return merged


def _join(earlier: object, later: object) -> object:
    if isinstance(earlier, dict) and isinstance(later, dict):
        return merge(earlier, later)
    if isinstance(earlier, list) and isinstance(later, list):
        return [*earlier, *later]
    return later
