"""A user's machine in a directory: home, runtime files, projects, and the real `crush` to run there."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

CRUSH = [str(Path(sys.executable).with_name("crush"))]
DEADLINE_S = 15.0


class Machine:
    """Isolated directories and one server address; `close` ends the server that was started."""

    def __init__(self, root: Path, *, model_url: str) -> None:
        self.root = root
        self.home = root / "home"
        self.home.mkdir()
        self.socket = root / "s.sock"
        self.host = f"unix://{self.socket}"
        self.model_url = model_url
        self.env = {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
            "CRUSH_CLIENT_SERVER": "1",
        }

    def project(self, name: str, *, configured: bool = True, **provider: object) -> Path:
        """A directory to work in, with a `crush.json` that names the scripted model."""
        directory = self.root / name
        directory.mkdir()
        if configured:
            (directory / "crush.json").write_text(json.dumps(self.config(**provider)))
        return directory

    def config(self, **provider: object) -> dict[str, object]:
        model = {"id": "m", "name": "M", "context_window": 200_000, "default_max_tokens": 4096}
        entry = {
            "type": "openai-compat",
            "base_url": f"{self.model_url}/v1",
            "api_key": "test-key",
            "models": [model],
            **provider,
        }
        return {
            "providers": {"fake": entry},
            "models": {"large": {"provider": "fake", "model": "m"}},
        }

    def command(self, project: Path, *arguments: str) -> list[str]:
        return [*CRUSH, "--host", self.host, "--cwd", str(project), *arguments]

    def start(
        self, project: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """A `crush` in the background."""
        return subprocess.Popen(
            self.command(project, *arguments),
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(
        self, project: Path, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A `crush` to its end."""
        return ended(self.start(project, *arguments, env=env))

    def server_pid(self) -> int:
        """Of the server that holds the lock."""
        return int(json.loads(Path(f"{self.socket}.lock").read_text())["pid"])

    def server_log(self) -> str:
        logs = self.home.glob(".cache/crush/server-*/stderr.log")
        return "".join(log.read_text() for log in logs)

    def close(self) -> None:
        with suppress(FileNotFoundError, ProcessLookupError, json.JSONDecodeError):
            pid = self.server_pid()
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not is_alive(pid))


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Its end, within the deadline."""
    try:
        out, err = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"{process.args!r} did not end; it said {out!r} and {err!r}") from None
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def all_ended(
    processes: Sequence[subprocess.Popen[str]],
) -> list[subprocess.CompletedProcess[str]]:
    return [ended(process) for process in processes]


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rsplit(")", 1)[1].split()[0] != "Z"


def wait_until(condition: Callable[[], object], *, within_s: float = DEADLINE_S) -> None:
    """Wait for a condition of another process, which nothing but looking can tell."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("the condition did not come true in time")
        time.sleep(0.01)
