"""Sessions and their messages (W 3.4); `/v1/sessions` finds them by directory, without a workspace."""

import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.to_thread
import msgspec
from aiohttp import web

from crush import paths
from crush.agent.project import Project
from crush.config.load import load_config
from crush.errors import NotFoundError, UsageError
from crush.server.classic import presentable
from crush.server.services import Services, body_of, json_response
from crush.store.change import Change
from crush.wire.ids import SessionId
from crush.wire.messages import Message, Session
from crush.wire.requests import NewSession, SessionWithMessages


async def index(request: web.Request, services: Services) -> web.StreamResponse:
    project = services.workspaces.find(request.match_info["id"]).project
    return json_response(await _sessions(project))


async def create(request: web.Request, services: Services) -> web.StreamResponse:
    project = services.workspaces.find(request.match_info["id"]).project
    wanted = await body_of(request, NewSession)
    now = int(time.time())
    session = Session(
        id=SessionId(str(uuid.uuid4())), title=wanted.title, created_at=now, updated_at=now
    )
    await project.store.commit(Change(sessions=[session]), publish=project.feed.publish)
    return json_response(session)


async def show(request: web.Request, services: Services) -> web.StreamResponse:
    project = services.workspaces.find(request.match_info["id"]).project
    session = await project.store.session(SessionId(request.match_info["sid"]))
    return json_response(_with_presence(project, session))


async def messages(request: web.Request, services: Services) -> web.StreamResponse:
    project = services.workspaces.find(request.match_info["id"]).project
    return json_response(await _messages(project, SessionId(request.match_info["sid"])))


async def of_directory(request: web.Request, services: Services) -> web.StreamResponse:
    """`GET /v1/sessions?path=&data_dir=`: the sessions of a directory."""
    async with _project_of(request, services) as project:
        return json_response([] if project is None else await _sessions(project))


async def found(request: web.Request, services: Services) -> web.StreamResponse:
    """`GET /v1/sessions/{sid}?path=&data_dir=`: one session with its messages; `last` is the newest."""
    async with _project_of(request, services) as project:
        if project is None:
            raise NotFoundError("this directory has no sessions", hint="`crush run` starts one")
        reference = request.match_info["sid"]
        session = (
            await project.last_session()
            if reference == "last"
            else await project.find_session(reference)
        )
        return json_response(
            SessionWithMessages(
                session=_with_presence(project, session),
                messages=await _messages(project, session.id),
            )
        )


@asynccontextmanager
async def _project_of(request: web.Request, services: Services) -> AsyncIterator[Project | None]:
    """The project of a directory; None where there is none, for looking must not make one.

    A client that names it in full has read its own configuration, which counts.
    """
    path = request.query.get("path", "")
    if not path.startswith("/") or "\0" in path:
        raise UsageError("path is required and absolute")
    wanted = request.query.get("data_dir", "")

    def look() -> str | None:
        directory = os.path.normpath(wanted)
        if not os.path.isabs(wanted):
            # A run resolves its directory too: one project, whatever it is called.
            directory = load_config(os.path.realpath(path), {}, data_dir=wanted).data_dir
        return directory if paths.project_db_exists(directory) else None

    data_dir = await anyio.to_thread.run_sync(look)
    if data_dir is None:
        yield None
        return
    async with services.projects.use(data_dir) as project:
        yield project


async def _sessions(project: Project) -> list[Session]:
    return [_with_presence(project, session) for session in await project.store.sessions()]


async def _messages(project: Project, session_id: SessionId) -> list[Message]:
    return [presentable(message) for message in await project.store.messages(session_id)]


def _with_presence(project: Project, session: Session) -> Session:
    return msgspec.structs.replace(session, is_busy=project.actor(session.id) is not None)
