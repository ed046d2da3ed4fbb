"""`POST /v1/control`: asking the server to leave. Any Content-Type; 409 when it is needed."""

from aiohttp import web

from crush.errors import ConflictError, UsageError
from crush.server.services import Services, body_of, empty_response
from crush.wire.requests import Control

THIS_REQUEST = 1


async def control(request: web.Request, services: Services) -> web.StreamResponse:
    wanted = await body_of(request, Control)
    if wanted.command not in {"shutdown", "shutdown_if_idle"}:
        raise UsageError("unknown command")
    if not await services.lifetime.leave_if_idle(except_holds=THIS_REQUEST):
        raise ConflictError(
            "server is hosting live workspaces", hint="`crush stop --force` ends it all the same"
        )
    return empty_response()
