import os
from pathlib import Path
from typing import cast

import msgspec
import pytest
from msgspec import Struct

from crush.config.schema import GlobLimits, ToolLimits
from crush.errors import ToolError
from crush.tools.base import Tool
from crush.tools.glob import GlobTool
from crush.tools.registry import core_tools
from crush.tools.ripgrep import find_ripgrep
from tests.fakes.sandbox import no_sandbox
from tests.tools.conftest import Caller


@pytest.fixture(params=["ripgrep", "walker"])
def engine(request: pytest.FixtureRequest, call: Caller) -> Caller:
    """Both engines must give the same answers."""
    ripgrep = find_ripgrep() if request.param == "ripgrep" else None
    tool = cast("Tool[Struct]", GlobTool(description="", ripgrep=ripgrep))
    held = next(tool for tool in core_tools(sandbox=no_sandbox) if tool.name == "glob")
    call.replace_tool(msgspec.structs.replace(held, tool=tool))
    return call


def make(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


async def names(engine: Caller, pattern: str, path: str = "") -> list[str]:
    content = (await engine("glob", pattern=pattern, path=path)).content
    root = f"{engine.context.cwd}/"
    return [line.removeprefix(root) for line in content.split("\n")]


def test_ripgrep_comes_with_its_package() -> None:
    found = find_ripgrep()
    assert found is not None
    assert os.access(found, os.X_OK)


async def test_paths_are_absolute_and_the_shortest_come_first(
    engine: Caller, project: Path
) -> None:
    make(project, "a/long/b.py", "c.py", "a/d.py", "e.txt")
    result = await engine("glob", pattern="*.py")
    assert result.content == f"{project}/c.py\n{project}/a/d.py\n{project}/a/long/b.py"
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_files": 3,
        "truncated": False,
    }


async def test_patterns_with_directories_are_anchored(engine: Caller, project: Path) -> None:
    make(project, "src/a.ts", "src/x/b.tsx", "lib/src/c.ts", "src/d.js")
    assert await names(engine, "src/**/*.{ts,tsx}") == ["src/a.ts", "src/x/b.tsx"]
    assert await names(engine, "*.ts", "lib") == ["lib/src/c.ts"]
    assert await names(engine, f"{project}/src/*.js") == ["src/d.js"]
    assert await names(engine, "src/a.ts") == ["src/a.ts"]


async def test_ignored_and_hidden_files_are_skipped_unless_named(
    engine: Caller, project: Path
) -> None:
    make(project, ".env", ".github/w.yml", "x.log", "node_modules/y.yml", "own.yml", ".git/z.yml")
    (project / ".gitignore").write_text("*.log\n")
    (project / ".crushignore").write_text("own.yml\n")
    assert await names(engine, "*.yml") == ["No files found"]
    assert await names(engine, "*.log") == ["No files found"]
    assert await names(engine, ".env*") == [".env"]
    assert await names(engine, ".github/*") == [".github/w.yml"]
    assert await names(engine, "**/.github/*") == [".github/w.yml"]


async def test_more_than_100_files_are_cut_and_the_note_says_so(
    engine: Caller, project: Path
) -> None:
    make(project, *(f"{number:03}.txt" for number in range(150)))
    result = await engine("glob", pattern="*.txt")
    lines = result.content.split("\n")
    assert lines[0] == f"{project}/000.txt"
    assert lines[99] == f"{project}/099.txt"
    assert lines[101].startswith("(more files match")
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_files": 100,
        "truncated": True,
    }


async def test_names_that_are_no_text_or_hold_newlines_are_found(
    engine: Caller, project: Path
) -> None:
    os.close(os.open(os.fsencode(project) + b"/\xff.py", os.O_CREAT))
    make(project, "new\nline.py")
    content = (await engine("glob", pattern="*.py")).content
    assert "\ufffd.py" in content
    assert "new\nline.py" in content


async def test_a_prefix_that_is_not_there_finds_nothing(engine: Caller) -> None:
    assert await names(engine, "nope/*.py") == ["No files found"]


async def test_a_path_that_is_not_there_is_an_error(engine: Caller) -> None:
    with pytest.raises(ToolError, match="does not exist"):
        await engine("glob", pattern="*", path="nope")


async def test_the_need_is_the_directory_that_is_searched(call: Caller, project: Path) -> None:
    make(project, "src/a")
    need = await call.need("glob", pattern="src/**/*.py")
    assert (need.action, need.kind, need.target) == ("list", "list", f"{project}/src")


async def test_the_configuration_limits_how_long_it_looks(engine: Caller, project: Path) -> None:
    (project / "a").touch()
    limits = ToolLimits(glob=GlobLimits(timeout=0))
    engine.context = msgspec.structs.replace(engine.context, limits=limits)
    result = await engine("glob", pattern="*")
    assert "the time was up" in result.content
    assert msgspec.json.decode(result.metadata_json())["truncated"] is True
