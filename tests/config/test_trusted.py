"""A project gets its own permissions only as the user saw and trusted them."""

import json
import os
import shutil
from pathlib import Path

import pytest

from crush import paths
from crush.config import trusted
from crush.config.load import Config
from crush.config.schema import Permissions
from crush.config.trusted import Trusted
from crush.config.what_runs import WhatRuns
from tests.config.checkout import Checkout

RULES = {"allow": ["command(make)"], "deny": ["command(git push *)"]}


def trust(checkout: Checkout, *below: str) -> None:
    Trusted(checkout.env).add(checkout.load(*below).what_runs)


def is_trusted(checkout: Checkout, *below: str) -> bool:
    return Trusted(checkout.env).judge(checkout.load(*below).what_runs).is_trusted


def items(what: WhatRuns) -> list[tuple[str, str]]:
    return [(item.file, item.what) for item in what.items]


def test_no_rule_of_a_project_counts_until_the_user_trusted_it(checkout: Checkout) -> None:
    path = checkout.write("crush.json", {"permissions": {**RULES, "ask": ["tool(view)"]}})

    config = checkout.load()

    assert config.project_permissions == Permissions()
    assert config.permissions == Permissions()
    (notice,) = config.notices
    assert notice.startswith(f"{path}: permissions are not applied")
    assert "`crush trust`" in notice


def test_once_trusted_they_are_the_projects_and_never_the_users(checkout: Checkout) -> None:
    checkout.write_global({"permissions": {"allowed_tools": ["view"]}})
    checkout.write("crush.json", {"permissions": RULES})
    checkout.write(".crush/crush.json", {"permissions": {"allow": ["write(out/**)"]}})
    trust(checkout)

    config = checkout.load()

    assert config.notices == ()
    assert config.permissions == Permissions(allowed_tools=["view"])
    assert config.project_permissions == Permissions(
        allow=["command(make)", "write(out/**)"], deny=["command(git push *)"]
    )


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("crush.json", {"permissions": {**RULES, "allow": ["command(make *)"]}}),
        ("crush.json", {"permissions": {"allow": RULES["allow"]}}),
        ("crush.json", {"permissions": RULES, "hooks": {"PreToolUse": [{"command": "./x"}]}}),
        ("crush.json", {"permissions": RULES, "mcp": {"a": {"command": "x"}}}),
        ("crush.json", {"permissions": RULES, "lsp": {"a": {"command": "x"}}}),
        ("crush.json", {"permissions": RULES, "providers": {"a": {"api_key": "$(x)"}}}),
        ("crush.json", {"permissions": RULES, "providers": {"a": {"api_key": "`x`"}}}),
        ("crush.json", {"permissions": RULES, "new": [{"deep": "$(x)"}]}),
        (".crush.json", {"permissions": {"allow": ["tool(bash)"]}}),
        (".crush/crush.json", {"permissions": {"allow": ["tool(bash)"]}}),
        ("crushrc", "echo hi"),
        (".crushrc", ""),
    ],
)
def test_whatever_changes_ends_the_trust_and_the_notice_says_so(
    checkout: Checkout, path: str, content: dict[str, object] | str
) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    checkout.write(path, content)

    config = checkout.load()

    assert config.project_permissions == Permissions()
    assert "changed since you trusted it" in config.notices[-1]


def test_a_deny_that_is_taken_away_with_its_file_ends_it_too(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": {"allow": ["command(git *)"]}})
    extra = checkout.write(".crush.json", {"permissions": {"deny": ["command(git push *)"]}})
    trust(checkout)
    os.unlink(extra)
    assert checkout.load().project_permissions == Permissions()


def test_what_runs_nothing_may_change(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    checkout.write(
        "crush.json",
        json.dumps({"tools": {"ls": {"max_depth": 3}}, "permissions": RULES}, indent=8),
    )
    assert checkout.load().project_permissions.allow == ["command(make)"]


def test_the_markdown_of_a_prompt_is_no_command(checkout: Checkout) -> None:
    checkout.write("crush.json", {"providers": {"a": {"system_prompt_prefix": "use `make`"}}})
    assert checkout.load().what_runs.items == ()


def test_trust_holds_below_unless_there_is_more(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    checkout.write("plain/x", "")
    checkout.write("more/crush.json", {"permissions": {"allow": ["tool(bash)"]}})
    trust(checkout)

    assert is_trusted(checkout, "plain")
    assert not is_trusted(checkout, "more")

    trust(checkout, "more")
    assert is_trusted(checkout, "more")
    assert is_trusted(checkout)


def test_trust_below_does_not_reach_up(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    checkout.write("below/x", "")
    trust(checkout, "below")
    assert is_trusted(checkout, "below")
    assert not is_trusted(checkout)


def test_a_copy_and_a_new_clone_in_the_same_place_are_not_trusted(
    checkout: Checkout, tmp_path: Path
) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    copy = str(tmp_path / "copy")
    shutil.copytree(checkout.root, copy)
    there = Checkout(str(tmp_path / "other"))
    there.env, there.root = checkout.env, copy
    assert not is_trusted(there)

    os.rename(checkout.root, f"{checkout.root}-moved")
    os.rename(copy, checkout.root)
    assert not is_trusted(checkout)


def test_another_name_of_the_directory_is_the_same_project(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    link = os.path.join(checkout.home, "link")
    os.symlink(checkout.root, link)
    there = Checkout(os.path.join(checkout.home, "other"))
    there.env, there.root = checkout.env, link
    assert is_trusted(there)


def test_the_trust_of_one_user_is_not_another_ones(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    checkout.env["HOME"] = checkout.path("home-of-another")
    assert not is_trusted(checkout)


def test_nothing_in_the_repository_trusts_it(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    record = Path(paths.state_dir(checkout.env), "trust.json")
    for place in ("trust.json", ".crush/trust.json", ".local/state/crush/trust.json"):
        checkout.write(place, record.read_text())
    record.unlink()
    checkout.write(".env", f"XDG_STATE_HOME={checkout.path('.local/state')}")
    checkout.write(
        ".crush.json", {"env": {"XDG_STATE_HOME": checkout.path(".local", "state"), "HOME": "x"}}
    )
    assert checkout.load().project_permissions == Permissions()


def test_a_broken_record_trusts_nothing_and_is_reported(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    trust(checkout)
    record = Path(paths.state_dir(checkout.env), "trust.json")
    record.write_text('{"projects": 5}')

    config = checkout.load()

    assert config.project_permissions == Permissions()
    assert str(record) in config.notices[0]
    assert "`crush trust`" in config.notices[1]


def test_revoking_ends_trust_that_was_given_above(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    checkout.write("below/x", "")
    trust(checkout)
    below = checkout.load("below").what_runs

    assert Trusted(checkout.env).revoke(below)
    assert not Trusted(checkout.env).revoke(below)
    assert not is_trusted(checkout, "below")
    assert not is_trusted(checkout)


def test_the_record_does_not_grow_without_end(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trusted, "MOST_PROJECTS", 2)
    checkout.write("crush.json", {"permissions": RULES})
    names = ("a", "b", "c")
    for name in names:
        checkout.write(f"{name}/x", "")
        trust(checkout, name)
    assert [is_trusted(checkout, name) for name in names] == [False, True, True]


@pytest.mark.parametrize("kind", ["huge", "binary", "pipe", "directory", "dangling"])
def test_a_script_that_cannot_be_read_is_never_trusted_and_stops_nothing(
    checkout: Checkout, kind: str
) -> None:
    checkout.write("crush.json", {"permissions": RULES})
    path = checkout.path("crushrc")
    match kind:
        case "huge":
            checkout.write("crushrc", "x" * 300_000)
        case "binary":
            Path(path).write_bytes(b"\xff\xfe\x00")
        case "pipe":
            os.mkfifo(path)
        case "directory":
            os.mkdir(path)
        case _:
            os.symlink("/nowhere/at/all", path)
    config: Config = checkout.load()
    if kind == "dangling":  # nobody would run it: it is not there
        assert config.what_runs.problem == ""
        return
    assert path in config.what_runs.problem
    trust(checkout)
    assert not is_trusted(checkout)


def test_all_that_counts_is_listed_from_the_root_down(checkout: Checkout) -> None:
    checkout.write("crush.json", {"permissions": RULES, "hooks": {}})
    checkout.write("a/.crush.json", {"mcp": {"x": {"command": "npx"}}, "lsp": {"g": {}}})
    checkout.write("a/.crushrc", "echo")
    checkout.write("a/b/crush.json", {"providers": {"p": {"extra_headers": {"X": "$(date)"}}}})
    what = checkout.load("a", "b").what_runs
    assert items(what) == [
        ("crush.json", "permissions"),
        ("a/.crush.json", "mcp"),
        ("a/.crush.json", "lsp"),
        ("a/b/crush.json", "providers.p.extra_headers.X"),
        ("a/.crushrc", "script"),
    ]
