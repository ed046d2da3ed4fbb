"""A workspace with everything that is protected, things outside it, and running commands in it.

It lies in `/var/tmp`: behind a fence `/tmp` is another directory, so nothing there proves anything.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from crush.sandbox.child import FencedChild
from crush.sandbox.fence import Fence
from crush.sandbox.sandbox import Sandbox, make_fence
from crush.sandbox.walls import available_walls

GIT_ENV = {
    **{f"GIT_{who}_NAME": "Ann" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ann@example.com" for who in ("AUTHOR", "COMMITTER")},
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}
ENV = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "LC_ALL": "C.UTF-8", **GIT_ENV}


class Yard:
    """Directories of one test."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.root = top / "project"
        self.tmp = top / "session"
        self.home = top / "home"
        self.hidden = top / "runtime"
        self.outside = top / "outside"
        for directory in (self.root, self.tmp, self.home, self.hidden, self.outside):
            directory.mkdir(exist_ok=True)

    def fence(self, *, network: bool = False, writable: Sequence[str] = ()) -> Fence:
        return make_fence(
            cwd=str(self.root),
            data_dir=str(self.root / ".crush"),
            session_tmp=str(self.tmp),
            home=str(self.home),
            rules_writable=writable,
            network=network,
        )

    def write(self, path: str, text: str = "x\n") -> Path:
        file = self.top / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def git(self, *arguments: str, cwd: Path | None = None) -> str:
        return subprocess.run(
            ["git", *arguments],  # noqa: S607 - the caller's
            cwd=cwd or self.root,
            env=ENV,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    def sandbox(self, kind: str) -> Sandbox:
        return sandbox_of(kind, [str(self.hidden)])


class Ended:
    """A command's end: its exit status, what it wrote, and what the fence says."""

    def __init__(self, returncode: int, output: str, notices: Sequence[str]) -> None:
        self.returncode = returncode
        self.output = output
        self.notices = notices


def kinds() -> list[str]:
    return [wall.kind for wall in available_walls()]


def sandbox_of(kind: str, hidden: Sequence[str]) -> Sandbox:
    wall = next(wall for wall in available_walls() if wall.kind == kind)
    return Sandbox(wall=wall, hidden=hidden, reason="", remedy="")


async def start(
    sandbox: Sandbox,
    fence: Fence,
    argv: Sequence[str],
    *,
    output: int,
    env: Mapping[str, str] | None = None,
    cwd: str = "",
) -> FencedChild:
    return await sandbox.start(
        argv,
        fence=fence,
        cwd=cwd or fence.root,
        env={**ENV, **(env or {})},
        umask=0o022,
        stdout=output,
        stderr=output,
    )


async def run(
    sandbox: Sandbox,
    fence: Fence,
    *argv: str,
    env: Mapping[str, str] | None = None,
    cwd: str = "",
) -> Ended:
    with tempfile.TemporaryFile() as output:
        child = await start(sandbox, fence, argv, output=output.fileno(), env=env, cwd=cwd)
        returncode = await child.wait()
        output.seek(0)
        return Ended(returncode, output.read().decode(errors="replace"), child.notices)


async def shell(
    sandbox: Sandbox,
    fence: Fence,
    command: str,
    *,
    env: Mapping[str, str] | None = None,
    cwd: str = "",
) -> Ended:
    return await run(sandbox, fence, "/bin/sh", "-c", command, env=env, cwd=cwd)


@contextlib.contextmanager
def new_yard() -> Iterator[Yard]:
    top = Path(tempfile.mkdtemp(prefix="yard-", dir="/var/tmp"))
    try:
        yield Yard(top)
    finally:
        shutil.rmtree(top)


@contextlib.contextmanager
def standing_server(yard: Yard) -> Iterator[dict[str, str]]:
    """What an attack reaches for: listeners, a token, and a process with something to hide."""
    name = f"attack-{os.getpid()}"
    with contextlib.ExitStack() as opened:
        for address in (str(yard.hidden / "server.sock"), "\0" + name):
            listener = opened.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(address)
            listener.listen()
        tcp = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        server = subprocess.Popen(["/bin/sleep", "1000"], env={"ATTACK_MARKER": "1"})
        try:
            yield {
                "root": str(yard.root),
                "outside": str(yard.outside),
                "server": str(server.pid),
                "socket": str(yard.hidden / "server.sock"),
                "abstract": name,
                "port": str(tcp.getsockname()[1]),
                "token": str(yard.hidden / "token"),
                "key": str(yard.home / ".ssh" / "id_ed25519"),
            }
        finally:
            server.send_signal(signal.SIGKILL)
            server.wait()


def fill(yard: Yard) -> None:
    """A repository with nested ones, files that other programs obey, and keys."""
    yard.git("init", "-q")
    for path in ("AGENTS.md", ".vscode/settings.json", "src/CLAUDE.md", "src/main.py"):
        yard.write(f"project/{path}")
    for path in ("outside/file", "outside/doomed", "home/.ssh/id_ed25519", "runtime/token"):
        yard.write(path)
    yard.git("init", "-q", "lib")
    yard.git("init", "-q", "--bare", "innocent")


def interpreter(uid: int) -> str:
    """A Python that `uid` can start; "" if there is none."""
    for path in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        if os.path.exists(path) and (uid == os.getuid() or _is_open(path)):
            return path
    return ""


def _is_open(path: str) -> bool:
    parents = [Path(path), *Path(os.path.realpath(path)).parents]
    return all(parent.stat().st_mode & 0o001 for parent in parents)
