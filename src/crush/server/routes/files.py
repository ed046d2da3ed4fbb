"""What a session did to files (W 3.4): their versions, and which of them it read or wrote."""

import os
from datetime import UTC, datetime

import anyio.to_thread
from aiohttp import web

from crush.errors import NotFoundError
from crush.server.services import Services, body_of, empty_response, json_response
from crush.store.change import Change, FileRead
from crush.wire.files import FileVersion, GoFileVersion, TrackRead
from crush.wire.ids import SessionId

_NEVER = "0001-01-01T00:00:00Z"  # what Go's zero time looks like


async def history(request: web.Request, services: Services) -> web.StreamResponse:
    """Every version whose content is kept, all files mixed."""
    project = services.workspaces.find(request.match_info["id"]).project
    versions = await project.store.files.versions(SessionId(request.match_info["sid"]))
    # All content of a session may be hundreds of megabytes: not the event loop's to write.
    return await anyio.to_thread.run_sync(lambda: json_response([*map(_go, versions)]))


async def version(request: web.Request, services: Services) -> web.StreamResponse:
    """One version whole, for whoever was told of it by format 2."""
    project = services.workspaces.find(request.match_info["id"]).project
    found = await project.store.files.version(request.match_info["file_id"])
    if found.session_id != request.match_info["sid"]:
        raise NotFoundError(f"there is no file version {found.id!r} in this session")
    return await anyio.to_thread.run_sync(json_response, found)


async def tracked(request: web.Request, services: Services) -> web.StreamResponse:
    """Absolute paths, the latest first; Crush's own rows are relative to its directory."""
    workspace = services.workspaces.find(request.match_info["id"])
    found = await workspace.project.store.files.tracked(SessionId(request.match_info["sid"]))
    return json_response([os.path.join(workspace.real_path, path) for path in found])


async def track(request: web.Request, services: Services) -> web.StreamResponse:
    """A client read a file for this session. What it held is not known, so no tool relies on it."""
    workspace = services.workspaces.find(request.match_info["id"])
    read = await body_of(request, TrackRead)
    path = os.path.join(workspace.real_path, read.path)
    await workspace.project.store.session(read.session_id)
    change = Change(reads=[FileRead(session_id=read.session_id, path=path, digest="")])
    await workspace.project.store.commit(change)
    return empty_response()


async def last_read(request: web.Request, services: Services) -> web.StreamResponse:
    workspace = services.workspaces.find(request.match_info["id"])
    path = os.path.join(workspace.real_path, request.query.get("path", ""))
    session_id = SessionId(request.query.get("session_id", ""))
    at = await workspace.project.store.files.last_read(session_id, path)
    return json_response(f"{datetime.fromtimestamp(at, UTC):%Y-%m-%dT%H:%M:%SZ}" if at else _NEVER)


def _go(found: FileVersion) -> GoFileVersion:
    return GoFileVersion(
        id=found.id,
        session_id=found.session_id,
        path=found.path,
        content=found.content,
        version=found.version,
        created_at=found.created_at,
        updated_at=found.updated_at,
    )
