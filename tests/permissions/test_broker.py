"""Pending requests: asked, answered once, withdrawn or too late; and what is remembered."""

from collections.abc import Sequence

import anyio
import msgspec
import pytest
from anyio.abc import TaskGroup
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import StoreError, UsageError
from crush.permissions.broker import Answer, Broker
from crush.permissions.rules import Need
from crush.wire.ids import PermissionId, RunId, SessionId, ToolCallId
from crush.wire.permissions import GrantAction, PermissionRequest, Resolved

RUN = RunId("run")
SESSION = SessionId("s")
NARROW, WIDE = ["command(make)"], ["command(make *)"]


class FakePending:
    """Keeps what it is told; a name in `failing` fails."""

    def __init__(self, *failing: str) -> None:
        self.failing = set(failing)
        self.open: dict[PermissionId, PermissionRequest] = {}
        self.ends: list[Answer] = []
        self.by_id: dict[PermissionId, Answer] = {}
        self.changed = anyio.Event()

    async def asked(self, request: PermissionRequest, run_id: RunId) -> None:
        await anyio.lowlevel.checkpoint()
        if "asked" in self.failing:
            raise StoreError("the disk is full")
        self.open[request.id] = request
        self._tell()

    async def resolved(self, request: PermissionRequest, run_id: RunId, answer: Answer) -> None:
        await anyio.lowlevel.checkpoint()
        if "resolved" in self.failing or request.id in self.failing:
            raise StoreError("the disk is full")
        del self.open[request.id]  # what was never asked cannot be resolved
        self.ends.append(answer)
        self.by_id[request.id] = answer
        self._tell()

    async def ended(self, request_id: PermissionId) -> Answer | None:
        await anyio.lowlevel.checkpoint()
        return self.by_id.get(request_id)

    def _tell(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()

    async def wait_open(self, count: int) -> None:
        while len(self.open) != count:
            await self.changed.wait()


class FakeGrants:
    """What was allowed for good; `failing` as a full disk does, `held` as a slow one."""

    def __init__(self) -> None:
        self.kept: list[tuple[list[str], str]] = []
        self.failing = False
        self.begun = anyio.Event()
        self.held = anyio.Event()
        self.held.set()

    async def remember(self, rules: Sequence[str], by: str) -> None:
        self.begun.set()
        await self.held.wait()
        if self.failing:
            raise StoreError("the disk is full")
        self.kept.append((list(rules), by))


class Desk:
    """A broker, what it writes to, and calls that wait."""

    def __init__(self, tasks: TaskGroup, *failing: str, within_s: float = 60) -> None:
        self.tasks = tasks
        self.pending = FakePending(*failing)
        self.grants = FakeGrants()
        self.broker = Broker(pending=self.pending, answer_within_s=within_s)
        self.ends: dict[str, Answer] = {}
        self.failures: dict[str, StoreError] = {}

    async def ask(
        self,
        key: str = "p",
        target: str = "make",
        *,
        session: str = SESSION,
        offers: Sequence[list[str]] = (),
        scope: anyio.CancelScope | None = None,
    ) -> None:
        """A call asks and waits; returns when the question is stored."""
        waiting = len(self.pending.open)
        self.tasks.start_soon(
            self._ask, request(key, session=session, offers=offers), need(target), scope
        )
        await self.pending.wait_open(waiting + 1)

    async def _ask(
        self, asked: PermissionRequest, wanted: Need, scope: anyio.CancelScope | None
    ) -> None:
        with scope or anyio.CancelScope():
            try:
                self.ends[asked.id] = await self.broker.ask(
                    asked, [wanted], run_id=RUN, covers=covers, remember=self.grants.remember
                )
            except StoreError as exc:
                self.failures[asked.id] = exc

    async def answer(
        self,
        action: GrantAction,
        key: str = "p",
        *,
        by: str = "me",
        rules: Sequence[str] | None = None,
        feedback: str = "",
    ) -> Resolved:
        return await self.broker.answer(
            PermissionId(key), action, by=by, rules=rules, feedback=feedback
        )


def covers(wanted: Need, rules: Sequence[str]) -> bool:
    """As a judge would."""
    return any(
        wanted.target == rule[8:-1]
        or (rule.endswith(" *)") and wanted.target.startswith(rule[8:-3]))
        for rule in rules
    )


def need(target: str = "make", *, tool: str = "bash", directory: str = "/w") -> Need:
    return Need(
        tool=tool,
        action="execute",
        kind="execute",
        target=target,
        directory=directory,
        description=target,
    )


def request(
    key: str = "p", *, session: str = SESSION, offers: Sequence[list[str]] = ()
) -> PermissionRequest:
    return PermissionRequest(
        id=PermissionId(key),
        session_id=SessionId(session),
        tool_call_id=ToolCallId("c"),
        tool_name="bash",
        description="make",
        action="execute",
        params=msgspec.Raw(b"{}"),
        path="/w",
        offers=list(offers),
    )


async def test_the_first_of_twenty_answers_wins_and_the_others_learn_who_gave_it() -> None:
    told: list[Resolved] = []

    async def answer(number: int) -> None:
        action: GrantAction = "allow" if number % 2 else "deny"
        told.append(await desk.answer(action, by=f"client {number}"))

    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask()
        for number in range(20):
            tasks.start_soon(answer, number)
    (won,) = [resolved for resolved in told if resolved.resolved]
    assert [(end.outcome, end.by) for end in desk.pending.ends] == [(won.outcome, won.by)]
    assert {(resolved.outcome, resolved.by) for resolved in told} == {(won.outcome, won.by)}
    assert desk.ends["p"].by == won.by


async def test_an_answer_carries_its_words() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask()
        assert (await desk.answer("deny", feedback="not now")).resolved
    assert desk.ends["p"] == Answer(outcome="deny", by="me", feedback="not now")


async def test_a_request_that_waits_too_long_is_denied_by_the_clock() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks, within_s=0.01)
        await desk.ask()
    assert desk.ends["p"] == Answer(outcome="deny", by="timeout")
    assert desk.pending.ends == [desk.ends["p"]]
    late = await desk.answer("allow")
    assert (late.resolved, late.outcome, late.by) == (False, "deny", "timeout")


async def test_a_cancelled_request_is_withdrawn_and_can_be_answered_no_more() -> None:
    scope = anyio.CancelScope()
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask(scope=scope)
        scope.cancel()
    assert [(end.outcome, end.by) for end in desk.pending.ends] == [("withdrawn", "turn")]
    late = await desk.answer("allow_session", by="late")
    assert (late.resolved, late.outcome, late.by) == (False, "withdrawn", "turn")
    assert not desk.broker.remembered(SESSION, need())


async def test_an_answer_that_is_being_kept_counts_though_the_turn_is_cut_meanwhile() -> None:
    told: list[Resolved] = []
    scope = anyio.CancelScope()

    async def answer() -> None:
        told.append(await desk.answer("allow_always"))

    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        desk.grants.held = anyio.Event()
        await desk.ask(offers=[NARROW], scope=scope)
        tasks.start_soon(answer)
        await desk.grants.begun.wait()
        scope.cancel()
        desk.grants.held.set()
    assert told == [Resolved(resolved=True, outcome="allow_always", by="me", rules=NARROW)]
    assert [end.outcome for end in desk.pending.ends] == ["allow_always"]
    assert desk.grants.kept == [(NARROW, "me")]


async def test_an_answer_is_committed_before_its_sender_hears_of_it() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask()
        await desk.answer("allow")
        assert [end.by for end in desk.pending.ends] == ["me"]


async def test_a_request_that_cannot_be_stored_is_not_asked() -> None:
    desk: Desk
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks, "asked")
        tasks.start_soon(desk._ask, request(), need(), None)
    assert "disk is full" in desk.failures["p"].message
    assert await desk.answer("allow") == Resolved(resolved=False)
    assert desk.pending.ends == []


async def test_an_answer_that_cannot_be_stored_is_none_and_the_request_goes_on_waiting() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks, "resolved")
        await desk.ask(offers=[NARROW])
        with pytest.raises(StoreError, match="disk is full"):
            await desk.answer("allow_session")
        assert not desk.broker.session_rules(SESSION)
        desk.pending.failing.clear()
        assert (await desk.answer("deny", by="another")).resolved
    assert desk.ends["p"].by == "another"


async def test_one_waiting_request_blocks_no_other() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        for key in ("a", "b", "c"):
            await desk.ask(key, key, session=key)
        for key in ("c", "a", "b"):
            await desk.answer("allow", key)
            while key not in desk.ends:
                await anyio.lowlevel.checkpoint()
    assert [*desk.ends] == ["c", "a", "b"]


async def test_without_an_offer_exactly_what_was_shown_is_remembered() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask()
        assert (await desk.answer("allow_session")).rules == []
    broker = desk.broker
    assert broker.remembered(SESSION, need())
    assert not broker.remembered(SessionId("other"), need())
    for other in (
        need("make test"),
        need("make "),
        need(directory="/elsewhere"),
        need(tool="other"),
        msgspec.structs.replace(need(), action="write"),
    ):
        assert not broker.remembered(SESSION, other)
    assert broker.session_rules(SESSION) == []


async def test_allowing_once_is_not_remembered() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask(offers=[NARROW])
        await desk.answer("allow")
    assert not desk.broker.remembered(SESSION, need())
    assert desk.broker.session_rules(SESSION) == []
    assert desk.grants.kept == []


@pytest.mark.parametrize("action", ["allow_session", "allow_always"])
@pytest.mark.parametrize(("chosen", "kept"), [(None, NARROW), (NARROW, NARROW), (WIDE, WIDE)])
async def test_the_offer_that_was_chosen_is_remembered_the_narrowest_if_none_was(
    action: GrantAction, chosen: list[str] | None, kept: list[str]
) -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask(offers=[NARROW, WIDE])
        told = await desk.answer(action, rules=chosen)
    assert told == Resolved(resolved=True, outcome=action, by="me", rules=kept)
    assert desk.ends["p"].rules == tuple(kept)
    assert desk.broker.session_rules(SESSION) == kept
    assert desk.broker.session_rules(SessionId("other")) == []
    assert desk.grants.kept == ([(kept, "me")] if action == "allow_always" else [])


_RULES = st.lists(
    st.sampled_from([*NARROW, *WIDE, "command(*)", "tool(bash)", "command(make ", ""]), max_size=3
)


@given(rules=_RULES, offers=st.lists(_RULES.filter(bool), max_size=3))
async def test_nothing_but_an_offer_to_the_letter_is_ever_remembered(
    rules: list[str], offers: list[list[str]]
) -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask(offers=offers)
        if rules in offers:
            assert (await desk.answer("allow_always", rules=rules)).rules == rules
            assert desk.grants.kept == [(rules, "me")]
            return
        with pytest.raises(UsageError, match="not among the offers"):
            await desk.answer("allow_always", rules=rules)
        assert (desk.grants.kept, desk.broker.session_rules(SESSION)) == ([], [])
        assert [*desk.pending.open] == ["p"]  # it goes on waiting
        tasks.cancel_scope.cancel()


@pytest.mark.parametrize("action", ["allow", "deny"])
async def test_an_answer_that_remembers_nothing_names_no_rules(action: GrantAction) -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask(offers=[NARROW])
        with pytest.raises(UsageError, match="remembers nothing"):
            await desk.answer(action, rules=NARROW)
        assert (await desk.answer(action)).resolved


async def test_what_no_rule_describes_cannot_be_allowed_for_good() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask()
        with pytest.raises(UsageError, match="only be allowed once or for the session"):
            await desk.answer("allow_always")
        assert (await desk.answer("allow_session")).resolved


async def test_what_cannot_be_kept_for_good_is_not_granted_and_the_request_goes_on_waiting() -> (
    None
):
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        desk.grants.failing = True
        await desk.ask(offers=[NARROW])
        with pytest.raises(StoreError, match="disk is full"):
            await desk.answer("allow_always")
        assert desk.broker.session_rules(SESSION) == []
        assert desk.pending.ends == []
        assert (await desk.answer("allow")).resolved


async def test_an_answer_waits_for_the_one_that_is_being_kept_and_counts_if_that_fails() -> None:
    told: dict[str, Resolved] = {}

    async def always() -> None:
        with pytest.raises(StoreError):
            await desk.answer("allow_always", by="first")

    async def deny() -> None:
        told["second"] = await desk.answer("deny", by="second")

    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        desk.grants.held, desk.grants.failing = anyio.Event(), True
        await desk.ask(offers=[NARROW])
        tasks.start_soon(always)
        await desk.grants.begun.wait()
        tasks.start_soon(deny)
        desk.grants.held.set()
    assert told["second"].resolved
    assert desk.ends["p"].by == "second"


async def test_a_grant_ends_what_it_covers_in_its_session_and_nothing_else() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask("p", "make", offers=[NARROW, WIDE])
        await desk.ask("same", "make test", offers=[["command(make test)"]])
        await desk.ask("other", "touch a", offers=[["command(touch a)"]])
        await desk.ask("elsewhere", "make", session="t", offers=[NARROW])
        await desk.answer("allow_session", rules=WIDE)
        assert [*desk.pending.open] == ["other", "elsewhere"]
        told = await desk.answer("deny", "same", by="late")
        assert told == Resolved(resolved=False, outcome="allow_session", by="me", rules=WIDE)
        tasks.cancel_scope.cancel()


async def test_a_grant_without_rules_ends_the_same_question_that_waits_beside_it() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask("p", "eval x")
        await desk.ask("same", "eval x")
        await desk.ask("other", "eval y")
        await desk.answer("allow_session")
        assert [*desk.pending.open] == ["other"]
        tasks.cancel_scope.cancel()


async def test_what_was_granted_before_a_question_reached_anybody_answers_it() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks)
        await desk.ask("p", "make", offers=[NARROW])
        await desk.answer("allow_session", by="somebody")
        # Judged before the grant, asked behind it.
        tasks.start_soon(desk._ask, request("q", offers=[NARROW]), need(), None)
    assert (desk.ends["q"].outcome, desk.ends["q"].by) == ("allow_session", "somebody")


async def test_an_answer_stands_though_what_it_covers_beside_it_cannot_be_ended() -> None:
    async with anyio.create_task_group() as tasks:
        desk = Desk(tasks, "q")
        await desk.ask("p", "make", offers=[NARROW])
        await desk.ask("q", "make", offers=[NARROW])
        assert (await desk.answer("allow_session")).resolved
        assert [*desk.pending.open] == ["q"]
        desk.pending.failing.clear()
        assert (await desk.answer("allow", "q")).resolved
