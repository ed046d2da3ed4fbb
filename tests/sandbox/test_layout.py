"""What a fence comes to on a real disk, before anything enforces it."""

import os
import time
from collections.abc import Iterator

import pytest

from crush.sandbox import bubblewrap, seatbelt, survey
from crush.sandbox.caches import toolchain_caches
from crush.sandbox.fence import Fence
from crush.sandbox.held import Held
from crush.sandbox.layout import Layout, home_secrets, lay_out
from crush.sandbox.placeholders import Placeholders
from crush.sandbox.survey import Surveyor
from tests.sandbox.yard import Yard, fill, kinds, new_yard, shell


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


def layout_of(yard: Yard, fence: Fence | None = None) -> Layout:
    return lay_out(
        fence or yard.fence(), hidden=[str(yard.hidden)], surveyor=Surveyor(clock=time.monotonic)
    )


def test_a_workspace_is_writable_but_for_what_is_protected(yard: Yard) -> None:
    fill(yard)
    layout = layout_of(yard)
    below = {path.removeprefix(f"{yard.root}/") for path in layout.of("read")}
    assert below == {
        *("AGENTS.md", ".vscode", "src/CLAUDE.md", "lib/.git", "innocent"),
        *(".git/config", ".git/hooks"),
    }
    assert layout.of("write") == (str(yard.root), str(yard.root / ".git"))
    assert layout.of("hide") == (str(yard.hidden), str(yard.home / ".ssh"))
    assert layout.complete


def test_keys_and_sockets_of_a_home_that_is_the_workspace_are_hidden_in_it(yard: Yard) -> None:
    for path in (".ssh/id", ".config/gcloud/x", ".netrc", ".docker/run/docker.sock", ".bashrc"):
        yard.write(f"project/{path}")
    secrets = home_secrets(str(yard.root))
    fence = Fence(root=str(yard.root), tmp=str(yard.tmp), secrets=secrets)
    layout = layout_of(yard, fence)
    hidden = {path.removeprefix(f"{yard.root}/") for path in layout.of("hide")}
    assert hidden >= {".ssh", ".config/gcloud", ".netrc", ".docker/run"}
    assert str(yard.root / ".bashrc") in layout.of("read")


@pytest.mark.parametrize("kind", kinds())
async def test_a_file_with_a_password_reads_as_empty_or_not_at_all(yard: Yard, kind: str) -> None:
    yard.write("home/.netrc", "password")
    ended = await shell(yard.sandbox(kind), yard.fence(), f"cat {yard.home}/.netrc")
    assert "password" not in ended.output


def test_our_own_directories_are_never_writable(yard: Yard) -> None:
    inside = yard.hidden / "project"
    inside.mkdir()
    with pytest.raises(PermissionError):
        layout_of(yard, Fence(root=str(inside), tmp=str(yard.tmp)))
    with pytest.raises(PermissionError):
        layout_of(yard, yard.fence(writable=[str(inside)]))


def test_a_cache_counts_only_where_it_is_and_no_link_leads_away(yard: Yard) -> None:
    (yard.home / ".cache" / "pip").mkdir(parents=True)
    (yard.home / ".ccache").symlink_to(yard.outside)
    (yard.home / ".cargo" / "bin").mkdir(parents=True)
    assert toolchain_caches(str(yard.home)) == (str(yard.home / ".cache" / "pip"),)


def test_vendored_directories_are_not_walked_and_links_not_followed(yard: Yard) -> None:
    yard.write("project/node_modules/x/.vscode/tasks.json")
    yard.write("outside/AGENTS.md")
    (yard.root / "link").symlink_to(yard.outside)
    yard.write("project/deep/er/.envrc")
    assert Surveyor(clock=time.monotonic).look(str(yard.root)).entries == (
        str(yard.root / "deep/er/.envrc"),
    )


def test_a_walk_is_repeated_no_more_than_it_costs(yard: Yard) -> None:
    now = [0.0]

    def tick() -> float:
        now[0] += 1.0  # a walk takes a second: it looks at the clock before and after
        return now[0]

    surveyor, root = Surveyor(clock=tick), str(yard.root)
    assert surveyor.look(root).entries == ()
    yard.write("project/a/AGENTS.md")
    yard.write("project/AGENTS.md")
    assert surveyor.look(root).entries == (f"{root}/AGENTS.md",)
    assert surveyor.new_below(root) == []
    now[0] += 20
    assert surveyor.look(root).entries == (f"{root}/AGENTS.md", f"{root}/a/AGENTS.md")
    assert surveyor.new_below(root) == [f"{root}/a/AGENTS.md"]
    assert surveyor.new_below(root) == []


def test_a_workspace_that_is_a_repository_itself_is_read_only(yard: Yard) -> None:
    yard.git("init", "-q", "--bare")
    assert str(yard.root) in layout_of(yard).of("read")
    hooks = yard.root / "hooks"
    (yard.root / ".git").mkdir()
    inside = Fence(root=str(yard.root / ".git"), tmp=str(yard.tmp))
    assert hooks.exists()
    assert layout_of(yard, inside).of("write") == ()


def test_too_much_to_guard_is_said(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "_MOST_FOUND", 2)
    for name in "abc":
        yard.write(f"project/{name}/AGENTS.md")
    found = Surveyor(clock=time.monotonic).look(str(yard.root))
    assert (len(found.entries), found.complete) == (2, False)


def test_a_big_tree_is_walked_in_reasonable_time(yard: Yard) -> None:
    for number in range(300):
        yard.write(f"project/d{number}/e/file")
    start = time.perf_counter()
    Surveyor(clock=time.monotonic).look(str(yard.root))
    assert time.perf_counter() - start < 0.5


def test_placeholders_go_with_the_last_who_needs_them(yard: Yard) -> None:
    wanted: dict[str, bytes | None] = {
        str(yard.root / ".git"): None,
        str(yard.root / "commondir"): b".\n",
    }
    names = Placeholders()
    first, second = names.hold(wanted), names.hold(wanted)
    assert set(first) == set(second) == set(wanted)
    names.release(wanted, first)
    assert sorted(os.listdir(yard.root)) == [".git", "commondir"]
    names.release(wanted, second)
    assert os.listdir(yard.root) == []


def test_what_somebody_put_in_a_placeholder_is_not_removed(yard: Yard) -> None:
    wanted: dict[str, bytes | None] = {
        str(yard.root / ".git"): None,
        str(yard.root / "config"): b"",
    }
    names = Placeholders()
    held = names.hold(wanted)
    yard.write("project/.git/HEAD")
    yard.write("project/config", "mine")
    names.release(wanted, held)
    assert sorted(os.listdir(yard.root)) == [".git", "config"]
    assert names.hold(wanted) == ()  # it is somebody's now


def test_options_put_inner_paths_on_top_and_loader_variables_inside(yard: Yard) -> None:
    fill(yard)
    env = {"LD_PRELOAD": "/x.so", "A": "1", "TMPDIR": "/elsewhere"}
    wrapped = bubblewrap.wrap(
        fence=yard.fence(), layout=layout_of(yard), cwd=str(yard.root), env=env, held=None
    )
    assert wrapped.env == {"A": "1", "TMPDIR": os.path.join(os.sep, "tmp")}
    options = wrapped.arguments
    at = options.index("LD_PRELOAD")
    assert options[at - 1 : at + 2] == ("--setenv", "LD_PRELOAD", "/x.so")
    order = [options.index(str(path)) for path in (yard.root, yard.root / ".git")]
    order.append(options.index(str(yard.root / ".git" / "config")))
    assert order == sorted(order)
    assert "--unshare-net" in options
    assert "--new-session" not in options
    opened = bubblewrap.wrap(
        fence=yard.fence(network=True), layout=layout_of(yard), cwd="/", env={}, held=None
    )
    assert "--unshare-net" not in opened.arguments


def test_a_path_that_became_a_link_meanwhile_is_not_mounted(yard: Yard) -> None:
    fill(yard)
    root = str(yard.root)
    with Held() as held:
        before = held.place(f"{root}/src/CLAUDE.md")
        assert before is not None
        assert os.path.samestat(os.fstat(before), os.stat(yard.root / "src" / "CLAUDE.md"))
        (yard.root / "src" / "CLAUDE.md").unlink()
        (yard.root / "src" / "CLAUDE.md").symlink_to(yard.home / ".ssh" / "id_ed25519")
        assert held.place(f"{root}/src/CLAUDE.md") is None
        os.rename(yard.root / "src", yard.root / "away")
        (yard.root / "src").symlink_to(yard.home / ".ssh")
        assert held.place(f"{root}/src/id_ed25519") is None
        assert held.place(f"{root}/src/gone") is None
        fds = list(held.fds)
    for fd in fds:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


@pytest.mark.skipif("bubblewrap" not in kinds(), reason="it is not installed")
async def test_no_descriptor_of_a_mount_reaches_the_command(yard: Yard) -> None:
    fill(yard)
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), "ls /proc/self/fd")
    assert ended.output.split() == ["0", "1", "2", "3"]  # the last is that of `ls`


def test_a_profile_for_apple_denies_after_it_allows(yard: Yard) -> None:
    fill(yard)
    odd = yard.root / 'a"b\\c'
    odd.mkdir()
    (odd / ".envrc").touch()
    lines = seatbelt.profile(fence=yard.fence(), layout=layout_of(yard)).splitlines()
    allowed = lines.index(f'(allow file-write* (subpath "{yard.root}"))')
    assert lines.index(f'(deny file-write* (subpath "{yard.root}/AGENTS.md"))') > allowed
    assert f'(deny file-write* (subpath "{yard.root}/a\\"b\\\\c/.envrc"))' in lines
    assert f'(deny file-read* file-write* (subpath "{yard.hidden}"))' in lines
    assert lines[:2] == ["(version 1)", "(deny default)"]
    assert lines[-1] == "(deny network*)"
