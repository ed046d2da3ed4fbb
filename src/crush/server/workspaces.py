"""Workspaces as classic clients know them: a directory with an id, on a project.

First come decides the environment and the skip flag's start; both belong to classic prompts only.
"""

import os
import uuid
from collections.abc import Mapping
from contextlib import AsyncExitStack

import anyio
import anyio.to_thread

from crush.agent.project import Project
from crush.config.load import load_config
from crush.errors import NotFoundError, UsageError
from crush.server.claims import Claims
from crush.server.projects import Projects
from crush.wire.ids import WorkspaceId
from crush.wire.requests import CreateWorkspace


class Workspace:
    """One directory that classic clients work in."""

    def __init__(
        self,
        *,
        path: str,
        real_path: str,
        data_dir: str,
        env: Mapping[str, str],
        skip: bool,
        project: Project,
        keeps: AsyncExitStack,
    ) -> None:
        self.id = WorkspaceId(str(uuid.uuid4()))
        self.path = path
        self.real_path = real_path
        self.data_dir = data_dir
        self.env = env
        self.skip = skip  # of permission prompts, for later classic prompts
        self.project = project
        self.keeps = keeps


class Workspaces:
    """The live workspaces, by id and by place."""

    def __init__(self, *, projects: Projects, claims: Claims) -> None:
        self._projects = projects
        self._claims = claims
        self._by_id: dict[WorkspaceId, Workspace] = {}
        self._creating = anyio.Lock()

    def find(self, workspace_id: str) -> Workspace:
        """Raises NotFoundError: the client registers again."""
        workspace = self._by_id.get(WorkspaceId(workspace_id))
        if workspace is None:
            raise NotFoundError("workspace not found")
        return workspace

    def all(self) -> list[Workspace]:
        return list(self._by_id.values())

    async def create(self, wanted: CreateWorkspace) -> Workspace:
        """The workspace of a directory, new or as it is. Raises UsageError without a path."""
        if not wanted.path:
            raise UsageError("path is required")
        if not os.path.isabs(wanted.path) or "\0" in wanted.path:
            raise UsageError(f"path {wanted.path!r} is not absolute", hint="resolve it first")
        env = _environment(wanted.env or [])
        real_path = await anyio.to_thread.run_sync(os.path.realpath, wanted.path)
        config = await anyio.to_thread.run_sync(
            lambda: load_config(real_path, env, data_dir=wanted.data_dir)
        )
        async with self._creating:
            for workspace in self._by_id.values():
                if (workspace.real_path, workspace.data_dir) == (real_path, config.data_dir):
                    return workspace
            keeps = AsyncExitStack()
            project = await keeps.enter_async_context(self._projects.use(config.data_dir))
            workspace = Workspace(
                path=wanted.path,
                real_path=real_path,
                data_dir=config.data_dir,
                env=env,
                skip=wanted.yolo,
                project=project,
                keeps=keeps,
            )
            self._by_id[workspace.id] = workspace
        return workspace

    async def close_unclaimed(self) -> None:
        """Give up workspaces that nobody claims and that do nothing."""
        self._claims.sweep()
        for workspace in list(self._by_id.values()):
            if not self._claims.of(workspace.id) and not workspace.project.is_busy:
                del self._by_id[workspace.id]
                await workspace.keeps.aclose()


def _environment(pairs: list[str]) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in pairs if "=" in pair)
