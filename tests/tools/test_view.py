import os
import stat
import sys
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


async def test_a_missing_file_brings_up_to_three_names_like_it(call: Caller, project: Path) -> None:
    for name in ("Reader.py", "reader_test.py", "header.py", "leader.py", "other.txt"):
        (project / name).touch()
    with pytest.raises(ToolError, match=r"no such file\. Did you mean 'Reader\.py'") as error:
        await call("view", file_path="reader.py")
    assert error.value.message.count(" or ") == 2
    with pytest.raises(ToolError, match=r"no such file\.$"):
        await call("view", file_path="zzz")
    with pytest.raises(ToolError, match=r"no such file\.$"):
        await call("view", file_path="no/such/directory")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"\x7fELF\2\1\1\0", "Linux program"),
        (b"SQLite format 3\0", "SQLite database"),
        (b"%PDF-1.7\n\0", "PDF"),
        (b"\0" * 257 + b"ustar", "tar archive"),
        (b"\0\0\0\x20ftypisom", "video"),
        (b"\xff\xfeh\0i\0", "UTF-16"),
        (b"a\0", "binary file"),
        (b"a" * 9000 + b"\0", "binary file"),
        (b"caf\xe9", "not UTF-8"),
    ],
)
async def test_what_is_no_text_is_refused_with_what_it_seems_to_be(
    call: Caller, project: Path, data: bytes, kind: str
) -> None:
    (project / "a").write_bytes(data)
    with pytest.raises(ToolError, match=kind):
        await call("view", file_path="a")


@pytest.mark.parametrize("path", ["/dev/full", "/dev/zero", "/proc/self/pagemap", "fifo", "socket"])
async def test_what_never_ends_or_never_begins_is_refused_at_once(
    call: Caller, project: Path, path: str
) -> None:
    os.mkfifo(project / "fifo")
    os.mknod(project / "socket", stat.S_IFSOCK | 0o600)
    with pytest.raises(ToolError, match=r"not a regular file|made up by the kernel"):
        await call("view", file_path=path)
    for tool, arguments in (
        ("write", {"content": "x"}),
        ("edit", {"old_string": "a", "new_string": "b"}),
    ):
        with pytest.raises(ToolError, match=r"not a regular file|made up by the kernel"):
            await call(tool, file_path=path, **arguments)


async def test_a_negative_offset_counts_from_the_end(call: Caller, project: Path) -> None:
    (project / "a").write_text("".join(f"line {number}\n" for number in range(1000)))
    content = (await call("view", file_path="a", offset=-2)).content
    assert content == "<file>\n   999|line 998\n  1000|line 999\n</file>"
    everything = (await call("view", file_path="a", offset=-5000, limit=1)).content
    assert "     1|line 0" in everything
    assert "(1000 lines in all; continue with offset 1)" in everything


HUGE = 1 << 30


@pytest.fixture
def huge(project: Path) -> Path:
    """A gigabyte whose beginning and end are text; nobody may look at what is between."""
    path = project / "huge"
    line = b"0123456789 0123456789 0123456789\n"
    with path.open("wb") as file:
        file.write(b"first\nsecond\n" + line * 1000)
        file.truncate(HUGE)
        file.seek(HUGE - 40)
        file.write(b"\nlast but two\nlast but one\r\nlast of all\n"[-40:])
    return path


def bytes_read() -> int:
    """By this process, from anywhere."""
    counters = Path("/proc/self/io").read_text().split()
    return int(counters[counters.index("rchar:") + 1])


@pytest.mark.skipif(sys.platform != "linux", reason="counts bytes as Linux does")
async def test_the_last_lines_of_a_gigabyte_are_shown_without_reading_it(
    call: Caller, huge: Path
) -> None:
    before = bytes_read()
    content = (await call("view", file_path="huge", offset=-2)).content
    first = (await call("view", file_path="huge", offset=1, limit=1)).content
    assert bytes_read() - before < HUGE // 50
    assert content == (
        "<file>\n    -2|last but one\n    -1|last of all\n</file>\n"
        "(numbers count from the end of this large file: -1 is the last line)"
    )
    assert first == "<file>\n     2|second\n</file>\n(more lines follow; continue with offset 2)"


async def test_a_large_file_can_be_paged_backwards(call: Caller, huge: Path) -> None:
    content = (await call("view", file_path="huge", offset=-3, limit=1)).content
    assert "    -3|last but two\n" in content
    assert "(more lines follow; continue with offset -2)" in content


async def test_what_was_not_read_whole_is_not_known_well_enough_to_be_changed(
    call: Caller, huge: Path
) -> None:
    await call("view", file_path="huge", offset=-2)
    with pytest.raises(ToolError, match="larger than"):
        await call("edit", file_path="huge", old_string="first", new_string="x")
