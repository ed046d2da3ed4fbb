"""A run is cut off anywhere and followed on from its last event: nothing is missing, nothing twice."""

import json
import sqlite3
from copy import deepcopy
from typing import Any

import anyio
import pytest
from msgspec import structs

from crush.store.change import Change
from crush.wire.events import (
    CommittedEvent,
    MessageReset,
    MessageStarted,
    PartAdded,
    PartEnded,
)
from crush.wire.ids import MessageId, RunId
from crush.wire.messages import Message
from crush.wire.parts import Text, TextPart
from tests.server.fold import State
from tests.server.site import Event, Site
from tests.wire.samples import PARTS

Frame = tuple[str, Event]

RICH = "\n".join(
    [
        "THINK let me see what there is",
        "SAY I look around first: \U0001f40d",
        'TOOL ls {"path": "."}',
        'TOOL view {"file_path": "crush.json"}',
        "---",
        "SAY half an answer that breaks",
        'TOOL ls {"path": "."}',
        "ERROR 529 0",
        "THINK again, then",
        "SAY now the whole answer",
        "TOOL bash " + json.dumps({"command": "seq 300", "description": "count"}),
        "TOOL bash " + json.dumps({"command": "exit 3", "description": "fail"}),
        "---",
        "DELTAS 400",
    ]
)


def folded(frames: list[Frame], state: State | None = None) -> State:
    state = state or State()
    for _, event in frames:
        state.apply(event)
    return state


async def test_a_run_resumed_at_any_place_comes_to_the_same_end(site: Site) -> None:
    async with site.start(RICH, mode="yolo") as run:
        await run.rest()
        frames = run.frames
    whole = folded(frames)
    kinds = {event["type"] for _, event in frames}
    assert {"message_reset", "retry_scheduled", "part_ended", "delta"} <= kinds
    for cut in range(len(frames)):
        cursor = frames[cut - 1][0] if cut else ""
        async with site.follow(run.run_id, after=cursor) as again:
            await again.rest()
        assert folded(again.frames, folded(frames[:cut])).known() == whole.known(), cut
        ids = [seq_of(cursor) for cursor, _ in again.frames]
        assert ids == sorted(ids)


def seq_of(cursor: str) -> int:
    return int(cursor.rpartition(".")[2])


async def test_a_live_run_resumed_at_any_place_comes_to_the_same_end(site: Site) -> None:
    """Every reader joins while the run goes on, with what the first one knew at that moment."""
    ends: list[State] = []

    async def join(frames: list[Frame]) -> None:
        async with site.follow(run_id, after=frames[-1][0]) as again:
            await again.rest()
            ends.append(folded(again.frames, folded(deepcopy(frames))))

    prompt = RICH.replace("DELTAS 400", "PACE 1\nDELTAS 60")
    async with site.start(prompt, mode="yolo") as run, anyio.create_task_group() as tasks:
        run_id = run.run_id
        while await run.next() is not None:
            tasks.start_soon(join, list(run.frames))
    whole = folded(run.frames)
    assert len(ends) == len(run.frames)
    for end in ends:
        assert end.known() == whole.known()


async def test_what_a_retry_voided_is_not_told_again(site: Site) -> None:
    """Its text is kept nowhere; that of the second attempt would stand in its place."""
    latch = site.root / "latch"
    async with site.start(f"SAY begin\nLATCH {latch}") as run:
        await run.until("delta")
        (project,) = site.services.busy()
        of_run: dict[str, Any] = {
            "session_id": project.actors()[0].session_id,
            "run_id": run.run_id,
        }
        of_message: dict[str, Any] = {**of_run, "message_id": "again"}
        header = Message(
            parts=[], id=MessageId("again"), role="assistant", session_id=of_run["session_id"]
        )
        finish = PARTS["finish-bare"]
        events: list[CommittedEvent] = [
            MessageStarted(message=header, **of_run),
            PartEnded(part=0, kind="text", size=3, **of_message),
            PartAdded(part=1, content=PARTS["tool_call"], **of_message),
            MessageReset(**of_message),
            PartEnded(part=0, kind="text", size=3, **of_message),
            PartAdded(part=1, content=finish, **of_message),
        ]
        stored = structs.replace(header, parts=[TextPart(Text(text="new")), finish])
        run_id = RunId(run.run_id)
        change = Change(messages=[stored], events=[(run_id, event) for event in events])
        await project.store.commit(change)
        async with site.follow(run.run_id) as again:
            await again.until("part_added", part=1)
        latch.touch()
        await run.rest()
    told = [event for _, event in again.frames if event.get("message_id") == "again"]
    kinds = [event["type"] for event in told]
    assert kinds == ["message_reset", "delta", "part_ended", "part_added"]
    assert folded(again.frames).messages["again"]["parts"][0]["data"] == {"text": "new"}


async def test_the_stream_of_a_run_tells_what_the_store_keeps(site: Site) -> None:
    async with site.start(RICH, mode="yolo") as run:
        await run.rest()
    whole = folded(run.frames)
    session_id = whole.runs[run.run_id]["session_id"]
    kept = await site.ask("GET", f"/sessions/{session_id}?path={site.project()}")
    known = [{**m, "updated_at": 0} for m in whole.messages.values()]
    stored = [{**m, "updated_at": 0} for m in kept["messages"]]
    assert sorted(known, key=lambda m: str(m["id"])) == sorted(stored, key=lambda m: str(m["id"]))
    assert await site.ask("GET", f"/runs/{run.run_id}") == whole.runs[run.run_id]


async def test_a_second_reader_sees_a_growing_text_from_its_beginning(site: Site) -> None:
    latch = site.root / "latch"
    async with site.start(f"SAY one two\nLATCH {latch}\nSAY three") as run:
        await run.until("delta")
        async with site.follow(run.run_id) as second:
            assert (await second.until("delta"))["text"] == "one two"
            latch.touch()
            await run.rest()
            await second.rest()
    assert folded(second.frames).known() == folded(run.frames).known()


async def test_a_cursor_of_another_epoch_says_that_it_is_worth_nothing(site: Site) -> None:
    async with site.start("hi") as run:
        await run.rest()
    async with site.follow(run.run_id, after="0123abcd.3") as again:
        events = await again.rest()
    # Nobody waits for an end that is known.
    assert [event["type"] for event in events] == ["resync", "run_complete"]
    assert again.frames[0][0].endswith(".0")


async def test_a_run_whose_events_were_pruned_has_its_end_still(site: Site) -> None:
    async with site.start("hi") as run:
        await run.rest()
    with sqlite3.connect(site.project() / ".crush" / "crush.db") as database:
        database.execute("UPDATE py_runs SET pruned_through = 1000")
        database.execute("DELETE FROM py_events")
    async with site.follow(run.run_id, after=run.frames[2][0]) as again:
        events = await again.rest()
    assert [event["type"] for event in events] == ["resync", "run_complete"]
    assert events[-1] == run.frames[-1][1]


@pytest.mark.parametrize("cursor", ["x", "1", ".", "abc.", "abc.-1", "abc.1.5x", "abc.²", ".5"])
async def test_what_is_no_cursor_is_refused(site: Site, cursor: str) -> None:
    async with site.start("hi") as run:
        await run.rest()
    problem = await site.ask("GET", f"/runs/{run.run_id}/events?after={cursor}", status=400)
    assert "is not a cursor" in problem["message"]


async def test_an_ended_run_is_told_from_the_store_and_its_stream_ends(site: Site) -> None:
    async with site.start("hi") as run:
        await run.rest()
    last = run.frames[-1][0]
    async with site.follow(run.run_id, after=last) as again:
        assert await again.rest() == []


async def test_twenty_readers_of_one_run_see_the_same(site: Site) -> None:
    ends: list[State] = []

    async def read(run_id: str) -> None:
        async with site.follow(run_id) as reader:
            await reader.rest()
            ends.append(folded(reader.frames))

    prompt = "PACE 1\nDELTAS 100"
    async with site.start(prompt) as run, anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(read, run.run_id)
        await run.rest()
    whole = folded(run.frames)
    assert [end.known() for end in ends] == [whole.known()] * 20


def test_the_fold_is_strict() -> None:
    """The other tests lean on it."""
    state = State()
    state.apply({"type": "message_started", "message": {"id": "m", "parts": []}})
    delta = {"type": "delta", "message_id": "m", "kind": "text"}
    state.apply({**delta, "text": "abc"})
    state.apply({**delta, "offset": 1, "text": "bcd"})
    assert state.messages["m"]["parts"][0]["data"]["text"] == "abcd"
    for offset, text in ((5, "x"), (1, "x")):
        with pytest.raises(AssertionError):
            state.apply({**delta, "offset": offset, "text": text})
