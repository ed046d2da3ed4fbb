import msgspec
import pytest

from crush.tools.base import AnyTool
from crush.tools.registry import core_tools, research_tools
from tests.fakes.sandbox import no_sandbox


def tool(name: str) -> AnyTool:
    return next(tool for tool in core_tools(sandbox=no_sandbox) if tool.name == name)


def test_the_core_tools_have_the_names_of_crush() -> None:
    names = [tool.name for tool in core_tools(sandbox=no_sandbox)]
    assert names == [
        *("view", "ls", "glob", "grep", "edit", "multiedit", "write"),
        *("bash", "job_output", "job_kill"),
        *("fetch", "download", "sourcegraph"),
        *("todos", "question", "crush_info", "crush_logs"),
    ]
    assert [tool.name for tool in research_tools()] == ["web_fetch", "web_search"]


def test_only_the_tools_that_change_nothing_are_read_only() -> None:
    reading = {tool.name for tool in core_tools(sandbox=no_sandbox) if tool.read_only}
    assert reading == {
        *("view", "ls", "glob", "grep", "job_output"),
        *("fetch", "sourcegraph", "crush_info", "crush_logs"),
    }


def test_all_tools_together_cost_a_model_less_than_seven_kilobytes() -> None:
    sent = [
        {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
        for tool in core_tools(sandbox=no_sandbox)
    ]
    assert len(msgspec.json.encode(sent)) <= 7000


def test_every_schema_is_a_plain_object_without_references() -> None:
    for each in core_tools(sandbox=no_sandbox):
        text = msgspec.json.encode(each.parameters).decode()
        assert each.parameters["type"] == "object"
        assert "$ref" not in text
        assert '"title"' not in text


def test_required_arguments_are_those_without_a_default() -> None:
    required = {tool.name: tool.parameters["required"] for tool in core_tools(sandbox=no_sandbox)}
    assert required == {
        "view": ["file_path"],
        "ls": [],
        "glob": ["pattern"],
        "grep": ["pattern"],
        "edit": ["file_path", "old_string", "new_string"],
        "multiedit": ["file_path", "edits"],
        "write": ["file_path", "content"],
        "bash": ["command"],
        "job_output": ["shell_id"],
        "job_kill": ["shell_id"],
        "fetch": ["url"],
        "download": ["url", "file_path"],
        "sourcegraph": ["query"],
        "todos": ["todos"],
        "question": ["questions"],
        "crush_info": [],
        "crush_logs": [],
    }


def test_numbers_as_text_null_and_unknown_arguments_are_understood() -> None:
    args = tool("view").parse('{"file_path": "a", "offset": "7", "limit": null, "colour": 1}')
    assert msgspec.to_builtins(args) == {"file_path": "a", "offset": 7, "limit": 0}


def test_no_text_at_all_means_no_arguments() -> None:
    assert msgspec.to_builtins(tool("ls").parse(" ")) == {"path": "", "ignore": [], "depth": 0}


@pytest.mark.parametrize("text", ['{"offset": 1}', '{"file_path": 1}', "[]", "null"])
def test_arguments_of_the_wrong_shape_are_refused(text: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        tool("view").parse(text)


def test_text_that_is_not_json_is_refused() -> None:
    with pytest.raises(msgspec.DecodeError):
        tool("view").parse('{"file_path": "a')
