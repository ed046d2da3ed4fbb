from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from tests.tools.conftest import Caller


async def test_a_new_file_is_made_with_its_directories_when_it_runs(
    call: Caller, project: Path
) -> None:
    write = call.prepare("write", file_path="x/y/a.txt", content="one\ntwo")
    await write.needs()
    assert not (project / "x").exists()
    result = await write.run()
    assert (project / "x" / "y" / "a.txt").read_text() == "one\ntwo"
    assert msgspec.json.decode(result.metadata_json()) == {
        "diff": "--- a/x/y/a.txt\n+++ b/x/y/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n"
        "\\ No newline at end of file\n",
        "additions": 2,
        "removals": 0,
    }


async def test_the_need_of_a_new_file_has_no_old_content(call: Caller, project: Path) -> None:
    need = await call.need("write", file_path="a", content="x")
    assert msgspec.to_builtins(need.params) == {"file_path": f"{project}/a", "new_content": "x"}


async def test_a_file_that_was_not_read_is_not_replaced(call: Caller, project: Path) -> None:
    (project / "a").write_text("theirs")
    with pytest.raises(ToolError, match="not been read"):
        await call("write", file_path="a", content="ours")
    assert (project / "a").read_text() == "theirs"


async def test_what_was_written_may_be_written_again_but_not_the_same(
    call: Caller, project: Path
) -> None:
    await call("write", file_path="a", content="1")
    await call("write", file_path="a", content="2")
    assert (project / "a").read_text() == "2"
    with pytest.raises(ToolError, match="exactly this content"):
        await call("write", file_path="a", content="2")


async def test_a_file_that_was_deleted_meanwhile_may_be_written_anew(
    call: Caller, project: Path
) -> None:
    await call("write", file_path="a", content="1")
    (project / "a").unlink()
    await call("write", file_path="a", content="1")
    assert (project / "a").read_text() == "1"


async def test_a_deletion_while_somebody_decides_is_noticed(call: Caller, project: Path) -> None:
    await call("write", file_path="a", content="1")
    write = call.prepare("write", file_path="a", content="2")
    await write.needs()
    (project / "a").unlink()
    with pytest.raises(ToolError, match="while the call waited"):
        await write.run()
    assert not (project / "a").exists()


async def test_crlf_endings_and_the_byte_order_mark_are_kept(call: Caller, project: Path) -> None:
    (project / "a").write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    await call("view", file_path="a")
    result = await call("write", file_path="a", content="one\nthree\n")
    assert (project / "a").read_bytes() == b"\xef\xbb\xbfone\r\nthree\r\n"
    assert "CRLF" in result.content
    assert msgspec.json.decode(result.metadata_json())["removals"] == 1


async def test_endings_that_the_model_wrote_are_written_as_given(
    call: Caller, project: Path
) -> None:
    (project / "a").write_bytes(b"one\ntwo\r\n")
    await call("view", file_path="a")
    await call("write", file_path="a", content="x\r\ny\n")
    assert (project / "a").read_bytes() == b"x\r\ny\n"


@pytest.mark.parametrize("target", [".", "file/below"])
async def test_what_is_in_the_way_is_an_error(target: str, call: Caller, project: Path) -> None:
    (project / "file").write_text("x")
    with pytest.raises(ToolError, match=r"(?i)directory"):
        await call("write", file_path=target, content="x")
    assert (project / "file").read_text() == "x"


async def test_a_dangling_link_is_filled_and_stays_a_link(call: Caller, project: Path) -> None:
    (project / "link").symlink_to("target")
    await call("write", file_path="link", content="x")
    assert (project / "link").is_symlink()
    assert (project / "target").read_text() == "x"
