import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crush.errors import ToolError
from tests.tools.conftest import Caller

TEXT = st.text(alphabet="ab \n\r\té", max_size=20)


async def test_a_text_is_replaced_and_the_result_counts_lines(call: Caller, project: Path) -> None:
    (project / "a").write_text("red\ngreen\nblue\n")
    await call("view", file_path="a")
    result = await call("edit", file_path="a", old_string="green", new_string="GREEN")
    assert (project / "a").read_text() == "red\nGREEN\nblue\n"
    assert result.content == f"<result>\n1 replacement in {project}/a (+1 -1)\n</result>"
    assert msgspec.json.decode(result.metadata_json()) == {
        "additions": 1,
        "removals": 1,
        "old_content": "red\ngreen\nblue\n",
        "new_content": "red\nGREEN\nblue\n",
    }


async def test_the_need_shows_both_contents(call: Caller, project: Path) -> None:
    (project / "a").write_text("one\n")
    await call("view", file_path="a")
    need = await call.need("edit", file_path="a", old_string="one", new_string="two")
    assert (need.action, need.kind, need.target) == ("write", "write", f"{project}/a")
    assert msgspec.to_builtins(need.params) == {
        "file_path": f"{project}/a",
        "old_content": "one\n",
        "new_content": "two\n",
    }
    assert (project / "a").read_text() == "one\n"


async def test_a_file_that_was_not_read_is_not_edited(call: Caller, project: Path) -> None:
    (project / "a").write_text("x\n")
    with pytest.raises(ToolError, match="not been read"):
        await call("edit", file_path="a", old_string="x", new_string="y")


async def test_a_file_that_changed_since_it_was_read_is_not_edited(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("x\n")
    await call("view", file_path="a")
    before = (project / "a").stat()
    (project / "a").write_text("x!\n")
    os.utime(project / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(ToolError, match="changed since"):
        await call("edit", file_path="a", old_string="x", new_string="y")
    assert (project / "a").read_text() == "x!\n"


async def test_a_touched_file_with_the_same_bytes_is_still_known(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("x\n")
    await call("view", file_path="a")
    os.utime(project / "a", (2_000_000_000, 2_000_000_000))
    await call("edit", file_path="a", old_string="x", new_string="y")
    assert (project / "a").read_text() == "y\n"


async def test_a_change_while_somebody_decides_is_not_overwritten(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("x\n")
    await call("view", file_path="a")
    edit = call.prepare("edit", file_path="a", old_string="x", new_string="y")
    await edit.needs()
    (project / "a").write_text("x and more\n")
    with pytest.raises(ToolError, match="changed since"):
        await edit.run()
    await call("view", file_path="a")
    with pytest.raises(ToolError, match="while the call waited"):
        await edit.run()
    assert (project / "a").read_text() == "x and more\n"


async def test_edits_follow_each_other_without_another_view(call: Caller, project: Path) -> None:
    (project / "a").write_text("x\n")
    await call("view", file_path="a")
    await call("edit", file_path="a", old_string="x", new_string="y")
    await call("edit", file_path="a", old_string="y", new_string="z")
    assert (project / "a").read_text() == "z\n"


async def test_an_empty_old_string_creates_a_file_and_never_replaces_one(
    call: Caller, project: Path
) -> None:
    await call("edit", file_path="new/a", old_string="", new_string="x\n")
    assert (project / "new" / "a").read_text() == "x\n"
    with pytest.raises(ToolError, match="exists already"):
        await call("edit", file_path="new/a", old_string="", new_string="y\n")


async def test_a_file_that_appears_while_somebody_decides_is_not_overwritten(
    call: Caller, project: Path
) -> None:
    create = call.prepare("edit", file_path="a", old_string="", new_string="ours")
    await create.needs()
    assert not (project / "a").exists()
    (project / "a").write_text("theirs")
    with pytest.raises(ToolError, match="exists already"):
        await create.run()
    assert (project / "a").read_text() == "theirs"


async def test_a_missing_file_is_an_error_that_says_how_to_create_it(call: Caller) -> None:
    with pytest.raises(ToolError, match="does not exist; an empty old_string"):
        await call("edit", file_path="a", old_string="x", new_string="y")


async def test_a_link_stays_a_link_and_its_target_is_edited(call: Caller, project: Path) -> None:
    (project / "target").write_text("x\n")
    (project / "link").symlink_to("target")
    await call("view", file_path="link")
    await call("edit", file_path="link", old_string="x", new_string="y")
    assert (project / "link").is_symlink()
    assert (project / "target").read_text() == "y\n"


async def test_a_file_with_other_hard_links_says_that_they_keep_the_old(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("x\n")
    os.link(project / "a", project / "b")
    await call("view", file_path="a")
    result = await call("edit", file_path="a", old_string="x", new_string="y")
    assert "other hard links" in result.content
    assert (project / "b").read_text() == "x\n"


async def test_the_byte_order_mark_and_the_line_endings_stay(call: Caller, project: Path) -> None:
    (project / "a").write_bytes(b"\xef\xbb\xbfx\r\ny\r\nz")
    await call("view", file_path="a")
    await call("edit", file_path="a", old_string="x\ny", new_string="x\nw\ny")
    assert (project / "a").read_bytes() == b"\xef\xbb\xbfx\r\nw\r\ny\r\nz"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(TEXT, TEXT, TEXT)
async def test_after_any_edit_the_file_is_the_old_one_or_what_the_need_showed(
    call: Caller, project: Path, text: str, old: str, new: str
) -> None:
    path = project / "a"
    path.write_bytes(text.encode())
    await call("view", file_path="a")
    edit = call.prepare("edit", file_path="a", old_string=old, new_string=new)
    try:
        (need,) = await edit.needs()
    except ToolError:
        assert path.read_bytes() == text.encode()
        return
    shown = msgspec.to_builtins(need.params)
    await edit.run()
    assert path.read_bytes() == shown.get("new_content", "").encode()
    assert shown.get("old_content", "") == text
    assert os.listdir(project) == ["a"]
