"""The decision: pure, and the same for every mode, kind of access and place."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.permissions.rules import (
    Effect,
    Kind,
    Need,
    Rule,
    decide,
    is_within,
    mode_rules,
)
from crush.wire.messages import Mode

ROOT = "/srv/project"
MODES: tuple[Mode, ...] = ("ask", "workspace", "yolo")
KINDS: tuple[Kind, ...] = ("read", "list", "write", "execute", "fetch")


def need(kind: Kind, target: str, *, tool: str = "tool") -> Need:
    return Need(
        tool=tool, action=kind, kind=kind, target=target, directory=ROOT, description="something"
    )


def _expected(mode: Mode, *, read_only: bool, kind: Kind, inside: bool) -> Effect:
    if read_only and kind in {"write", "execute"}:
        return "deny"
    if mode == "yolo":
        return "allow"
    if kind in {"execute", "fetch"} or not inside:
        return "ask"
    if mode == "ask" and kind == "write":
        return "ask"
    return "allow"


@pytest.mark.parametrize(
    ("mode", "read_only", "kind", "inside"),
    list(itertools.product(MODES, [False, True], KINDS, [False, True])),
)
def test_every_mode_decides_every_kind_inside_and_outside(
    mode: Mode, read_only: bool, kind: Kind, inside: bool
) -> None:
    target = f"{ROOT}/a/b.py" if inside else "/etc/passwd"
    rules = mode_rules(mode, read_only=read_only, root=ROOT)
    assert decide(need(kind, target), rules) == _expected(
        mode, read_only=read_only, kind=kind, inside=inside
    )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("target", [f"{ROOT}/x", "/etc/x"])
def test_read_only_never_allows_more(mode: Mode, kind: Kind, target: str) -> None:
    order: list[Effect] = ["allow", "ask", "deny"]
    free = decide(need(kind, target), mode_rules(mode, read_only=False, root=ROOT))
    narrow = decide(need(kind, target), mode_rules(mode, read_only=True, root=ROOT))
    assert order.index(narrow) >= order.index(free)


@pytest.mark.parametrize(
    ("path", "directory", "within"),
    [
        ("/w", "/w", True),
        ("/w/a", "/w", True),
        ("/w/a", "/w/", True),
        ("/w2", "/w", False),
        ("/w2/a", "/w", False),
        ("/", "/w", False),
        ("", "/w", False),
        ("/a", "/", True),
        ("/", "/", True),
        ("relative/a", "/", False),
        ("/w/../etc/passwd", "/w", False),
        ("/w/..", "/w", False),
        ("/w/..a", "/w", True),
        ("/W/a", "/w", False),
    ],
)
def test_a_path_is_inside_by_whole_names_and_only_if_it_is_resolved(
    path: str, directory: str, within: bool
) -> None:
    assert is_within(path, directory) is within


@pytest.mark.parametrize("root", ["", ".", "work"])
def test_a_root_that_is_no_absolute_path_makes_no_rules(root: str) -> None:
    with pytest.raises(ValueError, match="not an absolute path"):
        mode_rules("workspace", read_only=False, root=root)


effects: st.SearchStrategy[Effect] = st.sampled_from(["allow", "ask", "deny"])
rules = st.builds(
    Rule,
    effect=effects,
    kinds=st.frozensets(st.sampled_from(KINDS)),
    under=st.sampled_from(["", ROOT, "/srv", "/etc"]),
    tool=st.sampled_from(["", "tool", "other"]),
)
needs = st.builds(
    need, st.sampled_from(KINDS), st.sampled_from([f"{ROOT}/a", "/srv/b", "/etc/passwd", "make"])
)


@given(need=needs, given_rules=st.lists(rules, max_size=6), order=st.randoms())
def test_deny_beats_ask_and_ask_beats_allow_in_any_order(
    need: Need, given_rules: list[Rule], order: "st.DataObject"
) -> None:
    covering = {rule.effect for rule in given_rules if rule.covers(need)}
    decision = decide(need, given_rules)
    if "deny" in covering:
        assert decision == "deny"
    elif "ask" in covering or not covering:
        assert decision == "ask"
    else:
        assert decision == "allow"
    assert decide(need, given_rules[::-1]) == decision


@given(need=needs, given_rules=st.lists(rules, max_size=4), more=rules)
def test_another_rule_that_does_not_cover_the_need_changes_nothing(
    need: Need, given_rules: list[Rule], more: Rule
) -> None:
    if not more.covers(need):
        assert decide(need, [*given_rules, more]) == decide(need, given_rules)


def test_a_rule_of_one_tool_is_not_another_tools() -> None:
    rule = Rule(effect="allow", kinds=frozenset({"execute"}), tool="bash")
    assert decide(need("execute", "make", tool="bash"), [rule]) == "allow"
    assert decide(need("execute", "make", tool="mcp"), [rule]) == "ask"


@pytest.mark.parametrize(
    "name", [".git/hooks/pre-commit", "sub/.GIT/config", ".crush/crush.json", "crush.json", ".git"]
)
def test_what_git_and_crush_obey_is_not_written_without_being_asked(name: str) -> None:
    """A hook is run by the user's next commit: it would be a shell by a detour."""
    rules = mode_rules("workspace", read_only=False, root=ROOT)
    assert decide(need("write", f"{ROOT}/{name}"), rules) == "ask"
    assert decide(need("read", f"{ROOT}/{name}"), rules) == "allow"
    assert decide(need("write", f"{ROOT}/{name}.txt"), rules) == ("ask" if "/" in name else "allow")
    assert decide(
        need("write", f"{ROOT}/{name}"), mode_rules("yolo", read_only=False, root=ROOT)
    ) == ("allow")
