"""aiohttp, imported without the certificates that it loads at import: 40 to 60 ms of every start.

`aiohttp.connector` makes two TLS contexts when it is first imported, and fills both from the system's
store. We always pass one of our own (`providers.tls`), so they get nothing: the verifying one trusts
nobody, so it fails closed if it were ever used. Whoever starts a server imports this module before
any that needs aiohttp.
"""

import ssl

_loads_certificates = ssl.SSLContext.load_default_certs


def _load_nothing(*_: object) -> None:
    pass


setattr(ssl.SSLContext, "load_default_certs", _load_nothing)  # noqa: B010 - typed as a method
setattr(ssl.SSLContext, "set_default_verify_paths", _load_nothing)  # noqa: B010 - as above
try:
    import aiohttp
finally:
    setattr(ssl.SSLContext, "load_default_certs", _loads_certificates)  # noqa: B010 - as above
    del ssl.SSLContext.set_default_verify_paths  # the inherited one shows again

__all__ = ["aiohttp"]
