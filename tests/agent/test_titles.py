"""Titles of sessions, from whatever a prompt may be."""

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.agent.titles import UNTITLED, WIDTH, title_from


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in text)


@settings(max_examples=400)
@given(
    st.one_of(
        st.text(),
        st.text(alphabet="ab \n#-\x1b\u202e\u200d名前e\u0301"),
        st.lists(st.text(max_size=30)).map(" ".join),
    )
)
def test_a_title_is_one_short_line_of_visible_characters(prompt: str) -> None:
    title = title_from(prompt)
    assert title.strip()
    assert len(title.splitlines()) == 1
    assert _columns(title) <= WIDTH
    assert not [char for char in title if unicodedata.category(char).startswith("C")]


@pytest.mark.parametrize(
    ("prompt", "title"),
    [
        ("fix the parser", "fix the parser"),
        ("\n\n  # Fix it  \nplease", "Fix it"),
        ("", UNTITLED),
        ("``` \n---\n", UNTITLED),
        ("\x1b[31mred\x07", "[31mred"),
        ("tab\tand\u00a0space", "tab and space"),
        (
            "rewrite the configuration loader so that it merges, expands and validates",
            "rewrite the configuration loader so that it…",
        ),
        ("a " + "b" * 90, "a " + "b" * 47 + "…"),
        ("名" * 40, "名" * 24 + "…"),
    ],
)
def test_a_title_is_the_first_line_with_words_cut_at_a_word(prompt: str, title: str) -> None:
    assert title_from(prompt) == title
