"""Help pages, the version, and the page of the manual that is made of them."""

import os
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from crush import __version__
from crush.cli.options import Command, names_of
from crush.cli.table import COMMANDS
from crush.errors import Exit
from scripts.make_cli_reference import EXIT_CODES, PAGE, exit_codes, page
from tests.e2e.machine import CRUSH, Machine


def crush(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "LANG": "C.UTF-8"}
    return subprocess.run(
        [*CRUSH, *arguments], env=env, capture_output=True, text=True, timeout=10, check=False
    )


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name or "crush")
def test_every_command_has_a_function_and_a_page(command: Command, tmp_path: Path) -> None:
    module, _, name = command.module.partition(":")
    assert callable(getattr(import_module(module), name or "main"))

    done = crush(*command.name.split(), "--help", home=tmp_path)

    assert (done.returncode, done.stderr) == (Exit.OK, "")
    assert done.stdout.startswith(f"Usage: {f'crush {command.name}'.strip()} [OPTIONS]")
    for option in command.options:
        assert (f"  {', '.join(option.names)}" in done.stdout) is (option.key not in command.hidden)
    for alias in names_of(command)[1:]:
        assert f"crush {alias}" in done.stdout


def test_help_names_every_command_that_does_something(tmp_path: Path) -> None:
    done = crush("-h", home=tmp_path)

    for command in COMMANDS:
        listed = f"\n  {command.name}  " in done.stdout
        assert listed is (command.name not in {"", "session", "permissions"})


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    crush("--help", home=tmp_path)
    crush("--version", home=tmp_path)
    crush(home=tmp_path)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", [["--version"], ["run", "--version"], ["--version", "status"]])
def test_the_version_stands_alone(line: list[str], tmp_path: Path) -> None:
    done = crush(*line, home=tmp_path)

    assert (done.returncode, done.stdout, done.stderr) == (0, f"crush {__version__}\n", "")


def test_crush_alone_says_that_the_interface_comes_and_how_to_ask(tmp_path: Path) -> None:
    done = crush(home=tmp_path)

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "not built yet" in done.stderr
    assert "crush run PROMPT" in done.stderr


def test_a_group_alone_asks_which(shared: Machine, here: Path) -> None:
    done = shared.run(here, "sessions")

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "crush session list, show or last" in done.stderr


def test_the_page_in_the_manual_is_fresh() -> None:
    assert Path(PAGE).read_text() == page(), "run scripts/make_cli_reference.py"


def test_every_exit_code_is_documented() -> None:
    assert set(EXIT_CODES) == set(exit_codes())
