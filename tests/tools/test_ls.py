import os
from pathlib import Path

import msgspec
import pytest

from crush.config.schema import LsLimits, ToolLimits
from crush.errors import ToolError
from tests.tools.conftest import Caller


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


async def test_a_directory_is_shown_as_a_tree(call: Caller, project: Path) -> None:
    make(project, "b.txt", "a/x.py", "a/y/z.py", ".env.example", "a-b")
    result = await call("ls")
    assert result.content == (
        f"- {project}/\n  - .env.example\n  - a/\n    - x.py\n    - y/\n      - z.py\n"
        "  - a-b\n  - b.txt"
    )
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_files": 7,
        "truncated": False,
    }


async def test_the_need_is_what_a_dialog_shows(call: Caller, project: Path) -> None:
    need = await call.need("ls")
    assert (need.action, need.kind, need.target) == ("list", "list", str(project))
    assert msgspec.to_builtins(need.params) == {"path": str(project), "ignore": None, "depth": 0}


async def test_the_configuration_limits_depth_and_number(call: Caller, project: Path) -> None:
    make(project, "a/b/c", "d", "e")
    limits = ToolLimits(ls=LsLimits(max_depth=1, max_items=2))
    limited = Caller(msgspec.structs.replace(call.context, limits=limits))
    assert "(cut after 2 entries" in (await limited("ls")).content
    everything = ToolLimits(ls=LsLimits(max_depth=1))
    shallow = Caller(msgspec.structs.replace(call.context, limits=everything))
    assert "- b/" not in (await shallow("ls")).content
    assert "- c" in (await shallow("ls", depth=3)).content


async def test_depth_and_ignore_narrow_the_tree(call: Caller, project: Path) -> None:
    make(project, "a/b/c", "x.log", "y.txt")
    assert "- c" not in (await call("ls", depth=2)).content
    assert "x.log" not in (await call("ls", ignore=["*.log"])).content


async def test_what_the_ignore_files_name_is_left_out(call: Caller, project: Path) -> None:
    make(project, "node_modules/x.js", "out/a", "sub/keep.log", "sub/drop.txt", "a.log", "own")
    (project / ".gitignore").write_text("*.log\n/out/\n")
    (project / "sub" / ".gitignore").write_text("!keep.log\n*.txt\n")
    (project / ".crushignore").write_text("own\n")
    content = (await call("ls")).content
    assert "keep.log" in content
    for name in ("node_modules", "out/", "drop.txt", "a.log", "own"):
        assert name not in content


async def test_rules_of_the_user_and_of_the_repository_above_hold(
    call: Caller, project: Path
) -> None:
    home = Path(call.context.env["HOME"])
    make(home, ".config/crush/ignore", ".config/git/ignore")
    (home / ".config/crush/ignore").write_text("mine\n")
    (home / ".config/git/ignore").write_text("gits\n")
    make(project, "sub/mine", "sub/gits", "sub/tops", "sub/seen", ".git/HEAD")
    (project / ".gitignore").write_text("tops\n")
    content = (await call("ls", path="sub")).content
    assert content == f"- {project}/sub/\n  - seen"


async def test_an_ignored_directory_is_listed_when_asked_for(call: Caller, project: Path) -> None:
    make(project, "node_modules/x/index.js", ".git/HEAD", "out/a")
    (project / ".gitignore").write_text("out/\n")
    assert "index.js" in (await call("ls", path="node_modules")).content
    assert "- a" in (await call("ls", path="out")).content


async def test_at_most_1000_entries_the_upper_levels_first(call: Caller, project: Path) -> None:
    make(project, *(f"a/{number}" for number in range(1200)), "z")
    result = await call("ls")
    assert result.content.startswith("(cut after 1000 entries")
    assert "\n  - z" in result.content
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_files": 1000,
        "truncated": True,
    }


async def test_links_are_shown_and_not_followed(call: Caller, project: Path) -> None:
    (project / "loop").symlink_to(".")
    assert (await call("ls")).content == f"- {project}/\n  - loop"


async def test_names_with_escapes_and_bytes_that_are_no_text_are_made_harmless(
    call: Caller, project: Path
) -> None:
    make(project, "a\x1b[31mb")
    os.close(os.open(os.fsencode(project) + b"/\xff", os.O_CREAT))
    assert (await call("ls")).content == f"- {project}/\n  - ab\n  - \ufffd"


async def test_what_is_no_directory_is_an_error(call: Caller, project: Path) -> None:
    make(project, "file")
    with pytest.raises(ToolError, match="is not a directory"):
        await call("ls", path="file")
    with pytest.raises(ToolError, match="does not exist"):
        await call("ls", path="nope")
