"""What the routes work with; composed once by `app`, found by handlers through `services`."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from aiohttp import web
from msgspec import DecodeError, Struct, ValidationError

from crush.agent.project import Project
from crush.config.settings import ChosenModel
from crush.errors import UsageError
from crush.sandbox.once import SandboxOnce
from crush.server.claims import Claims
from crush.server.identity import Identity
from crush.server.lifetime import Lifetime
from crush.server.projects import Projects
from crush.server.runs import Owners
from crush.server.workspaces import Workspaces
from crush.wire.codec import decode, encode


class Services(Struct, frozen=True, kw_only=True):
    """The engine behind the routes."""

    identity: Identity
    lifetime: Lifetime
    projects: Projects
    workspaces: Workspaces
    claims: Claims
    owners: Owners
    sandbox: SandboxOnce
    expect: Callable[[ChosenModel], object]  # that this model is about to be asked

    def busy(self) -> list[Project]:
        return self.projects.busy()


T = TypeVar("T", bound=Struct)
Answer = Callable[[web.Request, Services], Awaitable[web.StreamResponse]]


async def body_of(request: web.Request, kind: type[T]) -> T:
    """The whole body as a Struct; an empty one is `{}`. Raises UsageError."""
    data = await request.read()
    try:
        return decode(data or b"{}", kind)
    except (DecodeError, ValidationError, RecursionError) as exc:
        raise UsageError(f"failed to decode request: {exc}") from exc


# What stands in the place of a client where nobody answered.
_NOBODY = frozenset({"headless", "rule", "timeout", "turn"})
_MAX_CLIENT_ID = 100


def client_of(request: web.Request) -> str:
    """Who sends this; Crush's clients do not say it with an answer. Raises UsageError.

    It is shown and noted as the one who decided, so nobody may pass for the server.
    """
    client_id = request.query.get("client_id", "")
    if client_id in _NOBODY or len(client_id) > _MAX_CLIENT_ID or not client_id.isprintable():
        raise UsageError("invalid client_id")
    return client_id or "classic client"


def json_response(value: object) -> web.Response:
    return web.Response(body=encode(value) + b"\n", content_type="application/json")


def empty_response() -> web.Response:
    return web.Response()
