"""`/tmp` of a session whose commands are fenced: its private directory, for file tools too."""

# ruff: noqa: S108 - names that commands and models use

import os
import stat
from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from crush.sandbox.fence import Fence
from crush.tools.base import ToolContext
from crush.tools.target_path import resolve_path
from tests.tools.conftest import Caller


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
async def fenced(context: ToolContext) -> Caller:
    fence = Fence(root=context.cwd, tmp=context.tmp, writable=("/tmp/cache",))
    return Caller(msgspec.structs.replace(context, fence=fence))


async def test_a_file_below_tmp_is_one_of_the_session_and_named_as_commands_name_it(
    fenced: Caller,
) -> None:
    need = await fenced.need("write", file_path="/tmp/sub/note", content="x\n")
    assert need.target == f"{fenced.context.tmp}/sub/note"
    assert need.description == "Create /tmp/sub/note"

    result = await fenced("write", file_path="/tmp/sub/note", content="x\n")
    assert "Created /tmp/sub/note (" in result.content
    private = Path(fenced.context.tmp)
    assert (private / "sub" / "note").read_text() == "x\n"
    assert mode_of(private) == 0o700

    assert "1|x" in (await fenced("view", file_path="/tmp/sub/note")).content
    assert (await fenced("glob", pattern="/tmp/**/n*")).content == "/tmp/sub/note"
    assert "\n/tmp/sub/note:\n" in (await fenced("grep", pattern="x", path="/tmp")).content
    assert (await fenced("ls", path="/tmp")).content.startswith("- /tmp/\n  - sub/")
    edited = await fenced("edit", file_path="/tmp/sub/note", old_string="x", new_string="y")
    assert "in /tmp/sub/note (" in edited.content


async def test_errors_do_not_tell_where_the_directory_really_is(fenced: Caller) -> None:
    for name, arguments in (
        ("view", {"file_path": "/tmp/none"}),
        ("ls", {"path": "/tmp/none"}),
        ("grep", {"pattern": "x", "path": "/tmp/none"}),
        ("edit", {"file_path": "/tmp/none", "old_string": "a", "new_string": "b"}),
    ):
        with pytest.raises(ToolError, match=r"'/tmp/none' (does not exist|cannot be read)"):
            await fenced(name, **arguments)


@pytest.mark.parametrize(
    ("path", "leads_to"),
    [
        ("/tmp", "{tmp}"),
        ("//tmp/x", "{tmp}/x"),
        ("/usr/../tmp/x", "{tmp}/x"),
        ("/tmp/../etc/hostname", "/etc/hostname"),
        ("/tmp/a/../../etc", "/etc"),
        ("/tmpx", "/tmpx"),
        ("/tmp/cache/x", "/tmp/cache/x"),
        ("{cwd}/x", "{cwd}/x"),
        ("{tmp}/x", "{tmp}/x"),
        ("{cwd}/../x", "{tmp}{above}/x"),
        ("out/x", "/usr/x"),
        ("in", "{tmp}/x"),
        ("/tmp/way-out", "/usr"),
    ],
)
async def test_what_is_below_tmp_is_told_from_what_is_mounted_there(
    fenced: Caller, project: Path, path: str, leads_to: str
) -> None:
    context = fenced.context
    os.mkdir(context.tmp)
    (project / "out").symlink_to("/usr")
    (project / "in").symlink_to("/tmp/x")
    (Path(context.tmp) / "way-out").symlink_to("/usr")
    names = {
        "cwd": context.cwd,
        "tmp": context.tmp,
        "above": str(project.parent).removeprefix("/tmp"),
    }
    assert resolve_path(path.format(**names), context) == leads_to.format(**names)


async def test_links_in_circles_are_an_error(fenced: Caller) -> None:
    os.mkdir(fenced.context.tmp)
    (Path(fenced.context.tmp) / "a").symlink_to("/tmp/b")
    (Path(fenced.context.tmp) / "b").symlink_to("/tmp/a")
    with pytest.raises(ToolError, match="in circles"):
        resolve_path("/tmp/a", fenced.context)


async def test_without_a_fence_tmp_is_the_one_of_the_machine(context: ToolContext) -> None:
    assert resolve_path("/tmp/x", context) == "/tmp/x"
