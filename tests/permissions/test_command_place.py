"""Where a name leads, with real directories, as root and as somebody else."""

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from crush.permissions import command_place
from crush.permissions.command_place import Place, find_command, find_gap

OTHER_UID = 65_532
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="makes files for other users")


@pytest.fixture
def ground(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that counts like any other, although it lies under the temporary one."""
    monkeypatch.setattr(command_place, "_TEMPORARY", ())
    for parent in [tmp_path, *tmp_path.parents]:
        if parent.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            assert parent.stat().st_mode & stat.S_ISVTX, "only sticky parents are as good as root's"
    return tmp_path


def program(directory: Path, name: str = "tool", *, mode: int = 0o755) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / name
    path.write_text("#!/bin/sh\necho ran\n")
    path.chmod(mode)
    return path


def find(
    path: str, *, cwd: Path, root: str = "/srv/work", home: str = "/home/me", uid: int = 0
) -> Place:
    return find_command("tool", path=path, cwd=str(cwd), root=root, home=home, uid=uid)


@ROOT_ONLY
def test_a_program_of_root_in_a_directory_of_root_is_trusted(ground: Path) -> None:
    tool = program(ground / "bin")
    assert find(f"/nowhere:{ground}/bin", cwd=ground) == Place(
        path=str(tool), trusted=True, reason=""
    )


@ROOT_ONLY
def test_it_finds_what_bash_would_run(ground: Path) -> None:
    program(ground / "plain", mode=0o644)
    (ground / "directory" / "tool").mkdir(parents=True)
    program(ground / "first").write_text("#!/bin/sh\necho first\n")
    program(ground / "second").write_text("#!/bin/sh\necho second\n")
    path = ":".join(f"{ground}/{name}" for name in ("plain", "directory", "first", "second"))

    ran = subprocess.run(
        ["/bin/bash", "--norc", "--noprofile", "-c", "tool"],
        env={"PATH": path},
        cwd=ground,
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout == "first\n"
    assert find(path, cwd=ground).path == f"{ground}/first/tool"


def test_what_is_not_there_is_no_danger(ground: Path) -> None:
    assert find(f"{ground}", cwd=ground) == Place(path="", trusted=True, reason="not installed")


@ROOT_ONLY
@pytest.mark.parametrize("entry", ["", ".", "bin", "node_modules/.bin", "~/bin"])
def test_a_relative_entry_before_the_program_is_not_trusted(ground: Path, entry: str) -> None:
    program(ground / "good")
    place = find(f"{entry}:{ground}/good", cwd=ground)
    assert not place.trusted
    assert "PATH holds" in place.reason


@ROOT_ONLY
def test_a_relative_entry_behind_the_program_does_not_count(ground: Path) -> None:
    program(ground / "good")
    assert find(f"{ground}/good:bin:", cwd=ground).trusted


def test_a_relative_entry_counts_even_where_nothing_is_installed(ground: Path) -> None:
    assert not find(f"{ground}:", cwd=ground).trusted


def test_the_program_of_a_relative_entry_is_named(ground: Path) -> None:
    tool = program(ground / "bin")
    assert find("bin", cwd=ground) == Place(
        path=str(tool),
        trusted=False,
        reason="PATH holds bin, which is another directory wherever one stands",
    )


@ROOT_ONLY
def test_the_workspace_the_home_and_temporary_directories_are_not_trusted(ground: Path) -> None:
    path = str(program(ground / "venv" / "bin").parent)
    assert "the workspace" in find(path, cwd=ground, root=str(ground / "venv")).reason
    assert "the home directory" in find(path, cwd=ground, home=str(ground)).reason
    assert find(path, cwd=ground, home="/").trusted, "a service's home says nothing"


@ROOT_ONLY
def test_a_temporary_directory_is_not_trusted(tmp_path: Path) -> None:
    if not tmp_path.is_relative_to("/tmp"):  # noqa: S108 - one of the places that it is about
        pytest.skip("the tests' files are elsewhere")
    place = find(str(program(tmp_path / "bin").parent), cwd=tmp_path)
    assert not place.trusted
    assert "temporary" in place.reason


@ROOT_ONLY
def test_dots_and_links_do_not_hide_the_workspace(ground: Path) -> None:
    program(ground / "work" / "bin")
    (ground / "innocent").symlink_to(ground / "work" / "bin")
    for path in (f"{ground}/innocent", f"{ground}/other/../work/bin", f"{ground}//work/./bin"):
        (ground / "other").mkdir(exist_ok=True)
        assert "the workspace" in find(path, cwd=ground, root=f"{ground}/work").reason


@ROOT_ONLY
@pytest.mark.parametrize("mode", [0o775, 0o757, 0o777, 0o1777, 0o2775])
def test_a_directory_that_others_can_write_is_not_trusted(ground: Path, mode: int) -> None:
    directory = program(ground / "bin").parent
    directory.chmod(mode)
    assert "more than its owner" in find(str(directory), cwd=ground).reason


@ROOT_ONLY
@pytest.mark.parametrize(("mode", "trusted"), [(0o777, False), (0o775, False), (0o1777, True)])
def test_a_parent_that_others_can_write_counts_unless_it_is_sticky(
    ground: Path, mode: int, trusted: bool
) -> None:
    directory = program(ground / "parent" / "bin").parent
    (ground / "parent").chmod(mode)
    assert find(str(directory), cwd=ground).trusted is trusted


@ROOT_ONLY
def test_the_file_itself_counts(ground: Path) -> None:
    tool = program(ground / "bin", mode=0o777)
    assert "written by others" in find(f"{ground}/bin", cwd=ground).reason
    tool.chmod(0o755)
    os.chown(tool, OTHER_UID, 0)
    assert f"belongs to user {OTHER_UID}" in find(f"{ground}/bin", cwd=ground).reason
    assert "belongs to you" in find(f"{ground}/bin", cwd=ground, uid=OTHER_UID).reason


@ROOT_ONLY
def test_a_directory_of_somebody_else_is_not_trusted(ground: Path) -> None:
    os.chown(program(ground / "bin").parent, OTHER_UID, 0)
    assert "not to root" in find(f"{ground}/bin", cwd=ground).reason


@ROOT_ONLY
def test_every_link_on_the_way_counts(ground: Path) -> None:
    """As `/usr/bin/awk` leads through `/etc/alternatives` to `/usr/bin/mawk`."""
    program(ground / "real", "mawk")
    for name in ("bin", "alternatives"):
        (ground / name).mkdir()
    (ground / "alternatives" / "awk").symlink_to("../real/mawk")
    (ground / "bin" / "tool").symlink_to(ground / "alternatives" / "awk")
    assert find(f"{ground}/bin", cwd=ground).trusted

    (ground / "alternatives").chmod(0o777)
    assert "alternatives" in find(f"{ground}/bin", cwd=ground).reason
    (ground / "alternatives").chmod(0o755)
    os.lchown(ground / "alternatives" / "awk", OTHER_UID, 0)
    assert "alternatives/awk belongs" in find(f"{ground}/bin", cwd=ground).reason


@ROOT_ONLY
def test_a_circle_of_links_is_nothing_to_run(ground: Path) -> None:
    (ground / "bin").mkdir()
    (ground / "bin" / "tool").symlink_to(ground / "bin" / "tool")
    assert find(f"{ground}/bin", cwd=ground).reason == "not installed"


@pytest.mark.parametrize("name", ["", "./tool", "/bin/ls", "a/b"])
def test_only_bare_names_are_looked_for(name: str, ground: Path) -> None:
    place = find_command(name, path="/bin", cwd=str(ground), root="/w", home="/h", uid=0)
    assert not place.trusted
    assert "not a bare name" in place.reason


def gap(path: str, *, root: str = "/srv/work", uid: int = 0) -> str:
    return find_gap(path=path, root=root, uid=uid)


@ROOT_ONLY
def test_a_path_of_roots_directories_has_no_gap(ground: Path) -> None:
    program(ground / "bin")
    (ground / "empty").mkdir()
    assert gap(f"{ground}/bin:{ground}/empty:{ground}/not-there:/not/there") == ""


@ROOT_ONLY
def test_a_gap_is_any_directory_in_which_a_program_could_appear(ground: Path) -> None:
    """A program that starts others by name (tar, git, go) is no better than the whole of PATH."""
    good = str(program(ground / "bin").parent)
    for mode, name in ((0o777, "open"), (0o1777, "sticky")):
        (ground / name).mkdir()
        (ground / name).chmod(mode)
    for entry in ("", ".", "node_modules/.bin", "~/bin"):
        assert "PATH holds" in gap(f"{good}:{entry}")
    (ground / "work").mkdir()
    assert "the workspace" in gap(f"{good}:{ground}/work/.venv/bin", root=f"{ground}/work")
    assert "written" in gap(f"{good}:{ground}/open")
    assert "written" in gap(f"{good}:{ground}/sticky")
    assert "written" in gap(f"{good}:{ground}/sticky/not-there"), "somebody can make it"


@pytest.fixture
def open_ground() -> Iterator[Path]:
    """Where every user may look: pytest's own directories are for one."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name).resolve()
        path.chmod(0o755)
        yield path


AS_OTHER = f"""
import os, sys
from crush.permissions import command_place
os.setgroups([]); os.setgid({OTHER_UID}); os.setuid({OTHER_UID})
command_place._TEMPORARY = ()
for path in sys.argv[1:]:
    place = command_place.find_command(
        "tool", path=path, cwd="/", root="/w", home="/h", uid=os.getuid()
    )
    print(place.path, place.trusted, sep="|")
"""


@ROOT_ONLY
def test_to_another_user_only_what_is_roots_is_trusted(open_ground: Path) -> None:
    """In a process of that user, who may not run everything that is there."""
    program(open_ground / "bin")
    program(open_ground / "secret", mode=0o700)
    own = program(open_ground / "own")
    for path in (own, own.parent):
        os.chown(path, OTHER_UID, OTHER_UID)

    done = subprocess.run(
        [
            sys.executable,
            "-c",
            AS_OTHER,
            *(f"{open_ground}/{name}" for name in ("bin", "own", "secret")),
        ],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)},
    )

    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{open_ground}/bin/tool|True",
        f"{open_ground}/own/tool|False",
        "|True",
    ]
