from pathlib import Path

import pytest

from crush.tools.ignore_rules import rules_for
from crush.tools.tree_walk import walk_tree


def test_a_walk_stops_between_directories_when_its_caller_says_so(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / str(number)).mkdir()
        (tmp_path / str(number) / "x").touch()
    visited = 0

    def check() -> None:
        nonlocal visited
        visited += 1
        if visited == 3:
            raise InterruptedError

    walk = walk_tree(
        str(tmp_path), rules_for(str(tmp_path), {}), hidden=False, depth=0, check=check
    )
    with pytest.raises(InterruptedError):
        list(walk)
    assert visited == 3


def test_a_directory_that_cannot_be_read_has_nothing_to_show(tmp_path: Path) -> None:
    walk = walk_tree(
        str(tmp_path / "gone"),
        rules_for(str(tmp_path), {}),
        hidden=False,
        depth=0,
        check=lambda: None,
    )
    assert list(walk) == []


def test_the_upper_levels_come_first(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "c").touch()
    (tmp_path / "z").touch()
    rules = rules_for(str(tmp_path), {})
    walk = walk_tree(str(tmp_path), rules, hidden=False, depth=0, check=lambda: None)
    assert [entry.path for entry in walk] == ["a", "z", "a/b", "a/b/c"]
