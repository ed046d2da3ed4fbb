"""Pending requests: asked, answered once, withdrawn or too late; and what is remembered."""

import anyio
import msgspec
import pytest

from crush.errors import StoreError
from crush.permissions.broker import Answer, Broker
from crush.permissions.rules import Need
from crush.wire.ids import PermissionId, RunId, SessionId, ToolCallId
from crush.wire.permissions import GrantAction, PermissionRequest

RUN = RunId("run")


class FakePending:
    """Keeps what it is told; a name in `failing` fails."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.open: dict[PermissionId, PermissionRequest] = {}
        self.ends: list[Answer] = []
        self.changed = anyio.Event()

    async def asked(self, request: PermissionRequest, run_id: RunId) -> None:
        await anyio.lowlevel.checkpoint()
        if "asked" in self.failing:
            raise StoreError("the disk is full")
        self.open[request.id] = request
        self._tell()

    async def resolved(self, request: PermissionRequest, run_id: RunId, answer: Answer) -> None:
        await anyio.lowlevel.checkpoint()
        self.open.pop(request.id, None)
        self.ends.append(answer)
        self._tell()

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def wait_open(self, count: int) -> None:
        while len(self.open) < count:
            await self.changed.wait()


def need(target: str = "make", *, tool: str = "bash", directory: str = "/w") -> Need:
    return Need(
        tool=tool,
        action="execute",
        kind="execute",
        target=target,
        directory=directory,
        description=target,
    )


def request(key: str = "p", *, session: str = "s") -> PermissionRequest:
    return PermissionRequest(
        id=PermissionId(key),
        session_id=SessionId(session),
        tool_call_id=ToolCallId("c"),
        tool_name="bash",
        description="make",
        action="execute",
        params=msgspec.Raw(b"{}"),
        path="/w",
    )


def broker_of(pending: FakePending, *, within_s: float = 60) -> Broker:
    return Broker(pending=pending, answer_within_s=within_s)


async def test_the_first_of_twenty_answers_wins_and_the_others_are_told_so() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    won: list[int] = []
    answers: list[Answer] = []

    async def ask() -> None:
        answers.append(await broker.ask(request(), need(), run_id=RUN))

    async def answer(number: int) -> None:
        await anyio.lowlevel.checkpoint()
        action: GrantAction = "allow" if number % 2 else "deny"
        if broker.answer(PermissionId("p"), action, by=f"client {number}"):
            won.append(number)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await pending.wait_open(1)
        for number in range(20):
            tasks.start_soon(answer, number)
    (winner,) = won
    assert answers == pending.ends
    assert answers[0].by == f"client {winner}"
    assert answers[0].outcome == ("allow" if winner % 2 else "deny")


async def test_an_answer_carries_its_words() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    async with anyio.create_task_group() as tasks:

        async def ask() -> None:
            answer = await broker.ask(request(), need(), run_id=RUN)
            assert answer == Answer(outcome="deny", by="me", feedback="not now")

        tasks.start_soon(ask)
        await pending.wait_open(1)
        assert broker.answer(PermissionId("p"), "deny", by="me", feedback="not now")


async def test_a_request_that_waits_too_long_is_denied_by_the_clock() -> None:
    pending = FakePending()
    answer = await broker_of(pending, within_s=0.01).ask(request(), need(), run_id=RUN)
    assert (answer.outcome, answer.by) == ("deny", "timeout")
    assert pending.ends == [answer]


async def test_a_cancelled_request_is_withdrawn_and_can_be_answered_no_more() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: broker.ask(request(), need(), run_id=RUN))
        await pending.wait_open(1)
        tasks.cancel_scope.cancel()
    assert [(end.outcome, end.by) for end in pending.ends] == [("withdrawn", "turn")]
    assert not broker.answer(PermissionId("p"), "allow_session", by="late")
    assert not broker.remembered(SessionId("s"), need())


async def test_an_answer_that_meets_a_cancel_is_told_as_it_was_given() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: broker.ask(request(), need(), run_id=RUN))
        await pending.wait_open(1)
        tasks.cancel_scope.cancel()
        assert broker.answer(PermissionId("p"), "allow", by="me")
    assert [(end.outcome, end.by) for end in pending.ends] == [("allow", "me")]


async def test_a_request_that_cannot_be_stored_is_not_asked() -> None:
    pending = FakePending("asked")
    broker = broker_of(pending)
    with pytest.raises(StoreError):
        await broker.ask(request(), need(), run_id=RUN)
    assert not broker.answer(PermissionId("p"), "allow", by="me")


async def test_one_waiting_request_blocks_no_other() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    done: list[str] = []

    async def ask(key: str) -> None:
        await broker.ask(request(key, session=key), need(key), run_id=RUN)
        done.append(key)

    async with anyio.create_task_group() as tasks:
        for key in ("a", "b", "c"):
            tasks.start_soon(ask, key)
        await pending.wait_open(3)
        for key in ("c", "a", "b"):
            assert broker.answer(PermissionId(key), "allow", by="me")
            while key not in done:
                await anyio.lowlevel.checkpoint()
    assert done == ["c", "a", "b"]


async def test_what_is_remembered_is_exactly_what_was_shown() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: broker.ask(request(), need(), run_id=RUN))
        await pending.wait_open(1)
        assert broker.answer(PermissionId("p"), "allow_session", by="me")
    session = SessionId("s")
    assert broker.remembered(session, need())
    assert not broker.remembered(SessionId("other"), need())
    for other in (
        need("make test"),
        need("make "),
        need(directory="/elsewhere"),
        need(tool="other"),
        msgspec.structs.replace(need(), action="write"),
    ):
        assert not broker.remembered(session, other)


async def test_allowing_once_is_not_remembered() -> None:
    pending = FakePending()
    broker = broker_of(pending)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: broker.ask(request(), need(), run_id=RUN))
        await pending.wait_open(1)
        assert broker.answer(PermissionId("p"), "allow", by="me")
    assert not broker.remembered(SessionId("s"), need())
