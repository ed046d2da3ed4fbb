"""`/v1/runs`: one prompt, one request, one stream (architecture §5)."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

from crush.agent.feed import Subscription
from crush.agent.project import Project
from crush.errors import NotFoundError, ProtocolError, UsageError
from crush.launch.protocol import (
    BUILD_HEADER,
    PROTOCOL_HEADER,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    is_newer,
    overlaps,
    parse_range,
)
from crush.server.replay import place_of
from crush.server.runs import find_place, order_from
from crush.server.services import Services, body_of, empty_response, json_response
from crush.server.stream import RunStream
from crush.wire.ids import RunId
from crush.wire.messages import ENDED
from crush.wire.requests import StartRun

THIS_REQUEST = 1


async def start(request: web.Request, services: Services) -> web.StreamResponse:
    """Accept a prompt, then stream its run."""
    _check_protocol(request, services)
    wanted = await body_of(request, StartRun)
    place = await find_place(
        wanted.path,
        wanted.env,
        data_dir=wanted.data_dir,
        model=wanted.model,
        small_model=wanted.small_model,
    )
    # OpenSSL reads certificates while the database is opened: 20 ms off a first answer.
    services.expect(place.model)
    async with services.projects.use(place.config.data_dir) as project:
        session = None
        if wanted.session:
            session = await project.find_session(wanted.session)
        elif wanted.last:
            session = await project.last_session()
        if session is not None and session.parent_session_id:
            raise UsageError(f"cannot continue a child session: {session.id}")
        key = request.headers.get("Idempotency-Key", "")
        order = order_from(wanted, place, session, key=key)
        with _following(services, project, order.run_id) as subscription:
            accepted = await project.accept(order)
            run = accepted.run
            if not wanted.detach:
                services.owners.own(project, run.id, run.session_id)
            if not accepted.repeated:
                stream = RunStream(project=project, run=run, subscription=subscription)
                return await stream.answer(request, after=None)
        with _following(services, project, run.id) as subscription:
            stream = RunStream(project=project, run=run, subscription=subscription)
            return await stream.answer(request, after=0)


async def show(request: web.Request, services: Services) -> web.StreamResponse:
    """How a run stands, for as long as its session exists."""
    run_id = RunId(request.match_info["run_id"])
    async with services.projects.of_run(run_id) as project:
        return json_response(await _known(project, run_id).store.run(run_id))


async def cancel(request: web.Request, services: Services) -> web.StreamResponse:
    """Cut a run; one that has ended stays as it is."""
    run_id = RunId(request.match_info["run_id"])
    async with services.projects.of_run(run_id) as project:
        found = _known(project, run_id)
        if not await found.cancel_run(run_id):
            await found.store.run(run_id)
        return empty_response()


async def events(request: web.Request, services: Services) -> web.StreamResponse:
    """Follow a run from `?after=<epoch>.<seq>`, or from its beginning."""
    run_id = RunId(request.match_info["run_id"])
    cursor = request.query.get("after", "")
    async with services.projects.of_run(run_id) as project:
        found = _known(project, run_id)
        after = place_of(cursor, epoch=found.feed.epoch) if cursor else 0
        with _following(services, found, run_id) as subscription:
            run = await found.store.run(run_id)
            if run.state in ENDED:
                subscription.close()
            stream = RunStream(project=found, run=run, subscription=subscription)
            return await stream.answer(request, after=after)


@contextmanager
def _following(services: Services, project: Project, run_id: RunId) -> Iterator[Subscription]:
    subscription = project.feed.subscribe(run_id=run_id)
    services.owners.look(project, subscription)
    try:
        yield subscription
    finally:
        project.feed.unsubscribe(subscription)
        services.owners.look(project, subscription)


def _known(project: Project | None, run_id: RunId) -> Project:
    if project is None:
        raise NotFoundError(f"run {run_id!r} not found")
    return project


def _check_protocol(request: web.Request, services: Services) -> None:
    """Before anything is accepted: a common version, and no newer client on an idle old server."""
    header = request.headers.get(PROTOCOL_HEADER)
    if header is None:
        return
    try:
        theirs = parse_range(header)
    except ValueError as exc:
        raise UsageError(f"{PROTOCOL_HEADER}: {exc}") from exc
    ours = (PROTOCOL_MIN, PROTOCOL_MAX)
    is_idle = services.lifetime.holds <= THIS_REQUEST
    is_older = is_newer(request.headers.get(BUILD_HEADER, ""), than=services.identity.build_id)
    if not overlaps(theirs):
        raise ProtocolError(
            f"this server speaks protocol {ours[0]} to {ours[1]}, the client {header}",
            hint="wait until its runs have ended, or use the client that started it",
            speaks=ours,
            replaceable=is_idle and is_older,
        )
    if is_idle and is_older:
        raise ProtocolError(
            "this server is older than the client and idle", speaks=ours, replaceable=True
        )
