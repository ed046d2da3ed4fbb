"""`crush session list|show|last`, for people, for pipes and for programs."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from crush.cli.screen import cut
from crush.cli.transcript import transcript
from crush.errors import Exit
from crush.store.short_id import short_id
from tests.cli.processes import on_terminal
from tests.e2e.machine import Machine

ROW = re.compile(r"([0-9a-f]{7})  (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d)  (.*)")


@pytest.fixture(scope="module")
def talked(shared: Machine) -> Path:
    """A project with two sessions, the newer one with reasoning, a call and an escape sequence."""
    project = shared.project("talked")
    shared.run(project, "run", "hi there")
    shared.run(
        project,
        "run",
        "a rather long title that no terminal of forty columns can show\nTHINK well\n"
        'SAY see \x1b[31mred\nTOOL view {"file_path": "crush.json"}\n---\nSAY the end',
    )
    return project


def listed(machine: Machine, project: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        machine.run(project, "session", "list", "--json").stdout
    )
    return found


def test_a_pipe_gets_one_session_a_line_the_newest_first(shared: Machine, talked: Path) -> None:
    done = shared.run(talked, "session", "list")

    rows = [ROW.fullmatch(line) for line in done.stdout.splitlines()]
    assert [row and row[3] for row in rows][1] == "hi there"
    assert all(rows)
    for row, record in zip(rows, listed(shared, talked), strict=True):
        assert row is not None
        assert row[1] == record["id"][:7]
        assert datetime.fromisoformat(row[2]) == datetime.fromisoformat(record["created"])


@pytest.mark.parametrize("name", ["session list", "session ls", "sessions list", "s ls"])
def test_every_name_of_the_list(shared: Machine, talked: Path, name: str) -> None:
    assert shared.run(talked, *name.split()).stdout.count("\n") == 2


def test_json_names_each_session_by_both_ids(shared: Machine, talked: Path) -> None:
    for record in listed(shared, talked):
        assert set(record) == {"id", "uuid", "title", "created", "modified"}
        assert record["id"] == short_id(record["uuid"])
        created = datetime.fromisoformat(record["created"])
        assert created.tzinfo == UTC
        assert abs((datetime.now(UTC) - created).total_seconds()) < 300


def test_a_terminal_gets_titles_cut_to_its_width(shared: Machine, talked: Path) -> None:
    code, seen = on_terminal(shared.command(talked, "session", "list"), shared.env, columns=60)

    assert code == 0
    assert all(len(line) <= 60 for line in seen.splitlines())
    assert seen.splitlines()[0].endswith("…")


@pytest.mark.parametrize("lines", [2, 50])
def test_the_pager_is_used_only_for_what_is_taller_than_the_terminal(
    shared: Machine, talked: Path, lines: int
) -> None:
    env = {**shared.env, "PAGER": "sed s/^/paged:/"}

    _, seen = on_terminal(shared.command(talked, "session", "list"), env, lines=lines)

    assert seen.count("paged:") == (2 if lines == 2 else 0)


@pytest.mark.parametrize("pager", ["no-such-pager", "", "'"])
def test_without_a_pager_it_is_printed_all_the_same(
    shared: Machine, talked: Path, pager: str
) -> None:
    env = {**shared.env, "PAGER": pager}

    code, seen = on_terminal(shared.command(talked, "session", "list"), env, lines=2)

    assert (code, seen.count("\n")) == (0, 2)


def test_leaving_the_pager_early_is_no_error(shared: Machine, talked: Path) -> None:
    env = {**shared.env, "PAGER": "true"}

    assert on_terminal(shared.command(talked, "session", "last"), env, lines=2) == (0, "")


def test_a_session_is_shown_whole_and_cannot_command_the_terminal(
    shared: Machine, talked: Path
) -> None:
    done = shared.run(talked, "session", "last")

    assert done.returncode == 0
    assert "\x1b" not in done.stdout
    assert "\nsee red\n" in done.stdout
    for piece in (
        "## user\n",
        "## assistant (fake/m)\n",
        "  thinking\n    well\n",
        '  -> view {"file_path": "crush.json"}\n',
        "  <- view result\n",
        "\nthe end\n",
    ):
        assert piece in done.stdout


def test_a_session_is_found_by_its_whole_id_or_a_prefix_of_the_short_one(
    shared: Machine, talked: Path
) -> None:
    record = listed(shared, talked)[1]

    for reference in (record["uuid"], record["id"], record["id"][:7], record["id"][:7].upper()):
        done = shared.run(talked, "session", "show", reference)

        assert done.stdout.startswith("# hi there\n"), reference


def test_json_shows_the_numbers_and_every_part(shared: Machine, talked: Path) -> None:
    record = json.loads(shared.run(talked, "session", "last", "--json").stdout)

    meta = record["meta"]
    assert meta["total_tokens"] == meta["prompt_tokens"] + meta["completion_tokens"] > 0
    assert meta["uuid"] == listed(shared, talked)[0]["uuid"]
    assert [message["role"] for message in record["messages"]] == [
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    parts = [part for message in record["messages"] for part in message["parts"]]
    assert {part["type"] for part in parts} == {
        "text",
        "reasoning",
        "tool_call",
        "tool_result",
        "finish",
    }
    assert "see \x1b[31mred" in [part.get("text") for part in parts]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("session show deadbeef", Exit.NOT_FOUND, "session 'deadbeef' not found"),
        ("session show ../../x", Exit.NOT_FOUND, "session '../../x' not found"),
        ("session show", Exit.USAGE, "say which session"),
        ("session show a b", Exit.USAGE, "say which session"),
        ("session list x", Exit.USAGE, "takes no arguments"),
    ],
)
def test_what_is_not_there_or_not_named(
    shared: Machine, talked: Path, line: str, code: int, message: str
) -> None:
    done = shared.run(talked, *line.split())

    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr


def test_a_directory_without_sessions_stays_without(shared: Machine, tmp_path: Path) -> None:
    empty = shared.run(tmp_path, "session", "list")
    nothing = shared.run(tmp_path, "session", "list", "--json")
    last = shared.run(tmp_path, "session", "last")

    assert (empty.returncode, empty.stdout, nothing.stdout) == (0, "", "[]\n")
    assert last.returncode == Exit.NOT_FOUND
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_the_directory_shows_the_same_sessions(shared: Machine, talked: Path) -> None:
    link = shared.root / "link"
    link.symlink_to(talked)

    assert listed(shared, link) == listed(shared, talked)


def test_a_broken_configuration_does_not_hide_the_sessions(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "hi")
    (project / "crush.json").write_text("{")

    done = machine.run(project, "session", "list")

    assert (done.returncode, done.stdout.count("\n")) == (0, 1)
    assert "crush.json:1:2: invalid JSON" in done.stderr


def test_the_list_starts_a_server_if_none_runs(machine: Machine) -> None:
    project = machine.project("p")
    machine.run(project, "run", "hi")
    machine.run(project, "stop")

    assert machine.run(project, "session", "list").stdout.count("\n") == 1


def test_the_users_own_configuration_says_where_the_data_is(machine: Machine) -> None:
    config = machine.home / ".config" / "crush"
    config.mkdir(parents=True)
    (config / "crush.json").write_text('{"options": {"data_directory": "~/data"}}')
    project = machine.project("p")

    machine.run(project, "run", "hi")
    elsewhere = machine.run(project, "session", "list", env={"HOME": str(machine.root / "other")})

    assert machine.run(project, "session", "list").stdout.count("\n") == 1
    assert elsewhere.stdout == ""


@pytest.mark.parametrize(
    ("text", "columns", "shown"),
    [
        ("short", 5, "short"),
        ("longer", 5, "long…"),
        ("two words", 5, "two…"),
        ("界界界", 6, "界界界"),
        ("界界界", 5, "界界…"),
        ("e\u0301e\u0301", 2, "e\u0301e\u0301"),
        ("a\nb\tc", 9, "a b c"),
        ("\x1b[31mred\x07", 9, "red"),
        ("abc", 1, "…"),
    ],
)
def test_a_title_is_cut_by_the_columns_it_takes(text: str, columns: int, shown: str) -> None:
    assert cut(text, columns) == shown


def test_every_kind_of_part_has_its_place_in_a_transcript() -> None:
    parts = [
        ("tool_result", {"name": "bash", "content": "boom\n", "is_error": True}),
        ("binary", {"Path": "a.png", "MIMEType": "image/png", "Data": ""}),
        ("image_url", {"url": "http://x/y"}),
        ("shell_command", {"command": "ls", "output": "a\nb\n", "exit_code": 1}),
        ("opaque", {}),
        ("finish", {"reason": "error", "message": "no \x1b]0;title\x07luck", "time": 0}),
        ("finish", {"reason": "end_turn", "time": 0}),
    ]
    message = {
        "role": "user",
        "provider": "",
        "model": "",
        "parts": [{"type": kind, "data": data} for kind, data in parts],
    }

    assert transcript({"title": ""}, [message]) == (
        "# Untitled\n\n## user\n\n  <- bash error\n    boom\n\n  [image/png a.png]\n\n"
        "  [image http://x/y]\n\n  $ ls\n    a\n    b\n\n    exit code 1\n\n  [opaque]\n\n"
        "  [error no luck]\n"
    )
