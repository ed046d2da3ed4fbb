"""The readiness pipe: lines, its end, and a reader that is gone."""

import os
import threading
import time
from collections.abc import Iterator

import pytest

from crush.launch.ready import ReadyPipe, report


@pytest.fixture
def ends() -> Iterator[tuple[ReadyPipe, int]]:
    read_fd, write_fd = os.pipe()
    pipe = ReadyPipe(read_fd)
    yield pipe, write_fd
    pipe.close()


def soon() -> float:
    return time.monotonic() + 5


def test_lines_come_one_by_one_and_then_the_end(ends: tuple[ReadyPipe, int]) -> None:
    pipe, write_fd = ends
    report(write_fd, state="starting", pid=7)
    report(write_fd, state="failed", pid=7, error="no\nway")
    os.close(write_fd)
    assert pipe.wait_line(soon()) == {"state": "starting", "pid": 7, "error": ""}
    assert pipe.wait_line(soon()) == {"state": "failed", "pid": 7, "error": "no\nway"}
    assert not pipe.ended
    assert pipe.wait_line(soon()) is None
    assert pipe.ended


def test_a_line_may_come_in_pieces(ends: tuple[ReadyPipe, int]) -> None:
    pipe, write_fd = ends
    os.write(write_fd, b'{"state": "re')
    finishing = threading.Timer(0.05, os.write, (write_fd, b'ady"}\n'))
    finishing.start()
    assert pipe.wait_line(soon()) == {"state": "ready"}
    finishing.join()
    os.close(write_fd)


def test_the_deadline_ends_the_wait_and_not_the_pipe(ends: tuple[ReadyPipe, int]) -> None:
    pipe, write_fd = ends
    assert pipe.wait_line(time.monotonic() + 0.02) is None
    assert not pipe.ended
    assert not pipe.wait_end(time.monotonic() + 0.02)
    os.close(write_fd)
    assert pipe.wait_end(soon())


def test_nonsense_on_the_pipe_is_an_empty_report(ends: tuple[ReadyPipe, int]) -> None:
    pipe, write_fd = ends
    os.write(write_fd, b"Traceback\n[1]\n")
    assert pipe.wait_line(soon()) == {}
    assert pipe.wait_line(soon()) == {}
    os.close(write_fd)


def test_a_report_to_a_spawner_that_is_gone_is_no_error() -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    report(write_fd, state="ready", pid=1)
    os.close(write_fd)
    report(write_fd, state="ready", pid=1)
