"""Standard input of commands: read when somebody piped something in, never waited for without an end."""

import os
import select
import stat
import sys

from crush.errors import UsageError

_NOTE_AFTER_S = 3.0
_GIVE_UP_AFTER_S = 600.0
_READ_BYTES = 1 << 16


def read_piped() -> str:
    """All of stdin if it is a pipe, a socket or a file, else "". Text, whatever the bytes are.

    Raises UsageError when a pipe stays open and silent for ten minutes.
    """
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return ""
    if not (stat.S_ISFIFO(mode) or stat.S_ISREG(mode) or stat.S_ISSOCK(mode)):
        return ""
    pieces: list[bytes] = []
    while True:
        _wait(stat.S_ISREG(mode), pieces)
        piece = os.read(0, _READ_BYTES)
        if not piece:
            return b"".join(pieces).decode("utf-8", "replace").strip("\n")
        pieces.append(piece)


def _wait(is_file: bool, pieces: list[bytes]) -> None:
    if is_file or sys.platform == "win32" or select.select([0], [], [], _NOTE_AFTER_S)[0]:
        return
    if not pieces:
        sys.stderr.write("crush: waiting for the end of stdin; `</dev/null` gives none\n")
    if not select.select([0], [], [], _GIVE_UP_AFTER_S)[0]:
        raise UsageError(
            "stdin stayed open and silent for ten minutes", hint="`</dev/null` gives none"
        )
