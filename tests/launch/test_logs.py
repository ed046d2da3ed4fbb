"""Log files: private, appended to, rotated behind the descriptor that is written to."""

import os
import stat

import pytest

from crush.errors import StartError
from crush.launch.logs import open_log, rotate, size, tail
from tests.launch.place import Place


def read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def test_a_log_is_private_and_appended_to(place: Place) -> None:
    path = f"{place.directory}/x.log"
    for text in (b"one\n", b"two\n"):
        fd = open_log(path)
        os.write(fd, text)
        os.close(fd)
    assert read(path) == "one\ntwo\n"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_wide_log_is_made_private(place: Place) -> None:
    path = f"{place.directory}/x.log"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    os.close(open_log(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_link_or_a_pipe_in_the_place_of_a_log_is_refused(place: Place) -> None:
    path = f"{place.directory}/x.log"
    os.symlink(f"{place.directory}/victim", path)
    with pytest.raises(OSError, match="symbolic links"):
        open_log(path)
    assert not os.path.exists(f"{place.directory}/victim")
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises((StartError, OSError)):
        open_log(path)


def test_rotation_keeps_three_old_files_and_the_descriptor(place: Place) -> None:
    path = f"{place.directory}/x.log"
    fd = open_log(path)
    for number in range(6):
        os.write(fd, b"%d" % number * 10)
        assert rotate(path, fd, max_bytes=10)
    os.write(fd, b"now")
    assert not rotate(path, fd, max_bytes=10)
    os.close(fd)
    assert sorted(os.listdir(place.directory)) == ["x.log", "x.log.1", "x.log.2", "x.log.3"]
    contents = [read(f"{path}{suffix}") for suffix in ("", ".1", ".2", ".3")]
    assert contents == ["now", "5" * 10, "4" * 10, "3" * 10]
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_rotation_of_a_log_that_somebody_removed_goes_on_with_a_new_one(place: Place) -> None:
    path = f"{place.directory}/x.log"
    fd = open_log(path)
    os.write(fd, b"x" * 10)
    os.unlink(path)
    assert rotate(path, fd, max_bytes=10)
    os.write(fd, b"y")
    os.close(fd)
    assert read(path) == "y"


def test_the_tail_is_what_came_since(place: Place) -> None:
    path = f"{place.directory}/x.log"
    assert tail(path, lines=3) == []
    assert size(path) == 0
    with open(path, "wb") as file:
        file.write(b"old 1\nold 2\n")
    since = size(path)
    assert tail(path, lines=3, since=since) == []
    with open(path, "ab") as file:
        file.write(b"new 1\nnew \xff 2\n")
    assert tail(path, lines=3, since=since) == ["new 1", "new \ufffd 2"]
    assert tail(path, lines=1) == ["new \ufffd 2"]


def test_the_tail_of_a_log_that_was_rotated_since_is_all_of_it(place: Place) -> None:
    path = f"{place.directory}/x.log"
    with open(path, "wb") as file:
        file.write(b"fresh\n")
    assert tail(path, lines=3, since=1000) == ["fresh"]


def test_the_tail_of_a_huge_log_reads_only_its_end(place: Place) -> None:
    path = f"{place.directory}/x.log"
    with open(path, "wb") as file:
        file.truncate(1 << 30)
        file.seek(0, os.SEEK_END)
        file.write(b"\nthe end\n")
    assert tail(path, lines=1) == ["the end"]
