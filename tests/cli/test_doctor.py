"""`crush doctor`: one line for each thing that can be wrong; it changes nothing and shows no key."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from crush.cli.check import size_text
from crush.errors import Exit
from crush.store.health import examine
from tests.e2e.machine import Machine

Checks = dict[str, dict[str, str]]


def doctor(machine: Machine, project: Path, **env: str) -> Checks:
    """Its findings by name, after a check that its words for people agree."""
    told = machine.run(project, "doctor", "--json", env=env)
    record: dict[str, Any] = json.loads(told.stdout)
    shown = machine.run(project, "doctor", env=env)
    is_well = all(check["level"] != "fail" for check in record["checks"])
    assert record["ok"] is is_well
    assert told.returncode == shown.returncode == (0 if is_well else Exit.ERROR)
    assert told.stderr == shown.stderr == ""
    for check in record["checks"]:
        assert f"{check['level']:<4}  {check['name']:<17} " in shown.stdout
        if check["level"] != "ok":
            assert check["hint"] in shown.stdout
    return {check["name"]: check for check in record["checks"]}


def test_a_machine_that_is_well(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "hi")

    found = doctor(machine, project)

    assert [name for name, check in found.items() if check["level"] == "fail"] == []
    assert f"process {machine.server_pid()} at {machine.host}, idle" in found["server"]["text"]
    assert found["configuration"]["text"] == f"{project}/crush.json"
    assert found["provider fake"]["text"] == "key set, 1 model"
    assert found["model"]["text"] == "fake/m"
    assert found["database"]["text"].endswith(", 1 sessions, intact")
    assert found["events"]["text"][0] != "0"
    assert {"python", "packages", "build", "ripgrep", "bash", "git", "logs", "backups"} <= set(
        found
    )


def test_it_leaves_nothing_behind_and_starts_nothing(machine: Machine) -> None:
    project = machine.project("p")
    before = sorted(machine.root.rglob("*"))

    found = doctor(machine, project)

    assert sorted(machine.root.rglob("*")) == before
    assert found["server"]["text"] == "no server is running; the first client starts one"
    assert found["database"]["text"].endswith("(made by the first run)")


def test_no_key_is_ever_shown(machine: Machine) -> None:
    project = machine.project("p", api_key="sk-in-the-file")
    machine.run(project, "run", "hi")

    told = machine.run(project, "doctor", env={"ANTHROPIC_API_KEY": "sk-in-the-environment"})

    assert "sk-in" not in told.stdout
    assert "provider anthropic" in told.stdout


def test_a_broken_configuration_has_a_line_and_a_column(machine: Machine) -> None:
    project = machine.project("p")
    (project / "crush.json").write_text('{\n "providers": [}')

    found = doctor(machine, project)

    assert found["configuration"]["level"] == "fail"
    assert f"{project}/crush.json:2:16: invalid JSON" in found["configuration"]["text"]
    assert found["database"]["level"] == "ok"


def test_a_key_that_is_not_set_is_named_with_what_to_set(machine: Machine) -> None:
    config = machine.home / ".config" / "crush"
    config.mkdir(parents=True)
    (config / "crush.json").write_text(json.dumps(machine.config(api_key="$MY_KEY")))
    project = machine.project("p", configured=False)

    without = doctor(machine, project)
    with_key = doctor(machine, project, MY_KEY="sk-x")

    assert without["provider fake"]["level"] == "warn"
    assert "MY_KEY is not set" in without["provider fake"]["text"]
    assert without["model"]["level"] == "fail"
    assert with_key["provider fake"]["level"] == with_key["model"]["level"] == "ok"


def test_what_a_repository_says_and_may_not_is_a_warning(machine: Machine) -> None:
    project = machine.project("p", configured=False)
    content = {**machine.config(), "permissions": {"allowed_tools": ["bash"]}}
    (project / "crush.json").write_text(json.dumps(content))

    told = machine.run(project, "doctor")

    assert told.returncode == 0
    assert "\nwarn  configuration " in told.stdout
    assert "permissions are not applied" in told.stdout


def test_a_damaged_database_is_found(machine: Machine) -> None:
    project = machine.project("p")
    for prompt in ("one", "two", "three"):
        machine.run(project, "run", prompt + " word" * 2000)
    machine.run(project, "stop")
    database = project / ".crush" / "crush.db"
    data = bytearray(database.read_bytes())
    for page in range(4, len(data) // 4096):
        data[page * 4096 : page * 4096 + 200] = b"\xff" * 200
    database.write_bytes(data)

    found = doctor(machine, project)

    assert found["database"]["level"] == "fail"
    assert "backups" in found["database"]["hint"]


def test_what_is_no_database_is_found(machine: Machine) -> None:
    project = machine.project("p")
    (project / ".crush").mkdir()
    (project / ".crush" / "crush.db").write_text("these are my notes" * 1000)

    found = doctor(machine, project)

    assert found["database"]["level"] == "fail"
    assert "not a database" in found["database"]["text"]


def test_a_server_that_hangs_is_a_failure(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "hi")
    pid = machine.server_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        told = machine.run(project, "doctor")
    finally:
        os.kill(pid, signal.SIGCONT)

    assert told.returncode == Exit.ERROR
    assert f"fail  server            silent: process {pid} is the server" in told.stdout
    assert "crush stop --force" in told.stdout
    assert "database" in told.stdout


def test_directories_that_others_can_enter_or_that_are_files(machine: Machine) -> None:
    state = machine.home / ".local" / "state" / "crush"
    state.mkdir(parents=True)
    state.chmod(0o755)
    (machine.home / ".config").mkdir()
    (machine.home / ".config" / "crush").write_text("")

    found = doctor(machine, machine.project("p"))

    assert (found["state directory"]["level"], found["config directory"]["level"]) == (
        "warn",
        "fail",
    )
    assert "has mode 0755" in found["state directory"]["text"]


def test_programs_that_are_missing_are_warnings(machine: Machine) -> None:
    found = doctor(machine, machine.project("p"), PATH="/nowhere")

    assert (found["bash"]["level"], found["git"]["level"]) == ("warn", "warn")
    assert found["bash"]["hint"] == "install bash"


def test_a_check_that_takes_too_long_is_given_up(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "DELTAS 8000")

    health = examine(str(project / ".crush" / "crush.db"), within_s=-1)

    assert (health.is_checked, health.sessions) == (False, 1)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5e9, "5.0 GB"),
        (5e12, "5000.0 GB"),
    ],
)
def test_sizes_are_told_in_their_unit(size: float, text: str) -> None:
    assert size_text(size) == text


def test_a_name_that_commands_the_terminal_is_spelled_out(shared: Machine, tmp_path: Path) -> None:
    """A directory can be called anything, and every complaint about a file in it names it."""
    evil = tmp_path / "e\x1b]52;c;aGk=\x07"
    evil.mkdir()
    (evil / "crush.json").write_text("{x")

    for words in (["doctor"], ["dirs"], ["session", "list"], ["run", "hi"], ["--\x1b]0;x\x07"]):
        done = shared.run(evil, *words)
        assert "\x1b" not in done.stdout, words
        assert words == ["run", "hi"] or "\x1b" not in done.stderr, words
