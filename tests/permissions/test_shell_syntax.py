"""Which parts a script has: what would run, be opened, be assigned, and what cannot be judged."""

import threading
import time

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.permissions.shell_script import Assignment, Command, Redirect, Script, Unclear
from crush.permissions.shell_syntax import parse_script

SURROGATES = st.characters(categories=["Cs", "Ll", "Cc", "Zs"])


def commands(script: Script) -> list[list[str | None]]:
    return [
        [word.text for word in part.words] for part in script.parts if isinstance(part, Command)
    ]


def redirects(script: Script) -> list[tuple[str | None, bool]]:
    return [(part.target.text, part.writes) for part in script.parts if isinstance(part, Redirect)]


def assignments(script: Script) -> list[tuple[str, str | None, bool]]:
    return [
        (part.name, part.value.text, part.before)
        for part in script.parts
        if isinstance(part, Assignment)
    ]


def reasons(script: Script) -> list[str]:
    return [part.reason for part in script.parts if isinstance(part, Unclear)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("  # only a comment", []),
        ("a b c", [["a", "b", "c"]]),
        ("a | b |& c", [["a"], ["b"], ["c"]]),
        ("a && b || c; d & e\nf", [["a"], ["b"], ["c"], ["d"], ["e"], ["f"]]),
        ("! a | b", [["a"], ["b"]]),
        ("time a", [["time", "a"]]),
        ("a | b | c\nd && e", [["a"], ["b"], ["c"], ["d"], ["e"]]),
        ("a\n\\b", [["a"], ["b"]]),
        ('a "$(b) $(c)"', [["a", None], ["b"], ["c"]]),
        ("(a; (b))", [["a"], ["b"]]),
        ("{ a; { b; }; }", [["a"], ["b"]]),
        (
            "if a; then b; elif c; then d; else e; fi",
            [["a"], ["b"], ["c"], ["d"], ["e"]],
        ),
        ("while a; do b; done; until c\ndo d\ndone", [["a"], ["b"], ["c"], ["d"]]),
        ("for x in a $(b) *; do c; done", [["b"], ["c"]]),
        ("for x\ndo c; done", [["c"]]),
        ("case a in b|'c') d;; (e) f;& *) g;; esac", [["d"], ["f"], ["g"]]),
        ("case $(a) in esac; b", [["a"], ["b"]]),
        ("[ -f a ] && test -d b", [["[", "-f", "a", "]"], ["test", "-d", "b"]]),
        ("[[ -f a && b == c ]]", [["[[", "-f", "a", "&&", "b", "==", "c", "]]"]]),
        ("[[ $(a) == b ]]", [["[[", None, "==", "b", "]]"], ["a"]]),
        ("a $(b $(c)) d", [["a", None, "d"], ["b", None], ["c"]]),
        ('a "x`b`y"', [["a", None], ["b"]]),
        ("diff <(a) <(b)", [["diff", None, None], ["a"], ["b"]]),
        ("a <<< '$(b)' c", [["a", "c"]]),
        ("a \\\n  b \\\n\\\n c", [["a", "b", "c"]]),
        ("a # b\nc", [["a"], ["c"]]),
        ("echo then } ]] in", [["echo", "then", "}", "]]", "in"]]),
        ("größe 'ä' $(ö)", [["größe", "ä", None], ["ö"]]),
        ("\\if 'then'", [["if", "then"]]),
    ],
)
def test_every_command_of_a_script_is_a_part(text: str, expected: list[list[str | None]]) -> None:
    script = parse_script(text)
    assert reasons(script) == []
    assert commands(script) == expected


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ("find . >/dev/null -delete", ["find", ".", "-delete"], [("/dev/null", True)]),
        ("> a b c", ["b", "c"], [("a", True)]),
        ("a >b >>c >|d", ["a"], [("b", True), ("c", True), ("d", True)]),
        ("a &>b &>>c <d 2>e", ["a"], [("b", True), ("c", True), ("d", False), ("e", True)]),
        ("a 2>&1 >&2 >&- <&- 3<&0", ["a"], []),
        ("a >&b", ["a"], [("b", True)]),
        ("a >&-b", ["a", "b"], []),
        ("a >&1b", ["a"], [("1b", True)]),
        ('a > "$b"', ["a"], [(None, True)]),
        ("a 2 >b", ["a", "2"], [("b", True)]),
        ("a2>b", ["a2"], [("b", True)]),
        ("a '2'>b", ["a", "2"], [("b", True)]),
        ("{ a; } >b", ["a"], [("b", True)]),
        ("a '>b' \\> c", ["a", ">b", ">", "c"], []),
    ],
)
def test_files_that_are_opened_are_parts_and_copies_of_descriptors_are_not(
    text: str, words: list[str], expected: list[tuple[str | None, bool]]
) -> None:
    script = parse_script(text)
    assert reasons(script) == []
    assert commands(script) == [words]
    assert redirects(script) == expected


def test_a_redirection_alone_and_a_file_read_by_a_substitution_are_parts() -> None:
    assert redirects(parse_script("> a")) == [("a", True)]
    assert redirects(parse_script("a <> b")) == [("b", True)]  # the grammar does not know it
    script = parse_script("a $(< b)")
    assert (reasons(script), redirects(script)) == ([], [("b", False)])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", [("a", "1", False)]),
        ("a=1 b=2 c d=3", [("a", "1", True), ("b", "2", True)]),
        ("a= b+='x y'", [("a", "", False), ("b", "x y", False)]),
        ("a=$(b) c", [("a", None, True)]),
        ("export a=1 b", [("a", "1", False)]),
        ("declare -x a='*'", [("a", "*", False)]),
        ("for x in a *; do :; done", [("x", None, False), ("x", "a", False), ("x", None, False)]),
        ("if a=1 b; then c=2; fi", [("a", "1", True), ("c", "2", False)]),
    ],
)
def test_assignments_are_parts(text: str, expected: list[tuple[str, str | None, bool]]) -> None:
    script = parse_script(text)
    assert reasons(script) == []
    assert assignments(script) == expected


def test_a_quoted_here_document_is_data_and_what_follows_it_is_not() -> None:
    script = parse_script("cat <<'E' | tee b\n$(rm a) `c` \\\n'\nE\nnext")
    assert reasons(script) == []
    assert commands(script) == [["cat"], ["tee", "b"], ["next"]]


def test_a_message_written_by_a_here_document_inside_a_substitution_is_understood() -> None:
    script = parse_script("git commit -m \"$(cat <<'EOF'\nFix (a) b's \"c\n\nEOF\n)\" && git push")
    assert reasons(script) == []
    assert commands(script) == [["git", "commit", "-m", None], ["cat"], ["git", "push"]]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("$a b", "name is not known"),
        ("$(a) b", "name is not known"),
        ("{ls,-la}", "name is not known"),
        ("l* a", "name is not known"),
        ("f() { a; }", "defines a function 'f'"),
        ("function f { a; }", "defines a function 'f'"),
        ("function f() { a; }", "defines a function 'f'"),
        ("a=(b c)", "array"),
        ("a+=(b)", "array"),
        ("a[0]=b", "array"),
        ("a[b c]=d e", "array"),
        ("export a=(b)", "array"),
        ("declare -n a=b", "'-n'"),
        ("declare -i a=b", "'-i'"),
        ("export $a", "which variables"),
        ("declare 'a[0]=b'", "which variables"),
        ("'export' a=b", "quoted"),
        ("unset a", "unsets"),
        ("time { a; }", "more than one"),
        ("time a=b c", "more than one"),
        ("time -p $a b", "name is not known"),
        ("(( a ))", "'('"),
        ("let a; ((b++))", "'('"),
        ("coproc a", "'coproc'"),
        ("select a in b; do c; done", "'select'"),
        ("for ((;;)); do a; done", "'('"),
        ("[[ a =~ b ]]", "regular expression"),
        ("[[ a -eq b ]]", "computes"),
        ("[[ -v a ]]", "computes"),
        ("[[ a == @(b|c) ]]", "more than a comparison"),
        ("cat <<E\n$(a)\nE", "expanded"),
        ("cat <<E\n`a`\nE", "expanded"),
        ("cat <<E\na\\\nE\nE", "backslash"),
        ("cat <<E\na", "not ended"),
        ("cat <<$E\na\n$E", "delimiter"),
        ("a `b <<'E'\nc\nE\n`", "between backticks"),
        ("a $(cat <<'E'\nb\nE)\nE\n)", "not certain"),
        ("cat <<'E' \"a\nE\n\"\nb\nE", "inside a word"),
        ("a # b \\\nc", "backslash"),
        ("a &\\\n& b", "continued"),
        ("$(\\\n(a))", "continued"),
        ("{a}>b", "variable"),
        ("a <&$b", "descriptor"),
        ("a <&b", "descriptor"),
        ("a ) b", "')'"),
        ("a; then b", "'then'"),
        ("if a; b", "middle"),
        ("{ a", "middle"),
        ("a >", "middle"),
        ("a > ; b", "without a target"),
        ("a ;; b", "outside a case"),
        ("a=1 if b", "'if'"),
        ("echo ${a:-`b`}", "operator"),
        ("a\n; b", "';'"),
    ],
)
def test_what_is_not_followed_is_unclear_for_a_reason(text: str, reason: str) -> None:
    script = parse_script(text)
    assert any(reason in found for found in reasons(script)), reasons(script)
    assert not script.is_simple


def test_parts_around_something_unclear_are_still_told() -> None:
    script = parse_script("rm -r a; f() { b; }; echo ${x:-y} > c; d")
    assert commands(script) == [["rm", "-r", "a"], ["b"], ["echo", None], ["d"]]
    assert redirects(script) == [("c", True)]
    assert commands(parse_script('rm -r a; b $(c) "')) == [["rm", "-r", "a"], ["b", None], ["c"]]


@pytest.mark.parametrize("text", ["a b", "'a' \"b\"", "a \\\n b # c", "a\n"])
def test_one_command_of_known_words_is_simple(text: str) -> None:
    assert parse_script(text).is_simple


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a; b",
        "a &",
        "! a",
        "a > b",
        "a 2>&1",
        "a=1 b",
        "a $b",
        "a *",
        "(a)",
        "a $'b'",
        "a <<< b",
    ],
)
def test_anything_more_is_not_simple(text: str) -> None:
    script = parse_script(text)
    assert reasons(script) == []
    assert not script.is_simple


@given(st.one_of(st.text(), st.text("ab'\"\\\n ;&|<>(){}[]$`#!=~*E"), st.text(SURROGATES)))
@settings(deadline=None)
def test_no_text_makes_it_raise_and_every_answer_can_be_stored(text: str) -> None:
    stored = msgspec.json.encode(parse_script(text))
    assert msgspec.json.encode(msgspec.json.decode(stored, type=Script)) == stored


@pytest.mark.parametrize(
    "unit", ["a=(", "(", "( ", "$(", "`", "{ ", "if a; then ", "x <<E ", "a[", "((1"]
)
def test_text_made_to_exhaust_a_parser_is_unclear_in_time(unit: str) -> None:
    text = unit * (16_000 // len(unit))
    begin = time.thread_time()
    script = parse_script(text)
    spent_s = time.thread_time() - begin
    assert reasons(script)
    assert spent_s < 0.5  # twenty times what it takes; without limits `a=(` takes two seconds


def test_threads_may_parse_at_the_same_time() -> None:
    text = "a 'b' | c $(d) > e\n" * 40
    expected = parse_script(text)
    wrong: list[Script] = []

    def parse() -> None:
        wrong.extend(script for _ in range(5) if (script := parse_script(text)) != expected)

    threads = [threading.Thread(target=parse) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reasons(expected) == []
    assert wrong == []
