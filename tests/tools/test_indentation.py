import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.tools.indentation import reindent


@pytest.mark.parametrize("unit", ["\t", "  ", "    "])
@pytest.mark.parametrize("written", ["\t", "  ", "    "])
def test_depths_are_kept_in_the_unit_of_the_file(unit: str, written: str) -> None:
    file = ["a", f"{unit}b", f"{unit}{unit}c", f"{unit}d"]
    wanted = ["b", f"{written}c"]
    new = ["b", f"{written}if x:", f"{written}{written}y", "e"]
    assert reindent(new, wanted, file[1:3], file) == [
        f"{unit}b",
        f"{unit}{unit}if x:",
        f"{unit}{unit}{unit}y",
        f"{unit}e",
    ]


def test_lines_that_stay_keep_their_own_whitespace() -> None:
    file = ["  a  =  1 ", "  b"]
    assert reindent(["a = 1", "c"], ["a = 1", "b"], file, file) == ["  a  =  1 ", "  c"]


def test_lines_left_of_the_first_one_go_no_further_than_the_margin() -> None:
    assert reindent(["x"], ["        a"], ["  a"], ["  a"]) == ["x"]


@settings(deadline=None)
@given(st.lists(st.text(alphabet="ab \t", max_size=8), min_size=1, max_size=8))
def test_only_margins_change(new: list[str]) -> None:
    result = reindent(new, ["a"], ["\ta"], ["\ta", "\t\tb"])
    assert [line.strip() for line in result] == [line.strip() for line in new]
