"""What developers run works behind a bubblewrap fence as it does without one."""

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator

import pytest

from tests.sandbox.yard import Yard, kinds, new_yard, shell

pytestmark = pytest.mark.skipif("bubblewrap" not in kinds(), reason="bubblewrap is not here")

PYTEST_FILE = """
import multiprocessing, os, pty, socket

def test_loopback():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        socket.create_connection(listener.getsockname(), 1).close()

def test_local_socket(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))

def test_processes():
    with multiprocessing.Pool(2) as pool:
        assert pool.map(abs, [-1, -2]) == [1, 2]
    lock = multiprocessing.Lock()
    assert lock.acquire()

def test_pty():
    pid, fd = pty.fork()
    if pid == 0:
        os.execv("/bin/sh", ["sh", "-c", "tty"])
    assert b"/dev/pts/" in os.read(fd, 100)
    os.waitpid(pid, 0)
    os.close(fd)
"""


PYTHON = os.path.realpath(sys.executable)
HOME = os.path.expanduser("~")


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


def needs(*programs: str) -> None:
    """Here, and more than a stand-in that asks to be set up first."""
    for program in programs:
        found = shutil.which(program)
        if (
            found is None
            or subprocess.run([found, "--version"], capture_output=True, check=False).returncode
        ):
            pytest.skip(f"{program} is not here")


async def works(yard: Yard, command: str, *, cwd: str = "", **env: str) -> str:
    ended = await shell(yard.sandbox("bubblewrap"), yard.fence(), command, cwd=cwd, env=env)
    assert ended.returncode == 0, ended.output
    assert ended.notices == ()
    return ended.output


async def test_git_works_in_a_repository(yard: Yard) -> None:
    yard.git("init", "-q")
    yard.write("project/a.txt")
    await works(
        yard,
        "git status && git add a.txt && git commit -qm one && echo y >> a.txt && git stash -q"
        " && git stash pop -q && git switch -qc side && git commit -qam two && git switch -q -"
        " && git merge -q side && git rebase -q side && git tag v1 && git gc -q && git fsck",
    )
    assert yard.git("log", "--format=%s").split() == ["two", "one"]
    assert not (yard.root / ".git" / "commondir").exists()


async def test_git_works_in_a_linked_worktree(yard: Yard) -> None:
    main = yard.top / "main"
    yard.git("init", "-q", str(main))
    yard.git("commit", "-q", "--allow-empty", "-m", "zero", cwd=main)
    yard.root.rmdir()
    yard.git("worktree", "add", "-q", str(yard.root), cwd=main)
    yard.write("project/a.txt")
    await works(
        yard,
        "git status && git add a.txt && git commit -qm one && echo y >> a.txt && git stash -q"
        " && git stash pop -q && git diff --stat && git commit -qam two",
    )
    assert yard.git("log", "--format=%s").split() == ["two", "one", "zero"]
    yard.git("fsck")


async def test_git_works_in_a_subdirectory_of_a_repository(yard: Yard) -> None:
    yard.git("init", "-q", cwd=yard.top)
    yard.write("project/a.txt")
    await works(yard, "git add . && git commit -qm one && git log --oneline && git status")
    assert yard.git("log", "--format=%s").split() == ["one"]
    assert not (yard.root / ".git").exists()


async def test_git_works_in_a_submodule(yard: Yard) -> None:
    library = yard.top / "library"
    yard.git("init", "-q", str(library))
    yard.git("commit", "-q", "--allow-empty", "-m", "zero", cwd=library)
    yard.root.rmdir()
    yard.git("init", "-q", cwd=yard.top)
    allowed = ("-c", "protocol.file.allow=always")
    yard.git(*allowed, "submodule", "--quiet", "add", str(library), "project", cwd=yard.top)
    yard.write("project/a.txt")
    await works(yard, "git add a.txt && git commit -qm one && git status")
    assert yard.git("log", "--format=%s").split() == ["one", "zero"]


async def test_pytest_finds_sockets_processes_and_terminals(yard: Yard) -> None:
    yard.write("project/test_all.py", PYTEST_FILE)
    options = "-q -p no:randomly -p no:xdist -W error::ResourceWarning"
    site = sysconfig.get_paths()["purelib"]
    output = await works(yard, f"{PYTHON} -m pytest {options} test_all.py", PYTHONPATH=site)
    assert "4 passed" in output


async def test_a_virtual_environment_in_the_workspace_can_be_made_and_used(yard: Yard) -> None:
    await works(
        yard, f"{PYTHON} -m venv --without-pip .venv && .venv/bin/python -c 'import sqlite3'"
    )
    assert (yard.root / ".venv" / "bin" / "python").exists()


async def test_make_and_a_compiler_work(yard: Yard) -> None:
    needs("make", "cc")
    yard.write("project/main.c", "int main(void) { return 0; }\n")
    yard.write("project/Makefile", "all: main\n\t./main\n\tmkdir -p out && mv main out/\n")
    await works(yard, "make -s")
    assert (yard.root / "out" / "main").exists()


async def test_npm_runs_the_tests_of_a_package(yard: Yard) -> None:
    needs("npm", "node")
    yard.write("project/package.json", '{"scripts": {"test": "node t.js"}}')
    yard.write("project/t.js", "require('fs').writeFileSync('ran', '')")
    await works(yard, "npm test --silent", HOME=str(yard.root))
    assert (yard.root / "ran").exists()


async def test_cargo_builds_a_crate(yard: Yard) -> None:
    needs("cargo", "cc")
    yard.write("project/Cargo.toml", '[package]\nname = "a"\nversion = "0.1.0"\nedition = "2021"\n')
    yard.write("project/src/main.rs", "fn main() {}\n")
    homes = {"CARGO_HOME": f"{HOME}/.cargo", "RUSTUP_HOME": f"{HOME}/.rustup"}
    await works(yard, "cargo build --offline --quiet && target/debug/a", **homes)


async def test_a_cache_of_a_toolchain_is_written_to_and_the_rest_of_the_home_is_not(
    yard: Yard,
) -> None:
    cache = yard.home / ".cache" / "pip"
    cache.mkdir(parents=True)
    await works(yard, f"touch {cache}/x && ! touch {yard.home}/y 2>/dev/null")
    assert [file.name for file in cache.iterdir()] == ["x"]
