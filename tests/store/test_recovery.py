import apsw
import msgspec
import pytest

from crush.errors import StoreError
from crush.store.change import Change, Pending, PendingQuestion, QueuedPrompt
from crush.store.registry import Registry
from crush.store.startup import recover_all
from crush.store.store import Store
from crush.wire.events import (
    Committed,
    CommittedEvent,
    MessageReset,
    MessageStarted,
    PartAdded,
    PartEnded,
    PermissionResolved,
    QuestionResolved,
    RunComplete,
    RunUpdated,
)
from crush.wire.ids import RunId
from crush.wire.messages import Message
from crush.wire.parts import (
    Finish,
    FinishPart,
    Reasoning,
    ReasoningPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)
from tests.store import records
from tests.store.conftest import OpenStore, opener
from tests.store.records import RID, SID, message, session, started, text

OPEN = ToolCall(id="call-open", name="bash", input='{"command":"make"}', finished=True)
PARTIAL = ToolCall(id="call-partial", name="write", input='{"file_pa')
ANSWERED = ToolCall(id="call-answered", name="view", input="{}", finished=True)


async def crash(store: Store, *messages: Message, more: Change | None = None) -> None:
    """Accept a run, write its messages, and go away without an end."""
    await store.accept(records.acceptance(), idempotency_key="k")
    await store.commit(
        Change(
            runs=[records.run(state="running")],
            messages=messages,
            events=[started(item) for item in messages],
        )
    )
    if more is not None:
        await store.commit(more)
    await store.close()


async def events_after(store: Store, seq: int) -> list[CommittedEvent]:
    log: list[Committed] | None = await store.events(seq)
    assert log is not None
    assert {item.run_id for item in log} == {RID}
    return [item.event for item in log]


async def test_every_open_call_gets_an_error_result_and_the_message_its_finish(
    open_store: OpenStore,
) -> None:
    result = ToolResultPart(ToolResult(tool_call_id="call-answered", name="view", content="ok"))
    answer = message(
        "answer",
        ReasoningPart(Reasoning(thinking="hm", signature="sig")),
        text("I will 🏗"),
        ToolCallPart(ANSWERED),
        ToolCallPart(OPEN),
        ToolCallPart(PARTIAL),
    )
    tool = message("tool", result, FinishPart(Finish(reason="stop")), role="tool")
    await crash(await open_store(owner="dead"), answer, tool)

    store = await open_store(owner="next")

    closed, old, *new = await store.messages(SID)
    assert old == tool or old.parts == tool.parts
    assert closed.parts[:4] == answer.parts[:4]
    partial, finish = closed.parts[4:]
    assert isinstance(partial, ToolCallPart)
    assert (partial.data.input, partial.data.finished) == ("{}", True)
    assert isinstance(finish, FinishPart)
    assert finish.data.reason == "error"
    results = [item.parts[0] for item in new]
    assert [
        (part.data.tool_call_id, part.data.name, part.data.is_error)
        for part in results
        if isinstance(part, ToolResultPart)
    ] == [("call-open", "bash", True), ("call-partial", "write", True)]
    assert {item.role for item in new} == {"tool"}
    assert all(isinstance(item.parts[-1], FinishPart) for item in new)


async def test_the_log_tells_all_that_recovery_wrote_and_ends_with_the_run(
    open_store: OpenStore,
) -> None:
    answer = message("answer", text("I will 🏗"), ToolCallPart(OPEN))
    asked = Pending(run_id=RID, request=records.permission())
    await crash(await open_store(owner="dead"), answer, more=Change(asked=[asked]))

    store = await open_store(owner="next")

    told = await events_after(store, 3)
    assert [type(event) for event in told] == [
        PartEnded,
        PartAdded,
        MessageStarted,
        PermissionResolved,
        RunComplete,
    ]
    part_ended, finish, tool_message, resolved, end = told
    assert isinstance(part_ended, PartEnded)
    assert (part_ended.part, part_ended.kind, part_ended.size) == (0, "text", 8)
    assert isinstance(finish, PartAdded)
    assert finish.part == 2
    closed, tool = await store.messages(SID)
    assert finish.content == closed.parts[2]
    assert isinstance(tool_message, MessageStarted)
    assert tool_message.message.parts == tool.parts
    assert isinstance(resolved, PermissionResolved)
    assert (resolved.outcome, resolved.permission_id) == ("withdrawn", asked.request.id)
    assert isinstance(end, RunComplete)
    assert end.run == await store.run(RID)
    assert end.run.state == "interrupted"
    assert end.run.ended_at_ms > 0
    assert await store.pending() == []


async def test_a_form_that_waited_is_withdrawn(open_store: OpenStore) -> None:
    form = PendingQuestion(run_id=RID, request=records.question(), asked_at_ms=5)
    await crash(await open_store(owner="dead"), more=Change(questions=[form]))

    store = await open_store(owner="next")

    resolved, end = await events_after(store, 2)
    assert resolved == QuestionResolved(
        session_id=SID, question_id=form.request.id, outcome="withdrawn", run_id=RID
    )
    assert isinstance(end, RunComplete)
    assert await store.questions() == []


async def test_parts_that_had_ended_are_not_told_again(open_store: OpenStore) -> None:
    answer = message("answer", text("new"), text("open"))

    def part_ended(part: int) -> tuple[RunId, CommittedEvent]:
        event = PartEnded(
            session_id=SID, message_id=answer.id, part=part, kind="text", size=3, run_id=RID
        )
        return RID, event

    reset = (RID, MessageReset(session_id=SID, message_id=answer.id, run_id=RID))
    await crash(
        await open_store(owner="dead"),
        answer,
        more=Change(events=[part_ended(1), reset, part_ended(0)]),
    )

    store = await open_store(owner="next")

    ended = [event for event in await events_after(store, 6) if isinstance(event, PartEnded)]
    assert [(event.part, event.size) for event in ended] == [(1, 4)]


async def test_the_session_of_a_sub_agent_is_brought_to_an_end_as_well(
    open_store: OpenStore,
) -> None:
    child = "answer$$call-open"
    inner = message("inner", ToolCallPart(OPEN), session_id=child)
    more = Change(sessions=[session(child, parent=SID)], messages=[inner], events=[started(inner)])
    await crash(await open_store(owner="dead"), message("answer", ToolCallPart(OPEN)), more=more)

    store = await open_store(owner="next")

    outer = await store.messages(SID)
    nested = await store.messages(session(child).id)
    assert [item.role for item in outer] == ["assistant", "tool"]
    assert [item.role for item in nested] == ["assistant", "tool"]


async def test_what_others_wrote_in_the_session_is_not_touched(open_store: OpenStore) -> None:
    foreign = message("by-crush", ToolCallPart(PARTIAL))
    await crash(await open_store(owner="dead"), more=Change(messages=[foreign]))

    store = await open_store(owner="next")

    (found,) = await store.messages(SID)
    assert found.parts == foreign.parts


async def test_a_run_that_never_began_is_interrupted_too(open_store: OpenStore) -> None:
    dead = await open_store(owner="dead")
    await dead.accept(records.acceptance("one"), idempotency_key="1")
    await dead.accept(records.acceptance("two"), idempotency_key="2")
    await dead.close()

    store = await open_store(owner="next")

    assert [run.state for run in await store.runs_of(SID)] == ["interrupted"] * 2
    again = await store.accept(records.acceptance("three"), idempotency_key="2")
    assert (again.repeated, again.run.id, again.run.state) == (True, "two", "interrupted")


async def test_the_words_of_a_queued_prompt_are_kept_as_a_message(open_store: OpenStore) -> None:
    dead = await open_store(owner="dead")
    await dead.accept(records.acceptance("one"), idempotency_key="")
    for key in ("two", "three"):
        prompt = QueuedPrompt(run_id=RunId(key), parts=[text(f"and {key}")])
        queued = msgspec.structs.replace(records.acceptance(key), prompts=[prompt])
        await dead.accept(queued, idempotency_key="")
    began = message("began", text("and three"), role="user")
    await dead.commit(Change(messages=[began], events=[started(began, run_id="three")]))
    await dead.close()

    store = await open_store(owner="next")

    began_found, kept = await store.messages(SID)
    assert began_found.id == "began"
    assert (kept.role, kept.parts[0]) == ("user", text("and two"))
    assert isinstance(kept.parts[1], FinishPart)
    log = await store.events_of_run(RunId("two"), 0)
    assert log is not None
    assert [type(item.event) for item in log] == [RunUpdated, MessageStarted, RunComplete]


async def test_a_run_whose_end_was_not_told_keeps_its_state(open_store: OpenStore) -> None:
    await crash(await open_store(owner="dead"), more=Change(runs=[records.run(state="cancelled")]))

    store = await open_store(owner="next")

    (end,) = await events_after(store, 2)
    assert isinstance(end, RunComplete)
    assert (end.run.state, end.run.error) == ("cancelled", None)


async def test_a_run_that_a_newer_version_wrote_is_ended_as_well(
    open_store: OpenStore, data_dir: str
) -> None:
    await crash(await open_store(owner="dead"))
    raw = apsw.Connection(f"{data_dir}/crush.db")
    raw.execute("UPDATE py_runs SET body = ?", (b'{"state":"dreaming"}',))
    raw.close()

    store = await open_store(owner="next")

    run = await store.run(RID)
    assert (run.id, run.session_id, run.state) == (RID, SID, "interrupted")


async def test_our_own_runs_go_on(open_store: OpenStore) -> None:
    await crash(await open_store(owner="same"))

    store = await open_store(owner="same")

    assert (await store.run(RID)).state == "running"
    assert [run.id for run in await store.unfinished_runs()] == [RID]


async def test_recovery_happens_once(open_store: OpenStore) -> None:
    await crash(await open_store(owner="dead"), message("answer", ToolCallPart(OPEN)))
    first = await open_store(owner="next")
    seen = (await first.messages(SID), await first.last_seq())
    await first.close()

    second = await open_store(owner="third")

    assert (await second.messages(SID), await second.last_seq()) == seen


async def test_the_next_prompt_is_accepted_at_once(open_store: OpenStore) -> None:
    await crash(await open_store(owner="dead"), message("answer", ToolCallPart(OPEN)))
    store = await open_store(owner="next")

    accepted = await store.accept(records.acceptance("next-run"), idempotency_key="")

    assert not accepted.repeated
    assert (await store.session(SID)).message_count == 2


async def test_start_recovers_the_listed_databases_and_passes_over_what_it_cannot_open(
    open_store: OpenStore, registry: Registry, caplog: pytest.LogCaptureFixture, data_dir: str
) -> None:
    await crash(await open_store(owner="dead"))
    held = await open_store(path=f"{data_dir}-held", owner="dead")
    await held.accept(records.acceptance("held"), idempotency_key="")
    await registry.add(RunId("gone"), f"{data_dir}-gone")
    await registry.add(RunId("orphan"), data_dir)

    await recover_all(
        await registry.unfinished(), registry=registry, opened=opener(registry, owner="next")
    )

    assert list(await registry.unfinished()) == [held.data_dir]
    assert held.data_dir in caplog.text
    store = await open_store(owner="next")
    assert (await store.run(RID)).state == "interrupted"
    assert (await held.run(RunId("held"))).state == "queued"


async def test_a_row_that_no_crush_wrote_is_an_error_of_its_database_alone(
    open_store: OpenStore, registry: Registry, data_dir: str
) -> None:
    """Recovery meets it first, and the other databases must not wait for ever behind it."""
    spoilt = await open_store(path=f"{data_dir}-spoilt", owner="dead")
    await spoilt.accept(records.acceptance("spoilt"), idempotency_key="")
    await spoilt._database.write(
        lambda connection: connection.execute("UPDATE goose_db_version SET version_id = 'x'")
    )
    await spoilt.close()
    await crash(await open_store(owner="dead"))

    await recover_all(
        await registry.unfinished(), registry=registry, opened=opener(registry, owner="next")
    )

    assert list(await registry.unfinished()) == [spoilt.data_dir]
    with pytest.raises(StoreError, match="no crush has written"):
        await open_store(path=f"{data_dir}-spoilt", owner="next")


@pytest.mark.parametrize("body", ["text where bytes belong", b"{}", b"[" * 100_000])
async def test_a_run_whose_row_cannot_be_read_is_ended_all_the_same(
    open_store: OpenStore, body: str | bytes
) -> None:
    store = await open_store(owner="dead")
    await store.accept(records.acceptance(), idempotency_key="")
    await store._database.write(
        lambda connection: connection.execute("UPDATE py_runs SET body = ?", (body,))
    )
    await store.close()

    again = await open_store(owner="next")

    assert (await again.run(RID)).state == "interrupted"
