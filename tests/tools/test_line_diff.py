import re

from hypothesis import given, settings
from hypothesis import strategies as st

from crush.tools.line_diff import diff_lines

TEXT = st.lists(st.sampled_from(["a\n", "b\n", "c\r\n", "\n", "d"]), max_size=40).map("".join)
HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


def patched(old: str, diff: str) -> str:
    """The old text with the diff applied, strictly."""
    lines = old.splitlines(keepends=True)
    result: list[str] = []
    at = 0
    added = False
    for row in diff.split("\n")[2:-1]:
        if hunk := HUNK.fullmatch(row):
            start = int(hunk[1]) - (hunk[2] != "0")
            result += lines[at:start]
            at = start
        elif row.startswith("\\"):
            if added:
                result[-1] = result[-1].removesuffix("\n")
        else:
            added = row[0] in " +"
            if row[0] in " -":
                assert lines[at].rstrip("\n") == row[1:]
                at += 1
            if added:
                result.append(row[1:] + "\n")
    return "".join(result + lines[at:])


@settings(deadline=None)
@given(TEXT, TEXT)
def test_a_diff_applied_to_the_old_text_gives_the_new(old: str, new: str) -> None:
    diff = diff_lines(old, new, "f")
    assert patched(old, diff.text) == new
    rows = diff.text.split("\n")[2:]
    assert diff.additions == sum(row.startswith("+") for row in rows)
    assert diff.removals == sum(row.startswith("-") for row in rows)


def test_a_diff_looks_as_clients_expect() -> None:
    old = "".join(f"{number}\n" for number in range(20))
    new = old.replace("4\n", "four\n", 1).replace("15\n", "")
    assert diff_lines(old, new, "dir/f").text == (
        "--- a/dir/f\n+++ b/dir/f\n@@ -2,7 +2,7 @@\n 1\n 2\n 3\n-4\n+four\n 5\n 6\n 7\n"
        "@@ -13,7 +13,6 @@\n 12\n 13\n 14\n-15\n 16\n 17\n 18\n"
    )


def test_a_new_file_is_all_additions() -> None:
    diff = diff_lines("", "one\ntwo", "f")
    assert diff.text == (
        "--- a/f\n+++ b/f\n@@ -0,0 +1,2 @@\n+one\n+two\n\\ No newline at end of file\n"
    )
    assert (diff.additions, diff.removals) == (2, 0)


def test_equal_texts_have_no_diff() -> None:
    assert diff_lines("a\n", "a\n", "f").text == ""


def test_a_change_too_large_to_align_is_shown_whole() -> None:
    old = "".join(f"{number % 7}\n" for number in range(50_000))
    new = "".join(f"{number % 5}\n" for number in range(50_000))
    diff = diff_lines(f"head\n{old}tail\n", f"head\n{new}tail\n", "f")
    assert 40_000 < diff.additions == diff.removals <= 50_000
    assert diff.text.endswith("\n tail\n")
