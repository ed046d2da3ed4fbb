"""A project on a real store with a scripted provider and scripted tools: the place of every test."""

import os
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.abc import TaskGroup

from crush.agent.fencing import FindSandbox
from crush.agent.project import Order, Project
from crush.agent.prompt import load_prompts
from crush.agent.setup import Setup
from crush.config.schema import ToolLimits
from crush.config.secret_log import SecretFilter
from crush.config.settings import ChosenModel, ProviderSettings
from crush.permissions.defaults import rules_for
from crush.permissions.judge import build_judge
from crush.permissions.known_commands import KnownCommands
from crush.permissions.rules import Rule
from crush.providers.base import Provider
from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.store import Store
from crush.tools.base import AnyTool
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Message, Mode, Run
from crush.wire.parts import Part, Text, TextPart
from crush.wire.requests import ModelInfo, SelectedModel
from tests.agent.listener import Listener
from tests.agent.shapes import shape
from tests.fakes.provider import FakeProvider
from tests.fakes.sandbox import no_sandbox
from tests.fakes.tools import FakeTool, as_any

MODEL = "model"


def chosen(model: str = MODEL, *, small: bool = False) -> ChosenModel:
    return ChosenModel(
        provider=ProviderSettings(id="fake", type="openai-compat"),
        info=ModelInfo(id=model, name=model, cost_per_1m_in=1.0, cost_per_1m_out=2.0),
        selected=SelectedModel(model=model, provider="fake"),
        small=small,
    )


@cache
def known_commands() -> KnownCommands:
    return KnownCommands.load()


class Bench:
    """One project, open for the length of the `async with`.

    `read`, `read2` and `change` are its tools; `provider` answers for every model that is not in
    `providers`.
    """

    def __init__(self, directory: Path, *, limits: Limits | None = None) -> None:
        self.directory = directory
        self.cwd = os.path.realpath(directory)
        self.data_dir = os.path.join(self.cwd, ".crush")
        self.limits = limits or Limits()
        self.provider = FakeProvider()
        self.providers: dict[str, Provider] = {}
        self.read = FakeTool("read", read_only=True)
        self.change = FakeTool("change", read_only=False)
        self.tools: Mapping[str, AnyTool] = {
            tool.name: as_any(tool) for tool in (self.read, self.change)
        }
        self.prompts = load_prompts()
        self.busy: list[bool] = []
        self.secrets: dict[str, str] = {}
        self.rules: Sequence[Rule] = ()  # the user's
        self.find_sandbox: FindSandbox = no_sandbox
        self._tasks: TaskGroup = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        self.registry = await Registry.open(os.path.join(self.cwd, "state", "registry.db"))
        self.store = await Store.open(
            self.data_dir, owner="this server", registry=self.registry, limits=self.limits
        )
        await self._tasks.__aenter__()
        self.project = Project(
            store=self.store,
            last_seq=await self.store.last_seq(),
            tools=self.tools,
            build_judge=lambda **run: build_judge(known_commands(), **run),
            find_sandbox=self.find_sandbox,
            log_path=os.path.join(self.cwd, "server.log"),
            log_secrets=SecretFilter(),
            prompts=self.prompts,
            build_provider=lambda model: self.providers.get(model.info.id, self.provider),
            tasks=self._tasks,
            on_busy=lambda: self.busy.append(True),
            on_idle=lambda: self.busy.append(False),
        )
        self.ear = self.listen()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            await self.project.close()
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(kind, error, traceback)
        await self.store.close()
        await self.registry.close()

    def listen(self, *, session_id: SessionId | None = None, can_answer: bool = False) -> Listener:
        return Listener(self.project.feed, session_id=session_id, can_answer=can_answer)

    async def send(
        self,
        prompt: str = "hi",
        *,
        session_id: SessionId | None = None,
        steers: bool = False,
        mode: Mode = "yolo",
        read_only: bool = False,
        model: ChosenModel | None = None,
        max_steps: int = 0,
        timeout_s: float = 0.0,
        parts: Sequence[Part] = (),
        key: str = "",
    ) -> Run:
        """Accept a prompt."""
        order = Order(
            parts=parts or [TextPart(Text(text=prompt))],
            session=None if session_id is None else await self.store.session(session_id),
            model=model or chosen(),
            cwd=self.cwd,
            env={},
            umask=0o022,
            mode=mode,
            read_only=read_only,
            setup=Setup(
                rules=rules_for(
                    mode, read_only=read_only, root=self.cwd, user=self.rules, project=()
                ),
                limits=ToolLimits(),
                left_out=frozenset(),
                hidden=frozenset(),
                secrets=self.secrets,
                client_env={"HOME": os.path.join(self.cwd, "home")},
                notices=(),
                loaded=(),
                missing=(),
            ),
            detached=True,
            steers=steers,
            max_steps=max_steps,
            timeout_s=timeout_s,
            run_id=RunId(""),
            anonymous=False,
            idempotency_key=key,
        )
        return (await self.project.accept(order)).run

    async def ended(self, run: Run) -> Run:
        """The run as its `run_complete` tells it."""
        return await self.ear.end_of(run.id)

    async def idle(self) -> None:
        """Until no session has anything to do."""
        while self.project.is_busy:
            await anyio.lowlevel.checkpoint()

    async def run(
        self, prompt: str = "hi", *, session_id: SessionId | None = None, max_steps: int = 0
    ) -> Run:
        """Send, and wait for the end."""
        run = await self.send(prompt, session_id=session_id, max_steps=max_steps)
        ended = await self.ended(run)
        await self.idle()
        return ended

    async def log(self, run: Run) -> list[str]:
        """What happened in a run, in the words of `shapes`."""
        found = await self.store.events_of_run(run.id, 0)
        assert found is not None
        return [shape(item.event) for item in found]

    async def messages(self, run: Run) -> list[Message]:
        return await self.store.messages(run.session_id)
