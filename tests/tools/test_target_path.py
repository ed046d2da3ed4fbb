import os
from pathlib import Path

import pytest

from crush.errors import ToolError
from crush.tools.base import ToolContext
from crush.tools.target_path import resolve_path
from tests.tools.conftest import Caller

FILE_TOOLS: list[tuple[str, dict[str, object]]] = [
    ("view", {"file_path": "link/secret.txt"}),
    ("ls", {"path": "link"}),
    ("glob", {"pattern": "link/*.txt"}),
    ("glob", {"pattern": "*.txt", "path": "link"}),
    ("grep", {"pattern": "x", "path": "link"}),
    ("write", {"file_path": "link/new/file.txt", "content": "x"}),
    ("edit", {"file_path": "link/new.txt", "old_string": "", "new_string": "x"}),
    (
        "multiedit",
        {"file_path": "link/new.txt", "edits": [{"old_string": "", "new_string": "x"}]},
    ),
]


@pytest.fixture
def outside(project: Path) -> Path:
    directory = project.parent / "outside"
    directory.mkdir()
    (directory / "secret.txt").write_text("secret\n")
    (project / "link").symlink_to(directory)
    return directory


@pytest.mark.parametrize(("name", "arguments"), FILE_TOOLS)
async def test_a_link_out_of_the_project_is_judged_by_where_it_leads(
    name: str, arguments: dict[str, object], call: Caller, outside: Path
) -> None:
    need = await call.need(name, **arguments)
    assert need.target == str(outside) or need.target.startswith(f"{outside}/")


@pytest.mark.parametrize(("name", "arguments"), FILE_TOOLS)
async def test_a_link_that_is_turned_while_somebody_decides_is_not_followed(
    name: str, arguments: dict[str, object], call: Caller, outside: Path, project: Path
) -> None:
    elsewhere = project.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "secret.txt").write_text("other secret\n")
    prepared = call.prepare(name, **arguments)
    await prepared.needs()
    (project / "link").unlink()
    (project / "link").symlink_to(elsewhere)
    with pytest.raises(ToolError, match="leads to"):
        await prepared.run()
    assert os.listdir(elsewhere) == ["secret.txt"]


async def test_dots_in_a_glob_pattern_are_judged_by_where_they_lead(
    call: Caller, project: Path
) -> None:
    need = await call.need("glob", pattern="src/../../*.txt")
    assert need.target == str(project.parent)


async def test_dots_behind_a_wildcard_are_refused(call: Caller, project: Path) -> None:
    with pytest.raises(ToolError, match=r"'\.\.'"):
        await call("glob", pattern="*/../../*.txt")


async def test_dots_are_taken_after_links_are_followed(
    context: ToolContext, outside: Path, project: Path
) -> None:
    assert resolve_path("link/../x", context) == str(project.parent / "x")


async def test_a_tilde_is_the_home_of_the_asking_client(context: ToolContext) -> None:
    assert resolve_path("~/notes", context) == f"{context.env['HOME']}/notes"
    assert resolve_path("~", context) == context.env["HOME"]
    assert resolve_path("a~b", context) == f"{context.cwd}/a~b"


@pytest.mark.parametrize("path", ["", "  ", "a\0b"])
async def test_a_path_that_cannot_be_one_is_refused(path: str, context: ToolContext) -> None:
    with pytest.raises(ToolError):
        resolve_path(path, context)


async def test_a_loop_of_links_is_an_error_and_not_a_hang(call: Caller, project: Path) -> None:
    (project / "a").symlink_to("b")
    (project / "b").symlink_to("a")
    with pytest.raises(ToolError):
        await call("view", file_path="a")


async def test_a_dialog_names_the_directory_as_crush_does(call: Caller, project: Path) -> None:
    (project / "sub").mkdir()
    (project / "sub" / "file").write_text("x")
    outside = project.parent / "new.txt"
    inside = await call.need("write", file_path="sub/new.txt", content="x")
    assert inside.directory == str(project)
    assert (await call.need("write", file_path=str(outside), content="x")).directory == str(
        project.parent
    )
    assert (await call.need("view", file_path="sub/file")).directory == str(project / "sub")
    assert (await call.need("bash", command="true")).directory == str(project)
