"""Every exit code, reached as a user would reach it, in every output format."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from crush.errors import Exit
from scripts.make_cli_reference import exit_codes
from tests.cli.processes import ask, last_record
from tests.e2e.machine import Machine, ended, wait_until

FORMATS = pytest.mark.parametrize("form", ["text", "json", "stream-json"])
REACHED = {  # by the tests of this file, and by those that say so in test_run_streams.py
    Exit.OK,
    Exit.ERROR,
    Exit.USAGE,
    Exit.CONFIG,
    Exit.NOT_FOUND,
    Exit.DENIED,
    Exit.LIMIT,
    Exit.PROVIDER,
    Exit.SERVER_LOST,
    Exit.CANCELLED,
    Exit.INTERRUPTED,
    Exit.CLOSED_STDOUT,
}
VIEW = 'TOOL view {"file_path": "crush.json"}'


def check(done: subprocess.CompletedProcess[str], form: str, code: int, error: str) -> None:
    """The code is that of the process and of the result, which names the error."""
    assert done.returncode == code, done.stderr
    if form == "text":
        assert done.stdout.strip() in {"", "Done."}
        return
    result = last_record(done.stdout)
    assert (result["type"], result["exit_code"]) == ("result", code)
    assert (result["error"] or {}).get("code", "") == error


def test_every_code_is_reached_by_a_scenario() -> None:
    assert set(exit_codes().values()) == REACHED


@FORMATS
@pytest.mark.parametrize(
    "scenario",
    [
        (["SAY Done."], Exit.OK, ""),
        ([" "], Exit.USAGE, "usage"),
        (["-C", "-s", "x", "hi"], Exit.USAGE, "usage"),
        (["-m", "nobody/has-it", "hi"], Exit.CONFIG, "config"),
        (["-s", "deadbeef", "hi"], Exit.NOT_FOUND, "not_found"),
        (['TOOL bash {"command": "cat .env", "description": "x"}'], Exit.DENIED, ""),
        (["--max-steps", "1", VIEW], Exit.LIMIT, "limit"),
        (["--timeout", "0.3", "HANG"], Exit.LIMIT, "limit"),
        (["ERROR! 401"], Exit.PROVIDER, "provider"),
        (["OVERFLOW"], Exit.PROVIDER, "provider"),
    ],
    ids=lambda scenario: f"{scenario[1]}-{scenario[2]}",
)
def test_what_a_prompt_comes_to(
    shared: Machine, here: Path, form: str, scenario: tuple[list[str], int, str]
) -> None:
    arguments, code, error = scenario

    done = shared.run(here, "run", "--output-format", form, *arguments)

    check(done, form, code, error)
    assert ("crush: " in done.stderr) is (code != Exit.OK)


@FORMATS
def test_a_broken_configuration(shared: Machine, tmp_path: Path, form: str) -> None:
    (tmp_path / "crush.json").write_text('{\n  "models": oops}')

    done = shared.run(tmp_path, "run", "--output-format", form, "hi")

    check(done, form, Exit.CONFIG, "config")
    assert f"{tmp_path}/crush.json:2:13: invalid JSON" in done.stderr


@FORMATS
def test_no_model_to_ask(shared: Machine, tmp_path: Path, form: str) -> None:
    done = shared.run(tmp_path, "run", "--output-format", form, "hi")

    check(done, form, Exit.CONFIG, "no_provider")
    assert "ANTHROPIC_API_KEY" in done.stderr


@FORMATS
def test_no_server_can_be_started(machine: Machine, form: str) -> None:
    project = machine.project("p")
    machine.socket.write_text("in the way")

    done = machine.run(project, "run", "--output-format", form, "hi")

    check(done, form, Exit.ERROR, "start")
    assert "failed to initialize crush server" in done.stderr
    assert f"{machine.socket} exists and is not a socket" in done.stderr


@FORMATS
def test_a_host_that_is_none(shared: Machine, here: Path, form: str) -> None:
    host = {"text": "nowhere", "json": "http://localhost", "stream-json": "tcp://localhost"}[form]

    done = shared.run(here, "run", "-H", host, "--output-format", form, "hi")

    check(done, form, Exit.USAGE, "host")


@FORMATS
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_server_ends_during_the_run(machine: Machine, form: str, how: signal.Signals) -> None:
    project = machine.project("p")
    latch = machine.root / "latch"
    process = machine.start(project, "run", "--output-format", form, f"LATCH {latch}")
    wait_until(lambda: busy(machine))

    os.kill(machine.server_pid(), how)
    done = ended(process)

    check(done, form, Exit.SERVER_LOST, "server_lost" if how is signal.SIGKILL else "interrupted")


@FORMATS
def test_somebody_else_cancels(shared: Machine, here: Path, form: str) -> None:
    wait_until(lambda: not busy(shared))  # what ran before may still put its things away
    process = shared.start(here, "run", "--output-format", form, "HANG")
    wait_until(lambda: busy(shared))
    (session,) = ask(shared, "GET", "/v1/status")["sessions"]

    ask(shared, "DELETE", f"/v1/runs/{session['runs'][0]}")

    check(ended(process), form, Exit.CANCELLED, "cancelled")


def busy(machine: Machine) -> bool:
    if not machine.socket.exists():
        return False
    return bool(ask(machine, "GET", "/v1/status")["sessions"])


def test_an_unknown_command_or_option_is_a_matter_of_usage(shared: Machine, here: Path) -> None:
    for line in (["rum"], ["run", "--frobnicate"], ["session"], ["models", "install", "gpt"]):
        done = shared.run(here, *line)

        assert (done.returncode, done.stdout) == (Exit.USAGE, "")
        assert done.stderr.startswith("crush: ")


def test_an_error_of_ours_is_one_line_and_with_debug_a_traceback(
    shared: Machine, here: Path
) -> None:
    """A module that cannot be imported stands for whatever breaks inside."""
    broken = shared.root / "broken"
    broken.mkdir()
    (broken / "unicodedata.py").write_text("raise ValueError('no reason')")
    env = {**shared.env, "PYTHONPATH": str(broken)}

    short = shared.run(here, "session", "list", env=env)
    long = shared.run(here, "session", "list", "--debug", env=env)

    assert short.returncode == long.returncode == Exit.ERROR
    assert short.stderr.startswith("crush: something broke inside crush: ValueError: no reason\n")
    assert "Traceback" not in short.stderr
    assert "Traceback" in long.stderr
