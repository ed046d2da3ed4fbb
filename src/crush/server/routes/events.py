"""`GET …/events`: the stream of a workspace, classic or format 2 (architecture §5)."""

from contextlib import suppress

import anyio
from aiohttp import web

from crush.errors import UsageError
from crush.server.classic import ClassicFormat
from crush.server.frames import Framer
from crush.server.output import SSE_HEADERS, CloseDelimited, Output, ReaderGone, hangup_of
from crush.server.services import Services
from crush.server.stream import Format, Pump, ResumableFormat
from crush.wire.ids import ClientId, SessionId


async def events(request: web.Request, services: Services) -> web.StreamResponse:
    """Live from here on. `?session=` filters; `?can_answer=1` says that a person reads format 2."""
    await request.read()
    workspace = services.workspaces.find(request.match_info["id"])
    client_id = ClientId(request.query.get("client_id", ""))
    form = request.query.get("format", "1")
    if form not in {"1", "2"}:
        raise UsageError(f"there is no event format {form!r}", hint="1 (classic) or 2")
    feed = workspace.project.feed
    claim = services.claims.attach(workspace.id, client_id)
    subscription = feed.subscribe(
        session_id=SessionId(request.query["session"]) if "session" in request.query else None,
        can_answer=request.query.get("can_answer") == "1" if form == "2" else claim.interactive,
    )
    response: web.StreamResponse
    writer: Format
    if form == "2":
        response = web.StreamResponse(headers=SSE_HEADERS)
        writer = ResumableFormat(Framer(feed.epoch, after=feed.last_seq))
    else:
        response = CloseDelimited(headers=SSE_HEADERS)
        writer = ClassicFormat()
    output = Output(request, response)
    pump = Pump(subscription=subscription, output=output, form=writer, seen=0)
    try:
        with hangup_of(request) as lost:
            await response.prepare(request)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_end_on, lost, tasks.cancel_scope)
                with suppress(ReaderGone):
                    await pump.run(until=None)
                    await output.finish()
                tasks.cancel_scope.cancel()
    finally:
        feed.unsubscribe(subscription)
        services.claims.detach(workspace.id, client_id)
        services.owners.look(workspace.project)
    return response


async def _end_on(lost: anyio.Event, scope: anyio.CancelScope) -> None:
    await lost.wait()
    scope.cancel()
