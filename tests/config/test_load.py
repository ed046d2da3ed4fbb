"""Discovery, precedence and the check of what the files say."""

import os

import pytest

from crush.config.load import load_config
from crush.errors import ConfigError
from tests.config.checkout import Checkout

STRANGER = 4242
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def test_without_files_everything_has_its_default(checkout: Checkout) -> None:
    config = checkout.load()
    assert config.files == ()
    assert config.models == {}
    assert config.providers == {}
    assert config.data_dir == checkout.path(".crush")
    assert config.tools.ls.max_items == 1000
    assert config.notices == ()


def test_files_count_from_the_machine_to_the_data_directory(checkout: Checkout) -> None:
    files = [
        checkout.write_global({"options": {"disabled_tools": ["1"]}}),
        checkout.write_machine_data({"options": {"disabled_tools": ["2"]}}),
        checkout.write("crush.json", {"options": {"disabled_tools": ["3"]}}),
        checkout.write(".crush.json", {"options": {"disabled_tools": ["4"]}}),
        checkout.write("a/crush.json", {"options": {"disabled_tools": ["5"]}}),
        checkout.write("a/b/.crush.json", {"options": {"disabled_tools": ["6"]}}),
        checkout.write(".crush/crush.json", {"options": {"disabled_tools": ["7"]}}),
    ]
    config = checkout.load("a", "b")
    assert list(config.files) == files
    assert config.options.disabled_tools == ["1", "2", "3", "4", "5", "6", "7"]


def test_the_later_file_wins_key_by_key(checkout: Checkout) -> None:
    checkout.write_global(
        {"models": {"large": {"model": "m", "provider": "p", "think": True}}, "tools": {"grep": {}}}
    )
    checkout.write("crush.json", {"models": {"large": {"model": "n"}}})
    checkout.write(".crush.json", {"tools": {"grep": {"timeout": 7}, "ls": {"max_items": 3}}})

    config = checkout.load()
    large = config.models["large"]
    assert (large.model, large.provider, large.think) == ("n", "p", True)
    assert (config.tools.grep.timeout, config.tools.ls.max_items) == (7, 3)
    assert config.tools.glob.timeout == 30


def test_nothing_above_the_git_root_is_read(checkout: Checkout) -> None:
    checkout.write(os.path.join(os.path.dirname(checkout.root), "crush.json"), "not even JSON")
    assert checkout.load().files == ()


def test_outside_a_work_tree_only_the_directory_itself_is_read(checkout: Checkout) -> None:
    os.rmdir(checkout.path(".git"))
    checkout.write("crush.json", "not even JSON")
    here = checkout.write("a/crush.json", {})
    assert checkout.load("a").files == (here,)


def test_a_file_with_two_names_is_read_once(checkout: Checkout) -> None:
    path = checkout.write("crush.json", {"options": {"disabled_tools": ["bash"]}})
    os.symlink(path, checkout.path(".crush.json"))
    config = checkout.load(data_dir=checkout.root)
    assert config.options.disabled_tools == ["bash"]


def test_the_global_file_is_the_users_even_in_its_own_directory(checkout: Checkout) -> None:
    path = checkout.write_global({"permissions": {"allowed_tools": ["view"]}})
    config = load_config(os.path.dirname(path), checkout.env)
    assert config.files == (path,)
    assert config.permissions.allowed_tools == ["view"]


def test_the_environment_of_the_client_says_where_the_users_files_are(checkout: Checkout) -> None:
    elsewhere = checkout.write(os.path.join(checkout.home, "elsewhere", "crush.json"), {})
    checkout.env["CRUSH_GLOBAL_CONFIG"] = os.path.dirname(elsewhere)
    assert checkout.load().files == (elsewhere,)

    checkout.env["CRUSH_GLOBAL_CONFIG"] = "../home/elsewhere"
    assert [os.path.normpath(path) for path in checkout.load().files] == [elsewhere]


def test_unknown_keys_and_an_empty_object_are_no_matter(checkout: Checkout) -> None:
    checkout.write(
        "crush.json",
        {"$schema": "x", "lsp": {"go": {}}, "options": {"new": 1}, "providers": {"p": {"new": 1}}},
    )
    assert list(checkout.load().providers) == ["p"]


@pytest.mark.parametrize(
    ("document", "key"),
    [
        ({"options": []}, "options"),
        ({"options": {"disabled_tools": "bash"}}, "options.disabled_tools"),
        ({"options": {"disabled_tools": [1]}}, "options.disabled_tools[0]"),
        ({"options": {"tui": {"compact_mode": "yes"}}}, "options.tui.compact_mode"),
        ({"models": {"large": {"model": 1}}}, "models.large.model"),
        ({"models": {"large": {"temperature": 9}}}, "models.large.temperature"),
        ({"models": {"large": {"max_tokens": -1}}}, "models.large.max_tokens"),
        ({"models": {"large": {"model": "a\x1b[2J"}}}, "models.large: control characters"),
        ({"models": "gpt"}, "models"),
        ({"providers": {"p": {"base_url": 1}}}, "providers.p.base_url"),
        ({"providers": {"p": {"models": [{"name": "x"}]}}}, "providers.p.models[0]"),
        ({"providers": {"p": {"models": [{"id": ""}]}}}, "providers.p: models[0]"),
        ({"providers": {"p": {"models": [{"id": "a\x1b[2J"}]}}}, "providers.p: models[0]"),
        (
            {"providers": {"p": {"models": [{"id": "a", "context_window": -1}]}}},
            "providers.p: models[0].context_window",
        ),
        ({"providers": {"p": {"type": "gopher"}}}, "providers.p: unknown type 'gopher'"),
        ({"providers": {"a/b": {}}}, "providers.a/b"),
        ({"providers": {"a\x1b": {}}}, "providers: 'a\\x1b'"),
        ({"providers": {"p": {"name": "a\nb"}}}, "providers.p: name"),
        ({"providers": {"p": {"extra_headers": {"X": 1}}}}, "providers.p.extra_headers"),
        ({"permissions": {"allowed_tools": True}}, "permissions.allowed_tools"),
        ({"tools": {"ls": {"max_depth": "deep"}}}, "tools.ls.max_depth"),
        ({"env": {"A": 1}}, "env.A"),
    ],
)
def test_a_wrong_type_is_named_with_file_and_key(
    checkout: Checkout, document: dict[str, object], key: str
) -> None:
    checkout.write_global({})
    path = checkout.write("crush.json", document)
    with pytest.raises(ConfigError) as caught:
        checkout.load()
    assert str(caught.value).startswith(f"{path}: {key}")


def test_a_wrong_type_does_not_show_what_stands_there(checkout: Checkout) -> None:
    checkout.write("crush.json", {"providers": {"p": {"models": "hunter2", "api_key": "hunter2"}}})
    with pytest.raises(ConfigError) as caught:
        checkout.load()
    assert "hunter2" not in str(caught.value)


def test_malformed_json_fails_this_configuration_and_no_other(checkout: Checkout) -> None:
    path = checkout.write("broken/crush.json", '{\n  "models": {,}\n}')
    with pytest.raises(ConfigError) as caught:
        checkout.load("broken")
    assert str(caught.value).startswith(f"{path}:2:14: invalid JSON")
    assert checkout.load().files == ()


def test_the_nearest_data_directory_up_to_the_git_root_is_taken(checkout: Checkout) -> None:
    os.makedirs(checkout.path(".crush"))
    os.makedirs(checkout.path("a", "b"))
    assert checkout.load("a", "b").data_dir == checkout.path(".crush")
    os.makedirs(checkout.path("a", ".crush"))
    assert checkout.load("a", "b").data_dir == checkout.path("a", ".crush")


def test_the_data_directory_of_the_request_stands_before_the_files(checkout: Checkout) -> None:
    checkout.write_global({"options": {"data_directory": "~/state"}})
    assert checkout.load().data_dir == os.path.join(checkout.home, "state")
    assert checkout.load(data_dir="/somewhere/else").data_dir == "/somewhere/else"
    assert checkout.load(data_dir="below").data_dir == checkout.path("below")


def test_a_relative_data_directory_of_the_user_is_found_upwards(checkout: Checkout) -> None:
    checkout.write_global({"options": {"data_directory": ".state"}})
    os.makedirs(checkout.path("a"))
    assert checkout.load("a").data_dir == checkout.path("a", ".state")
    os.makedirs(checkout.path(".state"))
    assert checkout.load("a").data_dir == checkout.path(".state")


def test_variables_of_the_users_files_are_expanded_in_order(checkout: Checkout) -> None:
    checkout.env["REGION"] = "eu"
    checkout.write_global({"env": {"HOST": "api.$REGION.example", "URL": "https://$HOST"}})
    checkout.write_machine_data({"env": {"URL": "${URL}/v1"}})
    assert checkout.load().env == {"HOST": "api.eu.example", "URL": "https://api.eu.example/v1"}


@pytest.mark.parametrize("name", ["", "A=B", "A\0"])
def test_a_variable_that_cannot_be_is_an_error(checkout: Checkout, name: str) -> None:
    checkout.write_global({"env": {name: "x"}})
    with pytest.raises(ConfigError, match="env"):
        checkout.load()


def test_a_variable_that_needs_a_command_is_an_error_with_file_and_key(checkout: Checkout) -> None:
    path = checkout.write_global({"env": {"A": "$(id)"}})
    with pytest.raises(ConfigError) as caught:
        checkout.load()
    assert str(caught.value).startswith(f"{path}: env.A: commands in configuration")


def test_a_relative_directory_is_refused(checkout: Checkout) -> None:
    with pytest.raises(ConfigError, match="not an absolute path"):
        load_config("somewhere", checkout.env)


def test_a_change_counts_at_once(checkout: Checkout) -> None:
    checkout.write("crush.json", {"options": {"disable_auto_summarize": True}})
    assert checkout.load().options.disable_auto_summarize
    checkout.write("crush.json", {})
    assert not checkout.load().options.disable_auto_summarize


@as_root
def test_what_another_user_put_where_all_may_write_is_no_part_of_a_project(
    checkout: Checkout,
) -> None:
    """As in `/tmp`, where anybody can make a `.git`, a `crush.json` and a `.crush`."""
    shared = os.path.join(checkout.home, "shared")
    here = os.path.join(shared, "mine")
    os.makedirs(here)
    os.chmod(shared, 0o1777)  # noqa: S103 - that is what it is about
    planted = checkout.write(os.path.join(shared, "crush.json"), {"models": {}})
    for name in (".git", ".crush"):
        os.mkdir(os.path.join(shared, name))
    for name in (".git", ".crush", "crush.json"):
        os.chown(os.path.join(shared, name), STRANGER, STRANGER)

    below, there = (load_config(cwd, checkout.env) for cwd in (here, shared))

    assert (below.files, below.data_dir) == ((), os.path.join(here, ".crush"))
    assert there.files == ()
    assert there.notices == (f"{planted}: not read: another user put it there",)


@as_root
def test_somebody_elses_project_is_worked_in(checkout: Checkout) -> None:
    """A container's root works in a directory that is mounted from outside."""
    inside = checkout.write("crush.json", {"models": {}})
    for path in (checkout.root, checkout.path(".git"), inside):
        os.chown(path, STRANGER, STRANGER)
    assert checkout.load().files == (inside,)
