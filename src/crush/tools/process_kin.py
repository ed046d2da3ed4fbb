"""Which processes a command still has: its group, and what left the group but carries its mark.

The mark is an environment variable that every descendant inherits, so that a job can be ended with
all that it started, also what made itself a session or an orphan. Linux tells; elsewhere only the
group is known. Everything here reads `/proc`: call it in a thread.
"""

import os
import signal
import sys
from collections.abc import Collection, Iterator
from contextlib import suppress

from crush.tools.launcher import signal_group

MARK = "CRUSH_COMMAND"


def group_lives(group: int) -> bool:
    """Whether a process of the group runs. Zombies do not: who reaps an orphan is not ours."""
    if not signal_group(group, 0):
        return False
    try:
        return any(_is_member(name, group) for name in os.listdir("/proc") if name.isdigit())
    except OSError:  # it is not Linux, or there are no descriptors left: believe the signal
        return True


def marked(marks: Collection[str]) -> list[int]:
    """The processes that carry one of these marks."""
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    return [int(name) for name in _processes() if not wanted.isdisjoint(_environment(name))]


def signal_marked(marks: Collection[str], number: int) -> int:
    """Signals each process that carries one of these marks; how many there were."""
    if not sys.platform.startswith("linux"):
        return 0
    wanted = {f"{MARK}={mark}".encode() for mark in marks}
    count = 0
    for pid in marked(marks):
        with suppress(OSError):
            # The descriptor pins the process: a number may be somebody else's by now.
            process = os.pidfd_open(pid)
            try:
                if not wanted.isdisjoint(_environment(str(pid))):
                    signal.pidfd_send_signal(process, number)
                    count += 1
            finally:
                os.close(process)
    return count


def _processes() -> Iterator[str]:
    with suppress(OSError):
        yield from filter(str.isdigit, os.listdir("/proc"))


def _is_member(pid: str, group: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            state, _, pgrp = file.read().rpartition(b")")[2].split()[:3]
    except (OSError, ValueError):
        return False
    return int(pgrp) == group and state not in {b"Z", b"X"}


def _environment(pid: str) -> set[bytes]:
    """Empty for what is not ours to read, and for a zombie."""
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return set(file.read().split(b"\0"))
    except OSError:
        return set()
