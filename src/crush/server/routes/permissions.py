"""Permission answers and the skip flag of classic clients (W 3.6). Only the id of a request counts."""

from aiohttp import web

from crush.server.services import Services, body_of, client_of, empty_response, json_response
from crush.wire.permissions import PermissionGrant, Skip


async def skip(request: web.Request, services: Services) -> web.StreamResponse:
    workspace = services.workspaces.find(request.match_info["id"])
    return json_response(Skip(skip=workspace.skip))


async def set_skip(request: web.Request, services: Services) -> web.StreamResponse:
    """For this workspace's later classic prompts; a run keeps the mode that it began with."""
    workspace = services.workspaces.find(request.match_info["id"])
    workspace.skip = (await body_of(request, Skip)).skip
    return empty_response()


async def grant(request: web.Request, services: Services) -> web.StreamResponse:
    workspace = services.workspaces.find(request.match_info["id"])
    answer = await body_of(request, PermissionGrant)
    resolved = await workspace.project.broker.answer(
        answer.permission.id,
        answer.action,
        by=client_of(request),
        feedback=answer.feedback,
        rules=answer.rules,
    )
    return json_response(resolved)
