"""`crush dirs`: the directories that count for this environment, directory and server."""

import json
import re
from pathlib import Path

from tests.e2e.machine import Machine

UNSAFE = re.compile(r"[^A-Za-z0-9._-]")


def directories(machine: Machine, project: Path, *options: str, **env: str) -> dict[str, str]:
    done = machine.run(project, *options, "dirs", "--json", env=env)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def test_every_directory_has_a_line(machine: Machine) -> None:
    project = machine.project("p")

    shown = machine.run(project, "dirs")

    rows = dict(re.split("  +", line) for line in shown.stdout.splitlines())
    assert rows == {
        "Config": f"{machine.home}/.config/crush",
        "Data": f"{machine.home}/.local/share/crush",
        "State": f"{machine.home}/.local/state/crush",
        "Cache": f"{machine.home}/.cache/crush",
        "Project data": f"{project}/.crush",
        "Server": f"{machine.home}/.cache/crush/server-{UNSAFE.sub('_', machine.host)}",
    }


def test_json_names_the_same_directories(machine: Machine) -> None:
    found = directories(machine, machine.project("p"))

    assert list(found) == ["config", "data", "state", "cache", "project_data", "server"]
    assert not machine.socket.exists()


def test_they_follow_the_environment(machine: Machine) -> None:
    found = directories(
        machine,
        machine.project("p"),
        XDG_CONFIG_HOME="/x/config",
        XDG_STATE_HOME="/x/state",
        CRUSH_GLOBAL_DATA="/x/data",
        CRUSH_CACHE_DIR="/x/cache",
    )

    assert (found["config"], found["state"]) == ("/x/config/crush", "/x/state/crush")
    assert (found["data"], found["cache"]) == ("/x/data", "/x/cache")
    assert found["server"].startswith("/x/cache/server-unix___")


def test_the_projects_data_is_found_above_and_where_options_say(machine: Machine) -> None:
    project = machine.project("p")
    (project / ".git").mkdir()
    (project / ".crush").mkdir()
    below = project / "a" / "b"
    below.mkdir(parents=True)

    assert directories(machine, below)["project_data"] == f"{project}/.crush"
    assert directories(machine, below, "-D", "/x/d")["project_data"] == "/x/d"


def test_a_broken_configuration_is_no_reason_to_hide_them(machine: Machine) -> None:
    project = machine.project("p")
    (project / "crush.json").write_text("{")

    done = machine.run(project, "dirs")

    assert done.returncode == 0
    assert f"Project data  {project}/.crush\n" in done.stdout
    assert f"{project}/crush.json:1:2: invalid JSON" in done.stderr
