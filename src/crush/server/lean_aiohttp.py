"""aiohttp, imported without the TLS context that it builds at import: 20 to 45 ms of every start.

`aiohttp.connector` makes a verifying context when it is first imported. We always pass one of our
own (`providers._tls`), so it gets an empty one instead: it trusts nobody, so it fails closed if it
were ever used.
"""

import ssl

_create = ssl.create_default_context


def _empty_context() -> ssl.SSLContext:
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


setattr(ssl, "create_default_context", _empty_context)  # noqa: B010 - typed as a function
try:
    from aiohttp import web
finally:
    setattr(ssl, "create_default_context", _create)  # noqa: B010 - as above

__all__ = ["web"]
