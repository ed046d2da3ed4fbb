import json
import os
import shutil
from pathlib import Path

import pytest

from crush import paths
from crush.errors import ConfigError
from crush.permissions import grants as module
from crush.permissions.grants import Grants

NPM, OUT = "command(npm test)", "write(out/**)"


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


@pytest.fixture
def root(tmp_path: Path) -> str:
    path = tmp_path / "project"
    path.mkdir()
    return str(path)


def record(env: dict[str, str]) -> Path:
    return Path(paths.state_dir(env), "grants.json")


def test_what_is_granted_is_there_for_every_later_run(env: dict[str, str], root: str) -> None:
    Grants(env).add(root, [NPM, OUT], by="client-1")
    Grants(env).add(root, [OUT], by="client-2")

    assert Grants(env).of(root) == [NPM, OUT]
    (project,) = json.loads(record(env).read_text())["projects"].values()
    assert [grant["by"] for grant in project["grants"]] == ["client-1", "client-1"]
    assert all(grant["at"].endswith("+00:00") for grant in project["grants"])


def test_a_grant_is_of_its_directory_alone(env: dict[str, str], root: str, tmp_path: Path) -> None:
    Grants(env).add(root, [NPM], by="c")
    below = os.path.join(root, "below")
    os.mkdir(below)
    copy = str(tmp_path / "copy")
    shutil.copytree(root, copy)

    for other in (below, copy, str(tmp_path), f"{root}2"):
        assert Grants(env).of(other) == []


def test_a_directory_that_took_the_place_of_another_has_none(
    env: dict[str, str], root: str
) -> None:
    Grants(env).add(root, [NPM], by="c")
    os.rename(root, f"{root}-old")
    os.mkdir(root)
    assert Grants(env).of(root) == []

    Grants(env).add(root, [OUT], by="c")
    assert Grants(env).of(root) == [OUT]


def test_links_to_a_directory_are_the_directory(env: dict[str, str], root: str) -> None:
    Grants(env).add(root, [NPM], by="c")
    os.symlink(root, f"{root}-link")
    assert Grants(env).of(f"{root}-link") == [NPM]


def test_what_is_taken_back_is_gone(env: dict[str, str], root: str) -> None:
    Grants(env).add(root, [NPM, OUT], by="c")
    assert Grants(env).remove(root, [NPM, "tool(bash)"]) == [NPM]
    assert Grants(env).of(root) == [OUT]
    assert Grants(env).remove(root, [OUT]) == [OUT]
    assert json.loads(record(env).read_text())["projects"] == {}


def test_no_rule_is_never_granted(env: dict[str, str], root: str) -> None:
    with pytest.raises(ConfigError):
        Grants(env).add(root, [NPM, "rm -rf /"], by="c")
    assert Grants(env).of(root) == []


def test_a_text_that_became_no_rule_is_left_out(
    env: dict[str, str], root: str, caplog: pytest.LogCaptureFixture
) -> None:
    Grants(env).add(root, [NPM], by="c")
    record(env).write_text(record(env).read_text().replace("command(npm test)", "sudo"))
    assert Grants(env).of(root) == []
    assert "'sudo' is no rule" in caplog.text


def test_a_broken_file_grants_nothing(
    env: dict[str, str], root: str, caplog: pytest.LogCaptureFixture
) -> None:
    Grants(env).add(root, [NPM], by="c")
    record(env).write_text("{")
    assert Grants(env).of(root) == []
    assert "does not count" in caplog.text


def test_the_file_does_not_grow_without_end(
    env: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_PROJECTS", 3)
    monkeypatch.setattr(module, "MOST_RULES", 2)
    for name in "abcd":
        (tmp_path / name).mkdir()
        Grants(env).add(str(tmp_path / name), ["read(1)", "read(2)", "read(3)"], by="c")
    kept = [len(Grants(env).of(str(tmp_path / name))) for name in "abcd"]
    assert kept == [0, 2, 2, 2]
