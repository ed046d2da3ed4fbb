"""Tools whose calls a test holds, counts and decides; in the place of real ones."""

from collections.abc import Callable, Mapping, Sequence
from typing import cast

import anyio
from msgspec import Struct

from crush.permissions.rules import Kind, Need
from crush.sandbox.fence import Fence
from crush.tools.base import AnyTool, Tool, ToolContext, ToolResult


class FakeArgs(Struct, frozen=True, kw_only=True):
    """`key` names the call in the test."""

    key: str
    number: int = 0


Outcome = ToolResult | Exception


class FakeTool:
    """Every call returns its key, unless the test says otherwise.

    Attributes:
        begun, ended: keys, in order.
        held: calls that wait for their event before they return.
        outcomes: what calls return or raise instead.
        needed: what calls would touch.
        output: what calls show while they run.
        most: how many ran at once at most.
        fences: what bounded each call.
    """

    args_type = FakeArgs
    description = "does what the test says"

    def __init__(self, name: str, *, read_only: bool) -> None:
        self.name = name
        self.read_only = read_only
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.held: dict[str, anyio.Event] = {}
        self.outcomes: dict[str, Outcome] = {}
        self.needed: Callable[[str], Sequence[Need]] = lambda key: []
        self.output: Mapping[str, str] = {}
        self.most = 0
        self.fences: dict[str, Fence | None] = {}
        self._changed = anyio.Event()

    def needs(self, args: FakeArgs, context: ToolContext) -> Sequence[Need]:
        return self.needed(args.key)

    async def run(self, args: FakeArgs, context: ToolContext) -> ToolResult:
        self.fences[args.key] = context.fence
        self._note(self.begun, args.key)
        self.most = max(self.most, len(self.begun) - len(self.ended) - len(self.cancelled))
        try:
            if text := self.output.get(args.key):
                context.emit_output(text)
            if hold := self.held.get(args.key):
                await hold.wait()
            else:
                await anyio.lowlevel.checkpoint()
        except anyio.get_cancelled_exc_class():
            self._note(self.cancelled, args.key)
            raise
        self._note(self.ended, args.key)
        outcome = self.outcomes.get(args.key, ToolResult(content=f"result of {args.key}"))
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def hold(self, *keys: str) -> None:
        for key in keys:
            self.held[key] = anyio.Event()

    def release(self, *keys: str) -> None:
        for key in keys:
            self.held[key].set()

    async def wait_begun(self, *keys: str) -> None:
        """Until these calls run."""
        while not set(keys) <= set(self.begun):
            await self._changed.wait()

    async def wait_cancelled(self, *keys: str) -> None:
        while not set(keys) <= set(self.cancelled):
            await self._changed.wait()

    def _note(self, where: list[str], key: str) -> None:
        where.append(key)
        self._changed.set()
        self._changed = anyio.Event()


def as_any(tool: FakeTool) -> AnyTool:
    """The tool as the agent holds it."""
    return AnyTool(
        name=tool.name,
        description=tool.description,
        parameters={"type": "object", "properties": {"key": {"type": "string"}}},
        read_only=tool.read_only,
        tool=cast("Tool[Struct]", tool),
    )


def need(
    target: str, *, kind: Kind = "execute", tool: str = "change", directory: str = "/work"
) -> Need:
    return Need(
        tool=tool,
        action=kind,
        kind=kind,
        target=target,
        directory=directory,
        description=f"{kind} {target}",
    )
