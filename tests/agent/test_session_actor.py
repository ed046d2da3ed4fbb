"""One session: the order of prompts, what a cancel covers, steering, and one end for every run."""

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crush.providers.base import TextBlock, ToolTurn, UserTurn
from crush.wire.events import MessageStarted, PermissionAsked
from crush.wire.messages import Run
from tests.agent.bench import Bench, chosen
from tests.agent.shapes import stored
from tests.fakes.provider import Act, FakeProvider, Hold, calls, says
from tests.fakes.tools import need


async def test_prompts_are_answered_in_the_order_of_their_acceptance(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([hold, *says("one")], says("two"), says("three"))
    first = await bench.send("1")
    await hold.reached.wait()
    second = await bench.send("2", session_id=first.session_id)
    third = await bench.send("3", session_id=first.session_id)
    assert [run.state for run in await bench.store.unfinished_runs()] == [
        "running",
        "queued",
        "queued",
    ]
    hold.released.set()
    await bench.ended(third)
    assert [run.id for run in bench.ear.ends()] == [first.id, second.id, third.id]
    assert stored(await bench.messages(first)) == [
        ["user", "'1'"],
        ["assistant", "'one'", "finish end_turn"],
        ["user", "'2'"],
        ["assistant", "'two'", "finish end_turn"],
        ["user", "'3'"],
        ["assistant", "'three'", "finish end_turn"],
    ]
    assert (await bench.log(second))[:3] == ["run queued", "user", "run running"]


async def test_sessions_work_at_the_same_time(bench: Bench) -> None:
    holds = {name: Hold() for name in "ab"}
    for name, hold in holds.items():
        bench.providers[name] = FakeProvider([hold, *says(name)])
    runs = [await bench.send(model=chosen(name)) for name in "ab"]
    for hold in holds.values():
        await hold.reached.wait()
    for hold in holds.values():
        hold.released.set()
    assert [(await bench.ended(run)).state for run in runs] == ["done", "done"]


# -- cancel -------------------------------------------------------------------------------------


async def test_a_cancel_ends_the_queued_prompts_first_and_then_the_running_one(
    bench: Bench,
) -> None:
    bench.provider.add([*says("half"), *calls("change", "c1", key="slow")])
    bench.change.hold("slow")
    running = await bench.send("1")
    await bench.change.wait_begun("slow")
    queued = [await bench.send(f"{n}", session_id=running.session_id) for n in range(2, 6)]
    assert await bench.project.cancel_session(running.session_id)
    await bench.idle()
    await bench.ended(running)
    assert [run.id for run in bench.ear.ends()] == [*(run.id for run in queued), running.id]
    assert {run.state for run in bench.ear.ends()} == {"cancelled"}
    assert (await bench.log(running))[-4:] == [
        "1 call c1",
        "error c1",
        "2 finish canceled",
        "complete cancelled",
    ]
    assert bench.change.cancelled == ["slow"]


async def test_a_cancelled_session_goes_on_with_the_next_prompt(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([*says("half "), hold], says("whole"))
    run = await bench.send("1")
    await hold.reached.wait()
    await bench.project.cancel_run(run.id)
    later = await bench.send("2", session_id=run.session_id)
    assert (await bench.ended(run)).state == "cancelled"
    assert (await bench.ended(later)).state == "done"
    assert stored(await bench.messages(run))[1] == ["assistant", "'half '", "finish canceled"]


async def test_a_cancel_of_a_queued_prompt_leaves_the_running_one_alone(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([hold, *says("one")], says("three"))
    first = await bench.send("1")
    await hold.reached.wait()
    second = await bench.send("2", session_id=first.session_id)
    third = await bench.send("3", session_id=first.session_id)
    assert await bench.project.cancel_run(second.id)
    assert not await bench.project.cancel_run(second.id)
    hold.released.set()
    await bench.ended(third)
    assert [(run.id, run.state) for run in bench.ear.ends()] == [
        (second.id, "cancelled"),
        (first.id, "done"),
        (third.id, "done"),
    ]


async def test_clearing_the_queue_leaves_the_running_turn_alone(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([hold, *says("one")])
    first = await bench.send("1")
    await hold.reached.wait()
    second = await bench.send("2", session_id=first.session_id)
    actor = bench.project.actor(first.session_id)
    assert actor is not None
    assert [prompted.run.id for prompted in actor.queued()] == [second.id]
    await actor.drop_queued()
    assert (await bench.ended(second)).state == "cancelled"
    hold.released.set()
    assert (await bench.ended(first)).state == "done"


async def test_a_cancel_while_the_end_is_stored_does_not_reach_the_prompt_after_it(
    bench: Bench,
) -> None:
    """Every moment between the last word and the end, one after the other."""
    session_id = None
    for moments in range(12):
        bench.provider.add(says("one"), says("two"))
        first = await bench.send("1", session_id=session_id)
        session_id = first.session_id
        answered = bench.provider.answered
        while bench.provider.answered == answered:
            await anyio.lowlevel.checkpoint()
        for _ in range(moments):
            await anyio.lowlevel.checkpoint()
        await bench.project.cancel_session(session_id)
        second = await bench.send("2", session_id=session_id)
        assert (await bench.ended(second)).state == "done"
        ends = [run for run in bench.ear.ends() if run.id == first.id]
        assert [run.state for run in ends] in (["done"], ["cancelled"])
        bench.provider.add(says("spare"))
        await bench.idle()
        bench.provider.forget_scripts()


async def test_a_turn_whose_end_is_being_stored_is_over_and_cannot_be_cut(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([*says("one"), hold], says("two"))
    run = await bench.send("1")
    await hold.reached.wait()
    actor = bench.project.actor(run.session_id)
    assert actor is not None
    assert actor._running is not None
    async with actor._ending:
        hold.released.set()
        while not actor._running.is_ending:
            await anyio.lowlevel.checkpoint()
        assert not await bench.project.cancel_session(run.session_id)
        later = await bench.send("2", session_id=run.session_id)
    assert (await bench.ended(run)).state == "done"
    assert (await bench.ended(later)).state == "done"


async def test_a_cancel_withdraws_what_waits_for_a_person(bench: Bench) -> None:
    bench.change.needed = lambda key: [need(key)]
    bench.provider.add(calls("change", "c1", key="rm"))
    ear = bench.listen(can_answer=True)
    run = await bench.send(mode="ask")
    await ear.wait(lambda me: any(isinstance(c.event, PermissionAsked) for c in me.events()))
    assert (await bench.store.run(run.id)).state == "waiting"
    await bench.project.cancel_run(run.id)
    assert (await bench.ended(run)).state == "cancelled"
    assert await bench.store.pending() == []
    assert (await bench.log(run))[-6:] == [
        "asked execute rm",
        "withdrawn by turn",
        "run running",
        "error c1",
        "1 finish canceled",
        "complete cancelled",
    ]
    assert bench.change.begun == []


# -- steering -----------------------------------------------------------------------------------


async def test_a_steering_prompt_joins_the_running_turn_behind_its_results(bench: Bench) -> None:
    bench.provider.add([*says("look"), *calls("change", "c1", key="slow")], says("as you wish"))
    bench.change.hold("slow")
    first = await bench.send("1")
    await bench.change.wait_begun("slow")
    folded = await bench.send("be quick", session_id=first.session_id, steers=True)
    queued = await bench.send("3", session_id=first.session_id)
    bench.provider.add(says("three"))
    bench.change.release("slow")
    await bench.ended(queued)
    assert [run.id for run in bench.ear.ends()] == [folded.id, first.id, queued.id]
    end = (await bench.ended(folded)).folded_into, (await bench.ended(folded)).state
    assert end == (first.id, "done")
    assert stored(await bench.messages(first))[:5] == [
        ["user", "'1'"],
        ["assistant", "'look'", "call c1", "finish tool_use"],
        ["tool", "result c1"],
        ["user", "'be quick'"],
        ["assistant", "'as you wish'", "finish end_turn"],
    ]
    turns = bench.provider.requests[1].turns
    assert isinstance(turns[-2], ToolTurn)
    assert turns[-1] == UserTurn((TextBlock("be quick"),))
    assert await bench.log(folded) == ["run queued", "run queued", "user", "complete done"]


async def test_a_steering_prompt_that_comes_with_the_last_word_gets_an_answer_of_this_turn(
    bench: Bench,
) -> None:
    async def steer() -> Run:
        return await bench.send("wait", session_id=first.session_id, steers=True)

    ready = Hold()
    bench.provider.add([ready, *says("all done"), Act(steer)], says("waiting"))
    first = await bench.send("1")
    ready.released.set()
    ended = await bench.ended(first)
    assert (ended.state, ended.steps) == ("done", 2)
    assert [message[0] for message in stored(await bench.messages(first))] == [
        "user",
        "assistant",
        "user",
        "assistant",
    ]
    started = [
        item.event.message.role
        for item in bench.ear.events()
        if isinstance(item.event, MessageStarted)
    ]
    assert started == ["user", "assistant", "user", "assistant"]


async def test_a_steering_prompt_of_an_idle_session_is_a_turn_of_its_own(bench: Bench) -> None:
    bench.provider.add(says("one"))
    run = await bench.ended(await bench.send(steers=True))
    assert (run.state, run.folded_into) == ("done", "")


async def test_a_cancel_of_a_folded_prompt_cuts_the_turn_that_took_it_up(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add(calls("change", "c1", key="slow"), [hold])
    bench.change.hold("slow")
    first = await bench.send("1")
    await bench.change.wait_begun("slow")
    folded = await bench.send("2", session_id=first.session_id, steers=True)
    bench.change.release("slow")
    await hold.reached.wait()
    assert await bench.project.cancel_run(folded.id)
    await bench.ended(first)
    assert [(run.id, run.state) for run in bench.ear.ends()] == [
        (folded.id, "cancelled"),
        (first.id, "cancelled"),
    ]


async def test_clearing_the_queue_while_prompts_are_being_taken_up_loses_and_doubles_none(
    bench: Bench,
) -> None:
    for moments in range(10):
        bench.provider.add(calls("change", "c1", key=f"slow{moments}"), *[says("end")] * 8)
        bench.change.hold(f"slow{moments}")
        first = await bench.send("1")
        await bench.change.wait_begun(f"slow{moments}")
        runs = [
            await bench.send(f"{n}", session_id=first.session_id, steers=True) for n in range(3)
        ]
        bench.change.release(f"slow{moments}")
        for _ in range(moments * 4):
            await anyio.lowlevel.checkpoint()
        if (actor := bench.project.actor(first.session_id)) is not None:
            await actor.drop_queued()
        ends = [await bench.ended(run) for run in (first, *runs)]
        assert ends[0].state == "done"
        assert {end.state for end in ends} <= {"done", "cancelled"}
        await bench.idle()
        bench.provider.forget_scripts()
    told = [run.id for run in bench.ear.ends()]
    assert len(told) == len(set(told)) == 40


# -- one end each -------------------------------------------------------------------------------


class Interleaving:
    """Prompts, cancels and finishes in any order, against what each cancel must cover."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.sent: list[Run] = []
        self.must_not_cancel: list[Run] = []
        self.holds: list[Hold] = []

    async def do(self, step: str) -> None:
        bench = self.bench
        match step:
            case "send" | "steer":
                hold = Hold()
                self.holds.append(hold)
                bench.provider.add([*says("x"), hold])
                session_id = self.sent[0].session_id if self.sent else None
                run = await bench.send(
                    "p", session_id=session_id, steers=step == "steer" and bool(self.sent)
                )
                self.sent.append(run)
                self.must_not_cancel.append(run)
            case "cancel" if self.sent:
                covered = len(self.sent)
                await bench.project.cancel_session(self.sent[0].session_id)
                self.must_not_cancel = [
                    run for run in self.must_not_cancel if run not in self.sent[:covered]
                ]
            case "clear" if self.sent:
                if (actor := bench.project.actor(self.sent[0].session_id)) is not None:
                    waiting = {prompted.run.id for prompted in actor.queued()}
                    await actor.drop_queued()
                    self.must_not_cancel = [
                        run for run in self.must_not_cancel if run.id not in waiting
                    ]
            case "finish":
                for hold in self.holds:
                    if hold.reached.is_set() and not hold.released.is_set():
                        hold.released.set()
                        break
            case _:
                await anyio.lowlevel.checkpoint()

    async def settle(self) -> None:
        while self.bench.project.is_busy:
            for hold in self.holds:
                hold.released.set()
            await anyio.lowlevel.checkpoint()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(
        st.sampled_from(["send", "send", "steer", "cancel", "clear", "finish", "breathe"]),
        max_size=16,
    )
)
async def test_in_every_interleaving_each_run_ends_once_and_a_cancel_covers_what_was_before_it(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    async with Bench(tmp_path_factory.mktemp("bench")) as bench:
        bench.provider.add_default(says("spare"))
        play = Interleaving(bench)
        for step in steps:
            await play.do(step)
        await play.settle()
        bench.ear.take()
        ends = bench.ear.ends()
        assert sorted(run.id for run in ends) == sorted(run.id for run in play.sent)
        states = {run.id: run.state for run in ends}
        assert {states[run.id] for run in play.must_not_cancel} <= {"done"}
        assert set(states.values()) <= {"done", "cancelled"}
        assert await bench.store.unfinished_runs() == []
        for run in play.sent:
            assert (await bench.log(run)).count(f"complete {states[run.id]}") == 1
            assert (await bench.log(run))[-1].startswith("complete")
