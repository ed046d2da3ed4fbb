"""One project database at work: accepts prompts, runs its sessions, tells its feed.

Directories that share a data directory share a project. The server owns the task group in which
sessions work, so one project's end is not another's.
"""

import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio
import msgspec
from anyio.abc import TaskGroup
from msgspec import Struct

from crush import paths
from crush.agent.feed import Feed
from crush.agent.fencing import FindSandbox
from crush.agent.pending import StoredPending
from crush.agent.prompt import Prompts
from crush.agent.prompted import Prompted
from crush.agent.questions import Questions
from crush.agent.session_actor import CutReason, SessionActor
from crush.agent.setup import Setup
from crush.agent.titles import title_from
from crush.agent.tooling import Toolbox
from crush.agent.turn import Workshop
from crush.agent.whole_messages import started_events, user_message
from crush.config.secret_log import SecretFilter
from crush.config.settings import ChosenModel
from crush.errors import ConflictError, NotFoundError, UsageError
from crush.permissions.broker import Broker
from crush.permissions.decision import BuildJudge
from crush.providers.base import Provider
from crush.store.change import Acceptance, Change, QueuedPrompt
from crush.store.store import Store
from crush.tools.base import AnyTool
from crush.tools.jobs import Jobs
from crush.wire.events import JobUpdated, RunUpdated
from crush.wire.ids import RunId, SessionId
from crush.wire.messages import Mode, Run, Session
from crush.wire.parts import Part, TextPart

log = logging.getLogger(__name__)

END_WITHIN_S = 10.0
# A person may be at lunch; a process may not wait for ever.
ANSWER_WITHIN_S = 30 * 60.0


class Order(Struct, frozen=True, kw_only=True):
    """A prompt as the server hands it in; see `Prompted` for what the fields mean.

    `session` None makes a new one. `run_id` "" lets us choose; `anonymous` says that the sender gave
    none, so that classic clients are not shown one.
    """

    parts: Sequence[Part]
    session: Session | None
    model: ChosenModel
    cwd: str
    env: Mapping[str, str]
    umask: int
    mode: Mode
    read_only: bool
    setup: Setup
    detached: bool
    steers: bool
    max_steps: int
    timeout_s: float
    run_id: RunId
    anonymous: bool
    idempotency_key: str


class Project:
    """The sessions of one database."""

    def __init__(
        self,
        *,
        store: Store,
        last_seq: int,
        tools: Mapping[str, AnyTool],
        build_judge: BuildJudge,
        find_sandbox: FindSandbox,
        log_path: str,
        log_secrets: SecretFilter,
        prompts: Prompts,
        build_provider: Callable[[ChosenModel], Provider],
        tasks: TaskGroup,
        on_busy: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self.store = store
        self.feed = Feed(epoch=store.epoch, last_seq=last_seq)
        self.broker = Broker(
            pending=StoredPending(store=store, feed=self.feed), answer_within_s=ANSWER_WITHIN_S
        )
        self.questions = Questions(store=store, feed=self.feed, answer_within_s=ANSWER_WITHIN_S)
        self.jobs = Jobs(
            directory=paths.sessions_tmp(os.environ), tasks=tasks, publish=self._tell_of_job
        )
        self._workshop = Workshop(
            store=store,
            toolbox=Toolbox(
                store=store,
                broker=self.broker,
                questions=self.questions,
                tools=tools,
                jobs=self.jobs,
                build_judge=build_judge,
                find_sandbox=find_sandbox,
                log_path=log_path,
                log_secrets=log_secrets,
            ),
            prompts=prompts,
            build_provider=build_provider,
        )
        self._tasks = tasks
        self._on_busy = on_busy
        self._on_idle = on_idle
        self._actors: dict[SessionId, SessionActor] = {}
        self._accepting = anyio.Lock()
        self._closing = False
        self._drained = anyio.Event()

    @property
    def is_busy(self) -> bool:
        return bool(self._actors)

    @property
    def is_needed(self) -> bool:
        """Whether closing it would end something: a run, or a background job."""
        return self.is_busy or self.jobs.running > 0

    def actor(self, session_id: SessionId) -> SessionActor | None:
        """The worker of a session that has something to do."""
        return self._actors.get(session_id)

    def actors(self) -> Sequence[SessionActor]:
        """The workers of all sessions that have something to do."""
        return list(self._actors.values())

    def is_live(self, run_id: RunId) -> bool:
        return any(run_id in actor.runs() for actor in self._actors.values())

    async def accept(self, order: Order) -> Acceptance:
        """Commit a prompt and start or queue it. Accepted means committed.

        A repeated idempotency key answers with the run that it made before.
        """
        if not any(
            not isinstance(part, TextPart) or part.data.text.strip() for part in order.parts
        ):
            raise UsageError("no prompt provided", hint="give words, or pipe them in")
        async with self._accepting:
            if self._closing:
                raise ConflictError("the server is stopping", hint="try again")
            session = order.session or _new_session()
            if order.session is not None and not session.message_count:
                session = await self.store.session(session.id)  # it may have begun meanwhile
            if not session.message_count and session.title in _PLACEHOLDERS:
                session = _titled(session, order.parts)
            actor = self._actors.get(session.id)
            run = _new_run(order, session.id)
            change, stored = _acceptance(
                run, session, order, is_queued=actor is not None, is_new=order.session is None
            )
            accepted = await self.store.accept(
                change, idempotency_key=order.idempotency_key, publish=self.feed.publish
            )
            if accepted.repeated:
                return accepted
            self._start(order, run, stored=stored)
        return accepted

    def _start(self, order: Order, run: Run, *, stored: bool) -> None:
        session_id = run.session_id
        actor = self._actors.get(session_id)
        prompted = Prompted(
            run=run,
            parts=order.parts,
            stored=stored,
            steers=order.steers,
            model=order.model,
            cwd=order.cwd,
            env=order.env,
            umask=order.umask,
            setup=order.setup,
            max_steps=order.max_steps,
            timeout_s=order.timeout_s,
            can_ask=lambda: self.feed.can_answer(session_id),
        )
        if actor is not None:
            actor.put(prompted)
            return
        actor = SessionActor(session_id=session_id, workshop=self._workshop, feed=self.feed)
        actor.put(prompted)
        if not self._actors:
            self._on_busy()
        self._actors[session_id] = actor
        self._tasks.start_soon(self._serve, actor)

    async def _serve(self, actor: SessionActor) -> None:
        try:
            await actor.serve()
        finally:
            del self._actors[actor.session_id]
            if not self._actors:
                self._on_idle()
                if self._closing:
                    self._drained.set()

    async def cancel_run(self, run_id: RunId) -> bool:
        """Cut one run; False if it is not running or queued here."""
        for actor in list(self._actors.values()):
            if run_id in actor.runs():
                return await actor.cancel(run_id)
        return False

    async def cancel_session(self, session_id: SessionId) -> bool:
        """Cut everything that the session accepted so far."""
        actor = self._actors.get(session_id)
        return False if actor is None else await actor.cancel()

    async def _tell_of_job(self, event: JobUpdated) -> None:
        await self.store.commit(Change(events=[(event.run_id, event)]), publish=self.feed.publish)

    async def find_session(self, reference: str) -> Session:
        """A session by id or unique prefix of its short id. Raises NotFoundError."""
        found = await self.store.find_sessions(reference)
        if not found:
            raise NotFoundError(
                f"session {reference!r} not found", hint="`crush session list` shows them"
            )
        if len(found) > 1:
            raise NotFoundError(
                f"session {reference!r} is ambiguous ({len(found)} matches)",
                hint="give more characters; `crush session list` shows them",
            )
        return found[0]

    async def last_session(self) -> Session:
        newest = await self.store.sessions(limit=1)
        if not newest:
            raise NotFoundError("no sessions found to continue", hint="start one without -C")
        return newest[0]

    async def close(self, *, why: CutReason = "interrupted") -> None:
        """Cut what runs, wait for its end to be stored, close the streams and the database.

        A run whose tool cannot be stopped in time is left: the next start settles it.
        """
        async with self._accepting:  # what is being accepted now is cut as well
            self._closing = True
        with anyio.move_on_after(END_WITHIN_S) as waiting:
            async with anyio.create_task_group() as cuts:
                for actor in list(self._actors.values()):
                    cuts.start_soon(partial(actor.cancel, why=why))
            if self._actors:
                await self._drained.wait()
        if waiting.cancelled_caught:
            log.error("sessions that did not end in time: %s", ", ".join(self._actors))
        await self.jobs.close()
        self.feed.close()
        await self.store.close()


_PLACEHOLDERS = frozenset({"", "non-interactive", "New Session", "Untitled Session"})


def _new_session() -> Session:
    now = int(time.time())
    return Session(id=SessionId(str(uuid.uuid4())), created_at=now, updated_at=now)


def _titled(session: Session, parts: Sequence[Part]) -> Session:
    text = "\n".join(part.data.text for part in parts if isinstance(part, TextPart))
    return msgspec.structs.replace(session, title=title_from(text))


def _new_run(order: Order, session_id: SessionId) -> Run:
    return Run(
        id=order.run_id or RunId(str(uuid.uuid4())),
        session_id=session_id,
        state="queued",
        mode=order.mode,
        read_only=order.read_only,
        detached=order.detached,
        anonymous=order.anonymous,
        created_at_ms=int(time.time() * 1000),
    )


def _acceptance(
    run: Run, session: Session, order: Order, *, is_queued: bool, is_new: bool
) -> tuple[Change, bool]:
    """What acceptance writes; whether the user message is part of it (not while another turn runs)."""
    sessions = [session] if is_new or not session.message_count else []
    if is_queued:
        queued = RunUpdated(session_id=session.id, run=run)
        change = Change(
            sessions=sessions,
            runs=[run],
            prompts=[QueuedPrompt(run_id=run.id, parts=order.parts)],
            events=[(run.id, queued)],
            durable=True,
        )
        return change, False
    message = user_message(order.parts, run)
    change = Change(
        sessions=sessions,
        messages=[message],
        runs=[run],
        events=started_events(run, message),
        durable=True,
    )
    return change, True
