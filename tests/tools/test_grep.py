import os
import re
import time
from pathlib import Path
from typing import cast

import anyio
import anyio.lowlevel
import msgspec
import pytest
from msgspec import Struct

from crush.config.schema import GrepLimits, ToolLimits
from crush.errors import ToolError
from crush.tools.base import Tool
from crush.tools.grep import GrepTool
from crush.tools.registry import core_tools
from crush.tools.ripgrep import find_ripgrep
from tests.fakes.sandbox import no_sandbox
from tests.tools.conftest import Caller
from tests.tools.processes import children


def use_engine(call: Caller, ripgrep: str | None) -> Caller:
    held = next(tool for tool in core_tools(sandbox=no_sandbox) if tool.name == "grep")
    tool = cast("Tool[Struct]", GrepTool(description="", ripgrep=ripgrep))
    call.replace_tool(msgspec.structs.replace(held, tool=tool))
    return call


@pytest.fixture(params=["ripgrep", "walker"])
def engine(request: pytest.FixtureRequest, call: Caller) -> Caller:
    """Both engines must give the same answers."""
    return use_engine(call, find_ripgrep() if request.param == "ripgrep" else None)


@pytest.fixture
def walker(call: Caller) -> Caller:
    return use_engine(call, None)


def make(root: Path, files: dict[str, str]) -> None:
    for age, (name, text) in enumerate(files.items()):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
        os.utime(root / name, (2_000_000_000 - age, 2_000_000_000 - age))


async def test_matches_are_grouped_by_file_the_newest_first(engine: Caller, project: Path) -> None:
    make(project, {"new": "green\nx green\n", "sub/old": "é green\n", "none": "red"})
    result = await engine("grep", pattern="gre+n")
    assert result.content == (
        f"Found 3 matches\n{project}/new:\n  Line 1, Char 1: green\n  Line 2, Char 3: x green\n\n"
        f"{project}/sub/old:\n  Line 1, Char 3: é green"
    )
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_matches": 3,
        "truncated": False,
    }


async def test_nothing_found_is_a_result(engine: Caller, project: Path) -> None:
    make(project, {"a": "x"})
    assert (await engine("grep", pattern="y")).content == "No matches found"


async def test_literal_text_is_no_pattern(engine: Caller, project: Path) -> None:
    make(project, {"a": "f(x)\nfx\n"})
    assert "Found 1 matches" in (await engine("grep", pattern="f(x)", literal_text=True)).content


async def test_a_pattern_that_is_none_is_an_error_that_says_why(
    engine: Caller, project: Path
) -> None:
    make(project, {"a": "x"})
    with pytest.raises(ToolError, match="regex parse error"):
        await engine("grep", pattern="(")


async def test_a_pattern_may_begin_with_a_dash(engine: Caller, project: Path) -> None:
    make(project, {"a": "--flag\n"})
    assert "Found 1 matches" in (await engine("grep", pattern="--fl")).content


@pytest.mark.parametrize(
    ("include", "found"),
    [
        ("*.py", {"src/a.py", "b.py"}),
        ("*.{py,ts}", {"src/a.py", "b.py", "src/x/c.ts"}),
        ("src/**/*.{py,ts}", {"src/a.py", "src/x/c.ts"}),
        ("src/*", {"src/a.py"}),
        ("*.log", set()),
        ("*.toml", set()),
        (".hidden/*.toml", {".hidden/d.toml"}),
    ],
)
async def test_include_narrows_the_files(
    include: str, found: set[str], engine: Caller, project: Path
) -> None:
    names = ["src/a.py", "b.py", "src/x/c.ts", "e.log", ".hidden/d.toml"]
    make(project, dict.fromkeys(names, "x\n"))
    (project / ".gitignore").write_text("*.log\n")
    content = (await engine("grep", pattern="x", include=include)).content
    assert set(re.findall(rf"^{project}/(.*):$", content, re.MULTILINE)) == found


async def test_hidden_ignored_and_binary_files_are_skipped(engine: Caller, project: Path) -> None:
    make(project, {".env": "x", "node_modules/a": "x", "own": "x", "bin": "x\0", "seen": "x"})
    (project / ".crushignore").write_text("own\n")
    content = (await engine("grep", pattern="x")).content
    assert content == f"Found 1 matches\n{project}/seen:\n  Line 1, Char 1: x"


async def test_one_file_may_be_searched(engine: Caller, project: Path) -> None:
    make(project, {"a": "x", ".b": "x"})
    assert (
        f"Found 1 matches\n{project}/.b:" in (await engine("grep", pattern="x", path=".b")).content
    )


async def test_at_most_100_matches_are_shown(engine: Caller, project: Path) -> None:
    make(project, {"a": "x\n" * 60, "b": "x\n" * 60})
    result = await engine("grep", pattern="x")
    assert result.content.count("  Line ") == 100
    assert "there are more matches" in result.content
    assert msgspec.json.decode(result.metadata_json()) == {
        "number_of_matches": 100,
        "truncated": True,
    }


async def test_a_flood_of_matches_is_stopped(engine: Caller, project: Path) -> None:
    make(project, {str(number): "x\n" * 20_000 for number in range(20)})
    result = await engine("grep", pattern="x")
    assert result.content.count("  Line ") == 100
    assert "there are more matches" in result.content


async def test_long_lines_are_cut_around_the_match(engine: Caller, project: Path) -> None:
    make(project, {"a": f"{'y' * 3000}x{'z' * 3000}\nx{'z' * 600}\n"})
    content = (await engine("grep", pattern="x")).content
    assert f"  Line 1, Char 3001: ...{'y' * 100}x{'z' * 399}..." in content
    assert f"  Line 2, Char 1: x{'z' * 499}..." in content


async def test_a_line_that_is_too_long_to_show_still_names_its_file(
    engine: Caller, project: Path
) -> None:
    make(project, {"a": "x" * 300_000, "b": "x"})
    content = (await engine("grep", pattern="x")).content
    assert f"{project}/a:" in content
    assert f"{project}/b:\n  Line 1, Char 1: x" in content


async def test_crlf_lines_end_before_the_carriage_return(engine: Caller, project: Path) -> None:
    make(project, {"a": "x\r\ny\r\n"})
    assert "  Line 1, Char 1: x" in (await engine("grep", pattern="x$")).content


async def test_patterns_are_about_characters_and_not_bytes(engine: Caller, project: Path) -> None:
    make(project, {"a": "ué\n"})
    assert "Line 1, Char 1: ué" in (await engine("grep", pattern="^u[éè]$")).content


async def test_a_path_that_is_not_there_and_no_pattern_are_errors(engine: Caller) -> None:
    with pytest.raises(ToolError, match="does not exist"):
        await engine("grep", pattern="x", path="nope")
    with pytest.raises(ToolError, match="pattern is empty"):
        await engine("grep", pattern="")


async def test_a_pattern_made_to_run_for_ever_ends_at_the_limit(
    walker: Caller, project: Path
) -> None:
    make(project, {"a": "a" * 60 + "!"})
    limits = ToolLimits(grep=GrepLimits(timeout=0.5))
    walker.context = msgspec.structs.replace(walker.context, limits=limits)
    started = time.monotonic()
    result = await walker("grep", pattern="(a+)+$")
    assert time.monotonic() - started < 5
    assert "stopped after 0.5 s" in result.content
    assert msgspec.json.decode(result.metadata_json())["truncated"] is True


async def test_a_cancelled_search_leaves_no_process(walker: Caller, project: Path) -> None:
    make(project, {"a": "a" * 60 + "!"})
    before = children()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: walker("grep", pattern="(a+)+$"))
        with anyio.fail_after(10):
            while not children() - before:
                await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    assert children() <= before


async def test_the_need_is_to_read_what_is_searched(call: Caller, project: Path) -> None:
    need = await call.need("grep", pattern="x", include="*.py")
    assert (need.action, need.kind, need.target) == ("read", "read", str(project))
    assert msgspec.to_builtins(need.params) == {
        "pattern": "x",
        "path": str(project),
        "include": "*.py",
        "literal_text": False,
    }


async def test_a_large_file_is_searched_if_it_is_named(call: Caller, project: Path) -> None:
    ripgrep = find_ripgrep()
    if ripgrep is None:
        pytest.skip("there is no ripgrep here")
    line = "nothing to see here, go on to the next line please\n"
    make(project, {"large.log": line * (17 * 1024 * 1024 // len(line)) + "found it\n"})
    by_name = await use_engine(call, ripgrep)("grep", pattern="found it", path="large.log")
    assert "Found 1 matches" in by_name.content
    assert "No matches" in (await call("grep", pattern="found it")).content
    with pytest.raises(ToolError, match="larger than 16 MiB"):
        await use_engine(call, None)("grep", pattern="found it", path="large.log")


async def test_an_include_with_directories_does_not_follow_a_link_out_of_the_root(
    engine: Caller, project: Path
) -> None:
    make(project.parent, {"outside/a.txt": "secret\n"})
    make(project, {"real/a.txt": "open\n"})
    (project / "link").symlink_to(project.parent / "outside")
    assert "No matches" in (await engine("grep", pattern="secret", include="link/*.txt")).content
    assert "1 matches" in (await engine("grep", pattern="open", include="real/*.txt")).content
    assert "No matches" in (await engine("grep", pattern="open", include="gone/*.txt")).content


async def test_what_lies_in_files_with_secrets_is_shown_only_to_who_named_one(
    engine: Caller, project: Path
) -> None:
    """A search of a directory was not asked about them."""
    make(project, {"a": "KEY=1", "prod.env": "KEY=2", "sub/id_rsa": "KEY=3", ".env": "KEY=4"})
    result = await engine("grep", pattern="KEY=")
    assert result.content == (
        f"Found 1 matches\n{project}/a:\n  Line 1, Char 1: KEY=1\n\n(not shown: "
        f"{project}/prod.env, {project}/sub/id_rsa; keys lie there, so it asks: name one as path)"
    )
    hidden = await engine("grep", pattern="KEY=", include=".env*")
    assert "No matches found" in hidden.content
    assert "KEY=4" not in hidden.content
    for name in (".env", "prod.env"):
        assert "Found 1 matches" in (await engine("grep", pattern="KEY=", path=name)).content
    make(project, {".ssh/config": "KEY=5"})
    named = await engine("grep", pattern="KEY=", path=".ssh")
    assert "KEY=5" in named.content
