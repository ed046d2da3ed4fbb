from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from tests.tools.conftest import Caller


async def test_lines_are_numbered_and_the_metadata_names_the_file(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("red\ngreen\nblue\n")
    result = await call("view", file_path="a")
    assert result.content == "<file>\n     1|red\n     2|green\n     3|blue\n</file>"
    assert msgspec.json.decode(result.metadata_json()) == {
        "file_path": f"{project}/a",
        "content": "red\ngreen\nblue",
    }


async def test_the_need_is_what_a_dialog_shows(call: Caller, project: Path) -> None:
    (project / "a").write_text("x")
    need = await call.need("view", file_path="a", offset=3)
    assert (need.tool, need.action, need.kind) == ("view", "read", "read")
    assert need.target == f"{project}/a"
    assert msgspec.to_builtins(need.params) == {
        "file_path": f"{project}/a",
        "offset": 3,
        "limit": 0,
    }


async def test_200_lines_are_shown_and_the_note_says_where_to_go_on(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("".join(f"line {number}\n" for number in range(1000)))
    first = (await call("view", file_path="a")).content.split("\n")
    assert first[1] == "     1|line 0"
    assert first[-3] == "   200|line 199"
    assert first[-1] == "(1000 lines in all; continue with offset 200)"
    last = (await call("view", file_path="a", offset=990)).content.split("\n")
    assert last[1] == "   991|line 990"
    assert last[-1] == "</file>"


async def test_an_offset_past_the_end_is_an_error_that_tells_the_length(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("x\ny\n")
    with pytest.raises(ToolError, match="has 2 lines"):
        await call("view", file_path="a", offset=2)


async def test_an_empty_file_is_shown_as_empty(call: Caller, project: Path) -> None:
    (project / "a").touch()
    assert (await call("view", file_path="a")).content == "<file>\n</file>\n(the file is empty)"


async def test_long_lines_are_cut(call: Caller, project: Path) -> None:
    (project / "a").write_text("x" * 2001)
    assert f"     1|{'x' * 2000}...\n" in (await call("view", file_path="a")).content


async def test_a_section_that_is_too_large_is_refused(call: Caller, project: Path) -> None:
    (project / "a").write_text(f"{'x' * 1500}\n" * 200)
    with pytest.raises(ToolError, match="200 KiB"):
        await call("view", file_path="a")
    assert "    10|xxx" in (await call("view", file_path="a", limit=10)).content


async def test_only_newlines_end_lines(call: Caller, project: Path) -> None:
    (project / "a").write_bytes("a\u2028b\r\nc\fd".encode())
    content = (await call("view", file_path="a")).content
    assert content == "<file>\n     1|a\u2028b\n     2|cd\n</file>"


async def test_hidden_marks_and_escapes_do_not_reach_the_model(call: Caller, project: Path) -> None:
    (project / "a").write_text("safe\u202e\x1b[31m\U000e0041 text\n")
    assert "1|safe text\n" in (await call("view", file_path="a")).content


async def test_a_missing_file_and_a_directory_are_errors(call: Caller) -> None:
    with pytest.raises(ToolError, match="no such file"):
        await call("view", file_path="nope")
    with pytest.raises(ToolError, match="is a directory"):
        await call("view", file_path=".")


async def test_a_refused_view_is_not_a_read(call: Caller, project: Path) -> None:
    (project / "a").write_bytes(b"\0")
    with pytest.raises(ToolError, match="binary"):
        await call("view", file_path="a")
    assert call.context.files.digest(f"{project}/a") is None
