"""Workspaces and their claims (W 3.3): what classic clients begin and end with."""

import uuid

import anyio
import anyio.to_thread
from aiohttp import web

from crush import __version__
from crush.config.load import load_config
from crush.config.view import config_view
from crush.errors import UsageError
from crush.server.services import Services, body_of, empty_response, json_response
from crush.server.workspaces import Workspace
from crush.wire.ids import ClientId, WorkspaceId
from crush.wire.requests import ConfigView, CreateWorkspace
from crush.wire.requests import Workspace as WorkspaceView

NAMELESS = ClientId("")  # clients of May 2026 have no ids; they share one claim


async def create(request: web.Request, services: Services) -> web.StreamResponse:
    wanted = await body_of(request, CreateWorkspace)
    client_id = client_id_of(wanted.client_id) if wanted.client_id else NAMELESS
    workspace = await services.workspaces.create(wanted)
    services.claims.create(workspace.id, client_id)
    return json_response(await _view(workspace))


async def index(_request: web.Request, services: Services) -> web.StreamResponse:
    return json_response([await _view(each) for each in services.workspaces.all()])


async def show(request: web.Request, services: Services) -> web.StreamResponse:
    return json_response(await _view(services.workspaces.find(request.match_info["id"])))


async def config(request: web.Request, services: Services) -> web.StreamResponse:
    return json_response(await _config(services.workspaces.find(request.match_info["id"])))


async def release(request: web.Request, services: Services) -> web.StreamResponse:
    """Give up one client's claim; open streams keep it."""
    workspace_id = WorkspaceId(request.match_info["id"])
    client_id = ClientId(request.query.get("client_id", NAMELESS))
    services.claims.release(workspace_id, client_id)
    await services.workspaces.close_unclaimed()
    return empty_response()


async def retire(request: web.Request, services: Services) -> web.StreamResponse:
    client_id = client_id_of(request.match_info["client_id"])
    services.claims.retire(client_id)
    return empty_response()


def client_id_of(text: str) -> ClientId:
    """A client id, which must be a UUID. Raises UsageError."""
    try:
        uuid.UUID(text)
    except ValueError as exc:
        raise UsageError("invalid client_id") from exc
    return ClientId(text)


async def _config(workspace: Workspace) -> ConfigView:
    def look() -> ConfigView:
        loaded = load_config(workspace.real_path, workspace.env, data_dir=workspace.data_dir)
        return config_view(loaded, workspace.env)

    return await anyio.to_thread.run_sync(look)


async def _view(workspace: Workspace) -> WorkspaceView:
    return WorkspaceView(
        id=workspace.id,
        path=workspace.path,
        data_dir=workspace.data_dir,
        version=__version__,
        config=await _config(workspace),
        yolo=workspace.skip,
    )
