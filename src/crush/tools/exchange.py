"""Swaps two names of a directory in one step, where the system can (Linux, `renameat2`)."""

import ctypes
import errno
import os
import sys
from collections.abc import Callable

_EXCHANGE = 2  # RENAME_EXCHANGE of <linux/fs.h>
_UNABLE = frozenset({errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EPERM})

_Rename = Callable[[int, bytes, int, bytes, int], int]


def _find() -> _Rename | None:
    """The C library's function; not every one has it."""
    if not sys.platform.startswith("linux"):
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = (
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_int,
        ctypes.c_char_p,
        ctypes.c_uint,
    )
    function.restype = ctypes.c_int
    found: _Rename = function
    return found


def exchange(directory: int, one: str, other: str) -> bool:
    """Swap the entries; False where system or file system cannot. Raises OSError."""
    rename = _find()
    if rename is None:
        return False
    if not rename(directory, os.fsencode(one), directory, os.fsencode(other), _EXCHANGE):
        return True
    code = ctypes.get_errno()
    if code in _UNABLE:
        return False
    raise OSError(code, os.strerror(code))
