"""`crush permissions list|explain|test`: no server, nothing runs, the user's own rules count."""

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.e2e.machine import Machine

ASK, DENY = 3, 4


@pytest.fixture
def project(shared: Machine, tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("x")
    return tmp_path


@pytest.fixture
def configured(tmp_path: Path) -> dict[str, str]:
    """An environment whose user wrote rules."""
    directory = tmp_path / "configuration"
    directory.mkdir()
    permissions = {
        "allowed_tools": ["view"],
        "allow": ["command(npm test *)", "write(out/**)"],
        "ask": ["command(git log *)"],
        "deny": ["command(git push *)"],
    }
    (directory / "crush.json").write_text(json.dumps({"permissions": permissions}))
    return {"CRUSH_GLOBAL_CONFIG": str(directory)}


def permissions(
    machine: Machine, project: Path, *arguments: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = machine.run(project, "permissions", *arguments, env=env)
    assert not machine.socket.exists()
    return done


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ls -la && git status"], 0),
        (["ls", "-la"], 0),
        (["npm test --watch"], 0),
        (["make"], ASK),
        (["git log"], ASK),
        (["git push"], DENY),
        (["touch made; git push"], DENY),
    ],
)
def test_the_exit_code_says_what_is_decided_and_nothing_runs(
    shared: Machine,
    project: Path,
    configured: dict[str, str],
    words: list[str],
    code: int,
) -> None:
    done = permissions(shared, project, "explain", "--", *words, env=configured)

    assert (done.returncode, done.stderr) == (code, "")
    assert done.stdout.startswith({0: "allow: ", ASK: "ask: ", DENY: "deny: "}[code])
    assert not (project / "made").exists()


def test_where_nothing_can_be_decided_the_exit_code_is_no_decision(
    shared: Machine, project: Path
) -> None:
    (project / "crush.json").write_text("{")
    done = permissions(shared, project, "explain", "--", "ls")

    assert (done.returncode, done.stdout) == (Exit.ERROR, "")
    assert "crush.json:1:" in done.stderr


def test_each_part_of_a_compound_has_its_line(
    shared: Machine, project: Path, configured: dict[str, str]
) -> None:
    done = permissions(
        shared, project, "explain", "--", "git status; make > out/log && git push", env=configured
    )

    lines = done.stdout.splitlines()
    assert lines[0] == "deny: your configuration denies command(git push *)"
    assert lines[1] == "rule: deny command(git push *) (user)"
    rows = [line.split()[:3] for line in lines[2:]]
    assert rows == [
        ["allow", "git", "status"],
        ["ask", "make", rows[1][2]],
        ["allow", ">", "out/log"],
        ["deny", "git", "push"],
    ]
    assert len(lines) == 6


def test_json_tells_the_same_to_machines(
    shared: Machine, project: Path, configured: dict[str, str]
) -> None:
    done = permissions(
        shared, project, "explain", "--json", "--", "ls; npm run lint", env=configured
    )

    told = json.loads(done.stdout)
    assert done.returncode == ASK
    assert (told["decision"], told["mode"], told["rule"]) == ("ask", "workspace", None)
    assert told["offers"] == [["command(npm run lint)"], ["command(npm run lint *)"]]
    assert [(part["source"], part["decision"]) for part in told["parts"]] == [
        ("ls", "allow"),
        ("npm run lint", "ask"),
    ]
    assert told["parts"][0]["rule"]["source"] == "default"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--mode", "yolo", "--", "make"], 0),
        (["--mode", "yolo", "--", "git push"], DENY),
        (["--mode=ask", "--", "ls"], 0),
        (["--mode=ask", "--", "make"], ASK),
    ],
)
def test_a_mode_can_be_chosen(
    shared: Machine,
    project: Path,
    configured: dict[str, str],
    arguments: list[str],
    code: int,
) -> None:
    done = permissions(shared, project, "explain", *arguments, env=configured)

    assert done.returncode == code


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("make", "with a sandbox it runs in there, without a question"),
        ("git log", "a sandbox changes nothing"),
        ("git push", "a sandbox changes nothing"),
        ("ls", "a sandbox changes nothing"),
    ],
)
def test_what_a_sandbox_would_change_is_told_when_asked_for(
    shared: Machine, project: Path, configured: dict[str, str], command: str, line: str
) -> None:
    plain = permissions(shared, project, "explain", "--", command, env=configured)
    fenced = permissions(shared, project, "explain", "--sandbox", "--", command, env=configured)

    assert fenced.stdout == f"{plain.stdout}{line}\n"
    assert fenced.returncode == plain.returncode


def test_the_list_names_every_rule_with_its_source_and_counts_the_known_commands(
    shared: Machine, project: Path, configured: dict[str, str]
) -> None:
    told = json.loads(permissions(shared, project, "list", "--json", env=configured).stdout)
    shown = permissions(shared, project, "list", env=configured)

    rules = {(rule["effect"], rule["rule"], rule["source"]) for rule in told["rules"]}
    assert {
        ("allow", "tool(view)", "user"),
        ("allow", "command(npm test *)", "user"),
        ("ask", "command(git log *)", "user"),
        ("deny", "command(git push *)", "user"),
        ("allow", f"write({project}/**)", "mode"),
    } <= rules
    for effect, rule, source in rules:
        assert any(
            line.split()[:1] == [effect] and rule in line and source in line
            for line in shown.stdout.splitlines()
        )
    assert f"{told['known_commands']} commands are known to only read" in shown.stdout
    assert told["known_commands"] > 50


def test_the_known_commands_are_listed_with_reasons(shared: Machine, project: Path) -> None:
    entries = json.loads(permissions(shared, project, "list", "--commands", "--json").stdout)
    shown = permissions(shared, project, "list", "--commands").stdout

    named = {entry["name"]: entry for entry in entries}
    assert named["git log"]["reason"]
    assert all(name in shown for name in ("git log", "grep", "ls"))


def _table(project: Path, lines: Sequence[object]) -> str:
    path = project / "table.jsonl"
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    )
    return str(path)


def test_a_table_as_expected_is_one_line_and_success(shared: Machine, project: Path) -> None:
    table = _table(
        project,
        [
            {"command": "ls", "expect": "allow", "why": "it only reads", "class": "look"},
            {"command": "make", "expect": "ask"},
            {"command": "make", "expect": "not-allow"},
            {"command": "make", "expect": "allow", "mode": "yolo"},
            "\n",
        ],
    )

    done = permissions(shared, project, "test", table)

    assert (done.returncode, done.stdout, done.stderr) == (0, "4 of 4 as expected\n", "")


def test_misses_are_named_with_file_line_and_reason_and_broken_lines_are_misses(
    shared: Machine, project: Path
) -> None:
    table = _table(
        project,
        [
            {"command": "ls", "expect": "not-allow"},
            {"command": "ls", "expect": "allow"},
            {"command": "rm \u001b[31mx\ny", "expect": "deny"},
            "{not json}\n",
            '["ls", "allow"]\n',
            {"command": "ls"},
            {"command": "ls", "expect": "perhaps"},
            {"command": 3, "expect": "allow"},
            {"command": "ls", "expect": "allow", "mode": "wild"},
        ],
    )

    done = permissions(shared, project, "test", table)

    lines = done.stdout.splitlines()
    assert done.returncode == Exit.ERROR
    assert lines[-1] == "1 of 9 as expected"
    assert [line.split(": ")[0] for line in lines[:-1]] == [
        f"{table}:{number}" for number in (1, 3, 4, 5, 6, 7, 8, 9)
    ]
    assert "expected not-allow, got allow: ls" in lines[0]
    assert r"rm \x1b[31mx\ny" in lines[1]
    assert all("the line is broken" in line for line in lines[2:-1])


def test_an_empty_table_is_as_expected_and_a_missing_one_is_not(
    shared: Machine, project: Path
) -> None:
    empty = permissions(shared, project, "test", _table(project, []))
    missing = permissions(shared, project, "test", str(project / "nowhere.jsonl"))

    assert (empty.returncode, empty.stdout) == (0, "0 of 0 as expected\n")
    assert (missing.returncode, missing.stdout) == (Exit.USAGE, "")
    assert "nowhere.jsonl" in missing.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["explain"], ["explain", "--", " "], ["test"], ["test", "a", "b"]]
)
def test_what_cannot_be_understood_is_a_usage_error(
    shared: Machine, project: Path, arguments: list[str]
) -> None:
    done = permissions(shared, project, *arguments)

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert done.stderr.startswith("crush: say which")


def test_a_rule_that_is_none_is_an_error_that_names_it(
    shared: Machine, project: Path, configured: dict[str, str]
) -> None:
    file = Path(configured["CRUSH_GLOBAL_CONFIG"]) / "crush.json"
    file.write_text(json.dumps({"permissions": {"deny": ["command(a; b)"]}}))

    done = permissions(shared, project, "explain", "--", "ls", env=configured)

    assert (done.returncode, done.stdout) == (Exit.ERROR, "")
    assert "permissions.deny[0]: the rule 'command(a; b)' cannot be used" in done.stderr


def test_a_project_gives_itself_no_rules(shared: Machine, project: Path) -> None:
    (project / "crush.json").write_text(json.dumps({"permissions": {"allow": ["command(make)"]}}))

    done = permissions(shared, project, "explain", "--", "make")

    assert done.returncode == ASK
    assert f"{os.path.realpath(project)}/crush.json" in done.stderr
