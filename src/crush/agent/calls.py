"""The tool calls of one step: read-only ones at once and in parallel, the others in their order.

A read-only call starts as soon as it is complete in the stream, unless a call that changes something
stands before it: then it must see that change, so it waits for its place.
"""

import logging
from collections.abc import Mapping, Sequence

import anyio
import msgspec
from anyio.abc import TaskGroup

from crush.agent.draft import Draft
from crush.agent.feed import GrowingText
from crush.agent.gate import Gate
from crush.agent.journal import Journal
from crush.agent.whole_messages import result_message
from crush.errors import ToolError
from crush.providers.base import ToolCallReady
from crush.tools.base import AnyTool, ToolContext, ToolResult
from crush.wire.ids import ToolCallId
from crush.wire.parts import ToolResult as ResultPart

log = logging.getLogger(__name__)


class _Call:
    def __init__(self, event: ToolCallReady, tool: AnyTool | None) -> None:
        self.event = event
        self.tool = tool
        self.started = False
        self.result: ResultPart | None = None
        self.done = anyio.Event()
        self.scope = anyio.CancelScope()

    @property
    def is_read_only(self) -> bool:
        return self.tool is None or self.tool.read_only


class CallRunner:
    """Runs the calls of a turn, step by step, in the turn's task group."""

    def __init__(
        self,
        *,
        tools: Mapping[str, AnyTool],
        context: ToolContext,
        gate: Gate,
        journal: Journal,
        tasks: TaskGroup,
    ) -> None:
        self._tools = tools
        self._context = context
        self._gate = gate
        self._journal = journal
        self._tasks = tasks
        self._calls: list[_Call] = []
        self._draft: Draft | None = None
        self.stopped = False

    def begin(self, draft: Draft) -> None:
        """A step begins."""
        self._draft = draft
        self._calls = []

    def ready(self, event: ToolCallReady) -> None:
        """A call is complete in the stream; an id that the model repeats counts once."""
        if any(call.event.id == event.id for call in self._calls):
            return
        call = _Call(event, self._tools.get(event.name))
        self._calls.append(call)
        if all(other.is_read_only for other in self._calls):
            self._start(call)

    def void(self) -> None:
        """The provider is asked again: calls of the broken attempt do not count."""
        for call in self._calls:
            call.scope.cancel()
        self._calls = []

    async def finish(self) -> list[ResultPart]:
        """Run what is left and wait for everything; results in the order of the calls."""
        batch: list[_Call] = []
        for call in self._calls:
            if call.is_read_only:
                self._start(call)
                batch.append(call)
                continue
            await _wait(batch)
            batch = []
            self._start(call)
            await call.done.wait()
        await _wait(batch)
        return [call.result for call in self._calls if call.result is not None]

    def answered(self) -> set[str]:
        """The ids of the calls of this step that have their result."""
        return {call.event.id for call in self._calls if call.result is not None}

    def _start(self, call: _Call) -> None:
        if not call.started:
            call.started = True
            self._tasks.start_soon(self._run, call)

    async def _run(self, call: _Call) -> None:
        with call.scope:
            if self.stopped:
                result = ToolResult(content="Not run: the turn was stopped.", is_error=True)
            else:
                result = await self._result(call)
            call.result = ResultPart(
                tool_call_id=call.event.id,
                name=call.event.name,
                content=result.content,
                data=result.data,
                mime_type=result.mime_type,
                metadata=result.metadata_json(),
                is_error=result.is_error,
            )
            self._journal.add_whole(result_message(call.result, self._journal.run))
        call.done.set()

    async def _result(self, call: _Call) -> ToolResult:
        """What the call returns; failure of any kind becomes a result that the model can read."""
        if call.tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return _failure(f"There is no tool {call.event.name!r}. Tools: {known}.")
        try:
            args = call.tool.parse(call.event.input)
        except (msgspec.ValidationError, msgspec.DecodeError) as exc:
            return _failure(f"The arguments of {call.event.name} are not valid: {exc}.")
        output = self._journal.start_output(ToolCallId(call.event.id))
        try:
            return await self._permitted(call, call.tool, args, output)
        except ToolError as exc:
            return _failure(exc.message)
        except Exception:
            log.exception("tool %s failed", call.event.name)
            return _failure(
                f"{call.event.name} failed for a reason inside crush; see `crush logs`."
            )
        finally:
            self._journal.end_output(output)

    async def _permitted(
        self, call: _Call, tool: AnyTool, args: msgspec.Struct, output: GrowingText
    ) -> ToolResult:
        context = msgspec.structs.replace(
            self._context, emit_output=lambda text: self._journal.feed.grow(output, text)
        )
        needs = await anyio.to_thread.run_sync(tool.tool.needs, args, context)
        verdict = await self._gate.check(call.event.id, needs)
        if not verdict.allowed:
            self.stopped = self.stopped or verdict.stop
            return _failure(verdict.text)
        return await tool.tool.run(args, context)


async def _wait(calls: Sequence[_Call]) -> None:
    for call in calls:
        await call.done.wait()


def _failure(text: str) -> ToolResult:
    return ToolResult(content=text, is_error=True)
