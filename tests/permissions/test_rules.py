"""The decision: pure, and the same for every mode, kind of access and place."""

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.permissions.defaults import caution, mode_rules, rules_for
from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import (
    SEVERITY,
    Effect,
    Kind,
    Need,
    Patterns,
    Rule,
    Source,
    decide,
    effect_of,
    is_within,
    strongest,
)
from crush.wire.messages import Mode

ROOT = "/srv/project"
HOME = "/home/ann"
MODES: tuple[Mode, ...] = ("ask", "workspace", "yolo")
KINDS: tuple[Kind, ...] = ("read", "list", "write", "execute", "fetch")
SOURCES: tuple[Source, ...] = ("default", "mode", "user", "project", "session", "grant")


def need(kind: Kind, target: str, *, tool: str = "tool", action: str = "") -> Need:
    return Need(
        tool=tool,
        action=action or kind,
        kind=kind,
        target=target,
        directory=ROOT,
        description="something",
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
@pytest.mark.parametrize("target", [f"{ROOT}/x", "/etc/x", "not/resolved", f"{ROOT}/../x", ""])
def test_read_only_never_allows_more(mode: Mode, kind: Kind, target: str) -> None:
    free = decide(need(kind, target), mode_rules(mode, read_only=False, root=ROOT))
    narrow = decide(need(kind, target), mode_rules(mode, read_only=True, root=ROOT))
    assert SEVERITY.index(narrow) >= SEVERITY.index(free)


@pytest.mark.parametrize("mode", ["ask", "workspace"])
@pytest.mark.parametrize("path", ["not/resolved", f"{ROOT}/../etc/passwd", "", f"{ROOT}2/x"])
def test_a_path_that_is_not_resolved_is_outside(mode: Mode, path: str) -> None:
    assert decide(need("read", path), mode_rules(mode, read_only=False, root=ROOT)) == "ask"


@pytest.mark.parametrize("root", ["/srv/a*b", "/srv/a?b", "/srv/a\\b"])
def test_a_root_with_the_characters_of_a_pattern_is_only_itself(root: str) -> None:
    rules = mode_rules("workspace", read_only=False, root=root)
    assert decide(need("write", f"{root}/x"), rules) == "allow"
    assert decide(need("write", "/srv/aXb/x"), rules) == "ask"
    assert decide(need("write", "/srv/aXXb/x"), rules) == "ask"


@pytest.mark.parametrize(
    ("path", "directory", "within"),
    [
        ("/w", "/w", True),
        ("/w/a", "/w", True),
        ("/w/a", "/w/", True),
        ("/w", "/w/a", False),
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


written: st.SearchStrategy[Rule] = st.builds(
    Rule,
    effect=st.sampled_from(["allow", "ask", "deny"]),
    kind=st.just("read"),
    pattern=st.just("/**"),
    source=st.sampled_from(SOURCES),
)
rule_lists = st.lists(written, max_size=6)


def _by_the_book(rules: list[Rule]) -> Effect:
    """Once more, as the documentation says it."""
    by_people = {rule.effect for rule in rules if rule.source not in {"default", "mode"}}
    by_default = {rule.effect for rule in rules} if not by_people else set()
    if any(rule.effect == "deny" for rule in rules):
        return "deny"
    for said in (by_people, by_default):
        if "ask" in said:
            return "ask"
        if "allow" in said:
            return "allow"
    return "ask"


@given(rules=rule_lists)
def test_the_order_of_the_rules_does_not_matter_and_the_tiers_do(rules: list[Rule]) -> None:
    assert effect_of(strongest(rules)) == _by_the_book(rules)
    assert effect_of(strongest(rules[::-1])) == _by_the_book(rules)


@given(rules=rule_lists, more=written)
def test_another_rule_changes_the_effect_only_its_own_way(rules: list[Rule], more: Rule) -> None:
    before, after = effect_of(strongest(rules)), effect_of(strongest([*rules, more]))
    if more.effect == "deny":
        assert after == "deny"
    elif more.effect == "ask":
        assert SEVERITY.index(after) >= SEVERITY.index(before)
    else:
        assert (after == "deny") is (before == "deny")
        assert SEVERITY.index(after) <= SEVERITY.index(before)


def test_what_a_person_allowed_is_stronger_than_a_caution_and_weaker_than_a_written_ask() -> None:
    target = f"{ROOT}/.env"
    warning = caution("read", target, root=ROOT)
    allowed = parse_rule("read(.env)", effect="allow", source="user")
    asked = parse_rule("read(.env)", effect="ask", source="project")
    assert warning is not None
    assert strongest([warning, allowed]) == allowed
    assert strongest([warning, allowed, asked]) == asked


def test_in_yolo_only_the_denies_of_people_count() -> None:
    user = [
        parse_rule("write(/etc/**)", effect="deny", source="user"),
        parse_rule("write(**)", effect="ask", source="user"),
    ]
    rules = rules_for("yolo", read_only=False, root=ROOT, user=user, project=())
    assert decide(need("write", "/etc/x"), rules, root=ROOT) == "deny"
    assert decide(need("write", f"{ROOT}/x"), rules, root=ROOT) == "allow"
    elsewhere = rules_for("workspace", read_only=False, root=ROOT, user=user, project=())
    assert decide(need("write", f"{ROOT}/x"), elsewhere, root=ROOT) == "ask"


@pytest.mark.parametrize(
    "name", [".git/hooks/pre-commit", "sub/.GIT/config", ".crush/crush.json", "crush.json", ".git"]
)
def test_what_git_and_crush_obey_has_a_caution_with_a_reason(name: str) -> None:
    """A hook is run by the user's next commit: it would be a shell by a detour."""
    warning = caution("write", f"{ROOT}/{name}", root=ROOT)
    assert warning is not None
    assert (warning.effect, warning.source) == ("ask", "default")
    assert warning.reason
    assert warning.text == f"write({ROOT}/{name})"
    assert caution("read", f"{ROOT}/{name}", root=ROOT) is None
    assert caution("write", f"{ROOT}/src/main.py", root=ROOT) is None


@pytest.mark.parametrize(
    ("pattern", "tool", "action", "covers"),
    [
        ("bash", "bash", "execute", True),
        ("bash", "mcp", "execute", False),
        ("edit:write", "edit", "write", True),
        ("edit:write", "edit", "read", False),
        ("edit", "edit", "write", True),
        ("mcp_*", "mcp_github_list", "call", True),
        ("mcp_*_list", "mcp_github_list", "call", True),
        ("mcp_*_list", "mcp_github_list_all", "call", False),
        ("*", "anything", "at-all", True),
        ("view", "View", "read", False),
    ],
)
def test_a_tool_rule_goes_by_name_and_action(
    pattern: str, tool: str, action: str, covers: bool
) -> None:
    rule = parse_rule(f"tool({pattern})", effect="allow", source="user")
    asked = need("execute", "make", tool=tool, action=action)
    assert decide(asked, [rule]) == ("allow" if covers else "ask")


@pytest.mark.parametrize(
    ("pattern", "path", "covers"),
    [
        ("src", f"{ROOT}/src", True),
        ("src", f"{ROOT}/src/a", False),
        ("src/**", f"{ROOT}/src", True),
        ("src/**", f"{ROOT}/src/a/b", True),
        ("src/**", f"{ROOT}/src2", False),
        ("src/", f"{ROOT}/src/a/b", True),
        ("./src/*.py", f"{ROOT}/src/a.py", True),
        ("src/*.py", f"{ROOT}/src/a/b.py", False),
        ("*.py", f"{ROOT}/a.py", True),
        ("*.py", f"{ROOT}/a/b.py", False),
        ("**/*.py", f"{ROOT}/a.py", True),
        ("**/*.py", f"{ROOT}/a/b/c.py", True),
        ("**/a/**/b", f"{ROOT}/a/b", True),
        ("**/a/**/b", f"{ROOT}/x/a/y/z/b", True),
        ("**/a/**/b", f"{ROOT}/x/a/y/z", False),
        ("a?c", f"{ROOT}/abc", True),
        ("a?c", f"{ROOT}/a/c", False),
        ("a?c", f"{ROOT}/ac", False),
        ("A", f"{ROOT}/a", False),
        (r"a\*b", f"{ROOT}/a*b", True),
        (r"a\*b", f"{ROOT}/axb", False),
        ("[ab]", f"{ROOT}/a", False),
        ("[ab]", f"{ROOT}/[ab]", True),
        ("**", f"{ROOT}", True),
        ("**", f"{ROOT}/a/b", True),
        ("**", "/srv", False),
        ("/**", "/", True),
        ("/**", "/a/b", True),
        ("/etc/*", "/etc/passwd", True),
        ("/etc/*", f"{ROOT}/etc/passwd", False),
        ("~/notes/**", f"{HOME}/notes/x", True),
        ("~", HOME, True),
        ("~/**", "/home/bob/x", False),
    ],
)
def test_a_path_pattern_is_anchored_and_its_wildcards_stay_within_a_name(
    pattern: str, path: str, covers: bool
) -> None:
    rule = parse_rule(f"read({pattern})", effect="allow", source="user")
    expected = "allow" if covers else "ask"
    assert decide(need("read", path), [rule], root=ROOT, home=HOME) == expected
    assert decide(need("list", path), [rule], root=ROOT, home=HOME) == expected
    assert decide(need("write", path), [rule], root=ROOT, home=HOME) == "ask"


names = st.sampled_from(["a", "b", "ab", "abc", ".x"])


@given(
    path=st.lists(names, min_size=1, max_size=6),
    pattern=st.lists(names | st.sampled_from(["*", "**", "a*", "*b", "?"]), min_size=1, max_size=6),
)
def test_a_path_pattern_fits_as_a_search_by_hand_would_find(
    path: list[str], pattern: list[str]
) -> None:
    rule = Rule("allow", "read", "/" + "/".join(pattern), "user")
    found = decide(need("read", "/" + "/".join(path)), [rule]) == "allow"
    assert found is _fits(pattern, path)


def _fits(pattern: list[str], path: list[str]) -> bool:
    """The slow way: every way of sharing the names out."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_fits(pattern[1:], path[taken:]) for taken in range(len(path) + 1))
    return bool(path) and _fits_name(pattern[0], path[0]) and _fits(pattern[1:], path[1:])


def _fits_name(pattern: str, name: str) -> bool:
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(_fits_name(pattern[1:], name[taken:]) for taken in range(len(name) + 1))
    return bool(name) and pattern[0] in {"?", name[0]} and _fits_name(pattern[1:], name[1:])


def test_a_pattern_of_many_wildcards_takes_no_time() -> None:
    rule = Rule("allow", "read", "/" + "**/" * 30 + "*a" * 60 + "b", "user")
    assert decide(need("read", "/a" * 500 + "/" + "a" * 200), [rule]) == "ask"


def test_a_deny_follows_links_and_an_allow_does_not(tmp_path: Path) -> None:
    """A link can be made while the agent works: it must not move what was allowed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    root = os.path.realpath(tmp_path)
    target = need("write", f"{root}/real/x")
    deny = parse_rule("write(link/**)", effect="deny", source="user")
    allow = parse_rule("write(link/**)", effect="allow", source="user")
    assert decide(target, [deny], root=root) == "deny"
    assert decide(target, [allow], root=root) == "ask"


@pytest.mark.parametrize(
    ("pattern", "url", "covers"),
    [
        ("example.com", "https://example.com/a", True),
        ("example.com", "http://EXAMPLE.com.:8080/a", True),
        ("example.com", "https://sub.example.com/", False),
        ("example.com", "https://example.com.evil.org/", False),
        ("example.com", "https://evil.org/?example.com", False),
        ("example.com", "https://example.com@evil.org/", False),
        ("*.example.com", "https://a.b.example.com/", True),
        ("*.example.com", "https://example.com/", False),
        ("*.example.com", "https://badexample.com/", False),
        ("example.com:8443", "https://example.com:8443/", True),
        ("example.com:8443", "https://example.com/", False),
        ("example.com:443", "https://example.com/", True),
        ("*", "https://example.com/", True),
        ("*", "http://127.0.0.1/", False),
        ("*", "http://169.254.169.254/latest", False),
        ("*", "http://[::1]:80/", False),
        ("*", "http://localhost/", False),
        ("*.internal", "http://metadata.internal/", False),
        ("127.0.0.1:8000", "http://127.0.0.1:8000/", True),
        ("[::1]:8000", "http://[::1]:8000/", True),
        ("[::1]", "http://[::1]:8000/", True),
        ("*", "not a url", False),
        ("*", "http://[broken/", False),
    ],
)
def test_a_host_pattern_goes_by_the_host_that_is_connected_to(
    pattern: str, url: str, covers: bool
) -> None:
    rule = parse_rule(f"host({pattern})", effect="allow", source="user")
    assert decide(need("fetch", url), [rule]) == ("allow" if covers else "ask")


def test_a_denied_host_is_denied_where_it_cannot_be_told_and_at_home_too() -> None:
    rule = parse_rule("host(*)", effect="deny", source="user")
    for url in ("http://127.0.0.1/", "http://[broken/", "https://example.com/"):
        assert decide(need("fetch", url), [rule]) == "deny"


def test_rules_for_one_kind_of_access_say_nothing_of_another() -> None:
    rules = [
        parse_rule(text, effect="allow", source="user")
        for text in ("read(/**)", "host(*)", "env(*)", "command(ls)")
    ]
    assert decide(need("write", "/x"), rules) == "ask"
    assert decide(need("execute", "ls"), rules) == "ask"
    patterns = Patterns(rules, root=ROOT, home=HOME)
    assert len(patterns.commands) == 1


@pytest.mark.parametrize("source", ["session", "grant"])
def test_an_answer_for_a_directory_leaves_out_what_asks_by_its_name(source: Source) -> None:
    """Nobody who lets a directory be written sees the hooks in it; a rule that they wrote counts."""
    wide = [
        parse_rule(f"{kind}(/w/**)", effect="allow", source=source) for kind in ("write", "read")
    ]
    written = [parse_rule(rule.text, effect="allow", source="user") for rule in wide]
    exact = [*wide, parse_rule(r"write(/w/x\*/.envrc)", effect="allow", source=source)]
    for rules, path, writes, reads in (
        (wide, "/w/a", "allow", "allow"),
        (wide, "/w/x*/.envrc", "ask", "ask"),
        (exact, "/w/x*/.envrc", "allow", "ask"),
        (written, "/w/x*/.envrc", "allow", "allow"),
    ):
        patterns = Patterns(rules, root="/w", home="/h")
        assert effect_of(strongest(patterns.on_path("write", path))) == writes
        assert effect_of(strongest(patterns.on_path("read", path))) == reads
