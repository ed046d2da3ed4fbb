import os
import shutil
from pathlib import Path

import msgspec
import pytest

from crush.tools.shell_env import find_shell, shell_env
from tests.tools.conftest import Caller


def script(path: Path) -> None:
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_bash_is_taken_from_the_clients_path(tmp_path: Path) -> None:
    script(tmp_path / "bash")
    assert find_shell({"PATH": f"{tmp_path}:/bin"}, workspace="/nowhere") == [
        f"{tmp_path}/bash",
        "--noprofile",
        "--norc",
    ]


def test_a_bash_of_the_working_directory_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(tmp_path / "bash")
    monkeypatch.chdir(tmp_path)
    assert os.path.isabs(find_shell({"PATH": ".::/bin"}, workspace="/nowhere")[0])
    assert not find_shell({"PATH": ".::/bin"}, workspace="/nowhere")[0].startswith(str(tmp_path))


def test_a_shell_of_the_workspace_is_not_taken(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    script(venv / "bash")
    (tmp_path.parent / f"{tmp_path.name}-link").symlink_to(venv)
    for directory in (venv, tmp_path.parent / f"{tmp_path.name}-link"):
        found = find_shell({"PATH": f"{directory}:/bin"}, workspace=str(tmp_path))
        assert found[0] != f"{directory}/bash"


POISON = {
    "BASH_ENV": "/evil",
    "ENV": "/evil",
    "SHELLOPTS": "xtrace",
    "BASHOPTS": "extdebug",
    "PS4": "$(touch poisoned)",
    "PROMPT_COMMAND": "touch poisoned",
    "GLOBIGNORE": "*",
    "CDPATH": "/",
    "BASH_FUNC_ls%%": "() { touch poisoned; }",
    "BASH_FUNC_cd()": "() { touch poisoned; }",
}


def test_what_a_shell_obeys_before_its_first_word_is_left_out() -> None:
    env = shell_env({**POISON, "HOME": "/h", "MINE": "1"}, tmp="", mark="m", only_reads=False)
    assert not set(env) & set(POISON)
    assert (env["HOME"], env["MINE"], env["CRUSH_COMMAND"]) == ("/h", "1", "m")


async def test_a_poisoned_environment_runs_nothing(call: Caller, project: Path) -> None:
    (project / "evil").write_text("touch poisoned")
    poison = {**POISON, "BASH_ENV": str(project / "evil"), "ENV": str(project / "evil")}
    context = msgspec.structs.replace(call.context, env={**call.context.env, **poison})
    result = await Caller(context)("bash", command="set -x; ls; cd .; set +x; echo *")
    assert result.content.splitlines()[:2] == ["evil", "evil"]
    assert not (project / "poisoned").exists()


@pytest.mark.parametrize(
    ("given", "first"),
    [({}, 0), ({"GIT_CONFIG_COUNT": "2"}, 2), ({"GIT_CONFIG_COUNT": "x"}, 0)],
)
def test_settings_for_git_come_after_the_users_own(given: dict[str, str], first: int) -> None:
    env = shell_env(given, tmp="", mark="m", only_reads=False)
    assert env["GIT_CONFIG_COUNT"] == str(first + 2)
    assert env[f"GIT_CONFIG_KEY_{first}"] == "safe.bareRepository"
    assert env[f"GIT_CONFIG_VALUE_{first}"] == "explicit"
    assert env[f"GIT_CONFIG_KEY_{first + 1}"] == "core.fsmonitor"
    assert env[f"GIT_CONFIG_VALUE_{first + 1}"] == "false"


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
async def test_a_hook_of_the_workspace_runs_for_no_command_that_only_reads(
    call: Caller, project: Path
) -> None:
    """`git status` refreshes the index, and a hook is told of that."""
    await call("bash", command="git init -q . && echo 1 > a && git add a && mkdir hooks")
    hook = project / "hooks" / "post-index-change"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    status = "git config core.hooksPath hooks; touch -d yesterday a; git status --short"
    context = msgspec.structs.replace(call.context, only_reads=True)
    await Caller(context)("bash", command=status)
    assert not (project / "ran").exists()
    await call("bash", command=status)
    assert (project / "ran").exists()


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
async def test_git_status_in_a_prepared_directory_executes_nothing(
    call: Caller, project: Path
) -> None:
    """A file system monitor, and a bare repository that lies in the work tree."""
    setting = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "alias.own",
        "GIT_CONFIG_VALUE_0": "status",
    }
    context = msgspec.structs.replace(call.context, env={**call.context.env, **setting})
    run = Caller(context)
    await run("bash", command="git init -q . && git init -q --bare inner")
    for config in (project / ".git" / "config", project / "inner" / "config"):
        with config.open("a") as file:
            file.write(f"[core]\n\tfsmonitor = touch {project}/poisoned #\n")
    assert "inner/" in (await run("bash", command="git own --short")).content
    inner = await run("bash", command="cd inner && git -c core.bare=false status", description="d")
    assert not (project / "poisoned").exists()
    assert inner.content != "no output"
