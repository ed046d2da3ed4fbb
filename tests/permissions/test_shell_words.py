"""What is known of a word before the shell expands it."""

import pytest

from crush.permissions.shell_script import Assignment, Command, Unclear, Word
from crush.permissions.shell_syntax import parse_script


def argument(word: str) -> Word:
    command = parse_script(f"c {word}").parts[0]
    assert isinstance(command, Command)
    _, found = command.words
    assert found.raw == word
    return found


def value(word: str) -> Word:
    (found,) = (part for part in parse_script(f"v={word}").parts if isinstance(part, Assignment))
    assert found.value.raw == word
    return found.value


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("a", "a"),
        ("l''s", "ls"),
        ("'g'it", "git"),
        ("\\ls", "ls"),
        ('a"b c"d', "ab cd"),
        ("'a\"\\b'", 'a"\\b'),
        ('"\\$\\`\\"\\\\\\a"', '$`"\\\\a'),
        ("$'\\x72m\\t\\101\\u0042\\cA\\''", "rm\tAB\x01'"),
        ('""', ""),
        ("a{b}", "a{b}"),
        ("{}", "{}"),
        ("a$", "a$"),
        ('"$"', "$"),
        ("a[", "a["),
        ("'*'", "*"),
        ("a\\*b", "a*b"),
        ("a#b", "a#b"),
        ("~", "~"),
        ("~/x", "~/x"),
        ("a~b", "a~b"),
        ("--to=~/x", "--to=~/x"),
        ("größe", "größe"),
        ("if", "if"),
    ],
)
def test_quotes_are_removed_as_bash_removes_them(word: str, text: str) -> None:
    found = argument(word)
    assert (found.text, found.prefix, found.splits, found.glob) == (text, text, False, "")


@pytest.mark.parametrize(
    ("word", "prefix", "splits"),
    [
        ("$x", "", True),
        ("a$x", "a", True),
        ('"a${x}b"', "a", False),
        ('a"$@"', "a", True),
        ("$(b)", "", True),
        ('"a `b`"', "a ", False),
        ("-o$((1+2))", "-o", True),
        ("<(b)", "", True),
        ("{a,b}", "", True),
        ("x{1..3}", "x", True),
        ("{-o,PWN,a.txt}", "", True),
        ("~root", "", False),
        ("~+", "", False),
        ("'~'/x", "", False),
        ('~""/x', "", False),
        ("a=~/x", "a=", False),
        ("*$x", "", True),
    ],
)
def test_a_word_that_depends_on_an_expansion_has_no_text(
    word: str, prefix: str, splits: bool
) -> None:
    found = argument(word)
    assert (found.text, found.prefix, found.splits, found.glob) == (None, prefix, splits, "")


@pytest.mark.parametrize(
    ("word", "prefix", "glob"),
    [
        ("*.py", "", "*.py"),
        ("src/?.py", "src/", "src/?.py"),
        ("a[bc]", "a", "a[bc]"),
        ('"*"?', "*", "\\*?"),
        ("~/*", "~/", "~/*"),
    ],
)
def test_a_glob_is_told_when_nothing_else_is_unknown(word: str, prefix: str, glob: str) -> None:
    found = argument(word)
    assert (found.text, found.prefix, found.splits, found.glob) == (None, prefix, True, glob)


@pytest.mark.parametrize(
    ("word", "text"),
    [("", ""), ("*", "*"), ("'a b'", "a b"), ("~/x", "~/x"), ("a=b", "a=b"), ("$x", None)],
)
def test_an_assigned_value_is_neither_matched_nor_split(word: str, text: str | None) -> None:
    found = value(word)
    assert (found.text, found.splits, found.glob) == (text, False, "")


def test_a_tilde_after_a_colon_of_an_assigned_value_is_unknown() -> None:
    assert (value("a:~/b").text, value("a:~/b").prefix) == (None, "a:")
    assert value("{a,b}").text is None  # `export v={a,b}` is two words


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("${x:-y}", "expansion with an operator"),
        ("${x@P}", "expansion with an operator"),
        ("${#x}", "expansion with an operator"),
        ("${!x}", "expansion with an operator"),
        ("${x[1]}", "expansion with an operator"),
        ("${x:-$(y)}", "expansion with an operator"),
        ("$((x))", "arithmetic"),
        ("$((a[$(b)]))", "arithmetic"),
        ("$[1]", "arithmetic"),
        ('$"a"', "translated"),
        ("$'\\xff'", "ASCII"),
        ("$'a\\0b'", "ASCII"),
        ("$'\\z'", "escape"),
        ("a\\\nb", "continued"),
        ('"a\\\nb"', "continued"),
        ("'a", "not closed"),
        ('"a', "not closed"),
        ("$'a", "not closed"),
        ("`a", "not closed"),
        ("$(a", "not closed"),
        ("a\\", "backslash"),
        (">(a)", "'>('"),
        ("a<(b)", "process substitution"),
        ("`a \\`b\\``", "backslash between backticks"),
        ("$é", "ASCII letters"),
        ("@(a|b)", "'('"),
    ],
)
def test_a_word_that_is_not_followed_makes_the_script_unclear(word: str, reason: str) -> None:
    reasons = [part.reason for part in parse_script(f"c {word}").parts if isinstance(part, Unclear)]
    assert any(reason in found for found in reasons), reasons
