"""Accepting prompts and closing: accepted means committed, and a stop ends everything once."""

from pathlib import Path

import anyio
import pytest

from crush.errors import ConflictError, NotFoundError, UsageError
from crush.store.change import Change
from crush.wire.events import PermissionAsked
from crush.wire.ids import SessionId
from crush.wire.messages import Session
from crush.wire.parts import Binary, BinaryPart, Text, TextPart
from tests.agent.bench import Bench, chosen
from tests.agent.shapes import stored
from tests.fakes.provider import Act, FakeProvider, Hold, calls, says
from tests.fakes.tools import need


async def test_a_prompt_is_stored_before_its_acceptance_returns(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([hold])
    run = await bench.send("words")
    assert (await bench.store.run(run.id)).id == run.id
    assert stored(await bench.messages(run))[0] == ["user", "'words'"]
    assert (await bench.store.session(run.session_id)).title == "words"
    hold.released.set()


@pytest.mark.parametrize("parts", [[], [TextPart(Text(text=" \n"))]])
async def test_a_prompt_without_words_is_refused(bench: Bench, parts: list[TextPart]) -> None:
    with pytest.raises(UsageError, match="no prompt"):
        await bench.send("", parts=parts)
    assert await bench.store.sessions() == []


async def test_an_attachment_alone_is_a_prompt(bench: Bench) -> None:
    bench.provider.add(says("seen"))
    part = BinaryPart(Binary(path="a.png", mime_type="image/png", data=b"x"))
    run = await bench.ended(await bench.send(parts=[part]))
    assert run.state == "done"
    assert len(bench.provider.requests[0].turns) == 1


async def test_a_repeated_key_gets_the_run_that_it_made_and_starts_nothing(bench: Bench) -> None:
    bench.provider.add(says("once"))
    first = await bench.send(key="k")
    await bench.ended(first)
    assert (await bench.send(key="k")).id == first.id
    await bench.idle()
    assert len(bench.ear.ends()) == 1


async def test_only_the_first_prompt_names_a_session_and_nothing_else_of_it_is_touched(
    bench: Bench,
) -> None:
    made = Session(id=SessionId("s"), title="New Session", parent_session_id="", cost=1.5)
    await bench.store.commit(Change(sessions=[made]))
    stale = await bench.store.session(SessionId("s"))
    bench.provider.add(says("one"), says("two"))
    await bench.run("first words", session_id=stale.id)
    after = await bench.store.session(stale.id)
    assert after.title == "first words"
    assert after.cost > 1.5
    await bench.run("other words", session_id=stale.id)
    assert (await bench.store.session(stale.id)).title == "first words"


async def test_the_server_is_told_when_work_begins_and_ends(bench: Bench) -> None:
    bench.providers["other"] = FakeProvider(says("b"))
    bench.provider.add(says("a"))
    runs = [await bench.send(), await bench.send(model=chosen("other"))]
    for run in runs:
        await bench.ended(run)
    await bench.idle()
    assert bench.busy[0] is True
    assert bench.busy[-1] is False
    assert bench.busy.count(True) == bench.busy.count(False)


async def test_a_session_is_found_by_a_unique_prefix_of_its_short_id_or_not_at_all(
    bench: Bench,
) -> None:
    bench.provider.add(says("a"))
    run = await bench.run()
    assert (await bench.project.find_session(run.session_id)).id == run.session_id
    assert (await bench.project.last_session()).id == run.session_id
    with pytest.raises(NotFoundError, match="not found"):
        await bench.project.find_session("nothing")


# -- close --------------------------------------------------------------------------------------


async def test_a_stop_ends_running_queued_and_waiting_runs_once_and_keeps_their_words(
    tmp_path: Path,
) -> None:
    async with Bench(tmp_path) as bench:
        hold = Hold()
        bench.provider.add([*says("half"), hold])
        bench.providers["asks"] = FakeProvider(calls("change", "c1", key="rm"))
        bench.change.needed = lambda key: [need(key)]
        ear = bench.listen(can_answer=True)
        running = await bench.send("1")
        await hold.reached.wait()
        queued = [await bench.send(f"{n}", session_id=running.session_id) for n in (2, 3)]
        waiting = await bench.send("ask", model=chosen("asks"), mode="ask")
        await ear.wait(lambda me: any(isinstance(c.event, PermissionAsked) for c in me.events()))
        await bench.project.close()
        ear.take()
        assert ear.subscription.closed
        ends = {run.id: run.state for run in ear.ends()}
        assert ends == dict.fromkeys((run.id for run in (running, *queued, waiting)), "interrupted")
        assert len(ear.ends()) == 4
        assert not bench.project.is_busy
    async with Bench(tmp_path) as again:
        assert await again.store.unfinished_runs() == []
        assert await again.store.pending() == []
        words = stored(await again.store.messages(running.session_id))
        assert sorted(word[1] for word in words if word[0] == "user") == ["'1'", "'2'", "'3'"]
        again.provider.add(says("on"))
        ended = await again.run("go on", session_id=running.session_id)
        assert ended.state == "done"
        again.provider.add(says("on"))
        assert (await again.run("go on", session_id=waiting.session_id)).state == "done"


async def test_a_prompt_that_is_being_accepted_while_the_server_stops_is_ended_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    for moments in range(0, 60, 6):
        async with Bench(tmp_path_factory.mktemp("bench")) as bench:
            bench.provider.add_default([Hold()])
            refused: list[ConflictError] = []

            async def send(bench: Bench = bench, refused: list[ConflictError] = refused) -> None:
                try:
                    await bench.send()
                except ConflictError as exc:
                    refused.append(exc)

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send)
                for _ in range(moments):
                    await anyio.lowlevel.checkpoint()
                await bench.project.close()
            bench.ear.take()
            assert len(bench.ear.ends()) + len(refused) == 1


async def test_who_begins_to_follow_a_closed_project_is_told_so_at_once(bench: Bench) -> None:
    await bench.project.close()
    assert bench.listen().subscription.closed
    with pytest.raises(ConflictError, match="stopping"):
        await bench.send()


async def test_a_stop_does_not_wait_for_ever_for_a_tool_that_cannot_be_stopped(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crush.agent.project.END_WITHIN_S", 0.05)
    reached, stuck = anyio.Event(), anyio.Event()

    async def ignore_everything() -> None:
        reached.set()
        with anyio.CancelScope(shield=True):
            await stuck.wait()

    bench.provider.add([*says("x"), Act(ignore_everything)])
    run = await bench.send()
    await reached.wait()
    await bench.project.close()
    assert bench.project.is_live(run.id)
    stuck.set()
    assert (await bench.ended(run)).state == "failed"
    await bench.idle()


async def test_a_session_that_has_nothing_to_do_keeps_no_worker(bench: Bench) -> None:
    bench.provider.add(*[calls("read", f"c{n}", key="a") for n in range(3)], says("done"))
    run = await bench.run()
    assert bench.project.actor(run.session_id) is None
    assert bench.project.feed.messages == {}
    assert bench.project.feed._outputs == {}
    assert list(bench.ear.subscription._read) == []
