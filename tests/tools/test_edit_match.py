import contextlib
import re
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crush.errors import ToolError
from crush.tools.edit_match import apply_edit

FLAT = st.text(alphabet="ab \n", max_size=12)
LINES = st.lists(st.text(alphabet="abc {}", max_size=6), max_size=12)


def edit(text: str, old: str, new: str, *, replace_all: bool = False) -> str:
    return apply_edit(text, old, new, replace_all=replace_all).text


def test_the_one_occurrence_is_replaced() -> None:
    assert edit("a b c", "b", "x") == "a x c"


def test_an_empty_replacement_deletes() -> None:
    assert edit("a\nb\nc\n", "b\n", "") == "a\nc\n"


def test_several_occurrences_are_refused_with_their_lines() -> None:
    with pytest.raises(ToolError, match=r"occurs 3 times \(lines 1, 2, 4\)"):
        edit("x\nx\ny\nx\n", "x", "z")


def test_occurrences_that_overlap_are_not_unique() -> None:
    with pytest.raises(ToolError, match="occurs 2 times"):
        edit("aaa", "aa", "b")


def test_all_occurrences_are_replaced_on_request() -> None:
    edited = apply_edit("x\r\nx\ny\r\nx", "x", "z", replace_all=True)
    assert (edited.text, edited.count) == ("z\r\nz\ny\r\nz", 3)


@pytest.mark.parametrize(("old", "new"), [("a", "a"), ("a\r\n", "a\n"), ("", "x")])
def test_an_edit_that_means_nothing_is_refused(old: str, new: str) -> None:
    with pytest.raises(ToolError):
        edit("a\n", old, new)


def test_lines_match_whatever_their_whitespace_and_the_note_says_so() -> None:
    edited = apply_edit(
        "class A:\n\tdef f(self):\n\t\treturn  1\n",
        "  def f(self):\n    return 1\n",
        "  def f(self):\n    if x:\n      return 2\n    return 1\n",
        replace_all=False,
    )
    assert edited.text == ("class A:\n\tdef f(self):\n\t\tif x:\n\t\t\treturn 2\n\t\treturn  1\n")
    assert "lines 2-3 ignoring whitespace" in edited.note


def test_invisible_characters_do_not_keep_a_line_from_matching() -> None:
    assert edit("a\u200bb c\n", "ab c", "d") == "d\n"
    assert edit("x = '\x1b[31m'\n", "x = ''", "y") == "y\n"


def test_whole_lines_that_are_deleted_leave_no_empty_line() -> None:
    assert edit("a\n\tb  c\nd\n", "b c", "") == "a\nd\n"


def test_whitespace_alone_matches_nothing_but_itself() -> None:
    with pytest.raises(ToolError, match="not found"):
        edit("a\n \nb\n", "\t\t", "x")


def test_two_loose_matches_are_refused() -> None:
    with pytest.raises(ToolError, match="2 times"):
        edit("\ta b\nx\n  a  b\n", "a   b", "y")


def test_the_closest_lines_are_shown_with_their_whitespace() -> None:
    with pytest.raises(ToolError) as raised:
        edit("one\n\tfor x in y:\n\t\tprint(x) \nend\n", "for x in y:\n    print(z)\n", "q")
    assert "     2|→for x in y:\n     3|→→print(x)·" in raised.value.message


def test_nothing_is_shown_when_nothing_is_close() -> None:
    with pytest.raises(ToolError) as raised:
        edit("one\ntwo\n", "three\nfour\nfive", "six")
    assert "closest" not in raised.value.message


def test_a_crlf_file_is_edited_by_a_model_that_sees_no_carriage_return() -> None:
    assert edit("a\r\nb\r\nc\r\n", "a\nb\n", "a\nx\ny\n") == "a\r\nx\r\ny\r\nc\r\n"


def test_a_loose_match_in_a_crlf_file_keeps_its_endings() -> None:
    assert edit("a\r\n\tb  c\r\nd", "b c", "e\nf") == "a\r\n\te\r\n\tf\r\nd"


@settings(deadline=None)
@given(FLAT, FLAT.filter(bool), FLAT, FLAT, st.sampled_from(["\n", "\r\n"]))
def test_an_exact_edit_is_what_replacing_in_the_flat_text_gives(
    before: str, old: str, after: str, new: str, newline: str
) -> None:
    assume(old != new)
    flat = before + old + after
    places = len(re.findall(f"(?={re.escape(old)})", flat))
    text = flat.replace("\n", newline)
    if places == 1:
        assert edit(text, old, new) == flat.replace(old, new).replace("\n", _kept(text, newline))
    else:
        with pytest.raises(ToolError, match=f"occurs {places} times"):
            edit(text, old, new)


def _kept(text: str, newline: str) -> str:
    return newline if newline in text else "\n"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text("ab", min_size=1), st.sampled_from(["\n", "\r\n"]))), st.data())
def test_lines_that_an_edit_does_not_touch_keep_their_bytes(
    lines: list[tuple[str, str]], data: st.DataObject
) -> None:
    assume(lines)
    chosen = data.draw(st.integers(0, len(lines) - 1))
    before = "".join(text + ending for text, ending in lines[:chosen])
    after = "".join(text + ending for text, ending in lines[chosen + 1 :])
    marked = before + "MARK" + lines[chosen][1] + after
    edited = edit(marked, "MARK\n", "one\ntwo\n")
    assert edited.startswith(before)
    assert edited.endswith(after)
    middle = edited[len(before) : len(edited) - len(after)]
    assert middle in {"one\ntwo\n", "one\r\ntwo\r\n"}


@settings(deadline=None)
@given(LINES, LINES, LINES)
def test_an_edit_that_is_refused_explains_itself_and_one_that_applies_changes_something(
    text: list[str], old: list[str], new: list[str]
) -> None:
    before = "\n".join(text)
    with contextlib.suppress(ToolError):
        edited = apply_edit(before, "\n".join(old), "\n".join(new), replace_all=False)
        assert edited.count == 1
        assert edited.text != before or edited.note


@pytest.mark.parametrize(
    ("text", "old", "reason"),
    [
        ("}\n" * 100_000, "}\n" * 3_000 + "x", "not found"),
        ("}\n" * 100_000, " }\n" * 3_000, "100 times or more"),
        ("a" * 1_000_000, "a" * 3_000, "100 times or more"),
        ("a" * 1_000_000, "a" * 3_000 + "b", "not found"),
    ],
)
def test_a_hostile_text_is_answered_at_once(text: str, old: str, reason: str) -> None:
    started = time.process_time()
    with pytest.raises(ToolError, match=reason):
        edit(text, old, "y")
    assert time.process_time() - started < 1.5
