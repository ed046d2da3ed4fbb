"""One turn: ask the model, run the tools, append, again. No HTTP, SQL or UI in here."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Literal

import msgspec

from crush.agent.calls import CallRunner
from crush.agent.draft import Draft
from crush.agent.history import CallIds, append_answer, append_user
from crush.agent.journal import Journal
from crush.providers.base import (
    Answer,
    AssistantTurn,
    ModelRequest,
    Provider,
    ReasoningDelta,
    ReasoningEnded,
    RetryWaiting,
    StopReason,
    StreamEvent,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    ToolUseBlock,
    Turn,
    Usage,
    UserTurn,
)
from crush.wire.events import RetryScheduled
from crush.wire.parts import FinishReason

TurnEnd = Literal["done", "limit", "stopped"]


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
        self._ids = CallIds()
        for turn in request.turns:
            for block in turn.blocks if isinstance(turn, AssistantTurn) else ():
                if isinstance(block, ToolUseBlock):
                    self._ids.own(block.id)
        self.draft: Draft | None = None

    async def run(self, *, max_steps: int) -> TurnEnd:
        """Until the model has nothing more to do. `max_steps` 0: no ceiling.

        "limit": the ceiling came first. "stopped": a person refused a call.
        """
        turns: list[Turn] = list(self._request.turns)
        steps = 0
        while not max_steps or steps < max_steps:
            steps += 1
            await self._take_up(turns)
            draft = self.draft = Draft(
                self._journal, model=self._request.model, provider=self._provider_id
            )
            answer = await self._ask(draft, turns)
            if not draft.calls():
                draft.finish(_finish_reason(answer))
                append_answer(turns, draft.parts(), ())
                if not await self._take_up(turns):
                    return "done"
                continue
            await self._calls.finish()
            results = self._calls.settle(draft, why=_CUT_OFF.get(answer.stop, _BROKEN))
            draft.finish("end_turn" if self._calls.stopped else "tool_use")
            if self._calls.stopped:
                return "stopped"
            append_answer(turns, draft.parts(), results)
        return "limit"

    async def _take_up(self, turns: list[Turn]) -> bool:
        """What the user said meanwhile, behind everything that was said before."""
        users = await self._steer()
        for user in users:
            append_user(turns, user)
        return bool(users)

    async def _ask(self, draft: Draft, turns: Sequence[Turn]) -> Answer:
        """One request; read-only calls start while the answer still streams."""
        request = msgspec.structs.replace(self._request, turns=tuple(turns))
        self._calls.begin()
        answer = await self._provider.respond(request, partial(self._take, draft, {}))
        self._count(answer.usage)
        return answer

    def _take(self, draft: Draft, ids: dict[str, str], event: StreamEvent) -> None:
        """One event of the stream. `ids` holds our ids of the calls of this step."""
        match event:
            case TextDelta():
                draft.text(event.text)
            case ReasoningDelta():
                draft.reasoning(event.text)
            case ReasoningEnded():
                draft.end_reasoning(event.signature)
            case ToolCallStarted() | ToolCallReady():
                if event.id not in ids:
                    ids[event.id] = self._ids.own(event.id)
                self._take_call(draft, msgspec.structs.replace(event, id=ids[event.id]))
            case RetryWaiting():
                self._calls.void()
                draft.reset()
                run = self._journal.run
                self._journal.note(
                    RetryScheduled(
                        session_id=run.session_id,
                        run_id=run.id,
                        attempt=event.attempt,
                        wait_ms=int(event.wait_s * 1000),
                        message=event.message,
                    )
                )

    def _take_call(self, draft: Draft, event: ToolCallStarted | ToolCallReady) -> None:
        if any(call.id == event.id and call.finished for call in draft.calls()):
            return  # said twice, meant once
        if isinstance(event, ToolCallStarted):
            draft.tool_call(event.id, event.name, "", finished=False)
        else:
            draft.tool_call(event.id, event.name, event.input, finished=True)
            self._calls.ready(event)


_CUT_OFF: dict[StopReason, str] = {
    "max_tokens": "Not run: the answer reached its limit of tokens within this call. Say less at once."
}
_BROKEN = "Not run: the answer ended within this call."


def _finish_reason(answer: Answer) -> FinishReason:
    match answer.stop:
        case "end_turn" | "tool_use":  # a tool stop without a call is an end
            return "end_turn"
        case "max_tokens" | "content_filter" | "unknown":
            return answer.stop
