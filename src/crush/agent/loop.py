"""One turn: ask the model, run the tools, append, again. No HTTP, SQL or UI in here."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

from crush.agent.calls import CallRunner
from crush.agent.draft import Draft
from crush.agent.history import object_text, result_block
from crush.agent.journal import Journal
from crush.providers.base import (
    Answer,
    AssistantTurn,
    ModelRequest,
    Provider,
    ReasoningBlock,
    ReasoningDelta,
    ReasoningEnded,
    RetryWaiting,
    StreamEvent,
    TextBlock,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolTurn,
    ToolUseBlock,
    Turn,
    Usage,
    UserTurn,
)
from crush.wire.events import RetryScheduled
from crush.wire.parts import FinishReason, ReasoningPart, TextPart, ToolCallPart

TurnEnd = Literal["done", "limit", "stopped"]


class Step(Struct, frozen=True, kw_only=True):
    """What one request to the model brought."""

    draft: Draft
    answer: Answer


class Loop:
    """A turn of one session; the collaborators are those of its run."""

    def __init__(
        self,
        *,
        provider: Provider,
        request: ModelRequest,
        provider_id: str,
        journal: Journal,
        calls: CallRunner,
        steer: Callable[[], Awaitable[Sequence[UserTurn]]],
        count: Callable[[Usage | None], None],
    ) -> None:
        self._provider = provider
        self._request = request
        self._provider_id = provider_id
        self._journal = journal
        self._calls = calls
        self._steer = steer
        self._count = count
        self.draft: Draft | None = None

    async def run(self, *, max_steps: int) -> TurnEnd:
        """Until the model has nothing more to do. `max_steps` 0: no ceiling.

        "limit": the ceiling came first. "stopped": a person refused a call.
        """
        turns: list[Turn] = list(self._request.turns)
        steps = 0
        while True:
            if max_steps and steps >= max_steps:
                return "limit"
            steps += 1
            _append_users(turns, await self._steer())
            step = await self._ask(turns)
            if not step.draft.calls():
                step.draft.finish(_finish_reason(step.answer))
                if late := await self._steer():
                    _append_answer(turns, step.draft)
                    _append_users(turns, late)
                    continue
                return "done"
            results = await self._calls.finish()
            stopped = self._calls.stopped
            step.draft.finish("end_turn" if stopped else "tool_use")
            if stopped:
                return "stopped"
            _append_answer(turns, step.draft)
            turns.append(
                ToolTurn(tuple(result_block(result, name=result.name) for result in results))
            )

    async def _ask(self, turns: Sequence[Turn]) -> Step:
        """One request; read-only calls start while the answer still streams."""
        draft = Draft(self._journal, model=self._request.model, provider=self._provider_id)
        self.draft = draft
        request = msgspec.structs.replace(self._request, turns=tuple(turns))
        self._calls.begin(draft)

        def emit(event: StreamEvent) -> None:
            match event:
                case TextDelta():
                    draft.text(event.text)
                case ReasoningDelta():
                    draft.reasoning(event.text)
                case ReasoningEnded():
                    draft.end_reasoning(event.signature)
                case ToolCallStarted():
                    draft.tool_call(event.id, event.name, "", finished=False)
                case ToolCallReady():
                    draft.tool_call(event.id, event.name, event.input, finished=True)
                    self._calls.ready(event)
                case RetryWaiting():
                    self._calls.void()
                    draft.reset()
                    self._journal.note(
                        RetryScheduled(
                            session_id=self._journal.run.session_id,
                            run_id=self._journal.run.id,
                            attempt=event.attempt,
                            wait_ms=int(event.wait_s * 1000),
                            message=event.message,
                        )
                    )

        answer = await self._provider.respond(request, emit)
        self._count(answer.usage)
        return Step(draft=draft, answer=answer)


def _finish_reason(answer: Answer) -> FinishReason:
    match answer.stop:
        case "end_turn" | "tool_use":  # a tool stop without a call is an end
            return "end_turn"
        case "max_tokens" | "content_filter" | "unknown":
            return answer.stop


def _append_users(turns: list[Turn], users: Sequence[UserTurn]) -> None:
    for user in users:
        if turns and isinstance(last := turns[-1], UserTurn):
            turns[-1] = UserTurn((*last.blocks, *user.blocks))
        else:
            turns.append(user)


def _append_answer(turns: list[Turn], draft: Draft) -> None:
    blocks: list[TextBlock | ReasoningBlock | ToolUseBlock] = []
    for part in draft.parts():
        if isinstance(part, TextPart) and part.data.text.strip():
            blocks.append(TextBlock(part.data.text))
        elif isinstance(part, ReasoningPart) and part.data.thinking.strip():
            blocks.append(ReasoningBlock(part.data.thinking, part.data.signature))
        elif isinstance(part, ToolCallPart):
            call = part.data
            blocks.append(ToolUseBlock(call.id, call.name, object_text(call)))
    if any(not isinstance(block, ReasoningBlock) for block in blocks):
        turns.append(AssistantTurn(tuple(blocks)))
