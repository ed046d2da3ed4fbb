"""Rules as texts: what is one, what is none and why, and that texts come back as they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.config.schema import Permissions
from crush.errors import ConfigError
from crush.permissions.command_patterns import CommandPattern, Fit, exact_command
from crush.permissions.path_patterns import PathPattern, escape_path
from crush.permissions.rule_text import env_passes, parse_rule, rules_from
from crush.permissions.shell_script import Word


def known(*texts: str) -> list[Word]:
    return [Word(raw=text, text=text, prefix=text) for text in texts]


def unknown(prefix: str = "", *, splits: bool = False) -> Word:
    return Word(raw=f"{prefix}$x", text=None, prefix=prefix, splits=splits)


@pytest.mark.parametrize(
    "text",
    [
        *("tool(bash)", "tool(edit:write)", "tool(mcp_*)", "read(src/**)", "write(~/x y/*)"),
        *("command(npm test)", "command(git commit -m 'a (b); c' *)", "host([::1]:80)"),
        *("env(AWS_*)", "host(*)", r"read(a\)b)"),
    ],
)
def test_a_rule_is_told_by_the_text_it_came_from(text: str) -> None:
    rule = parse_rule(f"  {text} ", effect="deny", source="project")
    assert rule.text == text
    assert (rule.effect, rule.source) == ("deny", "project")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is no rule"),
        ("view", "is no rule"),
        ("shell(ls)", "is no rule"),
        ("command(ls", "is no rule"),
        ("Command(ls)", "is no rule"),
        ("command(ls) ; x", "is no rule"),
        ("command()", "empty"),
        ("command( )", "empty"),
        ("command('ls)", "within quotes"),
        ("command(ls \\)", "within quotes"),
        ("command(echo $HOME)", "holds no expansions"),
        ('command(echo "$HOME")', "use single quotes"),
        ("command(echo `id`)", "holds no substitutions"),
        ("command(ls; rm x)", "lists of commands"),
        ("command(ls && rm x)", "lists of commands"),
        ("command(ls | sh)", "pipelines"),
        ("command(ls > x)", "redirections"),
        ("command((ls))", "groups"),
        ("command(ls\nrm)", "cannot be shown"),
        ("read(a\0b)", "cannot be shown"),
        ("read(../x)", "cannot stand in a pattern"),
        ("read(a**b)", "stands alone"),
        ("read(a\\)", "escapes the character"),
        ("tool(a b)", "a tool is"),
        ("tool(a:)", "a tool is"),
        ("host(https://x.org)", "a host is"),
        ("host(x.org/path)", "a host is"),
        ("host(a*b.org)", "a host is"),
        ("host(x.org:99999)", "is not a port"),
        ("env(A-B)", "a variable is"),
    ],
)
def test_what_is_no_rule_is_refused_with_a_reason(text: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rule(text, effect="allow", source="user")
    assert complaint in caught.value.message
    assert repr(text) in caught.value.message


def test_what_is_refused_bare_can_be_meant_in_quotes() -> None:
    pattern = CommandPattern.parse("""echo '$HOME; `id`' "a \\$b" \\> '*'""")
    assert pattern.covers(known("echo", "$HOME; `id`", "a $b", ">", "*"))
    assert not pattern.covers(known("echo", "$HOME; `id`", "a $b", ">", "x"))


@pytest.mark.parametrize(
    ("pattern", "words", "covers"),
    [
        ("npm test", ["npm", "test"], True),
        ("npm test", ["npm", "test", "x"], False),
        ("npm test", ["npm"], False),
        ("npm test *", ["npm", "test"], True),
        ("npm test *", ["npm", "test", "--", "x"], True),
        ("npm test *", ["npm", "testing"], False),
        ("npm run test:*", ["npm", "run", "test:unit"], True),
        ("npm run test:*", ["npm", "run", "test:unit", "x"], False),
        ("git * --stat", ["git", "log", "--stat"], True),
        ("git * --stat", ["git", "--stat"], False),
        ("*", ["anything", "at", "all"], True),
        ("*", [""], True),
        ("./*", ["./run.sh"], True),
        ("ls", ["LS"], False),
        ("echo ''", ["echo", ""], True),
        ("echo a*b*c", ["echo", "a-b-b-c"], True),
    ],
)
def test_a_command_pattern_goes_word_by_word(pattern: str, words: list[str], covers: bool) -> None:
    parsed = CommandPattern.parse(pattern)
    assert parsed.covers(known(*words)) is covers
    assert parsed.fit(known(*words)) is (Fit.YES if covers else Fit.NO)


@pytest.mark.parametrize(
    ("words", "covers", "fit"),
    [
        ([*known("git", "push"), unknown()], True, Fit.YES),
        ([*known("git", "push"), unknown(splits=True)], False, Fit.YES),
        ([*known("git"), unknown()], False, Fit.MAYBE),
        ([*known("git"), unknown("pu")], False, Fit.MAYBE),
        ([*known("git"), unknown("st")], False, Fit.NO),
        ([*known("git"), unknown(splits=True)], False, Fit.MAYBE),
        ([*known("git"), unknown(), *known("origin")], False, Fit.MAYBE),
        ([*known("ls"), unknown(splits=True)], False, Fit.NO),
    ],
)
def test_an_unknown_word_is_nothing_to_an_allow_and_anything_to_a_deny(
    words: list[Word], covers: bool, fit: Fit
) -> None:
    pattern = CommandPattern.parse("git push *")
    assert pattern.covers(words) is covers
    assert pattern.fit(words) is fit


def test_words_that_may_vanish_may_fit_a_pattern_that_ends() -> None:
    pattern = CommandPattern.parse("git push")
    assert pattern.fit([*known("git", "push"), unknown(splits=True)]) is Fit.MAYBE
    assert pattern.fit([*known("git", "push"), unknown()]) is Fit.NO
    assert CommandPattern.parse("npm r*n").fit([*known("npm"), unknown("ru")]) is Fit.MAYBE


words = st.lists(
    st.text(st.characters(codec="utf-8").filter(str.isprintable)), min_size=1, max_size=4
)


@given(words=words)
def test_an_exact_command_fits_itself(words: list[str]) -> None:
    pattern = CommandPattern.parse(exact_command(words))
    assert pattern.covers(known(*words))
    assert not pattern.covers(known(*words, "more"))


@given(words=words, other=words)
def test_an_exact_command_fits_nothing_else(words: list[str], other: list[str]) -> None:
    assert CommandPattern.parse(exact_command(words)).covers(known(*other)) is (words == other)


@given(
    path=st.lists(st.text(st.sampled_from("ab*?\\[~ ."), min_size=1), max_size=4),
    other=st.lists(st.text(st.sampled_from("ab*?\\[~ ."), min_size=1), max_size=4),
)
def test_an_escaped_path_fits_itself_alone(path: list[str], other: list[str]) -> None:
    here, there = "/" + "/".join(path), "/" + "/".join(other)
    if {".", ".."} & {*path, *other}:
        return
    pattern = PathPattern.parse(escape_path(here), root="/root", home="/home")
    assert pattern.covers(here)
    assert pattern.covers(there) is (here == there)


def test_a_section_becomes_rules_of_its_source() -> None:
    permissions = Permissions(
        allowed_tools=["view", "edit:write"],
        allow=["command(npm test)"],
        ask=["host(*)"],
        deny=["write(secret/**)"],
    )
    rules = rules_from(permissions, source="project")
    assert [(rule.effect, rule.text) for rule in rules] == [
        ("allow", "tool(view)"),
        ("allow", "tool(edit:write)"),
        ("allow", "command(npm test)"),
        ("ask", "host(*)"),
        ("deny", "write(secret/**)"),
    ]
    assert {rule.source for rule in rules} == {"project"}


def test_a_broken_rule_of_a_section_is_named_by_its_key() -> None:
    with pytest.raises(ConfigError, match=r"permissions\.deny\[1\]: .*no rule") as caught:
        rules_from(Permissions(deny=["command(a)", "nonsense"]), source="user")
    assert "command(npm test)" in caught.value.hint


def test_a_variable_passes_if_a_rule_allows_it_and_none_says_otherwise() -> None:
    rules = rules_from(
        Permissions(allow=["env(NPM_TOKEN)", "env(AWS_*)"], deny=["env(AWS_SECRET_*)"]),
        source="user",
    )
    passes = env_passes(rules)
    assert passes("NPM_TOKEN")
    assert passes("AWS_PROFILE")
    assert not passes("AWS_SECRET_ACCESS_KEY")
    assert not passes("OTHER")
