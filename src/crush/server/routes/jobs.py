"""Background jobs of a workspace's project: listed, read by offset, ended by a person."""

from typing import TypeVar

from aiohttp import web

from crush.errors import NotFoundError, UsageError
from crush.server.services import Services, json_response
from crush.tools.jobs import Jobs

DEFAULT_BYTES = 64 * 1024
MAX_BYTES = 1024 * 1024
_MAX_DIGITS = 18

T = TypeVar("T")


async def index(request: web.Request, services: Services) -> web.StreamResponse:
    return json_response(_jobs(request, services).listed())


async def show(request: web.Request, services: Services) -> web.StreamResponse:
    job_id = request.match_info["job_id"]
    return json_response(_known(_jobs(request, services).find(job_id), job_id))


async def output(request: web.Request, services: Services) -> web.StreamResponse:
    """At most `?limit=` bytes from `?offset=` on; where those are kept no more, from the next kept."""
    job_id = request.match_info["job_id"]
    limit = min(_number(request, "limit", DEFAULT_BYTES), MAX_BYTES)
    if not limit:
        raise UsageError("limit is at least 1")
    offset = _number(request, "offset", 0)
    found = await _jobs(request, services).output(job_id, offset=offset, limit=limit)
    return json_response(_known(found, job_id))


async def kill(request: web.Request, services: Services) -> web.StreamResponse:
    """End it with everything it started; one that has ended stays as it is."""
    job_id = request.match_info["job_id"]
    by = request.query.get("client_id", "") or "client"
    return json_response(_known(await _jobs(request, services).kill(job_id, by=by), job_id))


def _jobs(request: web.Request, services: Services) -> Jobs:
    return services.workspaces.find(request.match_info["id"]).project.jobs


def _known(found: T | None, job_id: str) -> T:
    if found is None:
        raise NotFoundError(f"job {job_id!r} not found")
    return found


def _number(request: web.Request, name: str, default: int) -> int:
    text = request.query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise UsageError(f"{name} is a number of bytes, not {text!r}")
    return int(text)
