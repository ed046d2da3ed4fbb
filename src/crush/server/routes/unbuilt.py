"""Routes of parts that this version does not have (architecture §5): honest and harmless."""

from aiohttp import web

from crush.errors import NotBuiltError
from crush.server.services import Services, json_response


async def empty_object(request: web.Request, services: Services) -> web.StreamResponse:
    services.workspaces.find(request.match_info["id"])
    return json_response({})


async def empty_list(request: web.Request, services: Services) -> web.StreamResponse:
    services.workspaces.find(request.match_info["id"])
    return json_response([])


async def unknown(_request: web.Request, _services: Services) -> web.StreamResponse:
    raise web.HTTPNotFound


async def change(request: web.Request, services: Services) -> web.StreamResponse:
    services.workspaces.find(request.match_info["id"])
    raise NotBuiltError(f"{request.method} {request.path} is not built yet")
