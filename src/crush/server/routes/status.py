"""`GET /v1/status`: what the server does and who needs it, for `crush status` and `crush stop`."""

from aiohttp import web

from crush.agent.project import Project
from crush.sandbox.sandbox import Sandbox
from crush.server.services import Services, json_response
from crush.wire.status import BusySession, HeldWorkspace, SandboxStatus, Status

THIS_REQUEST = 1


async def show(_request: web.Request, services: Services) -> web.StreamResponse:
    sessions = [each for project in services.busy() for each in await _at_work(project)]
    lifetime = services.lifetime
    return json_response(
        Status(
            version=services.identity.version(),
            uptime_s=round(lifetime.uptime_s, 3),
            linger_s=lifetime.linger_s,
            is_busy=lifetime.holds > THIS_REQUEST,
            sessions=sessions,
            workspaces=[
                HeldWorkspace(
                    path=workspace.path,
                    data_dir=workspace.data_dir,
                    clients=len(services.claims.of(workspace.id)),
                )
                for workspace in services.workspaces.all()
            ],
            sandbox=_told(services.sandbox.found),
        )
    )


def _told(sandbox: Sandbox | None) -> SandboxStatus | None:
    return None if sandbox is None else SandboxStatus(kind=sandbox.kind, reason=sandbox.reason)


async def _at_work(project: Project) -> list[BusySession]:
    return [
        BusySession(
            id=actor.session_id,
            title=(await project.store.session(actor.session_id)).title,
            data_dir=project.store.data_dir,
            runs=actor.runs(),
        )
        for actor in project.actors()
    ]
