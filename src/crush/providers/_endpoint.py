"""Where a configured provider is and how it is addressed, checked once when it is built.

A mistake in the settings becomes a ConfigError here, so that a request can only fail for reasons
of the network or of the provider.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct
from typing_extensions import override

from crush.config.settings import ProviderSettings
from crush.errors import ConfigError
from crush.providers._errors import ErrorSource
from crush.providers.proxy import proxy_for
from crush.providers.tls import CaFiles, ca_files


class Endpoint(Struct, frozen=True, kw_only=True):
    """A URL to post to and all that goes with it; holds the key, so its repr is short."""

    url: str
    headers: Mapping[str, str]  # names in lower case
    proxy: str | None
    ca: CaFiles
    errors: ErrorSource

    @override
    def __repr__(self) -> str:
        return f"Endpoint({self.errors.who!r})"


def build_endpoint(
    settings: ProviderSettings, *, url: str, own_headers: Mapping[str, str]
) -> Endpoint:
    """Settings as an endpoint; configured headers win over ours. Raises ConfigError."""
    who = settings.name or settings.id
    _check_url(url, who)
    configured = {name.lower(): value for name, value in settings.headers.items()}
    headers = {**own_headers, **configured}
    for name, value in headers.items():
        _check_header(name, value, who)
    key = settings.api_key.removeprefix("Bearer ").strip()
    return Endpoint(
        url=url,
        headers=headers,
        proxy=proxy_for(url, settings.env),
        ca=ca_files(settings.env),
        errors=ErrorSource(who, (settings.api_key, key, *configured.values())),
    )


def _check_url(url: str, who: str) -> None:
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise ConfigError(f"base_url of provider {who!r} is not a URL") from exc
    if not usable:
        raise ConfigError(f"base_url of provider {who!r} is not an http:// or https:// URL")
    if "@" in parts.netloc:
        raise ConfigError(
            f"base_url of provider {who!r} holds a user name",
            hint="Put it into an Authorization header of the provider.",
        )


def _check_header(name: str, value: str, who: str) -> None:
    """A value that cannot be sent; it may be a key, so the message names the header only."""
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
        raise ConfigError(f"provider {who!r} has a header with an impossible name: {name!r}")
    if not value.isascii() or not value.isprintable():
        raise ConfigError(
            f"header {name!r} of provider {who!r} has characters that no header can carry",
            hint="A key that was pasted or read from a file may end in a line break.",
        )
