"""Permission requests as clients see them: asked, answered once, remembered exactly, withdrawn."""

import json
from contextlib import suppress

import anyio
import pytest

from tests.server.classic_client import ClassicClient, ClassicStream
from tests.server.site import Event, Site


def bash(command: str) -> str:
    return "TOOL bash " + json.dumps({"command": command, "description": "d"})


async def asked(stream: ClassicStream) -> Event:
    return await stream.until("permission_request")


def notes(stream: ClassicStream) -> list[str]:
    """What the dialogs were told, in order."""
    return [
        "granted" if note["granted"] else "denied" if note["denied"] else "pending"
        for note in stream.of("permission_notification")
    ]


def results(stream: ClassicStream) -> list[tuple[bool, str]]:
    """Whether each tool result is an error, and its text."""
    return [
        (part["data"]["is_error"], part["data"]["content"])
        for message in stream.of("message")
        for part in message["parts"]
        if part["type"] == "tool_result"
    ]


async def tell(
    client: ClassicClient, request: Event, action: str, *, status: int = 200, **more: object
) -> Event:
    """As Crush's TUI does it, the whole request comes back with the action; as ours, with its id."""
    body = {"permission": request, "action": action, **more}
    path = f"/permissions/grant?client_id={client.id}"
    told: Event = await client.ask("POST", path, body, status=status)
    return told


async def answer(client: ClassicClient, request: Event, action: str, *, feedback: str = "") -> bool:
    return bool((await tell(client, request, action, feedback=feedback))["resolved"])


async def test_a_granted_call_runs(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a; echo made"), run_id="r0")
        request = await asked(stream)
        assert request["params"]["command"] == "touch a; echo made"
        assert request["path"] == client.path
        call = next(
            part["data"]["id"]
            for message in stream.of("message")
            for part in message["parts"]
            if part["type"] == "tool_call"
        )
        assert request["tool_call_id"] == call  # the call is known before it is asked about
        assert await answer(client, request, "allow")
        await stream.complete("r0")
    assert notes(stream) == ["pending", "granted"]
    assert [is_error for is_error, _ in results(stream)] == [False]
    assert (site.project() / "a").exists()


async def test_a_denied_call_does_not_run_and_ends_the_turn(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a") + "\n---\nSAY again", run_id="r0")
        assert await answer(client, await asked(stream), "deny")
        end = await stream.complete("r0")
    assert notes(stream) == ["pending", "denied"]
    assert [is_error for is_error, _ in results(stream)] == [True]
    assert end.get("error", "") == ""
    last = [m for m in stream.of("message") if m["id"] == end["message_id"]][-1]
    assert last["parts"][-1]["data"]["reason"] == "end_turn"
    assert not (site.project() / "a").exists()


async def test_a_denial_with_a_reason_lets_the_turn_go_on(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a") + "\n---\nSAY as you wish", run_id="r0")
        await answer(client, await asked(stream), "deny", feedback="use make")
        end = await stream.complete("r0")
    ((is_error, text),) = results(stream)
    assert is_error
    assert "use make" in text
    assert end["text"] == "as you wish"


async def test_a_second_answer_to_a_permission_is_ignored(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    other = await ClassicClient(site).attach(interactive=True)
    assert other.workspace["id"] == client.workspace["id"]
    session = await client.new_session()
    async with client.events() as stream, other.events() as its_stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        assert await asked(its_stream) == request
        assert await answer(other, request, "allow")
        assert not await answer(client, request, "deny")
        await stream.complete("r0")
        await its_stream.complete("r0")
    assert notes(stream) == notes(its_stream) == ["pending", "granted"]
    assert not await answer(client, request, "allow")  # long over


async def test_answers_at_the_same_time_count_once(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    resolved: list[bool] = []
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)

        async def grant() -> None:
            resolved.append(await answer(client, request, "allow"))

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(grant)
        await stream.complete("r0")
    assert sorted(resolved) == [False] * 9 + [True]
    assert notes(stream) == ["pending", "granted"]


async def test_a_cancel_withdraws_the_request(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        end = await stream.complete("r0")
    assert end["cancelled"]
    assert notes(stream) == ["pending", "denied"]  # so that dialogs close
    assert [is_error for is_error, _ in results(stream)] == [True]
    assert not await answer(client, request, "allow")


async def test_a_grant_for_the_session_covers_what_was_offered_and_nothing_that_a_client_claims(
    site: Site,
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session, another = await client.new_session(), await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        assert request["offers"] == [["command(touch a)"]]
        # What a client claims to have been asked does not count: only the id does.
        wider = {**request, "path": "/", "action": "*", "tool_name": "edit", "session_id": another}
        wider["offers"] = [["command(*)"]]
        assert (await tell(client, wider, "allow_session"))["rules"] == ["command(touch a)"]
        await stream.complete("r0")
        await client.prompt(session, bash("touch a"), run_id="r1")
        await stream.complete("r1")  # nobody was asked
        assert len(stream.of("permission_request")) == 1
        for number, (where, command) in enumerate(
            [(session, "touch b"), (another, "touch a"), (session, "touch a; make")], start=2
        ):
            await client.prompt(where, bash(command), run_id=f"r{number}")
            await answer(client, await asked(stream), "deny")
            await stream.complete(f"r{number}")
    assert len(stream.of("permission_request")) == 4


async def test_a_client_may_choose_among_the_offers_and_write_none(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("make a; make b"), run_id="r0")
        request = await asked(stream)
        narrow, wide = request["offers"]
        assert narrow == ["command(make a)", "command(make b)"]
        for rules in (["command(*)"], [*narrow, "command(*)"], narrow[:1], [], narrow[::-1]):
            problem = await tell(client, request, "allow_session", rules=rules, status=400)
            assert problem["code"] == "usage"
            assert "not among the offers" in problem["message"]
        assert (await client.ask("GET", "/pending"))["permissions"][0]["id"] == request["id"]
        told = await tell(client, request, "allow_session", rules=wide)
        assert told["rules"] == wide
        await stream.complete("r0")
        await client.prompt(session, bash("make b"), run_id="r1")
        await stream.complete("r1")
    assert len(stream.of("permission_request")) == 1


async def test_always_is_kept_for_the_directory_before_it_is_told(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    kept = site.root / "home/.local/state/crush/grants.json"
    async with client.events("&format=2&can_answer=1") as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = (await stream.until("permission_asked"))["request"]
        told = await tell(client, request, "allow_always")
        assert json.loads(kept.read_text())["projects"].keys() == {client.path}
        assert told == {
            "resolved": True,
            "outcome": "allow_always",
            "by": client.id,
            "rules": ["command(touch a)"],
        }
        resolved = await stream.until("permission_resolved")
        assert (resolved["by"], resolved["rules"]) == (client.id, ["command(touch a)"])
        await stream.until("run_complete")
        await client.prompt(session, bash("touch a"), run_id="r1")
        await stream.until("run_complete")
    assert len(stream.of("permission_asked")) == 1


async def test_what_cannot_be_kept_for_good_is_told_and_the_request_goes_on_waiting(
    site: Site,
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    state = site.root / "home/.local/state/crush"
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        state.joinpath("grants.json.lock").mkdir(parents=True)
        problem = await tell(client, request, "allow_always", status=500)
        assert problem["code"] == "store"
        assert await answer(client, request, "allow")
        await stream.complete("r0")
    assert notes(stream) == ["pending", "granted"]


async def test_what_no_rule_can_describe_is_allowed_once_or_for_the_session(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash('touch "$A"; touch a'), run_id="r0")
        request = await asked(stream)
        assert "offers" not in request
        problem = await tell(client, request, "allow_always", status=400)
        assert "once or for the session" in problem["message"]
        assert await answer(client, request, "allow_session")
        await stream.complete("r0")
        await client.prompt(session, bash('touch "$A"; touch a'), run_id="r1")
        await stream.complete("r1")
    assert len(stream.of("permission_request")) == 1


async def test_who_comes_too_late_learns_what_was_answered_and_by_whom(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    other = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        await tell(client, request, "allow_session")
        late = await tell(other, request, "deny")
        assert late == {
            "resolved": False,
            "outcome": "allow_session",
            "by": client.id,
            "rules": ["command(touch a)"],
        }
        await stream.complete("r0")
        await client.prompt(session, bash("touch b"), run_id="r1")
        withdrawn = await asked(stream)
        await client.ask("POST", f"/agent/sessions/{session}/cancel")
        await stream.complete("r1")
        assert await tell(other, request, "deny") == late
        told = await tell(other, withdrawn, "allow")
        assert told == {"resolved": False, "outcome": "withdrawn", "by": "turn"}
        assert await tell(other, {"id": "unknown"}, "allow") == {"resolved": False}


async def test_two_answers_at_the_same_moment_over_two_connections_have_one_winner(
    site: Site,
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events("&format=2&can_answer=1") as stream:
        for number in range(10):
            await client.prompt(session, bash(f"touch {number}"), run_id=f"r{number}")
            request = (await stream.until("permission_asked"))["request"]
            told = await _at_once(site, client, request["id"])
            resolved = await stream.until("permission_resolved")
            await stream.until("run_complete")
            ((won,),) = ([t for t in told if t["resolved"]],)
            assert {(t["outcome"], t["by"]) for t in told} == {(won["outcome"], won["by"])}
            assert (resolved["outcome"], resolved["by"]) == (won["outcome"], won["by"])
            ran = (site.project() / str(number)).exists()
            assert ran == (won["outcome"] == "allow")


async def _at_once(site: Site, client: ClassicClient, request_id: str) -> list[Event]:
    """An allow and a deny, written to two open connections before either is read."""
    connections = [await site.connect() for _ in range(2)]
    for connection, action in zip(connections, ("allow", "deny"), strict=True):
        body = json.dumps({"permission": {"id": request_id}, "action": action}).encode()
        path = f"/v1{client.place}/permissions/grant?client_id={action}er"
        head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        await connection.send(f"{head}Connection: close\r\n\r\n".encode() + body)
    told = []
    for connection in connections:
        received = b""
        async with connection:
            with suppress(anyio.EndOfStream):
                while True:
                    received += await connection.receive()
        told.append(json.loads(received.partition(b"\r\n\r\n")[2]))
    return told


async def test_a_request_in_one_session_does_not_hold_up_another(site: Site) -> None:
    """One lock per workspace would (W13)."""
    client = await ClassicClient(site).attach(interactive=True)
    one, two = await client.new_session(), await client.new_session()
    async with client.events() as stream:
        await client.prompt(one, bash("touch a"), run_id="r0")
        unanswered = await asked(stream)
        await client.prompt(two, bash("touch b"), run_id="r1")
        await answer(client, await asked(stream), "allow")
        await stream.complete("r1")
        await answer(client, unanswered, "allow")
        await stream.complete("r0")


async def test_the_skip_flag_is_for_later_prompts_of_its_workspace(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    elsewhere = await ClassicClient(site, project="q").attach(interactive=True)
    session = await client.new_session()
    assert await client.ask("GET", "/permissions/skip") == {"skip": False}
    async with client.events() as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        request = await asked(stream)
        await client.ask("POST", "/permissions/skip", {"skip": True})
        assert await client.ask("GET", "/permissions/skip") == {"skip": True}
        await answer(client, request, "allow")  # the run keeps the mode that it began with
        await stream.complete("r0")
        await client.prompt(session, bash("touch b"), run_id="r1")
        await stream.complete("r1")
    assert len(stream.of("permission_request")) == 1
    assert await elsewhere.ask("GET", "/permissions/skip") == {"skip": False}
    # Nor does it reach a run of `crush run` in the same directory.
    events = await site.run(bash("id; touch c"), mode="ask")
    assert events[-1]["run"]["denied"] == 1


async def test_without_anybody_who_can_answer_a_request_is_refused_at_once(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, bash("touch a") + "\n---\nSAY well", run_id="r0")
        end = await stream.complete("r0")
    assert end["text"] == "well"
    assert notes(stream) == []
    assert stream.of("permission_request") == []
    assert [is_error for is_error, _ in results(stream)] == [True]


async def test_a_run_without_a_person_is_told_what_to_do(site: Site) -> None:
    async with site.start(bash("touch a"), mode="ask") as run:
        event = await run.until("permission_resolved")
        end = await run.until("run_complete")
    assert (event["outcome"], event["by"]) == ("deny", "headless")
    assert "-y" in event["hint"]
    assert (end["run"]["state"], end["run"]["denied"]) == ("done", 1)


async def test_a_person_who_follows_the_session_can_answer_for_a_run(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    async with client.events() as stream, site.start(bash("touch a"), mode="ask") as run:
        request = await asked(stream)
        waiting = await run.until(
            "run_updated",
        )
        while waiting["run"]["state"] != "waiting":
            waiting = await run.until("run_updated")
        await answer(client, request, "allow")
        end = await run.until("run_complete")
    assert (end["run"]["state"], end["run"].get("denied", 0)) == ("done", 0)
    assert (site.project() / "a").exists()


async def test_a_reader_of_format_2_says_itself_whether_it_can_answer(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    session = await client.new_session()
    query = f"&format=2&session={session}&can_answer=1"
    async with client.events(query) as stream:
        await client.prompt(session, bash("touch a"), run_id="r0")
        event = await stream.until("permission_asked")
        assert await answer(client, event["request"], "allow")
        resolved = await stream.until("permission_resolved")
        await stream.until("run_complete")
    assert (resolved["permission_id"], resolved["outcome"]) == (event["request"]["id"], "allow")


@pytest.mark.parametrize(
    "body",
    [
        {"permission": {"id": "x"}, "action": "sometimes"},
        {"permission": {}, "action": "allow"},
        {"action": "allow"},
        [],
    ],
)
async def test_an_answer_that_is_none_is_refused(site: Site, body: object) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    await client.ask("POST", "/permissions/grant", body, status=400)


async def test_an_answer_to_an_unknown_request_changes_nothing(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    assert not await answer(client, {"id": "unknown"}, "allow_session")
