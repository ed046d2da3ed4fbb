"""Sections of files that are not read whole are those that the whole text has."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import ToolError
from crush.tools import text_section
from crush.tools.text_section import Section, load_section

LINES = st.lists(st.text(st.sampled_from("aé\r "), max_size=9), max_size=12)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("section") / "file"


@given(
    text=LINES.map("\n".join),
    offset=st.integers(-14, 14),
    limit=st.integers(1, 14),
    block=st.integers(1, 20),
)
def test_the_large_way_and_the_small_way_show_the_same(
    place: Path, text: str, offset: int, limit: int, block: int
) -> None:
    place.write_bytes(text.encode())
    small = outcome(place, offset, limit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_section, "MAX_BYTES", 0)
        patch.setattr(text_section, "_BLOCK", block)
        patch.setattr(text_section, "_SKIPPED", block)
        large = outcome(place, offset, limit)
    if isinstance(small, str) or isinstance(large, str):
        assert small == large
        return
    assert (small.lines, small.more) == (large.lines, large.more)
    if small.lines:
        total = small.total or 0
        assert small.first in {large.first, large.first + total + 1}


def outcome(place: Path, offset: int, limit: int) -> Section | str:
    try:
        return load_section(str(place), offset=offset, limit=limit)
    except ToolError as exc:
        return exc.message
