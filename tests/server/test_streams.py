"""Streams under strain: readers that do not read, readers that come late, silence."""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping

import anyio
import pytest

from crush.agent import feed
from crush.server import output, stream
from tests.server.classic_client import ClassicClient
from tests.server.fold import State
from tests.server.site import Event, RunFollower, Site, until
from tests.server.test_bytes import raw

BIG = "DELTAS 150000"  # 600 kB: more than all buffers between server and reader hold


def folded(follower: RunFollower, state: State | None = None) -> State:
    state = state or State()
    for _, event in follower.frames:
        if event["type"] != "resync":
            state.apply(event)
    return state


def subscriptions(site: Site) -> list[feed.Subscription]:
    (project,) = site.services.busy()
    return [reader for readers in project.feed._of_run.values() for reader in readers]


async def test_a_reader_that_does_not_read_costs_nothing_and_misses_nothing(site: Site) -> None:
    latch = site.root / "latch"
    async with site.start(f"SAY begin\n{BIG}\nLATCH {latch}\nSAY end") as fast:
        await fast.until("delta")
        async with site.follow(fast.run_id) as slow:
            whole = 5 + 4 * 150_000
            while sum(len(e["text"]) for _, e in fast.frames if e["type"] == "delta") < whole:
                await fast.next()
            # Text is never queued for a reader: it is where the reader left it.
            assert max(len(reader.queue) for reader in subscriptions(site)) < 10
            latch.touch()
            await fast.rest()
            await slow.rest()
    assert folded(slow).known() == folded(fast).known()


async def test_a_reader_that_never_reads_is_cut_and_others_do_not_notice(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "WRITE_WITHIN_S", 0.2)
    latch = site.root / "latch"
    async with site.start(f"SAY begin\n{BIG}\nLATCH {latch}\nSAY end") as fast:
        await fast.until("delta")
        async with raw(site) as stuck:
            await stuck.send(f"GET /v1/runs/{fast.run_id}/events HTTP/1.1\nHost: x")
            await stuck.until(b"\r\n\r\n")
            await until(lambda: len(subscriptions(site)) == 2)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fast.until, "part_ended")
                await until(lambda: len(subscriptions(site)) == 1)  # cut
                latch.touch()
        end = (await fast.rest())[-1]
    assert end["run"]["state"] == "done"


async def test_a_reader_that_is_too_far_behind_is_told_to_resync_and_loses_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "QUEUE_LIMIT", 10)
    latch = site.root / "latch"
    prompt = f"SAY begin\n{BIG}\nTOOL ls {{}}\n---\nSTEPS 5 ls {{}}\n---\nLATCH {latch}\nSAY end"
    async with site.start(prompt) as slow:
        await until(lambda: any(reader.lost for reader in subscriptions(site)))
        latch.touch()
        events = await slow.rest()
    assert events[-1] == {"type": "resync"}
    cursor = slow.frames[-1][0]
    async with site.follow(slow.run_id, after=cursor) as again:
        await again.rest()
    async with site.follow(slow.run_id) as whole:
        await whole.rest()
    assert folded(again, folded(slow)).known() == folded(whole).known()


async def test_silence_is_filled_with_beats_in_format_2_only(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A classic client would log each one as an error (W 0.1 no. 7)."""
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)
    client = await ClassicClient(site).attach(interactive=False)
    target = f"/v1{client.place}/events?client_id={client.id}"
    async with raw(site) as classic, raw(site) as resumable:
        await classic.send(f"GET {target} HTTP/1.1\nHost: x")
        await resumable.send(f"GET {target}&format=2 HTTP/1.1\nHost: x")
        for _ in range(3):
            await resumable.until(b"\n: beat\n\n")
        await client.prompt(await client.new_session(), "hi", run_id="r0")
        told = await classic.until(b'"run_complete"')
    body = told.partition(b"\r\n\r\n")[2]
    assert body.startswith(b"data: ")
    assert b"beat" not in body


async def test_a_dead_reader_is_noticed_by_its_beat(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "HEARTBEAT_S", 0.01)
    async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
        await run.until("delta")
        async with site.follow(run.run_id):
            await until(lambda: len(subscriptions(site)) == 2)
        await until(lambda: len(subscriptions(site)) == 1)
        await site.ask("DELETE", f"/runs/{run.run_id}")


async def test_growing_text_comes_in_few_frames(site: Site) -> None:
    """8,000 deltas are not 8,000 writes, and a frame costs at most 160 bytes."""
    async with site.start("DELTAS 8000") as run:
        received = 0
        async for line in run.response.content:
            received += len(line)
    text = 4 * 8000
    assert received < 1.3 * text + 160 * 8000 * 0.2 + 4000


@pytest.mark.parametrize(
    "prompt",
    ["DELTAS 8000", "PACE 1\nDELTAS 300", "\n".join(["TOOL ls {}"] * 40), "STEPS 10 ls {}"],
    ids=["fast", "slow", "many calls", "many steps"],
)
async def test_a_classic_stream_tells_of_a_growing_message_at_most_thirty_times_a_second(
    site: Site, prompt: str
) -> None:
    """Each time is the whole message."""
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as classic:
        began_at = anyio.current_time()
        await client.prompt(session, prompt, run_id="r0")
        await classic.complete("r0")
        took_s = anyio.current_time() - began_at
    updates = Counter(
        event["payload"]["payload"]["id"]
        for event in classic.seen
        if (event["type"], event["payload"]["type"]) == ("message", "updated")
    )
    assert max(updates.values()) <= 30 * took_s + 2
    last = {message["id"]: message for message in classic.of("message")}
    kept = await client.ask("GET", f"/sessions/{session}/messages")
    assert [last[m["id"]]["parts"] for m in kept] == [m["parts"] for m in kept]


async def test_a_workspace_is_followed_from_a_cursor(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events("&format=2") as first:
        for number in range(3):
            await client.prompt(session, f"SAY {number}", run_id=f"r{number}")
            await first.until("run_complete")
    ids = [cursor for cursor, _ in first.frames]
    for cut in range(len(ids)):
        state = State()
        for _, event in first.frames[: cut + 1]:
            state.apply(event)
        async with client.events(f"&format=2&after={ids[cut]}") as again:
            while len(state.runs) < 3 or state.runs["r2"]["state"] != "done":
                told = await again.next()
                assert told is not None
                state.apply(told)
        whole = State()
        for _, event in first.frames:
            whole.apply(event)
        assert state.known() == whole.known()


async def test_a_filtered_stream_tells_of_its_session_only(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    one, two = await client.new_session(), await client.new_session()
    async with client.events(f"&format=2&session={two}") as filtered:
        await client.prompt(one, "SAY one", run_id="r1")
        await until(lambda: not site.services.busy())
        await client.prompt(two, "SAY two", run_id="r2")
        await filtered.until("run_complete")
    assert {event["session_id"] for event in filtered.seen if "session_id" in event} == {two}


async def test_a_workspace_cursor_whose_events_are_gone_is_told_so(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    async with client.events("&format=2") as stream_:
        await client.prompt(await client.new_session(), "hi", run_id="r0")
        await stream_.until("run_complete")
    epoch = stream_.frames[0][0].rpartition(".")[0]
    with sqlite3.connect(f"{client.path}/.crush/crush.db") as database:
        database.execute("INSERT INTO py_meta (key, value) VALUES ('pruned_through', '5')")
    for cursor in (f"{epoch}.1", "0123.1"):
        async with client.events(f"&format=2&after={cursor}") as again:
            assert await again.next() == {"type": "resync"}
            assert await again.next() is None
    await client.ask("GET", "/events?format=2&after=x", status=400)
    await client.ask("GET", "/events?format=3", status=400)


async def test_a_classic_client_that_comes_in_the_middle_sees_the_text_grow(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    latches = [site.root / "one", site.root / "two"]
    prompt = f"SAY begin\nLATCH {latches[0]}\nSAY middle\nLATCH {latches[1]}\nSAY end"
    async with client.events("&format=2") as first:
        await client.prompt(session, prompt, run_id="r0")
        await first.until("delta")
        async with client.events() as second:
            latches[0].touch()
            await second.until("message", lambda m: _text(m) == "beginmiddle")
            latches[1].touch()
            end = await second.complete("r0")
    assert end["text"] == "beginmiddleend"


def _text(message: Mapping[str, Event]) -> str:
    parts = json.loads(json.dumps(message["parts"]))
    return "".join(part["data"].get("text", "") for part in parts)
