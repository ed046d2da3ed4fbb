"""What waits is there for clients that come later, with everything that a dialog shows."""

from functools import partial

import anyio
import msgspec
import pytest
from msgspec import Raw

from crush.agent.project import Project
from crush.permissions.broker import Answer
from crush.permissions.rules import Need
from crush.wire.codec import decode_params, params_object
from crush.wire.ids import PermissionId, RunId, SessionId, ToolCallId
from crush.wire.params import PARAMS as PARAM_TYPES
from crush.wire.params import Params
from crush.wire.permissions import PermissionRequest
from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site
from tests.wire.samples import PARAMS


def tool_of(name: str) -> str:
    return name.removesuffix("-bare")


def request_of(name: str, session: str) -> PermissionRequest:
    return PermissionRequest(
        id=PermissionId(f"p-{name}"),
        session_id=SessionId(session),
        tool_call_id=ToolCallId("c"),
        tool_name=tool_of(name),
        description="what it would do",
        action="execute",
        params=params_object(PARAMS[name]),
        path="/p",
        reason="why",
        offers=[["read(/p/a)", "read(/p/b)"], ["read(/p/**)"]],
    )


async def _ask(project: Project, request: PermissionRequest, into: dict[str, Answer]) -> None:
    need = Need(
        tool=request.tool_name,
        action=request.action,
        kind="execute",
        target="t",
        directory=request.path,
        description=request.description,
    )
    into[request.id] = await project.broker.ask(
        request, [need], run_id=RunId("r"), covers=_never, remember=_nowhere
    )


def _never(need: Need, rules: object) -> bool:
    return False


async def _nowhere(rules: object, by: str) -> None:
    raise AssertionError("nothing was allowed for good")


def params_in(record: Event) -> Params | Raw:
    """What a client makes of a request that it got."""
    return decode_params(record["tool_name"], Raw(msgspec.json.encode(record["params"])))


def test_each_of_the_nine_kinds_has_a_sample() -> None:
    assert {tool_of(name) for name in PARAMS} == set(PARAM_TYPES)
    assert len(PARAM_TYPES) == 9


@pytest.mark.parametrize("name", PARAMS)
async def test_params_keep_their_type_and_every_field_everywhere_on_their_way(
    site: Site, name: str
) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    project = site.services.workspaces.find(client.workspace["id"]).project
    session = await client.new_session()
    request = request_of(name, session)
    whole = msgspec.json.decode(msgspec.json.encode(request))
    answers: dict[str, Answer] = {}
    async with (
        anyio.create_task_group() as tasks,
        client.events() as classic,
        client.events("&format=2") as ours,
    ):
        tasks.start_soon(partial(_ask, project, request, answers))
        in_classic = await classic.until("permission_request")
        in_ours = (await ours.until("permission_asked"))["request"]
        (listed,) = (await client.ask("GET", "/pending"))["permissions"]
        (stored,) = await project.store.pending()
        (in_snapshot,) = (await project.store.snapshot(SessionId(session))).pending
        for record in (in_classic, in_ours, listed):
            assert {key: record[key] for key in whole} == whole
            assert params_in(record) == PARAMS[name]
        for pending in (stored, in_snapshot):
            assert pending.request == request
            assert decode_params(request.tool_name, pending.request.params) == PARAMS[name]
        # Back again, as each of these clients would echo it.
        echo = {"permission": listed, "action": "allow_session", "rules": request.offers[1]}
        told = await client.ask("POST", "/permissions/grant", echo)
        assert (told["resolved"], told["rules"]) == (True, request.offers[1])
    assert answers[request.id].outcome == "allow_session"
    assert await client.ask("GET", "/pending") == {"permissions": [], "questions": []}


async def test_a_client_that_comes_later_finds_what_waits_and_answers_it(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=True)
    session = await client.new_session()
    async with client.events() as stream:
        await client.prompt(session, 'TOOL bash {"command": "touch a"}', run_id="r0")
        await stream.until("permission_request")
        late = await ClassicClient(site).attach(interactive=True)
        (waiting,) = (await late.ask("GET", "/pending"))["permissions"]
        assert (waiting["run_id"], waiting["params"]["command"]) == ("r0", "touch a")
        assert waiting["asked_at_ms"] > 0
        body = {"permission": waiting, "action": "allow"}
        assert (await late.ask("POST", "/permissions/grant", body))["resolved"]
        await stream.complete("r0")
    assert (site.project() / "a").exists()


async def test_an_unknown_workspace_has_nothing_pending(site: Site) -> None:
    problem = await site.ask("GET", "/workspaces/unknown/pending", status=404)
    assert problem["code"] == "not_found"
