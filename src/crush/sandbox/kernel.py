"""Linux system calls that Python has no name for; each raises OSError. They act on one thread."""

import ctypes
import os
import sys

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 24, 38, 47
_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, _PR_CAP_AMBIENT_CLEAR_ALL = 22, 2, 4
_SYS_CAPSET = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64
_SYS_OPENAT2, _RESOLVE_NO_SYMLINKS = 437, 4


class _CapabilityHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _How(ctypes.Structure):
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


class _Filter(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("program", ctypes.c_void_p))


class Kernel:
    """The C library, opened once."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)

    def syscall(self, number: int, *arguments: object) -> int:
        wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
        result: int = self._libc.syscall(ctypes.c_long(number), *wide)
        return _checked(result)

    def open_place(self, path: str) -> int:
        """A descriptor that stands for a real path; OSError if there is a link on the way now."""
        if sys.platform != "linux":
            raise OSError("needs Linux")
        how = _How(os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, 0, _RESOLVE_NO_SYMLINKS)
        name = ctypes.c_char_p(os.fsencode(path))
        return self.syscall(_SYS_OPENAT2, -1, name, ctypes.byref(how), ctypes.sizeof(how))

    def drop_capabilities(self) -> None:
        """All that this thread has, and all that a program it starts could get back."""
        for number in range(_MOST_CAPABILITIES):
            # Only who has CAP_SETPCAP may, and only that one needs to: see `forbid_new_privileges`.
            self._libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        self._libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
        header = _CapabilityHeader(_CAPABILITY_VERSION_3, 0)
        nothing = (ctypes.c_uint32 * 6)()
        self.syscall(_SYS_CAPSET[machine()], ctypes.byref(header), ctypes.byref(nothing))

    def forbid_new_privileges(self) -> None:
        _checked(self._libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))

    def filter_calls(self, program: bytes) -> None:
        """Needs `forbid_new_privileges` before it."""
        buffer = ctypes.create_string_buffer(program, len(program))
        loaded = _Filter(len(program) // 8, ctypes.addressof(buffer))
        _checked(
            self._libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(loaded), 0, 0)
        )


def machine() -> str:
    """`x86_64`, `aarch64`, or "" where we know no numbers: also for a 32-bit program."""
    if sys.platform != "linux" or ctypes.sizeof(ctypes.c_void_p) != 8:  # noqa: PLR2004 - bytes
        return ""
    name = os.uname().machine
    return name if name in _SYS_CAPSET else ""


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
