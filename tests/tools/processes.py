"""What the kernel says of processes, for tests that must leave none."""

import os
from pathlib import Path


def state_of(pid: int) -> tuple[str, int] | None:
    """State letter and parent; None when there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return fields[0], int(fields[1])


def lives(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    found = state_of(pid)
    return found is not None and found[0] != "Z"


def children(*, zombies_only: bool = False) -> set[int]:
    """Children of the test process, zombies included."""
    found: set[int] = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        process = state_of(pid)
        if process and process[1] == os.getpid() and (process[0] == "Z" or not zombies_only):
            found.add(pid)
    return found
