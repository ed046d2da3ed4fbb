"""A turn with a scripted provider on a real store: what happens, in its order, to the event."""

import anyio
import pytest

from crush.errors import ProviderError, ToolError
from crush.providers.base import (
    Answer,
    AssistantTurn,
    StopReason,
    TextBlock,
    ToolCallReady,
    ToolCallStarted,
    ToolTurn,
    ToolUseBlock,
    Usage,
    UserTurn,
)
from crush.tools.base import ToolResult
from crush.wire.events import MessageStarted, SessionUpdated
from crush.wire.parts import ToolResultPart
from tests.agent.bench import Bench, chosen
from tests.agent.shapes import stored
from tests.fakes.provider import Breath, Hold, calls, says, thinks
from tests.fakes.tools import FakeArgs


async def test_an_answer_is_accepted_streamed_and_completed_in_this_order(bench: Bench) -> None:
    bench.provider.add([*thinks("hm", signature="s"), *says("Hel", "lo")])
    run = await bench.run()
    assert await bench.log(run) == [
        "run queued",
        "user",
        "run running",
        "assistant",
        "0 reasoning of 2",
        "1 text of 5",
        "2 finish end_turn",
        "complete done",
    ]
    assert stored(await bench.messages(run)) == [
        ["user", "'hi'"],
        ["assistant", "(hm)s", "'Hello'", "finish end_turn"],
    ]


async def test_a_call_is_run_and_its_result_goes_back(bench: Bench) -> None:
    bench.provider.add([*says("look"), *calls("read", "c1", key="a")], says("done"))
    run = await bench.run()
    assert await bench.log(run) == [
        "run queued",
        "user",
        "run running",
        "assistant",
        "0 text of 4",
        "1 begins c1",
        "1 call c1",
        "result c1",
        "2 finish tool_use",
        "assistant",
        "0 text of 4",
        "1 finish end_turn",
        "complete done",
    ]
    assert stored(await bench.messages(run)) == [
        ["user", "'hi'"],
        ["assistant", "'look'", "call c1", "finish tool_use"],
        ["tool", "result c1"],
        ["assistant", "'done'", "finish end_turn"],
    ]
    second = bench.provider.requests[1]
    assert second.turns[0] == UserTurn((TextBlock("hi"),))
    assert second.turns[1] == AssistantTurn(
        (TextBlock("look"), ToolUseBlock("c1", "read", '{"key":"a"}'))
    )
    (result,) = second.turns[2].results if isinstance(second.turns[2], ToolTurn) else ()
    assert (result.call_id, result.text, result.is_error) == ("c1", "result of a", False)


async def test_usage_of_every_step_is_added_to_the_run_and_replaces_the_sessions(
    bench: Bench,
) -> None:
    usage = Usage(input_tokens=100, output_tokens=20, cache_read_tokens=1000, cache_write_tokens=50)
    bench.provider.add(
        [*calls("read", "c", key="a"), Answer(stop="tool_use", usage=usage)],
        [*says("x"), Answer(stop="end_turn", usage=usage)],
    )
    run = await bench.run()
    assert (run.steps, run.input_tokens, run.output_tokens) == (2, 200, 40)
    assert (run.cache_read_tokens, run.cache_write_tokens) == (2000, 100)
    assert run.cost == pytest.approx(2 * (100 * 1.0 + 20 * 2.0) / 1_000_000)
    session = await bench.store.session(run.session_id)
    assert (session.prompt_tokens, session.completion_tokens) == (1150, 20)
    assert session.cost == pytest.approx(run.cost)
    assert any(isinstance(item.event, SessionUpdated) for item in bench.ear.events())


# -- reading and writing calls ------------------------------------------------------------------


async def test_a_read_only_call_runs_while_the_answer_still_streams(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([*calls("read", "c1", key="a"), hold, *says("more")], says("done"))
    run = await bench.send()
    await bench.read.wait_begun("a")
    assert hold.reached.is_set()
    assert bench.provider.answered == 0
    hold.released.set()
    assert (await bench.ended(run)).state == "done"


async def test_a_writing_call_waits_for_the_end_of_the_answer(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([*calls("change", "c1", key="a"), hold, Breath()], says("done"))
    run = await bench.send()
    await hold.reached.wait()
    assert bench.change.begun == []
    hold.released.set()
    await bench.ended(run)
    assert bench.change.ended == ["a"]


async def test_a_read_behind_a_write_waits_for_it_and_sees_what_it_did(bench: Bench) -> None:
    bench.provider.add(
        [
            *calls("read", "c1", key="before"),
            *calls("change", "c2", key="write"),
            *calls("read", "c3", key="after"),
            *calls("read", "c4", key="also after"),
        ],
        says("done"),
    )
    bench.read.hold("before", "after", "also after")
    bench.change.hold("write")
    run = await bench.send()
    await bench.read.wait_begun("before")
    await anyio.wait_all_tasks_blocked()
    assert bench.change.begun == []
    bench.read.release("before")
    await bench.change.wait_begun("write")
    await anyio.wait_all_tasks_blocked()
    assert bench.read.begun == ["before"]
    bench.change.release("write")
    await bench.read.wait_begun("after", "also after")
    bench.read.release("also after", "after")
    await bench.ended(run)
    results = bench.provider.requests[1].turns[-1]
    assert isinstance(results, ToolTurn)
    assert [result.call_id for result in results.results] == ["c1", "c2", "c3", "c4"]


async def test_reads_overlap_and_writes_keep_their_order(bench: Bench) -> None:
    bench.provider.add(
        [item for n in range(5) for item in calls("read", f"r{n}", key=f"r{n}")]
        + [item for n in range(4) for item in calls("change", f"w{n}", key=f"w{n}")],
        says("done"),
    )
    reads = [f"r{n}" for n in range(5)]
    bench.read.hold(*reads)
    run = await bench.send()
    await bench.read.wait_begun(*reads)
    assert bench.read.most == 5
    bench.read.release(*reads)
    await bench.ended(run)
    assert bench.change.ended == ["w0", "w1", "w2", "w3"]
    assert bench.change.most == 1


async def test_a_hundred_reads_in_one_step_run_a_few_at_a_time_and_all_answer(
    bench: Bench,
) -> None:
    bench.provider.add(
        [item for n in range(100) for item in calls("read", f"c{n}", key=f"k{n}")], says("done")
    )
    run = await bench.run()
    results = bench.provider.requests[1].turns[-1]
    assert isinstance(results, ToolTurn)
    assert [(r.call_id, r.text) for r in results.results] == [
        (f"c{n}", f"result of k{n}") for n in range(100)
    ]
    assert 2 <= bench.read.most <= 16
    assert run.state == "done"
    assert len(await bench.messages(run)) == 103


async def test_a_result_is_the_same_in_store_and_event_with_all_that_belongs_to_it(
    bench: Bench,
) -> None:
    bench.read.outcomes["a"] = ToolResult(
        content="a picture",
        is_error=True,
        metadata=FakeArgs(key="meta", number=7),
        data=b"\x89PNG\0\xff",
        mime_type="image/png",
    )
    bench.provider.add(calls("read", "c1", key="a"), says("done"))
    run = await bench.run()
    (message,) = [m for m in await bench.messages(run) if m.role == "tool"]
    (part, _) = message.parts
    assert isinstance(part, ToolResultPart)
    assert (part.data.content, part.data.is_error) == ("a picture", True)
    assert (part.data.data, part.data.mime_type) == (b"\x89PNG\0\xff", "image/png")
    assert part.data.metadata == '{"key":"meta","number":7}'
    told = [c.event for c in bench.ear.events() if isinstance(c.event, MessageStarted)]
    assert message in [event.message for event in told]


# -- what goes wrong in a call ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("read", '{"key":', "not valid"),
        ("read", "[1]", "not valid"),
        ("read", '{"number":1}', "not valid"),
        ("read", '{"key":"a","number":{}}', "not valid"),
        ("read", '{"key":' + "[" * 100_000, "not valid"),
        ("nosuch", "{}", "There is no tool 'nosuch'. Tools: change, read."),
    ],
    ids=["cut", "no object", "missing", "wrong type", "deep", "unknown tool"],
)
async def test_a_call_that_cannot_be_made_is_told_to_the_model_and_the_turn_goes_on(
    bench: Bench, name: str, arguments: str, said: str
) -> None:
    bench.provider.add(
        [ToolCallStarted("c1", name), ToolCallReady("c1", name, arguments)], says("I see")
    )
    run = await bench.run()
    assert run.state == "done"
    turns = bench.provider.requests[1].turns
    assert isinstance(turns[-1], ToolTurn)
    assert turns[-1].results[0].is_error
    assert said in turns[-1].results[0].text


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_tool_error_and_a_broken_tool_are_results_and_the_turn_goes_on(
    bench: Bench, *, read_only: bool
) -> None:
    tool = bench.read if read_only else bench.change
    tool.outcomes["known"] = ToolError("No such file.")
    tool.outcomes["unknown"] = ZeroDivisionError("secret detail")
    bench.provider.add(
        [*calls(tool.name, "c1", key="known"), *calls(tool.name, "c2", key="unknown")], says("ok")
    )
    run = await bench.run()
    assert run.state == "done"
    turn = bench.provider.requests[1].turns[-1]
    assert isinstance(turn, ToolTurn)
    first, second = turn.results
    assert (first.text, first.is_error) == ("No such file.", True)
    assert second.is_error
    assert "secret detail" not in second.text


async def test_a_result_that_cannot_be_written_fails_its_call_alone(bench: Bench) -> None:
    bench.read.outcomes["a"] = ToolResult(content="broken \ud800 text")
    bench.provider.add([*calls("read", "c1", key="a"), *calls("read", "c2", key="b")], says("fine"))
    run = await bench.run()
    assert run.state == "done"
    assert "error c1" in await bench.log(run)
    assert "result c2" in await bench.log(run)


async def test_a_call_that_the_model_repeats_is_made_once_as_it_was_said_first(
    bench: Bench,
) -> None:
    bench.provider.add(
        [*calls("change", "c1", key="first"), *calls("change", "c1", key="second")], says("ok")
    )
    run = await bench.run()
    assert bench.change.ended == ["first"]
    turns = bench.provider.requests[1].turns
    assert turns[1] == AssistantTurn((ToolUseBlock("c1", "change", '{"key":"first"}'),))
    assert "'second'" not in str(await bench.messages(run))


async def test_an_id_that_a_later_step_uses_again_becomes_another(bench: Bench) -> None:
    bench.provider.add(
        calls("read", "call_0", key="a"), calls("read", "call_0", key="b"), says("done")
    )
    run = await bench.run()
    log = await bench.log(run)
    assert ["1 call call_0_2" in log, "0 call call_0_2" in log, "result call_0_2" in log] == [
        False,
        True,
        True,
    ]
    turns = bench.provider.requests[2].turns
    results = [r for turn in turns if isinstance(turn, ToolTurn) for r in turn.results]
    assert [(r.call_id, r.text) for r in results] == [
        ("call_0", "result of a"),
        ("call_0_2", "result of b"),
    ]


# -- how a turn ends ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "end_turn"),
        ("tool_use", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("content_filter", "content_filter"),
        ("unknown", "unknown"),
    ],
)
async def test_an_answer_without_calls_ends_the_turn_whatever_its_reason(
    bench: Bench, stop: StopReason, finish: str
) -> None:
    bench.provider.add([*says("some"), Answer(stop=stop)])
    run = await bench.run()
    assert run.state == "done"
    assert stored(await bench.messages(run))[-1] == ["assistant", "'some'", f"finish {finish}"]


async def test_an_empty_answer_ends_the_turn_and_does_not_spoil_the_next(bench: Bench) -> None:
    bench.provider.add([], says("here"))
    run = await bench.run()
    assert run.state == "done"
    assert await bench.log(run) == [
        "run queued",
        "user",
        "run running",
        "assistant",
        "0 finish end_turn",
        "complete done",
    ]
    await bench.run("again", session_id=run.session_id)
    assert bench.provider.requests[1].turns == (UserTurn((TextBlock("hi"), TextBlock("again"))),)


@pytest.mark.parametrize("stop", ["max_tokens", "end_turn"])
async def test_a_call_that_the_answer_broke_off_gets_a_result_and_the_model_goes_on(
    bench: Bench, stop: StopReason
) -> None:
    bench.provider.add(
        [*calls("read", "c1", key="a"), ToolCallStarted("c2", "change"), Answer(stop=stop)],
        says("shorter"),
    )
    run = await bench.run()
    assert run.state == "done"
    turns = bench.provider.requests[1].turns
    assert isinstance(turns[1], AssistantTurn)
    assert isinstance(turns[2], ToolTurn)
    assert turns[1].blocks[1] == ToolUseBlock("c2", "change", "{}")
    assert [(r.call_id, r.is_error) for r in turns[2].results] == [("c1", False), ("c2", True)]
    assert ("limit of tokens" in turns[2].results[1].text) == (stop == "max_tokens")
    assert bench.change.begun == []


async def test_the_ceiling_on_steps_fails_the_run_behind_its_last_results(bench: Bench) -> None:
    bench.provider.add(calls("read", "c1", key="a"), calls("read", "c2", key="b"))
    run = await bench.run(max_steps=2)
    assert (run.state, run.steps) == ("failed", 2)
    assert run.error is not None
    assert run.error.code == "limit"
    assert (await bench.log(run))[-3:] == ["result c2", "1 finish tool_use", "complete failed"]
    bench.provider.add(says("so"))
    assert (await bench.run("go on", session_id=run.session_id)).state == "done"


async def test_the_time_limit_cuts_a_call_and_gives_it_a_result(bench: Bench) -> None:
    bench.provider.add([*says("wait"), *calls("change", "c1", key="slow")])
    bench.change.hold("slow")
    run = await bench.ended(await bench.send(timeout_s=0.1))
    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "limit")
    assert bench.change.cancelled == ["slow"]
    assert (await bench.log(run))[-3:] == ["error c1", "2 finish end_turn", "complete failed"]


@pytest.mark.parametrize("steps_before", [0, 2])
async def test_a_provider_error_fails_the_run_and_keeps_what_was_said(
    bench: Bench, steps_before: int
) -> None:
    for step in range(steps_before):
        bench.provider.add(calls("read", f"c{step}", key="a"))
    bench.provider.add([*says("half a "), ProviderError("overloaded", hint="wait")])
    run = await bench.run()
    assert run.error is not None
    assert (run.state, run.error.code, run.error.hint) == ("failed", "provider", "wait")
    assert run.steps == steps_before
    assert stored(await bench.messages(run))[-1] == ["assistant", "'half a '", "finish error"]
    assert (await bench.log(run)).count("complete failed") == 1


async def test_a_provider_error_in_the_middle_of_calls_gives_each_one_result(
    bench: Bench,
) -> None:
    hold = Hold()
    bench.provider.add(
        [
            *calls("read", "c1", key="quick"),
            *calls("read", "c2", key="slow"),
            *calls("change", "c3", key="never"),
            ToolCallStarted("c4", "change"),
            hold,
            ProviderError("broke off"),
        ]
    )
    bench.read.hold("slow")
    run = await bench.send()
    await bench.read.wait_begun("slow")
    while bench.read.ended != ["quick"]:
        await anyio.lowlevel.checkpoint()
    hold.released.set()
    assert (await bench.ended(run)).state == "failed"
    assert (await bench.log(run))[-7:] == [
        "result c1",
        "error c2",
        "error c3",
        "3 call c4",
        "error c4",
        "4 finish error",
        "complete failed",
    ]
    assert bench.change.begun == []


async def test_a_turn_that_a_provider_cannot_begin_fails_with_its_reason(bench: Bench) -> None:
    run = await bench.ended(await bench.send(model=chosen("model")))
    assert run.error is not None
    assert (run.state, run.error.code) == ("failed", "internal")
    assert "script does not know" in run.error.message


async def test_a_signature_without_text_is_kept_for_the_provider_that_wants_it_back(
    bench: Bench,
) -> None:
    bench.provider.add(
        [*thinks("", signature="redacted:xyz"), *calls("read", "c1", key="a")], says("done")
    )
    run = await bench.run()
    assert stored(await bench.messages(run))[1] == [
        "assistant",
        "()redacted:xyz",
        "call c1",
        "finish tool_use",
    ]
    turn = bench.provider.requests[1].turns[1]
    assert isinstance(turn, AssistantTurn)
    assert [type(block).__name__ for block in turn.blocks] == ["ReasoningBlock", "ToolUseBlock"]
