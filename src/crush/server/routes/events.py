"""`GET …/events`: the stream of a workspace, classic or format 2 (architecture §5)."""

from aiohttp import web

from crush.agent.feed import Subscription
from crush.agent.project import Project
from crush.errors import UsageError
from crush.server.classic import ClassicFormat
from crush.server.frames import Framer
from crush.server.output import SSE_HEADERS, CloseDelimited, Output
from crush.server.replay import LogPrunedError, Replay, place_of
from crush.server.services import Services
from crush.server.stream import Pump, ResumableFormat, stream_to
from crush.wire.ids import ClientId, SessionId


async def events(request: web.Request, services: Services) -> web.StreamResponse:
    """Live from here on; format 2 can go on from `?after=`.

    `?session=` filters; `?can_answer=1` says that a person reads format 2.
    """
    workspace = services.workspaces.find(request.match_info["id"])
    client_id = ClientId(request.query.get("client_id", ""))
    form = request.query.get("format", "1")
    if form not in {"1", "2"}:
        raise UsageError(f"there is no event format {form!r}", hint="1 (classic) or 2")
    session_id = SessionId(request.query["session"]) if "session" in request.query else None
    feed = workspace.project.feed
    after = place_of(request.query["after"], epoch=feed.epoch) if "after" in request.query else None
    claim = services.claims.attach(workspace.id, client_id)
    subscription = feed.subscribe(
        session_id=session_id,
        can_answer=request.query.get("can_answer") == "1" if form == "2" else claim.interactive,
    )
    services.owners.look(workspace.project, subscription)
    try:
        if form == "1":
            response: web.StreamResponse = CloseDelimited(headers=SSE_HEADERS)
            return await stream_to(
                request, response, lambda output: _classic(output, workspace.project, subscription)
            )
        response = web.StreamResponse(headers=SSE_HEADERS)
        return await stream_to(
            request,
            response,
            lambda output: _resumable(output, workspace.project, subscription, after),
        )
    finally:
        feed.unsubscribe(subscription)
        services.claims.detach(workspace.id, client_id)
        services.owners.look(workspace.project, subscription)


async def _classic(output: Output, project: Project, subscription: Subscription) -> None:
    form = ClassicFormat(live=project.feed.messages, files=project.store.files)
    await Pump(subscription=subscription, output=output, form=form, seen=0).run(until=None)


async def _resumable(
    output: Output, project: Project, subscription: Subscription, after: int | None
) -> None:
    store, feed = project.store, project.feed
    framer = Framer(feed.epoch, after=feed.last_seq if after is None else max(after, 0))
    seen = 0
    if after is not None:
        replay = Replay(
            store=store,
            framer=framer,
            read=lambda place: store.events(place, session_id=subscription.session_id),
            until=None,
        )
        try:
            seen = await replay.run(output, after=after)
        except LogPrunedError:
            await output.write(framer.resync())
            return
    form = ResumableFormat(framer)
    await Pump(subscription=subscription, output=output, form=form, seen=seen).run(until=None)
