import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.tools.html_text import html_to_text, reduce_html

HOSTILE = {
    "open tags": "<a" * 300_000,
    "open comments": "<!--" * 200_000,
    "open scripts": "<script>" * 100_000,
    "open svgs": "<svg>" * 150_000,
    "closed svgs": "<svg></svg>" * 100_000,
    "one long name": "<" + "a" * 600_000,
    "one long tag": "<a " + "x=1 " * 200_000,
    "attributes": "<a x='" * 150_000,
    "ampersands": "&" * 600_000,
    "references": "&amp" * 200_000,
    "a huge number": "&#" + "9" * 600_000 + ";",
    "blanks": " " * 600_000,
    "lines": "\n \n" * 200_000,
    "cdata": "<![CDATA[" * 80_000,
    "deep": "<div>" * 120_000,
    "data": "<img src='data:" + "A" * 600_000,
    "many data": "data:" * 120_000,
    "one that grows": "\u0130<svg>" * 100_000,
}


def words(page: str) -> str:
    return html_to_text(reduce_html(page, most_chars=1_000_000)[0])


@pytest.mark.parametrize("page", HOSTILE.values(), ids=HOSTILE.keys())
def test_no_page_takes_longer_than_its_length(page: str) -> None:
    began = time.process_time()
    words(page)
    assert time.process_time() - began < 2


@given(
    st.lists(
        st.sampled_from(["<", ">", "a", "svg", "script", "/", "!--", "-->", " ", "&", "#", "9"])
    )
)
def test_any_page_becomes_text_without_tags(pieces: list[str]) -> None:
    text = words("".join(pieces))
    assert "<script>" not in text
    assert "</a>" not in text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("a<br>b<br/>c", "a\nb\nc"),
        ("<p>a</p><p>b</p>", "a\n\nb"),
        ("<td>a</td><td>b</td>", "a\n\nb"),
        ("a &lt;b&gt; &amp; &uuml;", "a <b> & \u00fc"),
        ("one <b>b</b>old", "one bold"),
        ("a<script>x()</script>b", "ab"),
        ("a<SCRIPT src=x>x()</script >b", "ab"),
        ("a<script>never ends", "a"),
        ("a<svg/>b<svg>c</svg>d", "abd"),
        ("a<svg>b", "ab"),
        ("a<!-- <script> -->b", "ab"),
        ("a<!-- b", "a b"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("&#99999999999999999999;", "\ufffd"),
        ("\u0130<script>x</script>b", "\u0130b"),
    ],
)
def test_words_stay_and_what_nobody_sees_goes(page: str, text: str) -> None:
    assert words(page) == text


def test_a_page_is_cut_after_the_scripts_are_out() -> None:
    assert reduce_html("<style>long</style>abcdef", most_chars=3) == ("abc", True)
    assert reduce_html("<style>long</style>abc", most_chars=3) == ("abc", False)
