"""A hundred requests at once, two people who answer them, and answers that belong elsewhere."""

import anyio
import pytest

from tests.server.classic_client import ClassicClient, ClassicStream
from tests.server.site import Event, Site
from tests.server.test_files import tool
from tests.server.test_permissions import bash, tell

MANY = 100
PROMPT = "\n".join(tool("view", file_path=f".env.{number}") for number in range(MANY))


async def all_asked(stream: ClassicStream) -> list[Event]:
    return [(await stream.until("permission_asked"))["request"] for _ in range(MANY)]


async def started(site: Site) -> tuple[ClassicClient, str]:
    for number in range(MANY):
        (site.project() / f".env.{number}").write_text(f"A={number}\n")
    client = await ClassicClient(site).attach(interactive=True)
    return client, await client.new_session()


def outcomes(stream: ClassicStream) -> list[str]:
    return [event["outcome"] for event in stream.of("permission_resolved")]


async def test_each_of_a_hundred_requests_has_one_answer_of_two_people(site: Site) -> None:
    client, session = await started(site)
    other = await ClassicClient(site).attach(interactive=True)
    told: dict[str, list[Event]] = {}
    async with client.events("&format=2&can_answer=1") as stream:
        await client.prompt(session, PROMPT, run_id="r0")
        requests = await all_asked(stream)
        waiting = (await client.ask("GET", "/pending"))["permissions"]
        assert {w["id"] for w in waiting} == {r["id"] for r in requests}
        assert len({r["tool_call_id"] for r in requests}) == MANY

        async def say(person: ClassicClient, request: Event, action: str) -> None:
            answer = await tell(person, request, action, feedback="no")
            told.setdefault(request["id"], []).append(answer)

        async with anyio.create_task_group() as tasks:
            for request in requests:
                tasks.start_soon(say, client, request, "allow")
                tasks.start_soon(say, other, request, "deny")
        await stream.until("run_complete")
    for one, two in told.values():
        assert sorted([one["resolved"], two["resolved"]]) == [False, True]
        assert (one["outcome"], one["by"]) == (two["outcome"], two["by"])
    allowed = sum(answers[0]["outcome"] == "allow" for answers in told.values())
    assert sorted(outcomes(stream)) == ["allow"] * allowed + ["deny"] * (MANY - allowed)
    results = [
        part["data"]["is_error"]
        for event in stream.of("message_started")
        for part in event["message"]["parts"]
        if part["type"] == "tool_result"
    ]
    assert (len(results), sum(results)) == (MANY, MANY - allowed)
    assert await client.ask("GET", "/pending") == {"permissions": [], "questions": []}


async def test_a_cancel_withdraws_a_hundred_requests_and_later_answers_are_told_so(
    site: Site,
) -> None:
    client, session = await started(site)
    async with client.events("&format=2&can_answer=1") as stream:
        await client.prompt(session, PROMPT, run_id="r0")
        requests = await all_asked(stream)
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await stream.until("run_complete")
        assert outcomes(stream) == ["withdrawn"] * MANY
        for request in requests:
            told = await tell(client, request, "allow")
            assert told == {"resolved": False, "outcome": "withdrawn", "by": "turn"}
    assert await client.ask("GET", "/pending") == {"permissions": [], "questions": []}


async def test_a_session_grant_ends_what_it_covers_among_a_hundred_and_nothing_else(
    site: Site,
) -> None:
    client, session = await started(site)
    async with client.events("&format=2&can_answer=1") as stream:
        await client.prompt(session, PROMPT.replace('.env.1"', '.env.0"'), run_id="r0")
        requests = await all_asked(stream)
        same = [r for r in requests if r["params"]["file_path"].endswith("/.env.0")]
        assert len(same) == 2
        await tell(client, same[0], "allow_session")
        left = (await client.ask("GET", "/pending"))["permissions"]
        assert {w["id"] for w in left} == {r["id"] for r in requests} - {s["id"] for s in same}
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await stream.until("run_complete")


@pytest.mark.parametrize(
    "request_id", ["", "x", "0", "' OR 1=1 --", "../..", "\0", "\ud800", "\u00fc" * 5000, "a\nb"]
)
async def test_an_id_that_is_none_answers_nothing(site: Site, request_id: str) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        asked = await stream.until("permission_request")
        status = 400 if request_id == "\ud800" else 200  # no text at all
        told = await tell(client, {"id": request_id}, "allow", status=status)
        assert status == 400 or told == {"resolved": False}
        await tell(client, asked, "deny")
        await stream.complete("r0")
    assert not (site.project() / "a").exists()


async def test_a_request_is_answered_only_through_its_own_project(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    stranger = await ClassicClient(site, project="q").attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        asked = await stream.until("permission_request")
        assert await tell(stranger, asked, "allow") == {"resolved": False}
        assert (await stranger.ask("GET", "/pending"))["permissions"] == []
        await tell(client, asked, "deny")
        await stream.complete("r0")
    assert not (site.project() / "a").exists()
