"""Ctrl-C, and outputs that close: `crush run` ends at once, quietly, with the right code."""

import array
import fcntl
import json
import os
import signal
import subprocess
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from crush.errors import Exit
from tests.cli.processes import ask, last_record, redirected
from tests.e2e.machine import DEADLINE_S, Machine, ended, wait_until

STREAM = ("--output-format", "stream-json")


def first_event(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What the client prints once its run is accepted."""
    assert process.stdout is not None
    event: dict[str, Any] = json.loads(process.stdout.readline())
    return event


@pytest.mark.parametrize("directive", ["HANG", "SAY one\nPACE 50\nDELTAS 1000"])
def test_ctrl_c_cancels_the_run_and_ends_with_its_result(
    shared: Machine, here: Path, directive: str
) -> None:
    process = shared.start(here, "run", *STREAM, directive)
    run_id = first_event(process)["run"]["id"]

    process.send_signal(signal.SIGINT)
    done = ended(process)

    result = last_record(done.stdout)
    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")
    assert (result["type"], result["state"], result["exit_code"]) == ("result", "cancelled", 130)
    assert result["run_id"] == run_id
    assert ask(shared, "GET", f"/v1/runs/{result['run_id']}")["state"] == "cancelled"


def test_the_session_goes_on_after_ctrl_c(shared: Machine, here: Path, tmp_path: Path) -> None:
    # A latch: the model reads the unanswered prompt again, together with the next.
    process = shared.start(here, "run", *STREAM, f"LATCH {tmp_path / 'latch'}")
    session = first_event(process)["session_id"]
    process.send_signal(signal.SIGINT)
    ended(process)
    (tmp_path / "latch").touch()

    done = shared.run(here, "run", "-s", session, "SAY hi")

    assert (done.returncode, done.stdout) == (0, "hi\n")


def test_a_second_ctrl_c_leaves_at_once_though_the_server_hangs(machine: Machine) -> None:
    process = machine.start(machine.project("p"), "run", *STREAM, "HANG")
    first_event(process)
    server = machine.server_pid()
    os.kill(server, signal.SIGSTOP)
    try:
        began = time.monotonic()
        sent = 0
        while process.poll() is None and time.monotonic() < began + DEADLINE_S:
            process.send_signal(signal.SIGINT)
            sent += 1
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.1)  # two at once would be one
    finally:
        os.kill(server, signal.SIGCONT)

    assert process.wait(DEADLINE_S) == Exit.INTERRUPTED
    assert sent >= 2
    assert time.monotonic() - began < 4  # the first alone waits 5 s for the server
    process.communicate()


def test_ctrl_c_while_stdin_is_read_ends_with_a_result(shared: Machine, here: Path) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, b"half a prompt")
    process = subprocess.Popen(
        shared.command(here, "run", "--output-format", "json"),
        env=shared.env,
        stdin=read_end,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: bytes_in(read_end) == 0)

    process.send_signal(signal.SIGINT)
    done = ended(process)
    os.close(read_end)
    os.close(write_end)

    assert (done.returncode, done.stderr) == (Exit.INTERRUPTED, "")
    assert last_record(done.stdout) == {
        "type": "result",
        "state": "cancelled",
        "error": None,
        "exit_code": 130,
    }


def bytes_in(pipe: int) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


@pytest.mark.parametrize("form", ["text", "stream-json"])
def test_a_reader_that_goes_away_ends_the_run_quietly(
    shared: Machine, here: Path, form: str
) -> None:
    prompt = "PACE 5\nDELTAS 5000"
    process = shared.start(here, "run", "--output-format", form, prompt)
    assert process.stdout is not None
    os.read(process.stdout.fileno(), 4)
    process.stdout.close()
    assert process.stderr is not None

    said = process.stderr.read()

    assert (process.wait(DEADLINE_S), said) == (Exit.CLOSED_STDOUT, "")
    process.stderr.close()


@pytest.mark.parametrize("line", ["--help", "--version", "models", "dirs", "completion bash"])
def test_a_reader_that_was_never_there_ends_every_command_quietly(
    shared: Machine, here: Path, line: str
) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)

    done = subprocess.run(
        shared.command(here, *line.split()),
        env=shared.env,
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=DEADLINE_S,
        check=False,
    )
    os.close(write_end)

    assert (done.returncode, done.stderr) == (Exit.CLOSED_STDOUT, b"")


@pytest.mark.parametrize("line", ["run hi", "--version", "dirs", "status"])
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_reason_to_fail(
    shared: Machine, here: Path, line: str, closed: str
) -> None:
    shared.run(here, "run", "hi")  # for `status`, a server

    done = redirected(shared, here, closed, *line.split())

    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("line", ["run hi", "--version"])
def test_a_full_disk_is_told_once(shared: Machine, here: Path, line: str) -> None:
    done = redirected(shared, here, ">/dev/full", *line.split())

    assert done.returncode == Exit.ERROR
    assert done.stderr.count(b"No space left on device") == 1
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr


def test_a_note_gets_a_line_of_its_own_where_both_streams_are_one(
    shared: Machine, here: Path
) -> None:
    prompt = 'SAY Looking.\nTOOL view {"file_path": "crush.json"}'

    done = subprocess.run(
        shared.command(here, "run", "-v", prompt),
        env=shared.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=True,
    )

    said = [line for line in done.stdout.splitlines() if line]
    assert said == ["Looking.", 'crush: view {"file_path": "crush.json"}', "Done."]
