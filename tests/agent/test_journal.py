"""What a turn produced: soon on the disk, told after its commit, and kept when a commit fails."""

import pytest

from crush.agent.draft import Draft
from crush.agent.feed import Piece
from crush.agent.files import SessionFiles
from crush.agent.journal import Journal
from crush.agent.live_output import LiveOutput
from crush.config.secret_values import Secrets
from crush.errors import StoreError
from crush.store.change import Change
from crush.wire.events import RunComplete
from crush.wire.ids import RunId, SessionId, ToolCallId
from crush.wire.messages import Run, Session
from tests.agent.bench import Bench
from tests.agent.shapes import shape, stored
from tests.fakes.provider import Hold, calls, says


async def _words_on_disk(bench: Bench, session_id: SessionId) -> str:
    return str(stored(await bench.store.messages(session_id)))


async def test_words_are_on_the_disk_while_the_model_still_speaks(bench: Bench) -> None:
    hold, more = Hold(), Hold()
    bench.provider.add([*says("first words"), hold, *says(", then more"), more])
    run = await bench.send()
    await hold.reached.wait()
    while "first words" not in await _words_on_disk(bench, run.session_id):
        pass
    hold.released.set()
    await more.reached.wait()
    while "then more" not in await _words_on_disk(bench, run.session_id):
        pass
    assert bench.provider.answered == 0
    more.released.set()
    assert (await bench.ended(run)).state == "done"


async def test_every_event_can_be_read_from_the_store_when_it_is_told(bench: Bench) -> None:
    hold = Hold()
    bench.provider.add([*says("a"), hold, *calls("read", "c", key="a")], says("end"))
    run = await bench.send()
    checked = 0
    for _ in range(2):
        bench.ear.take()
        for item in bench.ear.events()[checked:]:
            found = await bench.store.events(item.seq - 1, limit=1)
            assert found == [item]
            checked += 1
        hold.released.set()
        await bench.ended(run)
    assert checked > 3


async def test_live_output_of_a_tool_is_shown_and_never_stored(bench: Bench) -> None:
    bench.read.output = {"a": "line of output"}
    bench.read.hold("a")
    bench.provider.add(calls("read", "c1", key="a"), says("done"))
    run = await bench.send()
    await bench.ear.wait(lambda ear: any(isinstance(news, Piece) for news in ear.heard))
    heard = [shape(n.event) if not isinstance(n, Piece) else n.text for n in bench.ear.heard]
    assert heard.index("0 call c1") < heard.index("line of output")
    bench.read.release("a")
    await bench.ended(run)
    assert "line of output" not in await _words_on_disk(bench, run.session_id)


async def test_a_call_stands_before_its_result_however_fast_it_was(bench: Bench) -> None:
    """Also when both reach the disk for the first time in one commit."""
    for number in range(20):
        bench.provider.add(calls("nosuch", f"c{number}"), says("done"))
        run = await bench.run()
        assert [message[0] for message in stored(await bench.messages(run))] == [
            "user",
            "assistant",
            "tool",
            "assistant",
        ]


async def _journal(bench: Bench) -> Journal:
    """Of a run that nobody else works on."""
    run = Run(id=RunId("r"), session_id=SessionId("s"), state="running")
    await bench.store.accept(
        Change(sessions=[Session(id=run.session_id)], runs=[run]), idempotency_key=""
    )
    return Journal(store=bench.store, feed=bench.project.feed, run=run)


async def _limit_pages(bench: Bench, limit: str) -> None:
    await bench.store._database.write(
        lambda c: c.execute(f"PRAGMA max_page_count={limit}").fetchall()
    )


async def test_what_a_failed_commit_would_have_written_is_written_by_the_next_one(
    bench: Bench,
) -> None:
    journal = await _journal(bench)
    session_id = journal.run.session_id
    reads = SessionFiles(known={}, journal=journal)
    draft = Draft(journal, model="m", provider="p")
    draft.text("x" * 100_000)
    reads.record("/a", "digest")
    bench.ear.take()
    before = len(bench.ear.events())
    await _limit_pages(bench, "1")
    with pytest.raises(StoreError, match="full"):
        await journal.flush()
    bench.ear.take()
    assert len(bench.ear.events()) == before
    draft.text("y")
    draft.finish("end_turn")
    await _limit_pages(bench, "4294967294")
    await journal.flush()
    bench.ear.take()
    assert [shape(item.event) for item in bench.ear.events()[before:]] == [
        "assistant",
        "0 text of 100001",
        "1 finish end_turn",
    ]
    assert [read.path for read in await bench.store.file_reads(session_id)] == ["/a"]
    await journal.flush()
    bench.ear.take()
    assert len(bench.ear.events()) == before + 3


async def test_the_end_writes_everything_that_is_left_and_comes_last(bench: Bench) -> None:
    journal = await _journal(bench)
    draft = Draft(journal, model="m", provider="p")
    draft.text("words")
    output = LiveOutput(journal, ToolCallId("c"), secrets=Secrets({}))
    output.grow("seen by nobody")
    output.end()
    draft.finish("end_turn")
    first = Run(id=journal.run.id, session_id=journal.run.session_id, state="done")
    await journal.end(first, [])
    bench.ear.take()
    events = [item.event for item in bench.ear.events()]
    assert isinstance(events[-1], RunComplete)
    assert events[-1].run.state == "done"
    assert [shape(event) for event in events] == [
        "assistant",
        "0 text of 5",
        "1 finish end_turn",
        "complete done",
    ]
    assert "words" in await _words_on_disk(bench, journal.run.session_id)
    heard = [news.text for news in bench.ear.heard if isinstance(news, Piece)]
    assert "seen by nobody" not in heard
