"""`crush run` as people and scripts use it: what each option does, and which stream gets what."""

import json
from pathlib import Path

import pytest

from crush.errors import Exit
from tests.cli.processes import ask, last_record, on_terminal
from tests.e2e.machine import CRUSH, Machine, wait_until

WRITE = 'TOOL write {"file_path": "made.txt", "content": "x"}'
SHELL = 'TOOL bash {"command": "touch made.txt", "description": "make a file"}'
LOOK = 'TOOL bash {"command": "cat .env", "description": "look"}'  # no fence keeps it from a model


@pytest.fixture
def fresh(shared: Machine, request: pytest.FixtureRequest) -> Path:
    """A project of the test's own, on the shared machine."""
    return shared.project(f"project-{abs(hash(request.node.nodeid))}")


def test_the_answer_and_nothing_else_goes_to_stdout(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", "hi")

    assert (done.returncode, done.stdout, done.stderr) == (0, "Hello, how can I help?\n", "")


def test_the_words_are_joined_by_one_space(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", "ECHO\na  b", "c", "d")

    assert done.stdout == "ECHO\na  b c d\n"


def test_r_is_run(shared: Machine, here: Path) -> None:
    assert shared.run(here, "r", "hi").stdout == "Hello, how can I help?\n"


def test_blanks_before_the_answer_are_left_out_and_one_line_break_ends_it(
    shared: Machine, here: Path
) -> None:
    assert shared.run(here, "run", "SAY \\n\\n  one\\n\\ntwo\\n").stdout == "one\n\ntwo\n"


def test_messages_of_one_turn_stand_on_lines_of_their_own(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", 'SAY one\nTOOL view {"file_path": "crush.json"}\n---\nSAY two')

    assert done.stdout == "one\ntwo\n"


@pytest.mark.parametrize(
    "place",
    ["--cwd {} run hi", "run --cwd {} hi", "run hi --cwd={}", "-c {} run hi", "run hi -c{}"],
)
def test_global_options_count_before_and_after_the_command(
    shared: Machine, here: Path, place: str
) -> None:
    line = [part.format(here) for part in place.split()]
    code, seen = on_terminal([*CRUSH, *line, "--host", shared.host], shared.env)

    assert (code, seen) == (0, "Hello, how can I help?\n")


def test_a_directory_that_does_not_exist_is_refused(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", "--cwd", str(here / "nowhere"), "hi")

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert f"the working directory '{here}/nowhere' does not exist" in done.stderr


@pytest.mark.parametrize("model", ["m", "fake/m", "FAKE/M"])
def test_the_model_can_be_named_with_and_without_its_provider(
    shared: Machine, here: Path, model: str
) -> None:
    done = shared.run(here, "run", "-m", model, "--small-model", model, "hi")

    assert done.stdout == "Hello, how can I help?\n"


def test_a_model_that_nobody_has_is_an_error_of_the_configuration(
    shared: Machine, here: Path
) -> None:
    done = shared.run(here, "run", "--model", "fake-5", "hi")

    assert (done.returncode, done.stdout) == (Exit.CONFIG, "")
    assert "no configured provider has the model 'fake-5'; there are: fake/m" in done.stderr


def test_a_session_is_continued_by_its_short_id_or_as_the_newest(
    shared: Machine, fresh: Path
) -> None:
    shared.run(fresh, "run", "first")
    shared.run(fresh, "run", "second")
    newest, oldest = json.loads(shared.run(fresh, "session", "list", "--json").stdout)

    shared.run(fresh, "run", "-s", oldest["id"][:7], "third")
    shared.run(fresh, "run", "--session", newest["uuid"], "fourth")
    shared.run(fresh, "run", "-C", "fifth")

    def prompts(session: str) -> list[str]:
        shown = json.loads(shared.run(fresh, "session", "show", session, "--json").stdout)
        users = [each for each in shown["messages"] if each["role"] == "user"]
        return [each["parts"][0]["text"] for each in users]

    assert prompts(oldest["uuid"]) == ["first", "third"]
    assert prompts(newest["uuid"]) == ["second", "fourth", "fifth"]


def test_a_session_and_the_newest_exclude_each_other(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", "-C", "-s", "abc", "hi")

    assert (done.returncode, done.stdout) == (Exit.USAGE, "")
    assert "exclude each other" in done.stderr


def test_files_inside_the_directory_are_written_without_asking(
    shared: Machine, fresh: Path
) -> None:
    done = shared.run(fresh, "run", WRITE)

    assert (done.returncode, done.stdout) == (0, "Done.\n")
    assert (fresh / "made.txt").read_text() == "x"


def test_read_only_refuses_them(shared: Machine, fresh: Path) -> None:
    done = shared.run(fresh, "run", "--read-only", WRITE)

    assert (done.returncode, done.stdout) == (Exit.DENIED, "Done.\n")
    assert not (fresh / "made.txt").exists()


def test_read_only_narrows_yolo(shared: Machine, fresh: Path) -> None:
    done = shared.run(fresh, "run", "--read-only", "-y", SHELL)

    assert done.returncode == Exit.DENIED
    assert not (fresh / "made.txt").exists()


def test_a_command_that_nobody_can_allow_is_denied_with_a_hint_and_its_own_code(
    shared: Machine, fresh: Path
) -> None:
    (fresh / ".env").write_text("KEY=of-the-user")
    done = shared.run(fresh, "run", "-v", LOOK)

    assert (done.returncode, done.stdout) == (Exit.DENIED, "Done.\n")
    assert "crush: denied: " in done.stderr
    assert "cat .env" in done.stderr
    assert "crush: hint: allow it with -y" in done.stderr
    assert "of-the-user" not in done.stderr


@pytest.mark.parametrize("option", ["-y", "--yolo"])
def test_yolo_allows_it(shared: Machine, fresh: Path, option: str) -> None:
    done = shared.run(fresh, "run", option, SHELL)

    assert (done.returncode, done.stdout, done.stderr) == (0, "Done.\n", "")
    assert (fresh / "made.txt").exists()


def test_quiet_silences_everything_but_errors(shared: Machine, fresh: Path) -> None:
    denied = shared.run(fresh, "run", "-q", LOOK)
    failed = shared.run(fresh, "run", "--quiet", "-s", "nobody", "hi")

    assert (denied.returncode, denied.stderr) == (Exit.DENIED, "")
    assert failed.stderr.startswith("crush: session 'nobody' not found\n")


@pytest.mark.parametrize("option", ["-v", "--verbose"])
def test_verbose_shows_reasoning_and_calls_on_stderr(
    shared: Machine, here: Path, option: str
) -> None:
    prompt = 'THINK hmm well\nTOOL view {"file_path": "crush.json"}'

    loud = shared.run(here, "run", option, prompt)
    normal = shared.run(here, "run", prompt)

    assert loud.stdout == normal.stdout == "Done.\n"
    assert "hmm well" in loud.stderr
    assert 'crush: view {"file_path": "crush.json"}' in loud.stderr
    assert normal.stderr == ""


def test_the_data_directory_can_be_elsewhere(shared: Machine, fresh: Path) -> None:
    elsewhere = shared.root / f"{fresh.name}-data"

    done = shared.run(fresh, "run", "--data-dir", str(elsewhere), "hi")
    listed = shared.run(fresh, "-D", str(elsewhere), "session", "list")

    assert done.returncode == 0
    assert (elsewhere / "crush.db").exists()
    assert not (fresh / ".crush").exists()
    assert listed.stdout.count("\n") == 1


def test_a_detached_run_goes_on_without_its_client(shared: Machine, fresh: Path) -> None:
    latch = fresh / "latch"

    done = shared.run(fresh, "run", "--detach", f"LATCH {latch}\nSAY after all")
    run_id = done.stdout.strip()
    state = ask(shared, "GET", f"/v1/runs/{run_id}")["state"]
    latch.touch()
    wait_until(lambda: ask(shared, "GET", f"/v1/runs/{run_id}")["state"] == "done")

    assert (done.returncode, state) == (0, "running")
    assert "after all" in shared.run(fresh, "session", "last").stdout


@pytest.mark.parametrize("form", ["json", "stream-json"])
def test_a_detached_run_is_told_in_json_too(shared: Machine, here: Path, form: str) -> None:
    record = last_record(shared.run(here, "run", "--detach", "--output-format", form, "hi").stdout)

    assert ask(shared, "GET", f"/v1/runs/{record.pop('run_id')}")["id"]
    assert record == {"type": "result", "state": "running", "exit_code": 0}


def test_an_empty_prompt_is_refused(shared: Machine, here: Path) -> None:
    for words in ([], [""], ["  ", "\n"]):
        done = shared.run(here, "run", *words)

        assert (done.returncode, done.stdout) == (Exit.USAGE, "")
        assert done.stderr.startswith("crush: no prompt provided\nhint: ")


def test_a_terminal_shows_what_it_would_otherwise_obey(shared: Machine, here: Path) -> None:
    evil = "SAY a\x1b]52;c;aGk=\x07b\x9bc\u202ed\\re \u00e9\u3000\u754c"

    code, seen = on_terminal(shared.command(here, "run", evil), shared.env)
    piped = shared.run(here, "run", evil)

    assert (code, seen) == (0, "a]52;c;aGk=bcd\\re \u00e9\u3000\u754c\n")
    assert piped.stdout == "a\x1b]52;c;aGk=\x07b\x9bc\u202ed\\re \u00e9\u3000\u754c\n"
