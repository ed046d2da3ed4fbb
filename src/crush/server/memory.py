"""Giving memory back: what SQLite freed lies scattered over pages that glibc keeps."""

from contextlib import suppress


def give_back() -> None:
    """Return free pages to the system, where the C library can be asked to. Blocking."""
    # 5 ms and a megabyte, for servers that had projects to close.
    import ctypes  # noqa: PLC0415

    with suppress(OSError, AttributeError, TypeError):  # another C library, or Windows
        ctypes.CDLL(None).malloc_trim(0)
