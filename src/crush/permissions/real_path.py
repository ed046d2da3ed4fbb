"""Where a path leads, for judging it: an answer for every path, also one that cannot be followed."""

import os


def real_path(path: str) -> str:
    """`path` with its links followed; as far as that is possible without them."""
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # a link that may not be read, as in /proc; no path at all
        return os.path.normpath(path)
