"""Prompts of classic clients: in order, folded into a running turn, listed, cleared, cancelled (W 3.5)."""

import uuid
from pathlib import Path

import anyio

from tests.server.classic_client import ClassicClient, ClassicStream
from tests.server.site import Event, Site, until


def latched(site: Site, *, step: str = "", end: str = "SAY end") -> tuple[str, Path]:
    """A prompt whose turn stays open until the file exists; `step` comes before its end."""
    latch = site.root / f"latch-{uuid.uuid4()}"
    return f"SAY begin\nLATCH {latch}\n{step}{end}", latch


def texts(stream: ClassicStream, role: str) -> list[str]:
    """What was said, in order, each message once and as it was last seen."""
    last = {message["id"]: message for message in stream.of("message") if message["role"] == role}
    return ["".join(p["data"].get("text", "") for p in m["parts"]) for m in last.values()]


def ends(stream: ClassicStream) -> list[tuple[str, str, bool]]:
    """Each `run_complete`: run id, text, whether it was cancelled."""
    return [
        (end.get("run_id", ""), end.get("text", ""), end.get("cancelled", False))
        for end in stream.of("run_complete")
    ]


async def said_begin(stream: ClassicStream) -> Event:
    """Wait until the running turn has said its first word."""
    return await stream.until(
        "message",
        lambda m: m["role"] == "assistant" and bool(m["parts"]) and not _is_finished(m),
    )


def _is_finished(message: Event) -> bool:
    return any(part["type"] == "finish" for part in message["parts"])


async def test_prompts_with_ids_queue_and_run_in_order(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        prompt, latch = latched(site)
        await client.prompt(session, prompt, run_id="r0")
        for number in range(1, 4):
            await client.prompt(session, f"SAY answer {number}", run_id=f"r{number}")
        assert await client.ask("GET", f"/agent/sessions/{session}/prompts/queued") == 3
        queued = await client.ask("GET", f"/agent/sessions/{session}/prompts/list")
        assert queued == ["SAY answer 1", "SAY answer 2", "SAY answer 3"]
        latch.touch()
        await stream.complete("r3")
    assert ends(stream) == [
        ("r0", "beginend", False),
        ("r1", "answer 1", False),
        ("r2", "answer 2", False),
        ("r3", "answer 3", False),
    ]
    assert texts(stream, "assistant") == ["beginend", "answer 1", "answer 2", "answer 3"]


async def test_concurrent_prompts_to_one_session_each_get_their_own_end(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(prompt_named, client, session, f"r{number}")
        while len(ends(stream)) < 8:
            assert await stream.next() is not None
    assert sorted(ends(stream)) == [(f"r{n}", f"I am r{n}", False) for n in range(8)]
    asked = [text.removeprefix("SAY I am ") for text in texts(stream, "user")]
    assert asked == [run_id for run_id, _, _ in ends(stream)]


async def prompt_named(client: ClassicClient, session: str, run_id: str) -> None:
    await client.prompt(session, f"SAY I am {run_id}", run_id=run_id)


async def test_a_prompt_without_an_id_is_folded_into_the_running_turn(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream, client.events("&format=2") as resumable:
        prompt, latch = latched(site, step='TOOL ls {"path": "."}\n---\n')
        await client.prompt(session, prompt, run_id="r0")
        await said_begin(stream)
        folded = await client.prompt(session, "SAY taken up")
        latch.touch()
        await stream.complete("r0")
        async with anyio.create_task_group():
            first = await resumable.until("run_complete")
            second = await resumable.until("run_complete")
    # Its own answer is the turn's; the classic stream tells of one end, with its text.
    assert ends(stream) == [("r0", "taken up", False)]
    assert [event["type"] for event in stream.of("agent_event")] == ["agent_finished"]
    assert [text.splitlines()[0] for text in texts(stream, "user")] == [
        "SAY begin",
        "SAY taken up",
    ]
    # Format 2 tells of both runs: the folded one, then the one that took it up.
    assert (first["run"]["id"], first["run"]["folded_into"]) == (folded, "r0")
    assert (second["run"]["id"], second["run"].get("folded_into", "")) == ("r0", "")
    assert first["run"]["message_id"] == second["run"]["message_id"]
    assert {first["run"]["state"], second["run"]["state"]} == {"done"}


async def test_a_prompt_that_came_too_late_to_be_folded_is_its_own_turn(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, "SAY one")
        await stream.until("run_complete")
        await client.prompt(session, "SAY two")
        await stream.until("run_complete")
    # They had no id, so their ends have none.
    assert ends(stream) == [("", "one", False), ("", "two", False)]


async def test_clearing_the_queue_leaves_the_running_turn_alone(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        prompt, latch = latched(site)
        await client.prompt(session, prompt, run_id="r0")
        await said_begin(stream)
        await client.prompt(session, "SAY one", run_id="r1")
        await client.prompt(session, "SAY two", run_id="r2")
        await client.ask("POST", f"/agent/sessions/{session}/prompts/clear")
        assert await client.ask("GET", f"/agent/sessions/{session}/prompts/queued") == 0
        latch.touch()
        await stream.complete("r0")
    assert ends(stream) == [("r1", "", True), ("r2", "", True), ("r0", "beginend", False)]
    assert [end["message_id"] for end in stream.of("run_complete")][:2] == ["", ""]
    assert len(texts(stream, "user")) == 1  # dropped prompts leave no message


async def test_a_cancel_covers_what_was_accepted_before_it_and_nothing_after(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        prompt, _ = latched(site)
        await client.prompt(session, prompt, run_id="r0")
        await said_begin(stream)
        await client.prompt(session, "SAY one", run_id="r1")
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await client.prompt(session, "SAY after", run_id="r2")
        await stream.complete("r2")
    assert ends(stream) == [("r1", "", True), ("r0", "begin", True), ("r2", "after", False)]
    cut = next(end for end in stream.of("run_complete") if end["run_id"] == "r0")
    message = [m for m in stream.of("message") if m["id"] == cut["message_id"]][-1]
    assert message["parts"][-1]["data"]["reason"] == "canceled"
    finished = [event["session_id"] for event in stream.of("agent_event")]
    assert finished == [session]  # of the last turn only


async def test_a_cancel_gives_every_open_call_a_result(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False, yolo=True)
    session = await client.new_session()
    began = site.root / "began"
    async with client.events() as stream:
        command = f'{{"command": "touch {began}; exec sleep 30", "description": "d"}}'
        await client.prompt(session, f"TOOL bash {command}", run_id="r0")
        await until(began.exists)
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await stream.complete("r0")
    (result,) = [m for m in stream.of("message") if m["role"] == "tool"]
    assert result["parts"][0]["data"]["is_error"]
    assert ends(stream) == [("r0", "", True)]


async def test_a_cancel_of_an_idle_session_does_not_poison_its_next_prompt(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    await client.ask("POST", f"/agent/sessions/{session}/cancel")
    async with client.events() as stream:
        await client.prompt(session, "SAY fine", run_id="r0")
        await stream.complete("r0")
    assert ends(stream) == [("r0", "fine", False)]


async def test_a_failing_turn_tells_its_client_so(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, "ERROR! 401", run_id="r0")
        end = await stream.complete("r0")
    (told,) = stream.of("agent_event")
    assert (told["type"], told["run_id"], told["session_id"]) == ("error", "r0", session)
    assert told["error"] == end["error"] != ""
    assert told["message"]["parts"] == []  # a Go reader fails on a message without


async def test_busy_is_told_while_a_turn_runs(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    place = f"/agent/sessions/{session}"
    assert (await client.ask("GET", place))["is_busy"] is False
    async with client.events() as stream:
        prompt, latch = latched(site)
        await client.prompt(session, prompt, run_id="r0")
        assert (await client.ask("GET", place))["is_busy"] is True
        assert (await client.ask("GET", "/agent"))["is_busy"] is True
        assert (await client.ask("GET", f"/sessions/{session}"))["is_busy"] is True
        latch.touch()
        await stream.complete("r0")


async def test_attachments_are_part_of_the_message(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    attachment = {
        "file_path": "/p/a.txt",
        "file_name": "a.txt",
        "mime_type": "text/plain",
        "content": "aGkK",
    }
    async with client.events() as stream:
        body = {"session_id": session, "prompt": "look", "attachments": [attachment]}
        await client.ask("POST", "/agent", {**body, "run_id": "r0"})
        await stream.complete("r0")
    parts = next(m for m in stream.of("message") if m["role"] == "user")["parts"]
    assert parts[1] == {
        "type": "binary",
        "data": {"Path": "/p/a.txt", "MIMEType": "text/plain", "Data": "aGkK"},
    }
    stored = await client.ask("GET", f"/sessions/{session}/messages")
    assert stored[0]["parts"] == parts
