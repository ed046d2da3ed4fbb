"""The fence of one run: found when a command needs it for the first time, then the same to the end.

Only runs in mode `workspace` have one. In `ask` a person sees every command, in `yolo` nobody wants to.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

import anyio
import anyio.to_thread

from crush import paths
from crush.permissions.rules import Rule, is_within
from crush.sandbox.fence import Fence, MakesFences
from crush.wire.messages import Mode

FindSandbox = Callable[[], Awaitable[MakesFences]]


class Fencing:
    """Answers whether, and with which limits, commands of this run can be fenced.

    `rules` are all of the run, and may block.
    """

    def __init__(
        self,
        *,
        find_sandbox: FindSandbox,
        mode: Mode,
        cwd: str,
        data_dir: str,
        tmp: str,
        env: Mapping[str, str],
        rules: Callable[[], Sequence[Rule]],
    ) -> None:
        self._find_sandbox = find_sandbox
        self._mode = mode
        self._cwd = cwd
        self._data_dir = data_dir
        self._tmp = tmp
        self._env = env
        self._rules = rules
        self._lock = anyio.Lock()
        self._found = False
        self._fence: Fence | None = None
        self._mounts = False
        self._admit: Callable[[str], None] | None = None
        self.remedy = ""

    def admit(self, path: str) -> None:
        """Somebody allowed this protected path to be made: it is no doing of a command."""
        if self._admit is not None:
            self._admit(path)

    async def mounted(self) -> Fence | None:
        """The fence if the session's directory is `/tmp` in it: then file tools see that one too."""
        fence = await self.fence()
        return fence if self._mounts else None

    async def fence(self) -> Fence | None:
        """None: this run's commands have no fence."""
        if self._mode != "workspace":
            return None
        async with self._lock:
            if not self._found:
                self._fence = await self._look()
                self._found = True
        return self._fence

    async def _look(self) -> Fence | None:
        sandbox = await self._find_sandbox()
        self.remedy = sandbox.remedy
        if sandbox.kind == "none" or not sandbox.can_fence(self._cwd):
            return None
        if is_within(self._cwd, self._data_dir):  # to hide it would hide the project
            return None
        self._admit = sandbox.admit
        self._mounts = sandbox.kind == "bubblewrap"
        return await anyio.to_thread.run_sync(self._make, sandbox)

    def _make(self, sandbox: MakesFences) -> Fence:
        allowed = [r for r in self._rules() if r.effect == "allow" and r.is_written]
        opens = any(rule.kind == "host" and rule.pattern == "*" for rule in allowed)
        return sandbox.make_fence(
            cwd=self._cwd,
            data_dir=self._data_dir,
            session_tmp=self._tmp,
            home=paths.home(self._env),
            rules_writable=[*_writable(allowed, home=paths.home(self._env))],
            network=opens,
        )


def _writable(allowed: Sequence[Rule], *, home: str) -> Iterator[str]:
    """Whole directories that somebody allowed to write to."""
    for rule in allowed:
        directory = rule.pattern.removesuffix("/**")
        if rule.kind == "write" and directory != rule.pattern:
            if directory.startswith("~/"):
                directory = home + directory[1:]
            if os.path.isabs(directory):
                yield directory
