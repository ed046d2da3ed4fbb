"""The provider is asked again within a step: nothing of the broken attempt counts or is seen."""

import anyio
import pytest

from crush.agent.feed import Piece
from crush.providers.base import AssistantTurn, TextBlock, ToolCallStarted, ToolTurn
from crush.wire.events import MessageReset, PartEnded
from tests.agent.bench import Bench
from tests.agent.listener import Replica
from tests.agent.shapes import stored
from tests.fakes.provider import Breath, Hold, calls, retries, says, thinks


async def test_a_retry_resets_the_message_and_starts_its_parts_anew(bench: Bench) -> None:
    bench.provider.add(
        [*thinks("one"), *says("old"), *retries(wait_s=1.5), *says("new "), *says("text")]
    )
    run = await bench.run()
    assert await bench.log(run) == [
        "run queued",
        "user",
        "run running",
        "assistant",
        "0 reasoning of 3",
        "reset",
        "retry 1",
        "0 text of 8",
        "1 finish end_turn",
        "complete done",
    ]
    assert stored(await bench.messages(run))[1] == ["assistant", "'new text'", "finish end_turn"]


async def test_calls_of_a_broken_attempt_are_cut_and_leave_no_result(bench: Bench) -> None:
    ran, again = Hold(), Hold()
    bench.read.hold("slow")
    bench.provider.add(
        [
            *calls("read", "c1", key="quick"),
            *calls("read", "c2", key="slow"),
            *calls("nosuch", "c3"),
            ran,
            *retries(),
            again,
            *calls("read", "c1", key="other"),
        ],
        says("done"),
    )
    run = await bench.send()
    await bench.read.wait_begun("slow")
    while bench.read.ended != ["quick"]:
        await anyio.lowlevel.checkpoint()
    ran.released.set()
    await bench.read.wait_cancelled("slow")
    again.released.set()
    assert (await bench.ended(run)).state == "done"
    assert stored(await bench.messages(run)) == [
        ["user", "'hi'"],
        ["assistant", "call c1", "finish tool_use"],
        ["tool", "result c1"],
        ["assistant", "'done'", "finish end_turn"],
    ]
    log = await bench.log(run)
    assert [word for word in log if word.startswith(("result", "error"))] == ["result c1"]
    turn = bench.provider.requests[1].turns[-1]
    assert isinstance(turn, ToolTurn)
    assert turn.results[0].text == "result of other"


async def test_a_call_that_is_void_before_it_could_begin_is_not_run(bench: Bench) -> None:
    bench.provider.add(
        [*calls("read", "c1", key="void"), *retries(), *calls("read", "c2", key="a")], says("ok")
    )
    run = await bench.run()
    assert run.state == "done"
    assert bench.read.ended == ["a"]


@pytest.mark.parametrize("between", [[], [Breath()], [Breath()] * 50])
async def test_no_reader_sees_old_text_behind_a_reset_or_new_text_before_it(
    bench: Bench, between: list[Breath]
) -> None:
    hold = Hold()
    bench.provider.add(
        [*says("old text"), hold, *retries(), *between, *says("new"), *between, *says(" words")]
    )
    run = await bench.send()
    await hold.reached.wait()
    await bench.ear.wait(lambda ear: any(isinstance(news, Piece) for news in ear.heard))
    hold.released.set()
    await bench.ended(run)
    heard = bench.ear.heard
    reset = next(
        index
        for index, news in enumerate(heard)
        if not isinstance(news, Piece) and isinstance(news.event, MessageReset)
    )
    before = [news.text for news in heard[:reset] if isinstance(news, Piece)]
    after = [news for news in heard[reset:] if isinstance(news, Piece)]
    assert "".join(before) == "old text"
    assert "".join(piece.text for piece in after) == "new words"
    assert after[0].offset == 0
    replica = Replica()
    replica.apply(heard)
    for message in await bench.messages(run):
        assert replica.parts()[message.id] == message.parts


async def test_what_ends_in_an_attempt_that_never_was_committed_is_told_in_order(
    bench: Bench,
) -> None:
    bench.provider.add(
        [ToolCallStarted("x", "read"), *says("a"), *retries(), *retries(), *says("b")]
    )
    run = await bench.run()
    ends = [c.event for c in bench.ear.events() if isinstance(c.event, PartEnded)]
    assert [(end.part, end.size) for end in ends] == [(0, 1)]
    log = await bench.log(run)
    assert log[3:9] == ["assistant", "0 begins x", "reset", "retry 1", "reset", "retry 1"]
    bench.provider.add(says("on"))
    await bench.run("next", session_id=run.session_id)
    assert AssistantTurn((TextBlock("b"),)) in bench.provider.requests[-1].turns
