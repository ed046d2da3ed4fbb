"""Nothing that was accepted is lost: servers and clients die, sessions go on."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from crush.errors import Exit
from crush.launch.host import parse_host
from crush.launch.http import open_stream
from tests.e2e.machine import Machine, all_ended, ended, is_alive, wait_until

Event = dict[str, Any]


def latch(machine: Machine) -> Path:
    return machine.root / "latch"


def result_of(stdout: str) -> Event:
    """The last line of the json formats."""
    result: Event = json.loads(stdout.splitlines()[-1])
    assert result["type"] == "result"
    return result


def events_of(stdout: str) -> list[Event]:
    return [json.loads(line) for line in stdout.splitlines()[:-1]]


def test_a_killed_server_leaves_a_session_that_goes_on(machine: Machine) -> None:
    project = machine.project("p")
    running = machine.start(
        project,
        "run",
        "-y",
        "--output-format",
        "stream-json",
        'TOOL view {"file_path": "crush.json"}\n'
        f'TOOL bash {{"command": "touch {machine.root}/began; exec sleep 60", "description": "d"}}',
    )
    wait_until((machine.root / "began").exists)
    pid = machine.server_pid()
    os.kill(pid, signal.SIGKILL)
    killed_at = time.monotonic()
    done = ended(running)
    assert time.monotonic() - killed_at < 2
    assert done.returncode == Exit.SERVER_LOST
    accepted = events_of(done.stdout)[0]
    run = accepted["run"]

    again = machine.run(project, "run", "-C", "--output-format", "stream-json", "ECHO")
    assert again.returncode == Exit.OK, again.stderr
    assert result_of(again.stdout)["session_id"] == run["session_id"]
    events = follow(machine, str(run["id"]))
    ends = [event for event in events if event["type"] == "run_complete"]
    assert [event["run"]["state"] for event in ends] == ["interrupted"]
    called = {
        event["content"]["data"]["id"]
        for event in events
        if event["type"] == "part_added" and event["content"]["type"] == "tool_call"
    }
    answered = {
        part["data"]["tool_call_id"]
        for event in events
        if event["type"] == "message_started"
        for part in event["message"]["parts"]
        if part["type"] == "tool_result"
    }
    assert len(called) == 2
    assert answered == called


def follow(machine: Machine, run_id: str) -> list[Event]:
    """The events of a run from the store."""
    path = f"/v1/runs/{run_id}/events"
    response = open_stream(parse_host(machine.host), "GET", path, headers={}, body=b"", budget_s=5)
    assert response.status == 200
    return [json.loads(data) for _, data in response.frames()]


def test_the_end_of_a_client_is_the_end_of_its_run_after_the_grace(machine: Machine) -> None:
    machine.env["CRUSH_SERVER_DETACH_GRACE"] = "0"
    project = machine.project("p")
    running = machine.start(
        project, "run", "--output-format", "stream-json", f"SAY begin\nLATCH {latch(machine)}"
    )
    assert running.stdout is not None
    run = json.loads(running.stdout.readline())["run"]
    running.kill()
    ended(running)
    events = follow(machine, run["id"])
    assert events[-1]["run"]["state"] == "cancelled"


def test_a_run_that_somebody_else_follows_survives_its_client(machine: Machine) -> None:
    machine.env["CRUSH_SERVER_DETACH_GRACE"] = "0"
    project = machine.project("p")
    running = machine.start(
        project,
        "run",
        "--output-format",
        "stream-json",
        f"SAY begin\nLATCH {latch(machine)}\nSAY end",
    )
    assert running.stdout is not None
    run = json.loads(running.stdout.readline())["run"]
    follower = Follower(machine, run["id"])
    running.kill()
    ended(running)
    latch(machine).touch()
    assert follower.last()["run"]["state"] == "done"


class Follower:
    """A second client of a run; it follows once the constructor returns."""

    def __init__(self, machine: Machine, run_id: str) -> None:
        path = f"/v1/runs/{run_id}/events"
        response = open_stream(
            parse_host(machine.host), "GET", path, headers={}, body=b"", budget_s=5
        )
        self._frames = response.frames()

    def last(self) -> Event:
        *_, (_, data) = self._frames
        event: Event = json.loads(data)
        return event


def test_a_detached_run_goes_on_without_anybody(machine: Machine) -> None:
    machine.env["CRUSH_SERVER_DETACH_GRACE"] = "0"
    project = machine.project("p")
    done = machine.run(project, "run", "--detach", f"LATCH {latch(machine)}\nSAY end")
    assert done.returncode == Exit.OK
    latch(machine).touch()
    assert follow(machine, done.stdout.strip())[-1]["run"]["state"] == "done"


def test_a_stopped_server_ends_its_runs_at_a_committed_step(machine: Machine) -> None:
    project = machine.project("p")
    running = machine.start(
        project, "run", "--output-format", "stream-json", f"SAY begin\nLATCH {latch(machine)}"
    )
    assert running.stdout is not None
    running.stdout.readline()
    pid = machine.server_pid()
    os.kill(pid, signal.SIGTERM)
    done = ended(running)
    assert done.returncode == Exit.SERVER_LOST
    assert result_of(done.stdout)["state"] == "interrupted"
    wait_until(lambda: not is_alive(pid))
    assert not machine.socket.exists()


def test_two_hundred_runs_at_once_each_get_their_own_answer(machine: Machine) -> None:
    projects = [machine.project(f"p{i}") for i in range(4)]
    machine.run(projects[0], "run", "hi")
    for block in range(4):
        numbers = range(block * 50, block * 50 + 50)
        started = [machine.start(projects[i % 4], "run", f"SAY number {i}") for i in numbers]
        for number, done in zip(numbers, all_ended(started), strict=True):
            assert (done.returncode, done.stdout) == (Exit.OK, f"number {number}\n"), done.stderr


def test_each_client_brings_its_own_key(machine: Machine) -> None:
    project = machine.project("p", configured=False)
    global_config = machine.home / ".config" / "crush"
    global_config.mkdir(parents=True)
    config = json.dumps(machine.config(api_key="$MY_KEY"))
    (global_config / "crush.json").write_text(config)
    without = machine.run(project, "run", "WHOAMI")
    assert without.returncode == Exit.CONFIG
    one = machine.run(project, "run", "WHOAMI", env={"MY_KEY": "key-1111"})
    other = machine.run(project, "run", "WHOAMI", env={"MY_KEY": "key-2222"})
    assert (one.stdout, other.stdout) == ("1111\n", "2222\n")
    without = machine.run(project, "run", "WHOAMI")
    assert without.returncode == Exit.CONFIG
    kept = [path.read_bytes() for path in machine.root.rglob("*") if path.is_file()]
    assert not any(b"key-1111" in data or b"key-2222" in data for data in kept)


def test_a_broken_configuration_fails_its_run_only(machine: Machine) -> None:
    broken, fine = machine.project("broken"), machine.project("fine")
    (broken / "crush.json").write_text('{"providers": {\n  "x": ,}\n}')
    done = machine.run(broken, "run", "hi")
    assert done.returncode == Exit.CONFIG
    assert f"{broken}/crush.json:2:8" in done.stderr
    assert machine.run(fine, "run", "hi").returncode == Exit.OK


def test_a_data_directory_that_was_removed_is_made_again(machine: Machine) -> None:
    """And not written to a file without a name, which nobody would ever find."""
    project = machine.project("p")
    assert machine.run(project, "run", "hi").returncode == Exit.OK
    shutil.rmtree(project / ".crush")
    again = machine.run(project, "run", "SAY again")
    assert (again.returncode, again.stdout) == (Exit.OK, "again\n")
    shown = machine.run(project, "session", "last")
    assert "again" in shown.stdout, shown.stderr


def test_a_run_whose_database_was_removed_does_not_end_well(machine: Machine) -> None:
    project = machine.project("p")
    running = machine.start(project, "run", f"SAY begin\nLATCH {latch(machine)}\nSAY end")
    assert running.stdout is not None
    assert running.stdout.read(5) == "begin"
    shutil.rmtree(project / ".crush")
    latch(machine).touch()
    done = ended(running)
    assert done.returncode == Exit.ERROR
    assert "the database was moved" in done.stderr


def test_one_spoilt_database_stops_nobody_else(machine: Machine) -> None:
    spoilt, fine = machine.project("spoilt"), machine.project("fine")
    machine.run(spoilt, "run", "--detach", f"LATCH {latch(machine)}")
    pid = machine.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    with closing(sqlite3.connect(spoilt / ".crush" / "crush.db")) as database, database:
        database.execute("UPDATE goose_db_version SET version_id = 'x'")
    assert machine.run(fine, "run", "hi").returncode == Exit.OK
    refused = machine.run(spoilt, "run", "hi")
    assert refused.returncode == Exit.ERROR
    assert "no crush has written" in refused.stderr


def test_a_database_that_another_program_locks_makes_only_its_own_project_wait(
    machine: Machine,
) -> None:
    locked, fine = machine.project("locked"), machine.project("fine")
    machine.run(locked, "run", "--detach", f"LATCH {latch(machine)}")
    pid = machine.server_pid()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid))
    with closing(sqlite3.connect(locked / ".crush" / "crush.db")) as database:
        database.execute("BEGIN IMMEDIATE")
        assert machine.run(fine, "run", "hi").returncode == Exit.OK
    assert machine.run(locked, "run", "SAY on").stdout == "on\n"


def test_a_project_is_found_under_its_new_name_at_once(machine: Machine) -> None:
    before = machine.project("before")
    assert machine.run(before, "run", "SAY remembered").returncode == Exit.OK
    after = before.rename(machine.root / "after")
    shown = machine.run(after, "session", "last")
    assert "remembered" in shown.stdout, shown.stderr
    assert machine.run(after, "run", "SAY on").stdout == "on\n"
    assert not before.exists()


def test_a_prompt_that_no_model_takes_is_refused_with_what_to_do(machine: Machine) -> None:
    project = machine.project("p")
    done = subprocess.run(
        machine.command(project, "run", "sum up"),
        env=machine.env,
        input=b"\xc3\xa9" * 12_000_000,
        capture_output=True,
        check=False,
    )
    assert done.returncode == Exit.USAGE
    assert b"name a file in the prompt" in done.stderr
