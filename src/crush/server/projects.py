"""The open projects: one per data directory, opened once, closed when nobody needs it."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from crush.agent.fencing import FindSandbox
from crush.agent.project import Project
from crush.agent.prompt import Prompts
from crush.config.secret_log import SecretFilter
from crush.config.settings import ChosenModel
from crush.errors import ClosingError
from crush.permissions.decision import BuildJudge
from crush.providers.base import Provider
from crush.server.lifetime import Lifetime
from crush.server.memory import give_back
from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.startup import recover_all
from crush.store.store import Store
from crush.tools.base import AnyTool
from crush.wire.ids import RunId

KEEP_OPEN_S = 30.0


class _Open:
    def __init__(self) -> None:
        self.lock = anyio.Lock()
        self.project: Project | None = None
        self.users = 0
        self.idle_since = 0.0


class Projects:
    """Opens projects on demand; a busy one holds the server."""

    def __init__(
        self,
        *,
        registry: Registry,
        owner: str,
        tools: Mapping[str, AnyTool],
        build_judge: BuildJudge,
        find_sandbox: FindSandbox,
        log_path: str,
        log_secrets: SecretFilter,
        prompts: Prompts,
        build_provider: Callable[[ChosenModel], Provider],
        tasks: TaskGroup,
        lifetime: Lifetime,
    ) -> None:
        self._registry = registry
        self._owner = owner
        self._tools = tools
        self._build_judge = build_judge
        self._find_sandbox = find_sandbox
        self._log_path = log_path
        self._log_secrets = log_secrets
        self._prompts = prompts
        self._build_provider = build_provider
        self._tasks = tasks
        self._lifetime = lifetime
        self._open: dict[str, _Open] = {}
        self._closing = False

    @asynccontextmanager
    async def use(self, data_dir: str) -> AsyncIterator[Project]:
        """The project of a data directory; it stays open at least as long as the block."""
        # One database, whatever links lead to it.
        data_dir = await anyio.to_thread.run_sync(os.path.realpath, data_dir)
        if self._closing:
            raise ClosingError("server is shutting down", hint="try again")
        entry = self._open.setdefault(data_dir, _Open())
        entry.users += 1
        try:
            async with entry.lock:
                await _let_go_if_moved(entry)
                if entry.project is None:
                    await self._let_go_of_moved()
                    entry.project = await self._create(data_dir)
                project = entry.project
            yield project
        finally:
            entry.users -= 1
            entry.idle_since = anyio.current_time()

    @asynccontextmanager
    async def of_run(self, run_id: RunId) -> AsyncIterator[Project | None]:
        """The project that a run belongs to, None for an unknown run."""
        data_dir = await self._registry.data_dir_of(run_id)
        if data_dir is None:
            yield None
            return
        async with self.use(data_dir) as project:
            yield project

    async def recover(self, listed: Mapping[str, Sequence[RunId]]) -> None:
        """End what dead servers left unfinished, as the registry listed it at the start."""
        await recover_all(listed, registry=self._registry, opened=self._store)

    @asynccontextmanager
    async def _store(self, data_dir: str) -> AsyncIterator[Store]:
        async with self.use(data_dir) as project:
            yield project.store

    async def _let_go_of_moved(self) -> None:
        """A project that was renamed is asked for under its new name, and one process opens it once."""
        for entry in list(self._open.values()):
            if entry.project is not None and not entry.users and not entry.lock.locked():
                async with entry.lock:
                    await _let_go_if_moved(entry)

    async def _create(self, data_dir: str) -> Project:
        store = await Store.open(
            data_dir, owner=self._owner, registry=self._registry, limits=Limits()
        )
        return Project(
            store=store,
            last_seq=await store.last_seq(),
            tools=self._tools,
            build_judge=self._build_judge,
            find_sandbox=self._find_sandbox,
            log_path=self._log_path,
            log_secrets=self._log_secrets,
            prompts=self._prompts,
            build_provider=self._build_provider,
            tasks=self._tasks,
            on_busy=self._lifetime.take,
            on_idle=self._lifetime.release,
        )

    def busy(self) -> list[Project]:
        return [
            entry.project
            for entry in self._open.values()
            if entry.project is not None and entry.project.is_busy
        ]

    async def close_idle(self) -> None:
        """Close what nobody has used for a while, so that others can open it."""
        closed = 0
        for data_dir, entry in list(self._open.items()):
            if entry.users or entry.lock.locked():
                continue
            is_due = anyio.current_time() - entry.idle_since >= KEEP_OPEN_S
            if entry.project is None or (is_due and not entry.project.is_needed):
                # Whoever comes meanwhile waits, for two cannot have the same files open.
                async with entry.lock:
                    project, entry.project = entry.project, None
                    if project is not None:
                        await project.close()
                        closed += 1
                if not entry.users:
                    del self._open[data_dir]
        if closed:
            await anyio.to_thread.run_sync(give_back)

    async def close(self) -> None:
        """End everything at a committed step."""
        self._closing = True
        async with anyio.create_task_group() as tasks:
            for entry in self._open.values():
                if entry.project is not None:
                    tasks.start_soon(entry.project.close)


async def _let_go_if_moved(entry: _Open) -> None:
    """Close a database that was moved or removed, unless it is in use: then its users are told."""
    project = entry.project
    if project is None or project.is_busy or entry.users > 1:
        return
    if not await anyio.to_thread.run_sync(project.store.is_in_place):
        entry.project = None
        await project.close()
