import fnmatch
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import ToolError
from crush.tools.glob_pattern import GlobPattern, split_static


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("*.py", "a.py", True),
        ("*.py", "x/y/a.py", True),
        ("./*.py", "x/a.py", False),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/x/a.py", False),
        ("src/**/*.py", "src/a.py", True),
        ("src/**/*.py", "src/x/y/a.py", True),
        ("**/test/**/*.py", "a/test/b/test/c.py", True),
        ("**/test/*/d.py", "a/test/b/test/c/d.py", True),
        ("**", "a/b", True),
        ("src/**", "src/a/b", True),
        ("src/**", "lib/a", False),
        ("*.{ts,tsx}", "x/a.tsx", True),
        ("{src,lib}/**/*.{c,h}", "lib/x/a.h", True),
        ("*.{a,{b,c}}", "x.c", True),
        ("[ab]?.txt", "bz.txt", True),
        ("[!ab].txt", "a.txt", False),
        ("*.py", "a.PY", False),
        ("a*", "b/c", False),
    ],
)
def test_paths_match_as_globs_do(pattern: str, path: str, expected: bool) -> None:
    assert GlobPattern(pattern).matches(path) is expected


@pytest.mark.parametrize(
    ("pattern", "parts"),
    [
        ("src/lib/*.py", ("src/lib", "./*.py")),
        ("src/main.py", ("src", "./main.py")),
        ("*.py", ("", "*.py")),
        ("**/x.py", ("", "**/x.py")),
        ("/usr/*/x", ("/usr", "*/x")),
        ("/*.py", ("/", "./*.py")),
        ("a/b*/c", ("a", "b*/c")),
    ],
)
def test_the_literal_beginning_narrows_the_search(pattern: str, parts: tuple[str, str]) -> None:
    assert split_static(pattern) == parts


@pytest.mark.parametrize(
    ("pattern", "hidden"),
    [
        (".env", True),
        ("**/.github/*", True),
        ("*.{a,.b}", True),
        ("a.b/*.py", False),
        ("./x", False),
    ],
)
def test_hidden_files_are_meant_only_when_named(pattern: str, hidden: bool) -> None:
    assert GlobPattern(pattern).names_hidden is hidden


def test_a_pattern_made_to_explode_is_answered_at_once() -> None:
    started = time.process_time()
    assert not GlobPattern("*a" * 40 + "b").matches("a" * 5_000)
    assert not GlobPattern("**/a/" * 30 + "b").matches("a/" * 2_000 + "c")
    assert time.process_time() - started < 2


def test_too_many_alternatives_are_refused() -> None:
    with pytest.raises(ToolError, match="too many"):
        GlobPattern("{a,b}" * 20)


@given(
    pattern=st.lists(
        st.sampled_from(["**", "*", "a*", "*.py", "{a,b}", "{x,*.py}", "b", ".h", "[ab]"]),
        min_size=1,
    ).map("/".join),
    path=st.lists(st.sampled_from(["a", "b", "ab", "x.py", ".h"]), min_size=1).map("/".join),
)
def test_a_file_that_matches_has_one_of_the_last_names(pattern: str, path: str) -> None:
    """Other programs leave out by these what need not be looked at here."""
    compiled = GlobPattern(pattern)
    name = path.rpartition("/")[2]
    if compiled.last_names and compiled.matches(path):
        assert any(fnmatch.fnmatchcase(name, last) for last in compiled.last_names)


def test_the_order_in_which_paths_come_does_not_matter() -> None:
    compiled = GlobPattern("{src,lib/**}/*.py")
    paths = ["src/a.py", "b.py", "lib/x/y/c.py", "src/d.txt", "src/e.py", "f.py", "lib/g.py"]
    found = [path for path in paths if compiled.matches(path)]
    assert found == ["src/a.py", "lib/x/y/c.py", "src/e.py", "lib/g.py"]
    assert [path for path in paths[::-1] if compiled.matches(path)] == found[::-1]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*.{py,ts}", ("*.py", "*.ts")),
        ("src/**/test_?.py", ("test_?.py",)),
        ("src/**", ()),
        ("[ab].py", ()),
        ("a\\*", ()),
    ],
)
def test_last_names_are_told_only_if_every_program_reads_them_alike(
    pattern: str, names: tuple[str, ...]
) -> None:
    assert GlobPattern(pattern).last_names == names
