"""How many files the server may have open: a client's soft limit is not meant for everybody's server."""

import sys

ENOUGH = 8192


def raise_file_limit() -> None:
    """A run needs a handful of descriptors, and macOS gives a process 256."""
    if sys.platform == "win32":
        return
    # Windows has no such module.
    import resource  # noqa: PLC0415

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = ENOUGH if hard == resource.RLIM_INFINITY else min(hard, ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
