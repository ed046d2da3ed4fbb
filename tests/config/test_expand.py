"""Variables in values: the shell's rules, checked against a shell; errors without values."""

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.config.expand import ExpansionError, expand, references, variables

ENV = {"KEY": "s3cret", "EMPTY": "", "OTHER": "other"}


def value(template: str, env: dict[str, str] | None = None) -> str:
    return expand(template, variables(ENV if env is None else env))


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("plain", "plain"),
        ("$KEY", "s3cret"),
        ("${KEY}", "s3cret"),
        ("Bearer ${KEY}!", "Bearer s3cret!"),
        ("$KEY-$OTHER", "s3cret-other"),
        ("$UNSET", ""),
        ("$EMPTY", ""),
        ("${UNSET:-fallback}", "fallback"),
        ("${EMPTY:-fallback}", "fallback"),
        ("${KEY:-fallback}", "s3cret"),
        ("${KEY:+set}", "set"),
        ("${UNSET:+set}", ""),
        ("${KEY:?must be set}", "s3cret"),
        ("${UNSET:-${EMPTY:-$OTHER}}", "other"),
        ("${UNSET:-a${OTHER}b}c", "aotherbc"),
        ("${UNSET:-}", ""),
        ("${UNSET:-a\\}b}", "a}b"),
        ("$$KEY", "$KEY"),
        ("\\$KEY", "$KEY"),
        ("a\\b$OTHER", "a\\bother"),
        ('it\'s "quoted" $OTHER', 'it\'s "quoted" other'),
        ("\\`$OTHER", "`other"),
    ],
)
def test_references_are_replaced_as_a_shell_does(template: str, expected: str) -> None:
    assert value(template) == expected


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("$(cat /etc/passwd)", "commands in configuration are not run"),
        ("key-$((1+2))", "commands in configuration are not run"),
        ("`id`", "commands in configuration are not run"),
        ("${UNSET:-$(id)}", "commands in configuration are not run"),
        ("${KEY:-$(id)}", "commands in configuration are not run"),
        ("cash $", "dollar sign"),
        ("$1", "dollar sign"),
        ("${KEY", "must go on with"),
        ("${KEY:-x", "without its"),
        ("${KEY%x}", "must go on with"),
        ("${KEY:=x}", "must go on with"),
        ("${}", "begins no variable"),
        ("${#KEY}", "begins no variable"),
        ("${UNSET:?set it}", "`${UNSET:?set it}` is not set"),
        ("${A:-" * 60 + "}" * 60, "nested deeper"),
    ],
)
def test_what_cannot_be_expanded_is_an_error_that_says_why(template: str, says: str) -> None:
    with pytest.raises(ExpansionError) as caught:
        value(template)
    assert says in str(caught.value)


PIECES = ["$", "{", "}", ":-", ":+", ":?", "(", "`", "\\", "KEY", "UNSET", "x", "${KEY", "$KEY"]


def error_of(template: str) -> str:
    try:
        value(template)
    except ExpansionError as exc:
        return f"{exc} {exc!r} {exc.hint}"
    return ""


@settings(deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
def test_an_error_never_shows_a_value(template: str) -> None:
    assert "s3cret" not in error_of(template)


def test_a_literal_secret_beside_a_mistake_is_not_shown() -> None:
    with pytest.raises(ExpansionError) as caught:
        value("sk-live-123$")
    assert "sk-live-123" not in str(caught.value)


NAMES = st.sampled_from(["KEY", "EMPTY", "OTHER", "UNSET"])
WORDS = st.text("abc. -_/", max_size=5)


def deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    braced = st.tuples(NAMES, st.sampled_from([":-", ":+"]), inner).map(
        lambda parts: "${" + "".join(parts) + "}"
    )
    return st.lists(braced | inner, min_size=1, max_size=3).map("".join)


TEMPLATES = st.recursive(WORDS | NAMES.map(lambda name: "${" + name + "}"), deeper, max_leaves=8)


@settings(max_examples=40, deadline=None)
@given(st.lists(TEMPLATES, min_size=8, max_size=8))
def test_a_shell_agrees(templates: list[str]) -> None:
    script = "".join(f'printf "%s\\n" "{template}"\n' for template in templates)
    shell = subprocess.run(
        ["/bin/sh", "-c", script], env=ENV, capture_output=True, text=True, check=True
    )
    assert [value(template) for template in templates] == shell.stdout.split("\n")[:-1]


@settings(deadline=None)
@given(st.text())
def test_text_without_marks_is_left_alone(text: str) -> None:
    plain = text.replace("$", "").replace("`", "")
    assert value(plain) == plain


@settings(deadline=None)
@given(st.text())
def test_a_value_is_not_expanded_again(text: str) -> None:
    assert value("$KEY", {"KEY": text}) == text


def test_a_prefixed_variable_stands_before_the_plain_one() -> None:
    assert value("$KEY", {"KEY": "plain", "CRUSH_KEY": "prefixed"}) == "prefixed"
    assert value("$KEY", {"CRUSH_KEY": "prefixed"}) == "prefixed"


def test_the_token_of_the_server_never_stands_for_a_variable_called_token() -> None:
    assert value("$TOKEN", {"TOKEN": "mine", "CRUSH_TOKEN": "the server's"}) == "mine"


def test_references_are_named_once_in_order() -> None:
    assert references("${B:-$A} $B $$ plain") == ["B", "A"]
