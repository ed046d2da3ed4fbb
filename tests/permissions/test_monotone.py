"""What must hold of every judgement, whatever the rules and the command: it never grows by narrowing.

Scripts are built from parts that are judged alone, joined by everything that joins commands.
"""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.permissions.decision import Decision
from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import SEVERITY, Effect, Rule
from crush.wire.messages import Mode
from tests.permissions.judging import decision_of

KNOWN = ["ls -la", "git status", "cat a.txt", "cat .env", "head -3 < a.txt", "cd src", "cd .."]
OTHERS = [
    *("npm test", "make all", "git push", "rm x", "tee a.txt", "echo x > a.txt", "x=1", "f=.env"),
    *("cat $f", 'cat "${f}"', "git $f", "PATH=/x", "LC_ALL=C sort a.txt", "cat .e*", "eval ls"),
    *("env git push", "cat src/../a.txt", "ls 2>/dev/null", "echo x > $f", "git log -3"),
]
PATTERNS = [
    *("tool(bash)", "tool(*)", "tool(edit)", "command(npm test)", "command(npm *)", "command(*)"),
    *("command(git push *)", "command(git *)", "command(rm *)", "command(tee *)", "command(cat *)"),
    *(
        "read(a.txt)",
        "read(**)",
        "read(.env)",
        "write(a.txt)",
        "write(**)",
        "write(/**)",
        "host(*)",
    ),
]
# Each keeps its parts as commands of their own, whose words do not change.
JOINTS = [
    "{}; {}",
    "{} && {}",
    "{} || {}",
    "{} | {}",
    "{}\n{}",
    "( {} ); {}",  # `((` would be arithmetic
    "{{ {}; }}; {}",
    "! {}; {}",
]

parts = st.sampled_from(KNOWN + OTHERS)
written: st.SearchStrategy[Rule] = st.builds(
    lambda text, effect, source: parse_rule(text, effect=effect, source=source),
    st.sampled_from(PATTERNS),
    st.sampled_from(["allow", "ask", "deny"]),
    st.sampled_from(["user", "project", "session", "grant"]),
)
allowing = written.filter(lambda rule: rule.effect == "allow")
rule_lists = st.lists(written, max_size=4)
modes: st.SearchStrategy[Mode] = st.sampled_from(["ask", "workspace", "yolo"])
quick = settings(max_examples=150, deadline=None)


@st.composite
def scripts(draw: st.DrawFn) -> tuple[str, list[str]]:
    """A script, and the parts that it is made of."""
    used = draw(st.lists(parts, min_size=1, max_size=4))
    text = used[0]
    for part in used[1:]:
        text = draw(st.sampled_from(JOINTS)).format(text, part)
    return text, used


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("project")
    (directory / "src").mkdir()
    for name in ("a.txt", ".env", "src/b.txt"):
        (directory / name).write_text("x")
    return os.path.realpath(directory)


def _effect(script: str, here: str, rules: list[Rule]) -> Effect:
    return decision_of(script, here, more=tuple(rules)).effect


@quick
@given(script=scripts(), rules=rule_lists, more=written)
def test_another_rule_changes_the_effect_only_its_own_way(
    script: tuple[str, list[str]], rules: list[Rule], more: Rule, here: str
) -> None:
    before = SEVERITY.index(_effect(script[0], here, rules))
    after = SEVERITY.index(_effect(script[0], here, [*rules, more]))
    if more.effect == "allow":
        assert after <= before
        assert (after == SEVERITY.index("deny")) is (before == SEVERITY.index("deny"))
    else:
        assert after >= before


@quick
@given(script=scripts(), rules=rule_lists)
def test_what_allows_a_compound_allows_each_part(
    script: tuple[str, list[str]], rules: list[Rule], here: str
) -> None:
    text, used = script
    whole = _effect(text, here, rules)
    alone = [_effect(part, here, rules) for part in used]
    if whole == "allow":
        assert set(alone) == {"allow"}
    if "deny" in alone:
        assert whole == "deny"


@quick
@given(used=st.lists(parts, min_size=1, max_size=4), rules=st.lists(allowing, max_size=4))
def test_what_allows_each_part_allows_the_compound_unless_it_moves_or_names(
    used: list[str], rules: list[Rule], here: str
) -> None:
    """A `cd` or an assignment may change what the others mean; nothing else may."""
    if any(part.startswith(("cd ", "x=", "f=", "PATH=")) for part in used):
        return
    alone = [_effect(part, here, rules) for part in used]
    assert _effect("; ".join(used), here, rules) == max(alone, key=SEVERITY.index)


@quick
@given(script=scripts(), rules=rule_lists)
def test_the_strictest_part_decides_and_is_among_the_parts(
    script: tuple[str, list[str]], rules: list[Rule], here: str
) -> None:
    decision = decision_of(script[0], here, more=tuple(rules))
    for inner in [decision, *decision.parts]:
        assert inner.reason
        if inner.effect != "ask":
            assert inner.rule is not None
            assert inner.offers == ()
        if inner.is_explicit_ask:
            assert (inner.effect, inner.offers) == ("ask", ())
    if decision.parts:
        assert decision.effect == max((p.effect for p in decision.parts), key=SEVERITY.index)


@quick
@given(script=scripts(), rules=rule_lists, data=st.data())
def test_an_offer_that_is_taken_allows_what_was_asked(
    script: tuple[str, list[str]], rules: list[Rule], here: str, data: st.DataObject
) -> None:
    decision: Decision = decision_of(script[0], here, more=tuple(rules))
    if not decision.offers:
        return
    offer = data.draw(st.sampled_from(decision.offers))
    granted = [parse_rule(text, effect="allow", source="grant") for text in offer]
    assert _effect(script[0], here, [*rules, *granted]) == "allow"


@quick
@given(script=scripts(), rules=rule_lists, mode=modes)
def test_read_only_never_allows_more(
    script: tuple[str, list[str]], rules: list[Rule], mode: Mode, here: str
) -> None:
    free, narrow = (
        decision_of(script[0], here, mode=mode, more=tuple(rules), read_only=read_only).effect
        for read_only in (False, True)
    )
    assert SEVERITY.index(narrow) >= SEVERITY.index(free)
