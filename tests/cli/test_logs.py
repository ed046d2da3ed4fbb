"""`crush logs`: the last lines, over rotated files too, and what is written from now on."""

import os
import select
import signal
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.cli.logs import Log
from crush.errors import Exit
from crush.launch.host import parse_host, server_dir
from crush.launch.logs import open_log, rotate
from tests.e2e.machine import DEADLINE_S, Machine, ended


@pytest.fixture
def log(machine: Machine) -> Path:
    """Where the log of the machine's server is; nothing is there yet."""
    directory = Path(server_dir(parse_host(machine.host), machine.env))
    directory.mkdir(parents=True, mode=0o700)
    return directory / "stderr.log"


def test_the_servers_own_words(shared: Machine, here: Path) -> None:
    shared.run(here, "run", "hi")

    done = shared.run(here, "logs")

    assert (done.returncode, done.stderr) == (0, "")
    assert f"serving {shared.host}, pid {shared.server_pid()}" in done.stdout


def test_without_a_log_it_says_where_one_would_be(machine: Machine) -> None:
    done = machine.run(machine.root, "logs")

    assert (done.returncode, done.stdout) == (Exit.NOT_FOUND, "")
    assert "there is no log at" in done.stderr
    assert "stderr.log" in done.stderr


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        ("0", ""),
        ("1", "7\n"),
        ("3", "5\n6\n7\n"),
        ("5", "3\n4\n5\n6\n7\n"),
        ("99", "1\n2\n3\n4\n5\n6\n7\n"),
    ],
)
def test_the_last_lines_reach_back_into_rotated_files(
    machine: Machine, log: Path, tail: str, expected: str
) -> None:
    Path(f"{log}.2").write_text("1\n2\n")
    Path(f"{log}.1").write_text("3\n4\n")
    log.write_text("5\n6\n7\n")

    assert machine.run(machine.root, "logs", "-t", tail).stdout == expected


@given(
    files=st.lists(
        st.lists(
            st.binary(max_size=30).map(lambda b: b.replace(b"\n", b"").replace(b"\r", b"")),
            max_size=6,
        ),
        min_size=1,
        max_size=4,
    ),
    count=st.integers(0, 30),
)
def test_any_number_of_last_lines_of_any_files(files: list[list[bytes]], count: int) -> None:
    with TemporaryDirectory() as directory:
        path = os.path.join(directory, "log")
        for number, lines in enumerate(reversed(files)):
            name = f"{path}.{number}" if number else path
            Path(name).write_bytes(b"".join(line + b"\n" for line in lines))

        with Log(path) as log:
            found = b"".join(log.read(count))

    every = [line for lines in files for line in lines]
    assert found == b"".join(line + b"\n" for line in every[max(0, len(every) - count) :])


def test_a_log_larger_than_a_block_is_read_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [b"%07d %s\n" % (number, b"x" * (number % 97)) for number in range(20_000)]
    path.write_bytes(b"".join(lines))

    for count in (1, 1000, 19_999, 20_001):
        with Log(str(path)) as log:
            assert b"".join(log.read(count)) == b"".join(lines[-count:])


def test_nothing_is_lost_or_doubled_over_any_number_of_rotations(tmp_path: Path) -> None:
    path = str(tmp_path / "log")
    fd = open_log(path)
    written: list[bytes] = []

    def write(line: bytes) -> None:
        os.write(fd, line)
        written.append(line)

    with Log(path) as log:
        seen = b"".join(log.read(10))
        for number in range(50):
            write(b"%d\n" % number)
            if number % 3 == 0:
                rotate(path, fd, max_bytes=1)
                write(b"%d in a new file\n" % number)
            for _ in range(2 if number % 3 == 0 else number % 4):
                seen += b"".join(log.read_more())
        for _ in range(2):
            seen += b"".join(log.read_more())
    os.close(fd)

    assert seen == b"".join(written)


def test_what_a_log_quotes_cannot_command_the_terminal(machine: Machine, log: Path) -> None:
    log.write_bytes(b"said \x1b]52;c;aGk=\x07this \xff\n")

    assert machine.run(machine.root, "logs").stdout == "said this \ufffd\n"


@pytest.mark.parametrize("there", [True, False])
def test_following_shows_what_is_written_later_and_ctrl_c_ends_it_quietly(
    machine: Machine, log: Path, there: bool
) -> None:
    if there:
        log.write_text("old 1\nold 2\n")
    process = machine.start(machine.root, "logs", "-f", "--tail", "1")
    assert process.stdout is not None
    shown = read_until(process, "old 2\n") if there else ""

    fd = open_log(str(log))
    os.write(fd, b"new 1\n")
    shown += read_until(process, "new 1\n")
    rotate(str(log), fd, max_bytes=1)
    os.write(fd, b"new 2\n")
    shown += read_until(process, "new 2\n")
    os.close(fd)
    process.send_signal(signal.SIGINT)
    done = ended(process)

    assert shown + done.stdout == ("old 2\n" if there else "") + "new 1\nnew 2\n"
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")


def read_until(process: subprocess.Popen[str], end: str) -> str:
    assert process.stdout is not None
    fd = process.stdout.fileno()
    text = ""
    while not text.endswith(end):
        assert select.select([fd], [], [], DEADLINE_S)[0], f"no {end!r} after {text!r}"
        text += os.read(fd, 4096).decode()
    return text
