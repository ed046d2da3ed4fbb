"""Child processes of the store's tests: started with our path, always killed in the end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = str(Path(__file__).parents[2])


@contextmanager
def child(*command: str) -> Iterator[subprocess.Popen[str]]:
    """`python COMMAND…` with pipes; killed with SIGKILL at the end of the block."""
    process = subprocess.Popen(
        [sys.executable, *command],
        env={**os.environ, "PYTHONPATH": ROOT},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_line(process: subprocess.Popen[str]) -> str:
    """The next line that the child prints, without its end."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")
