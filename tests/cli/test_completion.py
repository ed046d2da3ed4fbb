"""Completion scripts: run by the shells that are installed, and whole for those that are not."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from crush.cli.completion import SHELLS, script
from crush.cli.options import names_of
from crush.cli.table import COMMANDS, SHARED
from crush.errors import Exit
from tests.e2e.machine import Machine

PRESS_TAB = """
source "$1"; shift
COMP_WORDS=(crush "$@"); COMP_CWORD=$#
_crush crush "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""
# `complete -C` prints what the tab key would offer.
PRESS_TAB_IN_FISH = 'source "$argv[1]"; complete -C "$argv[2]"'
BASH, ZSH, FISH = (shutil.which(shell) or "" for shell in SHELLS)


def installed(path: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path, reason="that shell is not installed here")


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def written(shell: str, tmp_path: Path) -> str:
    file = tmp_path / f"crush.{shell}"
    file.write_text(script(shell))
    return str(file)


def bash(tmp_path: Path, *words: str) -> set[str]:
    done = subprocess.run(
        [BASH, "--norc", "-uc", PRESS_TAB, "bash", written("bash", tmp_path), *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=10,
        check=True,
    )
    assert done.stderr == ""
    return set(done.stdout.split("\n")) - {""}


@installed(BASH)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        (["sta"], {"status"}),
        (["s"], {"server", "status", "stop", "session"}),
        (["session", ""], {"list", "show", "last"}),
        (["sessions", "l"], {"list", "last"}),
        (["--cwd", "run", "mod"], {"models"}),
        (["models", ""], {"install"}),
        (["models", "install", ""], {"local"}),
        (["completion", ""], {"bash", "zsh", "fish"}),
        (["run", "--output-format", ""], {"text", "json", "stream-json"}),
        (["run", "--output-format", "s"], {"stream-json"}),
        (["run", "--read"], {"--read-only"}),
        (["-d", "-m", "x", "run", "--det"], {"--detach"}),
        (["session", "list", "--j"], {"--json"}),
        (["status", "--max"], set()),
        (["server", "--ready"], set()),
        (["run", ""], set()),
        (["run", "-m", ""], set()),
    ],
)
def test_bash_offers(tmp_path: Path, line: list[str], offered: set[str]) -> None:
    assert bash(tmp_path, *line) == offered


@installed(BASH)
def test_bash_offers_directories_and_files_with_their_blanks(tmp_path: Path) -> None:
    (tmp_path / "my project").mkdir()
    (tmp_path / "my file.whl").touch()

    assert bash(tmp_path, "run", "--cwd", "my") == {"my project"}
    assert bash(tmp_path, "models", "install", "--wheel", "my") == {"my project", "my file.whl"}


@installed(BASH)
def test_bash_offers_every_option_of_every_command(tmp_path: Path) -> None:
    for command in COMMANDS:
        names = {
            name
            for option in (*command.options, *SHARED)
            if option.key not in command.hidden
            for name in option.names
        }

        assert bash(tmp_path, *command.name.split(), "-") == names


@installed(ZSH)
def test_zsh_accepts_the_script(tmp_path: Path) -> None:
    subprocess.run([ZSH, "-n", written("zsh", tmp_path)], timeout=10, check=True)


@installed(FISH)
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("crush sta", {"status"}),
        ("crush session l", {"list", "last"}),
        ("crush run --det", {"--detach"}),
    ],
)
def test_fish_offers(tmp_path: Path, line: str, offered: set[str]) -> None:
    done = subprocess.run(
        [FISH, "--no-config", "-c", PRESS_TAB_IN_FISH, written("fish", tmp_path), line],
        capture_output=True,
        text=True,
        timeout=10,
        check=True,
    )
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == offered


def test_every_script_knows_every_command_and_visible_option(shell: str) -> None:
    text = script(shell)

    for command in COMMANDS:
        for name in filter(None, names_of(command)):
            assert f"/{name.rpartition(' ')[2]}" in text
        for option in command.options:
            written = f"-l {option.names[-1][2:]}" if shell == "fish" else option.names[-1]
            assert (written in text) is (option.key not in command.hidden)


def test_quotes_and_brackets_of_every_script_are_balanced(shell: str) -> None:
    """What can be said of a shell that is not installed: its script splits into words."""
    text = "\n".join(
        line
        for line in script(shell).replace("'\\''", "").replace("\\'", "").splitlines()
        if not line.lstrip().startswith("#")
    )

    assert text.count('"') % 2 == 0
    assert text.count("'") % 2 == 0
    assert text.count("{") == text.count("}")
    if shell != "fish":
        assert text.count("case ") == text.count("esac")
        assert text.count("do\n") == text.count("done\n")


def test_the_command_prints_the_script(machine: Machine, shell: str) -> None:
    done = machine.run(machine.root, "completion", shell)

    assert (done.returncode, done.stdout, done.stderr) == (0, script(shell), "")


@pytest.mark.parametrize("words", [[], ["tcsh"], ["bash", "zsh"]])
def test_other_shells_are_refused(machine: Machine, words: list[str]) -> None:
    done = machine.run(machine.root, "completion", *words)

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "say which shell: bash, zsh, fish" in done.stderr
    assert os.listdir(machine.home) == []
