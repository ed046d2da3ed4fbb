"""The JSON formats of `crush run`: their fields, and that the last line is the result."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from crush.wire.codec import decode_event
from tests.cli.processes import last_record
from tests.e2e.machine import Machine

NULL = type(None)
FIELDS: Mapping[str, type | tuple[type, ...]] = {
    "type": str,
    "run_id": str,
    "session_id": str,
    "state": str,
    "error": (dict, NULL),
    "denied": int,
    "steps": int,
    "input_tokens": int,
    "output_tokens": int,
    "cost": float,
    "duration_ms": int,
    "text": str,
    "exit_code": int,
}
PROMPTS = {
    "answer": "THINK hm\nSAY one two",
    "tools": 'SAY first\nTOOL view {"file_path": "crush.json"}\n---\nSAY last',
    "denied": 'TOOL bash {"command": "make", "description": "x"}',
    "failed": "SAY some\nERROR! 400",
}


def records(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize("form", ["json", "stream-json"])
@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_a_result_has_all_of_its_fields(
    shared: Machine, here: Path, form: str, prompt: str
) -> None:
    done = shared.run(here, "run", "--output-format", form, prompt)

    result = last_record(done.stdout)
    assert list(result) == [field for field in result if isinstance(result[field], FIELDS[field])]
    assert set(result) == set(FIELDS)
    assert result["exit_code"] == done.returncode


def test_json_is_one_line_with_the_last_message_and_the_numbers(
    shared: Machine, here: Path
) -> None:
    done = shared.run(here, "run", "--output-format", "json", PROMPTS["tools"] + "\nUSAGE 30 4")

    (result,) = records(done.stdout)
    assert done.stderr == ""
    assert (result["type"], result["state"], result["error"]) == ("result", "done", None)
    assert (result["text"], result["steps"], result["denied"]) == ("last", 2, 0)
    assert result["input_tokens"] > 30
    assert result["output_tokens"] >= 4
    assert 0 <= result["duration_ms"] < 15_000


def test_stream_json_is_the_events_of_the_wire_and_then_the_result(
    shared: Machine, here: Path
) -> None:
    done = shared.run(here, "run", "--output-format", "stream-json", PROMPTS["tools"])

    *events, result = records(done.stdout)
    assert result["type"] == "result"
    assert events[-1]["type"] == "run_complete"
    assert [event["type"] for event in events].count("run_complete") == 1
    for line in done.stdout.splitlines()[:-1]:
        assert decode_event(line) is not None
    text = "".join(
        event["text"] for event in events if event["type"] == "delta" and event["kind"] == "text"
    )
    assert text == "firstlast"


def test_the_summary_is_what_the_server_tells_later(shared: Machine, here: Path) -> None:
    done = shared.run(here, "run", "--output-format", "stream-json", "hi")

    *_, complete, result = records(done.stdout)
    run = complete["run"]
    assert (result["run_id"], result["session_id"]) == (run["id"], run["session_id"])
    assert result["duration_ms"] == run["ended_at_ms"] - run["created_at_ms"]


def test_every_line_can_be_read_though_the_answer_has_breaks_quotes_and_escapes(
    shared: Machine, here: Path
) -> None:
    text = 'ECHO\n"quoted" \\ \u2028 \x1b[31m \u00e9\U0001f600\n\n{"type": "result"}'

    stream = shared.run(here, "run", "--output-format", "stream-json", text)
    whole = shared.run(here, "run", "--output-format", "json", text)

    assert [json.loads(line)["type"] for line in stream.stdout.split("\n")[:-1]][-1] == "result"
    assert last_record(whole.stdout)["text"] == text


@pytest.mark.parametrize("option", ["-v", "-q"])
def test_stderr_does_not_change_what_stdout_gets(shared: Machine, here: Path, option: str) -> None:
    done = shared.run(here, "run", option, "--output-format", "json", PROMPTS["denied"])

    assert len(records(done.stdout)) == 1
    assert ("bash" in done.stderr) is (option == "-v")
