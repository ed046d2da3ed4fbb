"""Starting runs and looking after them: from a request to an accepted prompt, and who owns it.

A run of `POST /v1/runs` that is not detached belongs to whoever follows its session: when nobody has
for the grace, it is cancelled, and so are the background jobs that it left (architecture §5).
"""

import os
import uuid
from collections.abc import Mapping, Sequence

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from crush.agent.feed import Subscription
from crush.agent.project import Order, Project
from crush.agent.setup import Setup
from crush.config.choose import choose_model
from crush.config.discovery import project_files, user_files
from crush.config.load import Config, load_config
from crush.config.secret_names import secret_names
from crush.config.secret_values import secret_values
from crush.config.settings import ChosenModel
from crush.errors import UsageError
from crush.permissions.defaults import rules_for
from crush.permissions.rule_text import env_passes, rules_from
from crush.server.workspaces import Workspace
from crush.tools.registry import OFF_BY_DEFAULT
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Mode, Session
from crush.wire.parts import Binary, BinaryPart, Part, Text, TextPart
from crush.wire.requests import AgentMessage, StartRun


class Place:
    """Where a run works, as its configuration says: resolved directory, data directory, model.

    Raises ConfigError for a rule that cannot be read.
    """

    __slots__ = (
        "_client_env",
        "_files",
        "_hidden",
        "_project",
        "_secrets",
        "_user",
        "config",
        "cwd",
        "env",
        "model",
    )

    def __init__(
        self, *, cwd: str, config: Config, model: ChosenModel, client_env: Mapping[str, str]
    ) -> None:
        env = {**client_env, **config.env}
        self.cwd = cwd
        self.config = config
        self.model = model
        self.env = env
        self._client_env = client_env
        self._user = rules_from(config.permissions, source="user")
        self._project = rules_from(config.project_permissions, source="project")
        passed = env_passes([*self._user, *self._project])
        self._hidden = secret_names(config, env, passed=passed)
        self._secrets = secret_values(config, env, model.provider)
        self._files = (*user_files(cwd, env), *project_files(cwd))

    def setup(self, mode: Mode, *, read_only: bool) -> Setup:
        """What holds for a run here, but for what is granted."""
        config = self.config
        off = OFF_BY_DEFAULT - frozenset(config.options.enabled_tools)
        return Setup(
            rules=rules_for(
                mode, read_only=read_only, root=self.cwd, user=self._user, project=self._project
            ),
            limits=config.tools,
            left_out=off | frozenset(config.options.disabled_tools),
            hidden=self._hidden,
            secrets=self._secrets,
            client_env=self._client_env,
            notices=config.notices,
            loaded=config.files,
            missing=[path for path in self._files if path not in config.files],
        )


async def find_place(
    path: str,
    env: Mapping[str, str],
    *,
    data_dir: str = "",
    model: str = "",
    small_model: str = "",
) -> Place:
    """Judge directory and configuration for one run. Raises UsageError, ConfigError.

    A small model that was asked for must exist, though nothing uses it yet.
    """

    def look() -> Place:
        if not os.path.isabs(path) or "\0" in path:
            raise UsageError(f"the working directory {path!r} is not an absolute path")
        cwd = os.path.realpath(path)
        if not os.path.isdir(cwd):
            raise UsageError(f"the working directory {path!r} does not exist")
        config = load_config(cwd, env, data_dir=data_dir)
        chosen = choose_model(config, env, wanted=model)
        if small_model:
            choose_model(config, env, wanted=small_model, kind="small")
        return Place(cwd=cwd, config=config, model=chosen, client_env=env)

    return await anyio.to_thread.run_sync(look)


def order_from(start: StartRun, place: Place, session: Session | None, *, key: str) -> Order:
    """The order that `POST /v1/runs` asks for."""
    return Order(
        parts=[TextPart(Text(text=start.prompt))],
        session=session,
        model=place.model,
        cwd=place.cwd,
        env=place.env,
        umask=start.umask,
        mode=start.mode,
        read_only=start.read_only,
        setup=place.setup(start.mode, read_only=start.read_only),
        detached=start.detach,
        steers=False,
        max_steps=start.max_steps,
        timeout_s=start.timeout_s,
        run_id=RunId(str(uuid.uuid4())),
        anonymous=False,
        idempotency_key=key,
    )


def classic_order(
    message: AgentMessage, place: Place, session: Session, workspace: Workspace, *, key: str
) -> Order:
    """The order that a classic prompt makes; one without a run id may steer a running turn."""
    mode: Mode = "yolo" if workspace.skip else "ask"
    return Order(
        parts=_classic_parts(message),
        session=session,
        model=place.model,
        cwd=place.cwd,
        env=place.env,
        umask=0o022,
        mode=mode,
        read_only=False,
        setup=place.setup(mode, read_only=False),
        detached=True,
        steers=not message.run_id,
        max_steps=0,
        timeout_s=0.0,
        run_id=RunId(message.run_id or str(uuid.uuid4())),
        anonymous=not message.run_id,
        idempotency_key=key,
    )


def _classic_parts(message: AgentMessage) -> Sequence[Part]:
    return [
        TextPart(Text(text=message.prompt)),
        *(
            BinaryPart(Binary(path=file.file_path, mime_type=file.mime_type, data=file.content))
            for file in message.attachments or ()
        ),
    ]


class Owners:
    """Watches over runs that end when nobody follows them."""

    def __init__(self, *, tasks: TaskGroup, grace_s: float) -> None:
        self._tasks = tasks
        self._grace_s = grace_s
        self._owned: dict[RunId, tuple[Project, SessionId]] = {}
        self._left_at: dict[RunId, float] = {}  # when the last follower of a run left

    def own(self, project: Project, run_id: RunId, session_id: SessionId) -> None:
        """This run lives only while somebody follows it."""
        self._owned[run_id] = (project, session_id)

    def look(self, project: Project, stream: Subscription) -> None:
        """A stream of this project began or ended: who still follows what it followed?"""
        for run_id in self._followed_by(project, stream):
            session_id = self._owned[run_id][1]
            if not project.is_live(run_id) and not _left_jobs(project, run_id):
                del self._owned[run_id]
                self._left_at.pop(run_id, None)
            elif project.feed.followers(session_id, run_id):
                self._left_at.pop(run_id, None)
            elif run_id not in self._left_at:
                self._left_at[run_id] = anyio.current_time()
                self._tasks.start_soon(self._end_later, project, run_id, self._left_at[run_id])

    def _followed_by(self, project: Project, stream: Subscription) -> list[RunId]:
        if stream.run_id is not None:
            return [stream.run_id] if stream.run_id in self._owned else []
        return [
            run_id
            for run_id, (owner, session_id) in self._owned.items()
            if owner is project and stream.wants(session_id, run_id)
        ]

    async def _end_later(self, project: Project, run_id: RunId, left_at: float) -> None:
        """First the run; its jobs when no later run of the session may ask for them either."""
        await anyio.sleep(self._grace_s)
        while self._left_at.get(run_id) == left_at:  # nobody has come since
            session_id = self._owned[run_id][1]
            if not await project.cancel_run(run_id) and project.actor(session_id) is None:
                del self._owned[run_id], self._left_at[run_id]
                await project.jobs.end_of_run(run_id)
                return
            await anyio.sleep(self._grace_s)


def _left_jobs(project: Project, run_id: RunId) -> bool:
    """Whether background jobs of this run go on."""
    return any(job.run_id == run_id and job.state == "running" for job in project.jobs.listed())
