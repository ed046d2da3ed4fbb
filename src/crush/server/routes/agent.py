"""Prompts of classic clients and what the agent is doing (W 3.5)."""

from aiohttp import web

from crush.errors import UsageError
from crush.server.runs import classic_order, find_place
from crush.server.services import Services, body_of, empty_response, json_response
from crush.server.workspaces import Workspace
from crush.wire.ids import SessionId
from crush.wire.parts import TextPart
from crush.wire.requests import Accepted, AgentInfo, AgentInit, AgentMessage, AgentSession


async def info(request: web.Request, services: Services) -> web.StreamResponse:
    workspace = _workspace(request, services)
    place = await find_place(workspace.real_path, workspace.env, data_dir=workspace.data_dir)
    return json_response(
        AgentInfo(
            is_busy=workspace.project.is_busy,
            is_ready=True,
            model=place.model.info,
            model_cfg=place.model.selected,
        )
    )


async def init(request: web.Request, services: Services) -> web.StreamResponse:
    """Nothing to set up; but now it is known whether a person sits at this client (W1).

    Clients of May 2026 send no body, and of those only the terminal asks for this.
    """
    workspace = _workspace(request, services)
    wanted = await body_of(request, AgentInit)
    interactive = wanted.interactive or not await request.read()
    for claim in services.claims.of(workspace.id):
        if claim.arriving:
            claim.interactive = interactive
    return empty_response()


async def update(request: web.Request, services: Services) -> web.StreamResponse:
    """Nothing to do: every run reads the configuration anew."""
    _workspace(request, services)
    return empty_response()


async def prompt(request: web.Request, services: Services) -> web.StreamResponse:
    workspace = _workspace(request, services)
    message = await body_of(request, AgentMessage)
    if not message.session_id:
        raise UsageError("session id is missing")
    place = await find_place(workspace.real_path, workspace.env, data_dir=workspace.data_dir)
    session = await workspace.project.store.session(SessionId(message.session_id))
    key = request.headers.get("Idempotency-Key", "")
    order = classic_order(message, place, session, workspace, key=key)
    accepted = await workspace.project.accept(order)
    return json_response(Accepted(run_id=accepted.run.id))


async def session(request: web.Request, services: Services) -> web.StreamResponse:
    project = _workspace(request, services).project
    found = await project.store.session(_session_id(request))
    return json_response(
        AgentSession(id=found.id, title=found.title, is_busy=project.actor(found.id) is not None)
    )


async def cancel(request: web.Request, services: Services) -> web.StreamResponse:
    await _workspace(request, services).project.cancel_session(_session_id(request))
    return empty_response()


async def queued(request: web.Request, services: Services) -> web.StreamResponse:
    return json_response(len(_queue(request, services)))


async def queue(request: web.Request, services: Services) -> web.StreamResponse:
    return json_response(_queue(request, services))


async def clear(request: web.Request, services: Services) -> web.StreamResponse:
    actor = _workspace(request, services).project.actor(_session_id(request))
    if actor is not None:
        await actor.drop_queued()
    return empty_response()


def _queue(request: web.Request, services: Services) -> list[str]:
    actor = _workspace(request, services).project.actor(_session_id(request))
    return (
        []
        if actor is None
        else [
            "".join(part.data.text for part in prompted.parts if isinstance(part, TextPart))
            for prompted in actor.queued()
        ]
    )


def _workspace(request: web.Request, services: Services) -> Workspace:
    return services.workspaces.find(request.match_info["id"])


def _session_id(request: web.Request) -> SessionId:
    return SessionId(request.match_info["sid"])
