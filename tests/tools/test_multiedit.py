from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from tests.tools.conftest import Caller


async def test_edits_apply_in_order_and_failures_are_reported(call: Caller, project: Path) -> None:
    (project / "a").write_text("one\ntwo\n")
    await call("view", file_path="a")
    result = await call(
        "multiedit",
        file_path="a",
        edits=[
            {"old_string": "one", "new_string": "1"},
            {"old_string": "nope", "new_string": "x"},
            {"old_string": "1\ntwo", "new_string": "1\n2", "replace_all": True},
        ],
    )
    assert (project / "a").read_text() == "1\n2\n"
    assert "2 of 3 edits applied" in result.content
    assert "Edit 2 failed: old_string was not found" in result.content
    metadata = msgspec.json.decode(result.metadata_json())
    (failed,) = metadata.pop("edits_failed")
    assert metadata == {
        "additions": 2,
        "removals": 2,
        "old_content": "one\ntwo\n",
        "new_content": "1\n2\n",
        "edits_applied": 2,
    }
    assert failed["index"] == 2
    assert failed["edit"] == {"old_string": "nope", "new_string": "x"}


async def test_when_no_edit_applies_the_file_stays_and_all_reasons_are_given(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("one\n")
    await call("view", file_path="a")
    with pytest.raises(ToolError, match=r"(?s)No edit could be applied.*Edit 1 .*Edit 2 "):
        await call(
            "multiedit",
            file_path="a",
            edits=[
                {"old_string": "x", "new_string": "y"},
                {"old_string": "", "new_string": "y"},
            ],
        )
    assert (project / "a").read_text() == "one\n"


async def test_the_first_edit_may_create_the_file(call: Caller, project: Path) -> None:
    edits = [{"old_string": "", "new_string": "x y\n"}, {"old_string": "y", "new_string": "z"}]
    await call("multiedit", file_path="new/a", edits=edits)
    assert (project / "new" / "a").read_text() == "x z\n"
    with pytest.raises(ToolError, match="exists already"):
        await call("multiedit", file_path="new/a", edits=edits)


async def test_failures_after_a_creation_keep_their_place_in_the_list(
    call: Caller, project: Path
) -> None:
    edits = [{"old_string": "", "new_string": "x\n"}, {"old_string": "y", "new_string": "z"}]
    result = await call("multiedit", file_path="a", edits=edits)
    assert msgspec.json.decode(result.metadata_json())["edits_failed"][0]["index"] == 2


async def test_edits_that_cancel_each_other_are_refused(call: Caller, project: Path) -> None:
    (project / "a").write_text("x\n")
    await call("view", file_path="a")
    with pytest.raises(ToolError, match="change nothing"):
        await call(
            "multiedit",
            file_path="a",
            edits=[
                {"old_string": "x", "new_string": "y"},
                {"old_string": "y", "new_string": "x"},
            ],
        )


async def test_no_edits_and_no_file_are_errors(call: Caller) -> None:
    with pytest.raises(ToolError, match="edits is empty"):
        await call("multiedit", file_path="a", edits=[])
    with pytest.raises(ToolError, match="does not exist"):
        await call("multiedit", file_path="a", edits=[{"old_string": "x", "new_string": "y"}])


async def test_a_loose_match_is_noted_with_its_number(call: Caller, project: Path) -> None:
    (project / "a").write_text("x\n\ty  z\n")
    await call("view", file_path="a")
    result = await call(
        "multiedit",
        file_path="a",
        edits=[
            {"old_string": "x", "new_string": "w"},
            {"old_string": "y z", "new_string": "v"},
        ],
    )
    assert "Edit 2: Matched lines 2-2 ignoring whitespace" in result.content
    assert (project / "a").read_text() == "w\n\tv\n"
