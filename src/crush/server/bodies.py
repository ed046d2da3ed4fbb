"""Requests are read whole before anything else: an unread body would hide a hang-up (architecture §5).

Handlers find the body read; a client that sends none of what it announced holds nothing.
"""

import anyio
from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

MAX_BODY_BYTES = 64 * 1024 * 1024
BODY_WITHIN_S = 60.0


def whole_bodies(*, max_bytes: int, within_s: float) -> Middleware:
    """The middleware that reads them, within a size and a time."""

    @web.middleware
    async def bodies(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (request.content_length or 0) > max_bytes:
            raise web.HTTPRequestEntityTooLarge(
                max_size=max_bytes, actual_size=request.content_length or 0
            )
        try:
            with anyio.fail_after(within_s):
                await request.read()
        except TimeoutError as exc:
            raise web.HTTPRequestTimeout from exc
        except (ConnectionError, web.PayloadAccessError, web.RequestPayloadError) as exc:
            raise web.HTTPBadRequest(reason="incomplete body") from exc
        return await handler(request)

    return bodies
