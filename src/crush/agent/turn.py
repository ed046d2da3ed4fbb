"""One turn from its stored beginning to its single end: builds the loop, settles what was cut off."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.to_thread
import msgspec
from msgspec import Struct

from crush.agent.calls import CallRunner
from crush.agent.draft import Draft
from crush.agent.history import turns_from
from crush.agent.journal import Journal
from crush.agent.loop import Loop, TurnEnd
from crush.agent.prompt import Prompts, fill, surroundings
from crush.agent.prompted import Prompted
from crush.agent.tooling import Toolbox, call_runner, tools_of
from crush.config.settings import ChosenModel
from crush.errors import LimitError
from crush.providers.base import ModelRequest, Provider, ToolSpec, Usage, UserTurn
from crush.providers.weights import CHATS_ONLY
from crush.store.change import SessionUsage
from crush.store.store import Store
from crush.tools.base import AnyTool
from crush.wire.events import Notice
from crush.wire.parts import FinishReason

Steer = Callable[[], Awaitable[Sequence[UserTurn]]]


class Workshop(Struct, frozen=True, kw_only=True):
    """What every turn of a project works with."""

    store: Store
    toolbox: Toolbox
    prompts: Prompts
    build_provider: Callable[[ChosenModel], Provider]


class Turn:
    """A running turn. The session actor owns its scope and commits its end."""

    def __init__(
        self, *, workshop: Workshop, journal: Journal, prompted: Prompted, steer: Steer
    ) -> None:
        self._workshop = workshop
        self._journal = journal
        self._prompted = prompted
        self._steer = steer
        self._loop: Loop | None = None
        self._calls: CallRunner | None = None

    @property
    def draft(self) -> Draft | None:
        return None if self._loop is None else self._loop.draft

    async def run(self) -> None:
        """Until the model is done. Raises LimitError at a ceiling, CrushError when it fails."""
        prompted = self._prompted
        with self._workshop.toolbox.log_secrets.keeping_out(prompted.setup.secrets):
            await self._run_in_time(prompted)

    async def _run_in_time(self, prompted: Prompted) -> None:
        if not prompted.timeout_s:
            end = await self._work()
        else:
            with anyio.move_on_after(prompted.timeout_s) as scope:
                end = await self._work()
            if scope.cancelled_caught:
                raise LimitError(
                    f"the time limit of {prompted.timeout_s:g} s was reached",
                    hint="raise --timeout, or continue the session with -C",
                )
        if end == "limit":
            raise LimitError(
                f"the limit of {prompted.max_steps} steps was reached",
                hint="raise --max-steps, or continue the session with -C",
            )

    async def _work(self) -> TurnEnd:
        run = self._journal.run
        small = [CHATS_ONLY] if self._prompted.model.small else []
        for text in (*self._prompted.setup.notices, *small):
            self._journal.note(Notice(session_id=run.session_id, run_id=run.id, text=text))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._journal.keep_flushing)
            tools = tools_of(self._workshop.toolbox, self._prompted)
            self._calls = await call_runner(
                self._workshop.toolbox,
                tools=tools,
                prompted=self._prompted,
                journal=self._journal,
                tasks=tasks,
            )
            self._loop = Loop(
                provider=self._workshop.build_provider(self._prompted.model),
                request=await self._request(tuple(map(_spec, tools.values()))),
                provider_id=self._prompted.model.provider.id,
                journal=self._journal,
                calls=self._calls,
                steer=self._steer,
                count=self._count,
            )
            end = await self._loop.run(max_steps=self._prompted.max_steps)
            tasks.cancel_scope.cancel()
        return end

    async def _request(self, tools: tuple[ToolSpec, ...]) -> ModelRequest:
        model = self._prompted.model
        session = await self._workshop.store.session(self._journal.run.session_id)
        messages = await self._workshop.store.messages(session.id)
        place = surroundings(self._prompted.cwd, created_at=session.created_at)
        prompts = self._workshop.prompts

        def build() -> ModelRequest:
            return ModelRequest(
                model=model.info.id,
                system=fill(
                    prompts.small if model.small else prompts.coder, place
                ),  # a prefix is the adapter's to add
                turns=turns_from(messages, summary_message_id=session.summary_message_id),
                tools=tools,
                max_tokens=model.selected.max_tokens or model.info.default_max_tokens,
                temperature=model.selected.temperature,
                top_p=model.selected.top_p,
                reasoning_effort=model.selected.reasoning_effort,
                think=model.selected.think,
                session_key=session.id,
            )

        # A long conversation is not the event loop's to read.
        return await anyio.to_thread.run_sync(build)

    def _count(self, usage: Usage | None) -> None:
        run = self._journal.run
        if usage is None:
            self._journal.set_run(msgspec.structs.replace(run, steps=run.steps + 1))
            return
        cost = price(usage, self._prompted.model)
        context = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        self._journal.noted.add_usage(
            SessionUsage(
                session_id=run.session_id,
                prompt_tokens=context,
                completion_tokens=usage.output_tokens,
                cost=cost,
            )
        )
        self._journal.set_run(
            msgspec.structs.replace(
                run,
                steps=run.steps + 1,
                input_tokens=run.input_tokens + usage.input_tokens,
                output_tokens=run.output_tokens + usage.output_tokens,
                cache_read_tokens=run.cache_read_tokens + usage.cache_read_tokens,
                cache_write_tokens=run.cache_write_tokens + usage.cache_write_tokens,
                cost=run.cost + cost,
            )
        )

    def settle(self, reason: FinishReason, *, message: str) -> None:
        """Give every open call a result and the open message its end: the turn was cut."""
        draft = self.draft
        if draft is None or draft.is_finished:
            return
        if self._calls is not None:
            self._calls.settle(draft, why=f"Not finished: {message}.")
        draft.finish(reason, message=message)


def price(usage: Usage, model: ChosenModel) -> float:
    """USD of one request. The catalogue's "in cached" prices cache writes, "out cached" reads."""
    if model.provider.flat_rate:
        return 0.0
    info = model.info
    return (
        usage.input_tokens * info.cost_per_1m_in
        + usage.output_tokens * info.cost_per_1m_out
        + usage.cache_write_tokens * info.cost_per_1m_in_cached
        + usage.cache_read_tokens * info.cost_per_1m_out_cached
    ) / 1_000_000


def _spec(tool: AnyTool) -> ToolSpec:
    return ToolSpec(tool.name, tool.description, tool.parameters)
