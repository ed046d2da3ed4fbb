"""What waits for a person in a workspace's project, for clients that were not there when it was asked."""

from aiohttp import web
from msgspec.structs import asdict

from crush.server.services import Services, json_response
from crush.wire.pending import OpenForm, OpenPermission, OpenRequests


async def index(request: web.Request, services: Services) -> web.StreamResponse:
    store = services.workspaces.find(request.match_info["id"]).project.store
    answer = OpenRequests(
        permissions=[
            OpenPermission(
                **asdict(asked.request), run_id=asked.run_id, asked_at_ms=asked.asked_at_ms
            )
            for asked in await store.pending()
        ],
        questions=[
            OpenForm(**asdict(asked.request), run_id=asked.run_id, asked_at_ms=asked.asked_at_ms)
            for asked in await store.questions()
        ],
    )
    return json_response(answer)
