"""A project directory, a context in it, and calls made as the agent makes them.

`run` runs under blockbuster: a tool that blocks the event loop fails its test.
"""

import os
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
from blockbuster import blockbuster_ctx
from msgspec import Struct

from crush.permissions.rules import Need
from crush.tools.base import AnyTool, ToolContext, ToolResult
from crush.tools.jobs import Jobs
from crush.tools.registry import core_tools
from crush.wire.events import JobUpdated
from crush.wire.ids import RunId, SessionId, ToolCallId
from tests.fakes.file_log import FakeFileLog
from tests.fakes.sandbox import no_sandbox
from tests.fakes.surroundings import FakeAsker, FakeFacts, FakeTodos, FakeWayOut


class Call:
    """One call between asking and running, where the world may change."""

    def __init__(self, tool: AnyTool, arguments: dict[str, object], context: ToolContext) -> None:
        self._tool = tool.tool
        self._context = context
        self._args: Struct = tool.parse(msgspec.json.encode(arguments).decode())

    async def needs(self) -> Sequence[Need]:
        return await anyio.to_thread.run_sync(self._tool.needs, self._args, self._context)

    async def run(self) -> ToolResult:
        with blockbuster_ctx("crush"):
            return await self._tool.run(self._args, self._context)


class Caller:
    """Calls tools by name, as the agent does: needs first, then run."""

    def __init__(self, context: ToolContext) -> None:
        self.context = context
        self.live: list[str] = []
        self._tools = {tool.name: tool for tool in core_tools(sandbox=no_sandbox)}

    def replace_tool(self, tool: AnyTool) -> None:
        self._tools[tool.name] = tool

    def prepare(self, name: str, **arguments: object) -> Call:
        context = msgspec.structs.replace(self.context, emit_output=self.live.append)
        return Call(self._tools[name], arguments, context)

    async def need(self, name: str, **arguments: object) -> Need:
        (need,) = await self.prepare(name, **arguments).needs()
        return need

    async def __call__(self, name: str, **arguments: object) -> ToolResult:
        call = self.prepare(name, **arguments)
        await call.needs()
        return await call.run()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The working directory; its neighbours in `tmp_path` are outside."""
    directory = tmp_path.resolve() / "project"
    directory.mkdir()
    return directory


@pytest.fixture
def job_events() -> list[JobUpdated]:
    """What the jobs of a test told, in order."""
    return []


@pytest.fixture
async def jobs(tmp_path: Path, job_events: list[JobUpdated]) -> AsyncIterator[Jobs]:
    """They end with the test."""

    async def publish(event: JobUpdated) -> None:
        job_events.append(event)

    async with anyio.create_task_group() as tasks:
        jobs = Jobs(directory=str(tmp_path / "output"), tasks=tasks, publish=publish)
        yield jobs
        await jobs.close()


@pytest.fixture
def context(project: Path, tmp_path: Path, jobs: Jobs) -> ToolContext:
    home = tmp_path.resolve() / "home"
    home.mkdir()
    return ToolContext(
        session_id=SessionId("session"),
        run_id=RunId("run"),
        call_id=ToolCallId("call"),
        cwd=str(project),
        env={"PATH": os.environ["PATH"], "HOME": str(home)},
        umask=0o022,
        tmp=str(tmp_path.resolve() / "session-tmp"),
        fence=None,
        files=FakeFileLog(),
        todos=FakeTodos(),
        jobs=jobs,
        asker=FakeAsker(),
        facts=FakeFacts(),
        emit_output=lambda text: None,
        escape=FakeWayOut(),
    )


@pytest.fixture
def call(context: ToolContext) -> Caller:
    return Caller(context)
