"""Errors become typed answers here, and nowhere else: one table, one middleware."""

import logging

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from crush.errors import CrushError, ProtocolError
from crush.wire.codec import encode
from crush.wire.problems import Problem, ProtocolRange

log = logging.getLogger(__name__)

# By the code of the error tree; what is not here is our fault: 500.
STATUS: dict[str, int] = {
    "usage": 400,
    "config": 422,
    "no_provider": 422,
    "not_found": 404,
    "conflict": 409,
    "closing": 503,
    "forbidden": 403,
    "denied": 403,
    "not_built": 501,
    "protocol": 426,
    "store": 500,
    "provider": 502,
}


def problem_response(problem: Problem, status: int) -> web.Response:
    return web.Response(status=status, body=encode(problem), content_type="application/json")


def from_error(error: CrushError) -> web.Response:
    """The answer for an error of the tree."""
    problem = Problem(message=error.message, code=error.code, hint=error.hint)
    if isinstance(error, ProtocolError):
        problem = msgspec.structs.replace(
            problem,
            protocol=ProtocolRange(min=error.speaks[0], max=error.speaks[1]),
            replaceable=error.replaceable,
        )
    return problem_response(problem, STATUS.get(error.code, 500))


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The supervisor of requests: whatever a handler raises becomes a problem."""
    try:
        return await handler(request)
    except CrushError as exc:
        return from_error(exc)
    except web.HTTPException as exc:
        allow = exc.headers.get("Allow")
        problem = Problem(message=exc.reason.lower(), code=f"http_{exc.status}")
        answer = problem_response(problem, exc.status)
        if allow:
            answer.headers["Allow"] = allow
        return answer
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        problem = Problem(message="internal server error", hint="see `crush logs`")
        return problem_response(problem, 500)
