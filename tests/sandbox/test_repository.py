"""Which git directories a workspace belongs to, and that its own `.git` file is not believed."""

import os
from collections.abc import Iterator

import anyio
import pytest

from crush.sandbox.repository import find_repository, named_by_config
from tests.sandbox.yard import Yard, kinds, new_yard, shell


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


def test_a_directory_without_a_repository_has_none(yard: Yard) -> None:
    assert find_repository(str(yard.root)) is None
    (yard.root / ".git").mkdir()
    assert find_repository(str(yard.root)) is None


def test_what_git_obeys_is_listed_and_what_could_be_made_too(yard: Yard) -> None:
    yard.git("init", "-q")
    found = find_repository(str(yard.root))
    assert found is not None
    git_dir = str(yard.root / ".git")
    assert (found.git_dir, found.common_dir, found.sound) == (git_dir, git_dir, True)
    assert f"{git_dir}/config" in found.obeyed
    assert f"{git_dir}/hooks" in found.obeyed
    free = {
        *(f"{git_dir}/{name}" for name in ("commondir", "config.worktree", "info/attributes")),
        *(f"{git_dir}/{name}" for name in ("modules", "worktrees")),
    }
    assert set(found.absent) == free
    os.rename(yard.root / ".git" / "hooks", yard.root / "h")
    os.rename(yard.root / ".git" / "info", yard.root / "i")
    found = find_repository(str(yard.root))
    assert found is not None
    free -= {f"{git_dir}/info/attributes"}
    assert set(found.absent) == {*free, f"{git_dir}/hooks", f"{git_dir}/info"}


@pytest.mark.parametrize("name", ["config.worktree", "info/attributes", "commondir", "config"])
async def test_a_fifo_where_git_keeps_its_settings_makes_nothing_wait(
    yard: Yard, name: str
) -> None:
    yard.git("init", "-q")
    path = yard.root / ".git" / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with anyio.fail_after(10):
        ended = await shell(yard.sandbox(kinds()[0]), yard.fence(), "echo fine")
    assert ended.output == "fine\n"


@pytest.mark.parametrize("kind", kinds())
async def test_nothing_that_git_will_obey_one_day_can_be_made_either(yard: Yard, kind: str) -> None:
    """A submodule that is cloned later takes the hooks that lie in `modules` by then."""
    yard.git("init", "-q")
    for made in ("modules/x/hooks", "worktrees/x"):
        await shell(yard.sandbox(kind), yard.fence(), f"mkdir -p .git/{made}")
    for made in ("config.worktree", "info/attributes", "commondir"):
        await shell(yard.sandbox(kind), yard.fence(), f"echo evil > .git/{made}")
    left = os.listdir(yard.root / ".git")
    assert not {"modules", "worktrees", "config.worktree", "commondir"} & set(left)
    assert os.listdir(yard.root / ".git" / "info") == ["exclude"]


@pytest.mark.skipif("bubblewrap" not in kinds(), reason="nothing holds names but mounts")
async def test_a_name_is_held_until_the_last_of_two_commands_has_ended(yard: Yard) -> None:
    yard.git("init", "-q")
    sandbox, fence, ended = yard.sandbox("bubblewrap"), yard.fence(), []
    first = "touch first; until [ -e second ]; do sleep 0.01; done"
    second = (
        "until [ -e first ]; do sleep 0.01; done; touch second;"
        " until [ -e go ]; do sleep 0.01; done; mkdir -p .git/modules/x"
    )

    async def run_second() -> None:
        ended.append(await shell(sandbox, fence, second))

    async with anyio.create_task_group() as both:
        both.start_soon(run_second)
        await shell(sandbox, fence, first)
        yard.write("project/go")
    assert [done.returncode for done in ended] == [1]
    assert not (yard.root / ".git" / "modules").exists()


def test_a_link_where_a_mount_must_stand_makes_it_unsound(yard: Yard) -> None:
    yard.git("init", "-q")
    os.rename(yard.root / ".git" / "hooks", yard.root / "hooks")
    (yard.root / ".git" / "hooks").symlink_to(yard.root / "hooks")
    found = find_repository(str(yard.root))
    assert found is not None
    assert not found.sound


def test_a_git_file_that_names_anything_is_not_believed(yard: Yard) -> None:
    elsewhere = yard.top / "elsewhere"
    yard.git("init", "-q", str(elsewhere))
    yard.write("project/.git", f"gitdir: {elsewhere}/.git\n")
    assert find_repository(str(yard.root)) is None
    yard.write("project/.git", "gitdir: ../home\n")
    assert find_repository(str(yard.root)) is None
    yard.write("project/.git", "nonsense")
    assert find_repository(str(yard.root)) is None


def test_a_linked_worktree_is_believed_if_the_repository_says_so_too(yard: Yard) -> None:
    main = yard.top / "main"
    yard.git("init", "-q", str(main))
    yard.git("commit", "-q", "--allow-empty", "-m", "zero", cwd=main)
    yard.root.rmdir()
    yard.git("worktree", "add", "-q", str(yard.root), cwd=main)
    found = find_repository(str(yard.root))
    assert found is not None
    assert found.common_dir == str(main / ".git")
    assert found.git_dir == str(main / ".git" / "worktrees" / "project")
    assert f"{found.git_dir}/commondir" in found.obeyed
    (main / ".git" / "worktrees" / "project" / "gitdir").write_text("/somewhere/else/.git\n")
    assert find_repository(str(yard.root)) is None


def test_files_that_the_configuration_has_git_run_are_known(yard: Yard) -> None:
    yard.git("init", "-q")
    for path in (".githooks/pre-commit", "tools/gitconfig"):
        yard.write(f"project/{path}")
    yard.git("config", "core.hooksPath", ".githooks")
    yard.git("config", "include.path", "../tools/gitconfig")
    yard.git("config", "core.excludesPath", "..")
    found = find_repository(str(yard.root))
    assert found is not None
    assert named_by_config(found, root=str(yard.root)) == {
        str(yard.root / ".githooks"): None,
        str(yard.root / "tools" / "gitconfig"): b"",
    }


@pytest.mark.skipif("bubblewrap" not in kinds(), reason="nothing holds names but mounts")
async def test_hooks_and_settings_that_the_configuration_expects_cannot_be_made(
    yard: Yard,
) -> None:
    yard.git("init", "-q")
    yard.git("config", "core.hooksPath", "hooks")
    yard.git("config", "include.path", "../gitconfig")
    command = "git commit -q --allow-empty -m one && touch hooks/pre-commit"
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), command)
    assert ended.returncode != 0
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), "echo x > gitconfig")
    assert ended.returncode != 0
    assert yard.git("log", "--format=%s") == "one\n"
    assert os.listdir(yard.root) == [".git"]


@pytest.mark.parametrize("kind", kinds())
async def test_an_unsound_or_foreign_repository_cannot_be_written(yard: Yard, kind: str) -> None:
    elsewhere = yard.top / "elsewhere"
    yard.git("init", "-q", str(elsewhere))
    yard.write("project/.git", f"gitdir: {elsewhere}/.git\n")
    command = f"git add . ; echo x > {elsewhere}/.git/x; echo 'gitdir: .' > .git; rm -f .git"
    ended = await shell(yard.sandbox(kind), yard.fence(), command)
    assert ended.returncode != 0
    assert not (elsewhere / ".git" / "index").exists()
    assert not (elsewhere / ".git" / "x").exists()
    assert (yard.root / ".git").read_text() == f"gitdir: {elsewhere}/.git\n"
