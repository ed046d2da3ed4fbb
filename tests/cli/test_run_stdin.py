"""What `crush run` reads from its standard input, and when."""

import os
import pty
import subprocess
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.cli.processes import fed, redirected
from tests.e2e.machine import DEADLINE_S, Machine

SHELL = 'TOOL bash {"command": "echo $GOOD ${BAD:-none} > env.txt", "description": "look"}'


def test_what_is_piped_in_is_the_prompt(shared: Machine, here: Path) -> None:
    done = fed(shared, here, b"ECHO\nfrom the pipe\n\n", "run")

    assert (done.returncode, done.stdout) == (0, b"ECHO\nfrom the pipe\n")


def test_words_follow_what_is_piped_in_after_an_empty_line(shared: Machine, here: Path) -> None:
    done = fed(shared, here, b"ECHO\npiped\n", "run", "some", "words")

    assert done.stdout == b"ECHO\npiped\n\nsome words\n"


def test_a_file_is_read_too(shared: Machine, here: Path, tmp_path: Path) -> None:
    file = tmp_path / "prompt"
    file.write_text("ECHO\nfrom a file")

    done = redirected(shared, here, f"<'{file}'", "run")

    assert done.stdout == b"ECHO\nfrom a file\n"


def test_an_empty_pipe_leaves_the_words(shared: Machine, here: Path) -> None:
    assert fed(shared, here, b"", "run", "ECHO\nx").stdout == b"ECHO\nx\n"
    assert fed(shared, here, b"\n \n", "run", "ECHO\nx").stdout.endswith(b"ECHO\nx\n")


@pytest.mark.parametrize("data", [b"", b"\n", b" \n\t"])
def test_an_empty_pipe_without_words_is_no_prompt(shared: Machine, here: Path, data: bytes) -> None:
    done = fed(shared, here, data, "run")

    assert (done.returncode, done.stdout) == (Exit.USAGE, b"")
    assert b"no prompt provided" in done.stderr


def test_bytes_that_are_no_text_are_replaced(shared: Machine, here: Path) -> None:
    done = fed(shared, here, b"ECHO\n\x00\xff\xfe\x80 caf\xc3\xa9", "run")

    assert (done.returncode, done.stdout) == (0, "ECHO\n\x00\ufffd\ufffd\ufffd café\n".encode())


def test_a_large_input_arrives_whole(shared: Machine, here: Path) -> None:
    text = "ECHO\n" + "0123456789abcdef" * 40_000

    done = fed(shared, here, text.encode(), "run")

    assert done.stdout.decode() == text + "\n"


def test_words_that_are_no_text_are_replaced(shared: Machine, here: Path) -> None:
    command = [os.fsencode(part) for part in shared.command(here, "run")]

    done = subprocess.run(
        [*command, b"ECHO\ncaf\xe9"],
        env=shared.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, "ECHO\ncaf\ufffd\n".encode()), done.stderr


def test_a_variable_that_is_no_text_is_left_out(shared: Machine, here: Path) -> None:
    done = subprocess.run(
        shared.command(here, "run", "-y", SHELL),
        env={**shared.env, "GOOD": "caf\u00e9", "BAD": os.fsdecode(b"caf\xe9")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, b"Done.\n"), done.stderr
    assert (here / "env.txt").read_text() == "caf\u00e9 none\n"


def test_a_directory_whose_name_is_no_text_is_refused(shared: Machine, tmp_path: Path) -> None:
    directory = tmp_path / os.fsdecode(b"caf\xe9")
    directory.mkdir()

    done = shared.run(directory, "run", "hi")

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "is not UTF-8" in done.stderr


def test_a_terminal_is_not_read(shared: Machine, here: Path) -> None:
    ours, theirs = pty.openpty()
    os.write(ours, b"ECHO\nfrom the keyboard\n")

    done = subprocess.run(
        shared.command(here, "run", "hi"),
        env=shared.env,
        stdin=theirs,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )
    os.close(ours)
    os.close(theirs)

    assert (done.returncode, done.stdout) == (0, b"Hello, how can I help?\n")


def test_a_closed_stdin_is_none(shared: Machine, here: Path) -> None:
    spoken = redirected(shared, here, "<&-", "run", "hi")
    silent = redirected(shared, here, "<&-", "run")

    assert (spoken.returncode, spoken.stdout) == (0, b"Hello, how can I help?\n")
    assert (silent.returncode, silent.stdout) == (Exit.USAGE, b"")


def test_a_pipe_that_stays_open_and_silent_is_waited_for_with_a_word_about_it(
    shared: Machine, here: Path
) -> None:
    read_end, write_end = os.pipe()
    with subprocess.Popen(
        shared.command(here, "run"),
        env=shared.env,
        stdin=read_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(read_end)
        assert process.stderr is not None
        told = process.stderr.readline()
        os.write(write_end, b"ECHO\nat last")
        os.close(write_end)
        out, _ = process.communicate(timeout=DEADLINE_S)

    assert told == "crush: waiting for the end of stdin; `</dev/null` gives none\n"
    assert (process.returncode, out) == (0, "ECHO\nat last\n")
