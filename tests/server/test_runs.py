"""`/v1/runs`: many at once, the same one twice, one that breaks, and whom a run belongs to."""

import json
import uuid
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from crush.launch.host import parse_host
from crush.providers import registry
from crush.wire.codec import decode, encode
from crush.wire.messages import Message
from crush.wire.parts import ToolResult, ToolResultPart
from tests.fakes.breaking_provider import BreakingProvider
from tests.fakes.media_tool import PICTURE, PictureMetadata, picture_tool
from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site, serving, until


def end_of(events: list[Event]) -> Event:
    """The run in its one `run_complete`, which is the last event."""
    assert [event["type"] for event in events].count("run_complete") == 1
    assert events[-1]["type"] == "run_complete"
    run: Event = events[-1]["run"]
    return run


def text_of(events: list[Event]) -> str:
    """What the model said, deltas put together."""
    return "".join(e["text"] for e in events if e["type"] == "delta" and e["kind"] == "text")


@pytest.mark.parametrize("directories", [1, 4])
async def test_two_hundred_runs_at_once_each_get_their_own_answer(
    site: Site, directories: int
) -> None:
    answers: dict[int, str] = {}

    async def ask(number: int) -> None:
        project = projects[number % directories]
        events = await site.run(f"SAY this is answer {number}", path=str(project))
        assert end_of(events)["state"] == "done"
        assert len({event["run_id"] for event in events if "run_id" in event}) == 1
        answers[number] = text_of(events)

    projects = [site.project(f"p{number}") for number in range(directories)]
    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(ask, number)
    assert answers == {number: f"this is answer {number}" for number in range(200)}


async def test_runs_of_one_session_at_once_queue_in_order(site: Site) -> None:
    session_id = end_of(await site.run("SAY first"))["session_id"]
    order: list[str] = []

    async def ask(number: int) -> None:
        events = await site.run(f"SAY answer {number}", session=session_id)
        assert text_of(events) == f"answer {number}"
        order.append(end_of(events)["id"])

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(ask, number)
    kept = await site.ask("GET", f"/sessions/{session_id}?path={site.project()}")
    said = [m["parts"][0]["data"]["text"] for m in kept["messages"]]
    assert len(said) == 22
    for asked, answered in zip(said[::2], said[1::2], strict=True):
        assert asked == f"SAY {answered}"  # no turn began before the one before it was over
    assert len(set(order)) == 10


async def test_one_key_is_one_run_however_often_it_is_sent(site: Site) -> None:
    ends: list[list[Event]] = []

    async def ask() -> None:
        async with site.start("TOOL ls {}\n---\nSAY one answer", key=key) as run:
            ends.append(await run.rest())
            ids.add(run.run_id)

    key, ids = str(uuid.uuid4()), set[str]()
    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(ask)
    assert len(ids) == 1
    assert [end_of(events) for events in ends] == [end_of(ends[0])] * 20
    assert [text_of(events) for events in ends] == ["one answer"] * 20
    assert len(await site.ask("GET", f"/sessions?path={site.project()}")) == 1
    # And long after it ended.
    async with site.start("TOOL ls {}\n---\nSAY one answer", key=key) as run:
        assert end_of(await run.rest()) == end_of(ends[0])


async def test_a_turn_that_breaks_ends_its_own_run_and_nobody_else_notices(
    root: Path, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "build_provider", lambda *_, **__: BreakingProvider())
    ends: dict[str, Event] = {}
    said: dict[str, str] = {}

    async def ask(prompt: str) -> None:
        events = await site.run(prompt)
        ends[prompt], said[prompt] = end_of(events), text_of(events)

    async with serving(root, parse_host(f"unix://{root}/s.sock"), model_url=model_url) as site:
        async with anyio.create_task_group() as tasks:
            for prompt in ("fine 1", "break", "fine 2"):
                tasks.start_soon(ask, prompt)
        broken = ends["break"]
        assert broken["state"] == "failed"
        assert broken["error"]["code"] == "internal"
        assert "ZeroDivisionError" in broken["error"]["message"]
        for prompt in ("fine 1", "fine 2"):
            assert (ends[prompt]["state"], said[prompt]) == ("done", "begin and end")
        # Its session goes on, and the server is idle again.
        again = end_of(await site.run("fine again", session=broken["session_id"]))
        assert again["state"] == "done"
        assert await site.ask("GET", f"/runs/{broken['id']}") == broken
        await until(lambda: not site.services.lifetime.holds)


async def test_a_result_with_everything_is_the_same_on_every_way_out(
    root: Path, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crush.tools.registry.core_tools", lambda **_: (picture_tool(),))
    async with serving(root, parse_host(f"unix://{root}/s.sock"), model_url=model_url) as site:
        client = await ClassicClient(site).attach(interactive=False)
        async with client.events() as classic, client.events("&format=2") as resumable:
            async with site.start("TOOL picture {}") as run:
                await run.rest()
            await classic.complete(run.run_id)
            await resumable.until("run_complete")
        async with site.follow(run.run_id) as replayed:
            await replayed.rest()
        session_id = run.frames[0][1]["session_id"]
        listed = await client.ask("GET", f"/sessions/{session_id}/messages")
        found = await site.ask("GET", f"/sessions/last?path={client.path}")
    told = [
        [event["message"] for _, event in run.frames if "message" in event],
        [event["message"] for _, event in replayed.frames if "message" in event],
        [event["message"] for event in resumable.of("message_started")],
        classic.of("message"),
        listed,
        found["messages"],
    ]
    results = [_only_result(messages) for messages in told]
    assert results == [results[0]] * len(told)
    metadata = encode(PictureMetadata(width=3, note='"<\u2028')).decode()
    assert results[0] == ToolResult(
        tool_call_id=results[0].tool_call_id,
        name="picture",
        content="a picture",
        data=PICTURE,
        mime_type="image/png",
        metadata=metadata,
        is_error=True,
    )


def _only_result(messages: list[Event]) -> ToolResult:
    (result,) = [
        part.data
        for message in messages
        for part in decode(json.dumps(message), Message).parts
        if isinstance(part, ToolResultPart)
    ]
    return result


async def test_hanging_up_ends_a_run_after_the_grace(site: Site) -> None:
    site.services.owners._grace_s = 0.05
    async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
        await run.until("delta")
    async with site.follow(run.run_id, after=run.frames[-1][0]) as _:
        pass  # looking in is not staying
    await until(lambda: not site.services.busy())
    assert (await site.ask("GET", f"/runs/{run.run_id}"))["state"] == "cancelled"


async def test_hanging_up_before_the_answer_ends_the_run_too(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    site.services.owners._grace_s = 0.0
    project = site.project()
    body = {"path": str(project), "prompt": "HANG", "env": site.env}
    data = json.dumps(body).encode()
    connection = await site.connect()
    async with connection:
        head = f"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
        await connection.send(head.encode() + data)
    with anyio.fail_after(5):
        while not await site.ask("GET", f"/sessions?path={project}"):
            await anyio.lowlevel.checkpoint()
    await until(lambda: not site.services.busy())
    (session,) = await site.ask("GET", f"/sessions?path={project}")
    async with site.services.projects.use(str(project / ".crush")) as opened:
        (run,) = await opened.store.runs_of(session["id"])
    assert run.state == "cancelled"
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


@pytest.mark.parametrize("follower", ["run", "workspace", "session"])
async def test_a_run_that_somebody_follows_survives_its_client(site: Site, follower: str) -> None:
    site.services.owners._grace_s = 0.0
    latch = site.root / "latch"
    client = await ClassicClient(site).attach(interactive=False)
    async with AsyncExitStack() as following:
        async with site.start(f"SAY begin\nLATCH {latch}\nSAY end") as run:
            session = (await run.until("delta")) and run.frames[0][1]["session_id"]
            if follower == "run":
                await following.enter_async_context(site.follow(run.run_id))
            else:
                query = f"&format=2&session={session}" if follower == "session" else ""
                await following.enter_async_context(client.events(query))
        await followers_are(site, 1)
        await settled()
        latch.touch()
        await until(lambda: not site.services.busy())
    assert (await site.ask("GET", f"/runs/{run.run_id}"))["state"] == "done"


async def test_a_stream_of_another_session_follows_nothing(site: Site) -> None:
    site.services.owners._grace_s = 0.0
    client = await ClassicClient(site).attach(interactive=False)
    other = await client.new_session()
    async with client.events(f"&format=2&session={other}"):
        async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
            await run.until("delta")
        await until(lambda: not site.services.busy())
    assert (await site.ask("GET", f"/runs/{run.run_id}"))["state"] == "cancelled"


async def test_who_comes_back_within_the_grace_gets_a_whole_one_again(site: Site) -> None:
    site.services.owners._grace_s = 0.3
    async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
        await run.until("delta")
    await followers_are(site, 0)
    began_at = anyio.current_time()
    async with site.follow(run.run_id):
        await followers_are(site, 1)
        await until(lambda: anyio.current_time() > began_at + 0.2)  # a part of the first grace
    left_at = anyio.current_time()
    await until(lambda: not site.services.busy())
    assert anyio.current_time() - left_at > 0.28


async def test_a_detached_run_goes_on_without_anybody(site: Site) -> None:
    site.services.owners._grace_s = 0.0
    latch = site.root / "latch"
    async with site.start(f"SAY begin\nLATCH {latch}\nSAY end", detach=True) as run:
        await run.until("delta")
    await followers_are(site, 0)
    await settled()
    latch.touch()
    await until(lambda: not site.services.busy())
    assert (await site.ask("GET", f"/runs/{run.run_id}"))["state"] == "done"


async def followers_are(site: Site, count: int) -> None:
    (project,) = site.services.busy()
    feed = project.feed
    await until(lambda: len(feed._wide) + sum(map(len, feed._of_run.values())) == count)


async def settled() -> None:
    """Everything that is due at once has happened."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def test_a_cancelled_run_says_so_and_stays_so(site: Site) -> None:
    async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
        await run.until("delta")
        await site.ask("DELETE", f"/runs/{run.run_id}")
        end = end_of(await run.rest())
    assert (end["state"], end["error"]["code"]) == ("cancelled", "cancelled")
    await site.ask("DELETE", f"/runs/{run.run_id}")  # again: nothing changes
    assert await site.ask("GET", f"/runs/{run.run_id}") == end


async def test_a_run_is_told_for_as_long_as_its_session_exists(site: Site) -> None:
    end = end_of(await site.run("hi"))
    assert await site.ask("GET", f"/runs/{end['id']}") == end
    await site.services.projects.close_idle()  # whether its project is open or not
    assert await site.ask("GET", f"/runs/{end['id']}") == end


async def test_a_session_goes_on_by_id_by_prefix_and_by_being_last(site: Site) -> None:
    session_id = end_of(await site.run("SAY one"))["session_id"]
    for wanted in ({"session": session_id}, {"last": True}):
        assert end_of(await site.run("SAY more", **wanted))["session_id"] == session_id


async def test_each_run_has_the_environment_of_its_own_client(site: Site) -> None:
    project = site.project(api_key="$MY_KEY")
    own = site.root / "home" / ".config" / "crush"
    own.mkdir(parents=True)
    (project / "crush.json").rename(own / "crush.json")  # a project's may not use one's variables
    answers = [
        text_of(await site.run("WHOAMI", path=str(project), env={**site.env, "MY_KEY": key}))
        for key in ("key-1111", "key-2222")
    ]
    assert answers == ["1111", "2222"]


async def test_the_words_of_every_prompt_and_run_add_up(site: Site) -> None:
    """Many sessions at once, some cancelled: one end each, none lost."""
    ends: list[Event] = []

    async def ask(number: int) -> None:
        cancels = number % 3 == 0
        prompt = f"LATCH {site.root}/never" if cancels else f"SAY {number}"
        async with site.start(prompt, session="") as run:
            if cancels:
                await site.ask("DELETE", f"/runs/{run.run_id}")
            ends.append(end_of(await run.rest()))

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(ask, number)
    assert Counter(end["state"] for end in ends) == {"done": 20, "cancelled": 10}
    assert len({end["id"] for end in ends}) == 30
