"""Filters of system calls, for what neither mounts nor Landlock know: sockets and keyrings.

Landlock lets `connect` pass, to any address and to our own socket, so there no socket can be made,
and no ring that would make one unseen. `socketpair` is another call and stays: it reaches nobody.
"""

import struct
from collections.abc import Mapping

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_ARCHITECTURE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# The user's keys in the kernel: they belong to whoever has the uid, in a namespace too.
KEYRINGS = {"x86_64": (248, 249, 250), "aarch64": (217, 218, 219)}
SOCKETS = {"x86_64": (41, 425), "aarch64": (198, 425)}  # socket, io_uring_setup
_X32 = 0x40000000  # other numbers for the same calls


def refusing(machine: str, *tables: Mapping[str, tuple[int, ...]]) -> bytes:
    """The program that refuses the calls of `tables` on `machine`, a name that it gave itself."""
    refused = [number for table in tables for number in table[machine]]
    checks = [_step(_JUMP_EQUAL, number, yes=len(refused) - i) for i, number in enumerate(refused)]
    return b"".join(
        [
            _step(_LOAD, _ARCHITECTURE_AT),
            _step(_JUMP_EQUAL, _ARCHITECTURE[machine], yes=1),
            _step(_RETURN, _REFUSE),
            _step(_LOAD, _NUMBER_AT),
            _step(_JUMP_AT_LEAST, _X32, yes=len(refused) + 1),
            *checks,
            _step(_RETURN, _ALLOW),
            _step(_RETURN, _REFUSE),
        ]
    )


def _step(code: int, operand: int, *, yes: int = 0) -> bytes:
    """`yes`: how many steps are skipped when the comparison holds."""
    return struct.pack("HBBI", code, yes, 0, operand)
