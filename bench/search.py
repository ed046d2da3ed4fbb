"""`grep` and `glob` of the agent on 100,000 files, measured by ripgrep itself on the same files.

The tools run in this process, as they do in the server; ripgrep is started for each search.
"""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, cast

import anyio
import msgspec
from msgspec import Struct

from bench.figure import Figure
from bench.processes import BenchError
from crush.tools.base import Tool, ToolContext
from crush.tools.glob import GlobTool
from crush.tools.grep import GrepTool
from crush.tools.ripgrep import find_ripgrep
from crush.wire.ids import RunId, SessionId, ToolCallId

if TYPE_CHECKING:
    from crush.tools.base import Asker, Facts, FileLog, Todos
    from crush.tools.jobs import Jobs

FILES = 100_000
_A_DIRECTORY = 200
_BUDGET = 1.5


class Case(Struct, frozen=True, kw_only=True):
    """A search: what it is called, as a call of a tool, as arguments of ripgrep.

    `lines` is how many lines ripgrep must print, `shows` what the tool must.
    """

    name: str
    what: str
    tool: Tool[Struct]
    arguments: dict[str, str]
    ripgrep: list[str]
    lines: int
    shows: str


def search(rounds: int) -> Iterator[Figure]:
    """A word that one file has, a name that few files have."""
    with tempfile.TemporaryDirectory(prefix="crush-bench-") as directory:
        yield from measure(Path(directory), files=FILES, rounds=max(3, rounds // 2))


def measure(root: Path, *, files: int, rounds: int) -> Iterator[Figure]:
    """Both figures, on a tree of so many files that is made in `root`."""
    make_tree(root, files)
    for case in _cases(files):
        ours, theirs = anyio.run(_compare, case, root, rounds)
        yield Figure(
            name=case.name,
            what=f"{case.what} in {files:,} files, by ripgrep",
            unit="x",
            samples=tuple(one / other for one, other in zip(ours, theirs, strict=True)),
            budget=_BUDGET,
            note=f"ripgrep: {min(theirs) * 1000:.0f} ms at best, the tool: {min(ours) * 1000:.0f} ms",
        )


def make_tree(root: Path, files: int) -> None:
    """Small sources, 200 in a directory, three levels deep."""
    for number in range(files):
        place = number // _A_DIRECTORY
        directory = root / f"part{place % 20}" / f"module{place}"
        if number % _A_DIRECTORY == 0:
            directory.mkdir(parents=True)
        text = f"def function_{number}():\n    return value_{number}\n" * 3
        (directory / f"file{number}.{'py' if number % 2 else 'txt'}").write_text(text)


def _cases(files: int) -> tuple[Case, Case]:
    ripgrep = find_ripgrep()
    if ripgrep is None:
        raise BenchError("there is no ripgrep here")
    word, name = f"value_{files // 2}$", f"file{files // 2}.*"
    grep = cast("Tool[Struct]", GrepTool(description="", ripgrep=ripgrep))
    glob = cast("Tool[Struct]", GlobTool(description="", ripgrep=ripgrep))
    return (
        Case(
            name="search-grep",
            what="`grep` of a rare word",
            tool=grep,
            arguments={"pattern": word},
            ripgrep=[ripgrep, "--no-config", word, "."],
            lines=3,
            shows="Found 3 matches",
        ),
        Case(
            name="search-glob",
            what="`glob` of a rare name",
            tool=glob,
            arguments={"pattern": name},
            ripgrep=[ripgrep, "--no-config", "--files", "--glob", name, "."],
            lines=1,
            shows=name.removesuffix("*"),
        ),
    )


async def _compare(case: Case, root: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of the tool and of ripgrep, in turns; the first of each is not counted."""
    ours: list[float] = []
    theirs: list[float] = []
    context = _context(root)
    for _ in range(rounds + 1):
        began = time.perf_counter()
        done = subprocess.run(case.ripgrep, cwd=root, capture_output=True, check=True)  # noqa: ASYNC221 - nothing else runs
        theirs.append(time.perf_counter() - began)
        args = msgspec.convert(case.arguments, case.tool.args_type)
        began = time.perf_counter()
        result = await case.tool.run(args, context)
        ours.append(time.perf_counter() - began)
        if done.stdout.count(b"\n") != case.lines or case.shows not in result.content:
            raise BenchError(f"{case.name}: {done.stdout!r} and {result.content!r}")
    return ours[1:], theirs[1:]


def _context(root: Path) -> ToolContext:
    """What a search needs of a call, and nothing in the place of the rest."""
    return ToolContext(
        session_id=SessionId("s"),
        run_id=RunId("r"),
        call_id=ToolCallId("c"),
        cwd=str(root),
        env={"PATH": os.environ["PATH"], "HOME": str(root)},
        umask=0o022,
        tmp=str(root),
        fence=None,
        files=cast("FileLog", None),
        todos=cast("Todos", None),
        jobs=cast("Jobs", None),
        asker=cast("Asker", None),
        facts=cast("Facts", None),
        emit_output=[""].append,
        escape=_no_way_out,
    )


async def _no_way_out(reason: str) -> bool:
    del reason
    return False
