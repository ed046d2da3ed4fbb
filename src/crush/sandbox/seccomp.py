"""Filters of system calls, for what neither mounts nor Landlock know: sockets and keyrings.

Landlock lets `connect` pass, to any address and to our own socket, so there no socket can be made,
and no ring that would make one unseen. `socketpair` is another call and stays: it reaches nobody.
A network namespace holds only the families that the kernel divides: a vsock reaches the host.
"""

import errno
import struct
from collections.abc import Mapping, Sequence

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_NO_SUCH_FAMILY = 0x00050000 | errno.EAFNOSUPPORT
_NUMBER_AT, _ARCHITECTURE_AT, _FIRST_ARGUMENT_AT = 0, 4, 16
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# The user's keys in the kernel: they belong to whoever has the uid, in a namespace too.
KEYRINGS = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}
SOCKETS = {"x86_64": (41,), "aarch64": (198,)}
RINGS = {"x86_64": (425,), "aarch64": (425,)}  # io_uring_setup
# Each namespace has its own: local, IPv4, IPv6, netlink.
DIVIDED = (1, 2, 10, 16)
_X32 = 0x40000000  # other numbers for the same calls


def refusing(
    machine: str, *tables: Mapping[str, tuple[int, ...]], families: Sequence[int]
) -> bytes:
    """The program that refuses the calls of `tables`, and sockets but those of `families`.

    `machine` is a name that it gave itself.
    """
    refused = [number for table in tables for number in table[machine]]
    rest = len(families) + 4  # steps between the last of `checks` and the refusal
    checks = [
        _step(_JUMP_EQUAL, number, yes=len(refused) - 1 - i + rest)
        for i, number in enumerate(refused)
    ]
    allowed = [_step(_JUMP_EQUAL, f, yes=len(families) - i) for i, f in enumerate(families)]
    return b"".join(
        [
            _step(_LOAD, _ARCHITECTURE_AT),
            _step(_JUMP_EQUAL, _ARCHITECTURE[machine], yes=1),
            _step(_RETURN, _REFUSE),
            _step(_LOAD, _NUMBER_AT),
            _step(_JUMP_AT_LEAST, _X32, yes=len(refused) + rest),
            *checks,
            _step(_JUMP_EQUAL, SOCKETS[machine][0], no=len(families) + 2),
            _step(_LOAD, _FIRST_ARGUMENT_AT),
            *allowed,
            _step(_RETURN, _NO_SUCH_FAMILY),
            _step(_RETURN, _ALLOW),
            _step(_RETURN, _REFUSE),
        ]
    )


def _step(code: int, operand: int, *, yes: int = 0, no: int = 0) -> bytes:
    """`yes`, `no`: how many steps are skipped when the comparison holds, and when not."""
    return struct.pack("HBBI", code, yes, no, operand)
