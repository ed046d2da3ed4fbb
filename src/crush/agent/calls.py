"""The tool calls of one step: read-only ones at once and in parallel, the others in their order.

A read-only call starts as soon as it is complete in the stream, unless a call that changes something
stands before it: then it must see that change, so it waits for its place. Results are told when the
answer is complete: until then the provider may be asked again, and a result that was told stays.
"""

import logging
from collections.abc import Mapping, Sequence
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup

from crush.agent.draft import Draft
from crush.agent.fencing import Fencing
from crush.agent.gate import Gate
from crush.agent.journal import Journal
from crush.agent.json_texts import change_texts, texts_in
from crush.agent.live_output import LiveOutput
from crush.agent.whole_messages import result_message
from crush.config.secret_values import Secrets
from crush.errors import ToolError
from crush.providers.base import ToolCallReady
from crush.tools.base import AnyTool, ToolContext, ToolResult
from crush.wire import codec
from crush.wire.ids import ToolCallId
from crush.wire.parts import ToolCall
from crush.wire.parts import ToolResult as ResultPart

READS_AT_ONCE = 16  # each may be a process and a thread

log = logging.getLogger(__name__)


class _Call:
    def __init__(self, event: ToolCallReady, tool: AnyTool | None) -> None:
        self.event = event
        self.tool = tool
        self.started = False
        self.result: ResultPart | None = None
        self.told = False
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
        fencing: Fencing,
        journal: Journal,
        secrets: Secrets,
        tasks: TaskGroup,
    ) -> None:
        self._tools = tools
        self._context = context
        self._gate = gate
        self._fencing = fencing
        self._journal = journal
        self._secrets = secrets
        self._tasks = tasks
        self._reading = anyio.CapacityLimiter(READS_AT_ONCE)
        self._calls: list[_Call] = []
        self._is_streaming = False
        self.stopped = False

    def begin(self) -> None:
        """A step begins."""
        self._calls = []
        self._is_streaming = True

    def ready(self, event: ToolCallReady) -> None:
        """A call is complete in the stream."""
        call = _Call(event, self._tools.get(event.name))
        self._calls.append(call)
        if all(other.is_read_only for other in self._calls):
            self._start(call)

    def void(self) -> None:
        """The provider is asked again: calls of the broken attempt do not count."""
        for call in self._calls:
            call.scope.cancel()
        self._calls = []

    async def finish(self) -> None:
        """The answer is complete: run what is left and wait for everything."""
        self._is_streaming = False
        for call in self._calls:
            self._tell(call)
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

    def settle(self, draft: Draft, *, why: str) -> list[ResultPart]:
        """Give every call of the answer its one result, in their order, told.

        A call that has none by now was cut off, in the stream or while it ran, and `why` says so.
        """
        finished = {call.event.id: call for call in self._calls if call.result is not None}
        results: list[ResultPart] = []
        for made in draft.calls():
            call = finished.get(made.id)
            if call is not None and call.result is not None:
                self._tell(call)
                results.append(call.result)
                continue
            if not made.finished:
                draft.tool_call(made.id, made.name, "{}", finished=True)
            results.append(_cut_off(made, why))
            self._journal.add_whole(result_message(results[-1], self._journal.run))
        return results

    def _start(self, call: _Call) -> None:
        if not call.started:
            call.started = True
            self._tasks.start_soon(self._run, call)

    async def _run(self, call: _Call) -> None:
        with call.scope:
            call.result = await self._result_part(call)
            if not (self._is_streaming or call.scope.cancel_called):
                self._tell(call)
        call.done.set()

    def _tell(self, call: _Call) -> None:
        if call.result is not None and not call.told:
            call.told = True
            self._journal.add_whole(result_message(call.result, self._journal.run))

    async def _result_part(self, call: _Call) -> ResultPart:
        """What the call returns; failure of any kind becomes a result that the model can read."""
        name = call.event.name
        try:
            part = self._part(call, await self._result(call))
            codec.encode(part)  # what cannot be written must not take the turn with it
        except ToolError as exc:
            part = self._part(call, _failure(exc.message))
        except Exception:
            log.exception("tool %s failed", name)
            part = self._part(
                call, _failure(f"{name} failed for a reason inside crush; see `crush logs`.")
            )
        return part

    def _check_placeholders(self, args: msgspec.Struct) -> None:
        """What a model was shown in the place of a secret must not be written back as its value."""
        texts = [*texts_in(msgspec.to_builtins(args))]
        for name in self._secrets.names:
            if any(f"[secret {name}]" in text for text in texts):
                raise ToolError(
                    f"The text contains [secret {name}], which stands for a value that you do not "
                    "see. Use edit, and leave that part of the file out of both strings."
                )

    def _part(self, call: _Call, result: ToolResult) -> ResultPart:
        """What the model and everybody else gets to see: without the values of secrets."""
        hide, metadata = self._secrets.hide, result.metadata_json()
        return ResultPart(
            tool_call_id=call.event.id,
            name=call.event.name,
            content=hide(result.content),
            data=result.data,
            mime_type=result.mime_type,
            metadata=change_texts(metadata.encode(), hide).decode() if metadata else "",
            is_error=result.is_error,
        )

    async def _result(self, call: _Call) -> ToolResult:
        if self.stopped:
            return _failure("Not run: the turn was stopped.")
        if call.tool is None:
            known = ", ".join(sorted(self._tools)) or "none"
            return _failure(f"There is no tool {call.event.name!r}. Tools: {known}.")
        try:
            args = call.tool.parse(call.event.input)
        except (msgspec.DecodeError, RecursionError) as exc:
            return _failure(f"The arguments of {call.event.name} are not valid: {exc}.")
        output = LiveOutput(self._journal, ToolCallId(call.event.id), secrets=self._secrets)
        try:
            return await self._permitted(call, call.tool, args, output)
        finally:
            output.end()

    async def _permitted(
        self, call: _Call, tool: AnyTool, args: msgspec.Struct, output: LiveOutput
    ) -> ToolResult:
        # Only who names `/tmp` can mean the fenced one: looking for a sandbox takes its time.
        may_mean_tmp = "/tmp" in call.event.input  # noqa: S108 - the model's word, nothing is opened
        mounted = await self._fencing.mounted() if may_mean_tmp else None
        context = msgspec.structs.replace(
            self._context,
            call_id=ToolCallId(call.event.id),
            fence=mounted,
            emit_output=output.grow,
        )
        try:
            judged = await anyio.to_thread.run_sync(
                lambda: self._gate.judge(tool.tool.needs(args, context))
            )
        except ToolError:
            if not tool.read_only:  # more useful than that the text is not in the file
                self._check_placeholders(args)
            raise
        if any(item.need.kind == "write" for item in judged):
            self._check_placeholders(args)
        verdict = await self._gate.check(call.event.id, judged)
        if not verdict.allowed:
            self.stopped = self.stopped or verdict.stop
            return _failure(verdict.text)
        if any(item.need.kind == "execute" for item in judged):
            context = msgspec.structs.replace(
                context,
                fence=verdict.fence,
                only_reads=verdict.only_reads,
                escape=partial(self._gate.let_out, call.event.id, judged),
            )
        if tool.read_only:
            async with self._reading:
                return await tool.tool.run(args, context)
        result = await tool.tool.run(args, context)
        self.stopped = self.stopped or result.stop
        return result


async def _wait(calls: Sequence[_Call]) -> None:
    for call in calls:
        await call.done.wait()


def _failure(text: str) -> ToolResult:
    return ToolResult(content=text, is_error=True)


def _cut_off(call: ToolCall, why: str) -> ResultPart:
    return ResultPart(tool_call_id=call.id, name=call.name, content=why, is_error=True)
