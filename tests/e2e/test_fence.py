"""`crush run` in its own mode: commands do their work inside the fence and nothing else."""

import json
import os
import signal
import socket
from pathlib import Path
from subprocess import run
from typing import Any

from tests.e2e.machine import Machine, is_alive, wait_until


def bash(command: str, **more: object) -> str:
    return "TOOL bash " + json.dumps({"command": command, "description": "d", **more})


class Told:
    """What a run said: its exit code, stderr, and the results of its calls."""

    def __init__(self, machine: Machine, project: Path, prompt: str, *options: str) -> None:
        done = machine.run(project, "run", "--output-format", "stream-json", *options, prompt)
        self.code = done.returncode
        self.stderr = done.stderr
        events = [json.loads(line) for line in done.stdout.splitlines()]
        self.results: list[dict[str, Any]] = [
            part["data"]
            for event in events
            if event["type"] == "message_started"
            for part in event["message"]["parts"]
            if part["type"] == "tool_result"
        ]

    @property
    def text(self) -> str:
        (result,) = self.results
        return str(result["content"])

    @property
    def metadata(self) -> dict[str, Any]:
        (result,) = self.results
        metadata: dict[str, Any] = json.loads(result["metadata"])
        return metadata


def test_a_command_works_in_the_workspace_unasked_and_says_what_fenced_it(machine: Machine) -> None:
    project = machine.project("p")
    told = Told(machine, project, bash("echo made > made && cat made"))
    assert (told.code, told.stderr) == (0, "")
    assert told.text.startswith("made\n")
    assert told.metadata["sandbox"] == "bubblewrap"
    assert (project / "made").read_text() == "made\n"


def test_what_the_fence_refuses_is_a_denial_with_a_hint_and_its_own_exit_code(
    machine: Machine,
) -> None:
    project = machine.project("p")
    told = Told(machine, project, bash("touch /usr/crush-was-here"))
    assert told.code == 5
    assert not os.path.exists("/usr/crush-was-here")
    assert "Read-only file system" in told.text
    assert "outside the sandbox" in told.text
    assert "crush: denied: Execute command: touch /usr/crush-was-here" in told.stderr
    assert "crush: hint: " in told.stderr


def test_a_fenced_command_sees_neither_the_server_nor_what_it_keeps(machine: Machine) -> None:
    project = machine.project("p")
    Told(machine, project, "SAY up")
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(machine.socket)!r})"
    tries = {
        "socket": f'python3 -c "{connect}"',
        "environment": f"cat /proc/{machine.server_pid()}/environ",
        "database": "ls .crush/crush.db",
        "state": f"ls {machine.home}/.local/state/crush/registry.db",
        "signal": f"kill -0 {machine.server_pid()}",
    }
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        tries["network"] = f'python3 -c "import socket; socket.create_connection({address})"'
        script = "; ".join(f"{command} && echo GOT-{name}" for name, command in tries.items())
        told = Told(machine, project, bash(script))
        assert "GOT-" not in told.text
        outside = Told(machine, project, bash(script), "-y")
        assert outside.text.count("GOT-") == len(tries)
    assert machine.run(project, "status").returncode == 0


def test_a_repository_is_worked_in_and_not_turned_against_its_owner(machine: Machine) -> None:
    project = machine.project("p")
    run(["/usr/bin/env", "git", "init", "-q", str(project)], check=True)
    (project / "kept.json").write_text("{}")
    commit = "git -c user.name=a -c user.email=a@b.test commit -qm x"
    told = Told(machine, project, bash(f"git add kept.json && {commit} && git log --oneline"))
    assert told.code == 0
    assert told.text.split("\n")[0].endswith(" x")
    for attack in (
        "echo evil >> .git/config",
        "echo evil > .git/hooks/pre-commit",
        "mv .git gone",
        "echo '{}' > crush.json",
    ):
        before = snapshot(project)
        Told(machine, project, bash(attack))
        assert snapshot(project) == before, attack


def snapshot(project: Path) -> dict[str, bytes]:
    """What programs obey in the project."""
    paths = [project / "crush.json", project / ".git/config", *(project / ".git/hooks").iterdir()]
    return {str(path): path.read_bytes() for path in paths}


def test_temporary_files_are_the_sessions_own_and_file_tools_see_them_too(machine: Machine) -> None:
    project = machine.project("p")
    first = bash("echo mine > /tmp/note-of-a-session")
    second = 'TOOL view {"file_path": "/tmp/note-of-a-session"}'
    third = 'TOOL write {"file_path": "/tmp/note-of-a-session", "content": "yours"}'
    told = Told(machine, project, f"{first}\n---\n{second}\n---\n{third}\n---\nSAY done")
    assert told.code == 0
    assert "mine" in told.results[1]["content"]
    assert not told.results[2]["is_error"]
    assert not os.path.exists("/tmp/note-of-a-session")  # noqa: S108 - it must not be there
    other = Told(machine, project, second)
    assert other.results[0]["is_error"]


def test_a_command_ends_with_a_server_that_is_killed(machine: Machine) -> None:
    project = machine.project("p")
    client = machine.start(project, "run", bash("echo $$ > began; sleep 1000"))
    wait_until((project / "began").exists)
    sleeping = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if sleeps(pid)]
    assert len(sleeping) == 1
    os.kill(machine.server_pid(), signal.SIGKILL)
    wait_until(lambda: not is_alive(sleeping[0]))
    client.communicate()
    assert client.returncode == 8


def sleeps(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() == b"sleep\x001000\x00"
    except OSError:
        return False


def test_a_denied_command_is_not_run_even_in_yolo(machine: Machine) -> None:
    project = machine.project("p")
    config = machine.home / ".config" / "crush" / "crush.json"
    config.parent.mkdir(parents=True)
    config.write_text(json.dumps({"permissions": {"deny": ["command(touch *)"]}}))
    told = Told(machine, project, bash("cd . && /usr/bin/touch made"), "-y")
    assert told.code == 5
    assert not (project / "made").exists()
    assert "touch" in told.text


def test_the_conversations_are_hidden_wherever_the_project_keeps_them(machine: Machine) -> None:
    project = machine.project("p")
    run(["/usr/bin/env", "git", "init", "-q", str(project)], check=True)
    config = json.loads((project / "crush.json").read_text())
    config["options"] = {"data_directory": "kept/here"}
    (project / "crush.json").write_text(json.dumps(config))
    told = Told(machine, project, bash("ls kept/here; echo x > kept/here/crush.db; true"))
    assert (project / "kept/here/crush.db").stat().st_size > len("x\n")
    assert "crush.db" not in told.text.split("<cwd>")[0].replace("kept/here/crush.db", "")
    assert Told(machine, project, "SAY still there").code == 0

    config["options"] = {"data_directory": "."}  # to hide that would hide the project
    (project / "crush.json").write_text(json.dumps(config))
    told = Told(machine, project, bash("echo x > crush.db"))
    assert told.code == 5
    assert (project / "crush.db").stat().st_size > len("x\n")
