"""How the chosen provider is reached: address, key and headers, expanded, checked, and safe to send.

Only here are secrets looked up, in the environment of the client that asks; only for one provider.
"""

import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from crush import paths
from crush.config.catalogue import LOCAL
from crush.config.expand import ExpansionError, Lookup, expand, references, variables
from crush.config.offers import Offer
from crush.config.settings import ProviderSettings
from crush.config.trust import ProviderConfig
from crush.errors import ConfigError

# Protocols with an address of their own.
_HOSTED = frozenset({"anthropic", "openai"})

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MOVE = "move this provider to your own configuration (`crush dirs` shows where)"


def connect(offer: Offer, env: Mapping[str, str]) -> ProviderSettings:
    """The settings of a provider; `env` is the environment of the run.

    Raises ConfigError if it cannot or must not be asked.
    """
    if problem := find_missing(offer, env):
        raise ConfigError(f"provider {offer.id!r} cannot be used: {problem}")
    entry = offer.config.entry if offer.config is not None else None
    return ProviderSettings(
        id=offer.id,
        type=offer.type,
        name=offer.name,
        base_url=_base_url(offer, env),
        api_key=_api_key(offer, env),
        headers=_headers(offer, env),
        extra_body=entry.extra_body if entry else {},
        system_prompt_prefix=entry.system_prompt_prefix if entry else "",
        flat_rate=entry.flat_rate if entry else False,
        env=env,
    )


def is_ready(offer: Offer, env: Mapping[str, str]) -> bool:
    """Whether a provider has what it needs.

    One whose configuration is wrong counts as ready: the user meant it, and must see the error
    rather than talk to another provider.
    """
    try:
        return not find_missing(offer, env)
    except ConfigError:
        return True


def find_missing(offer: Offer, env: Mapping[str, str]) -> str:
    """What the user has yet to supply, "" if nothing. Raises ConfigError for what must be mended."""
    if offer.type == LOCAL:
        installed = os.path.isfile(paths.local_weights(env))
        return "" if installed else "its weights are not installed: `crush models install local`"
    own, known = offer.config, offer.known
    alone = own is not None and bool(own.alone)
    described = own is not None and own.entry.base_url
    if known is None and offer.type not in _HOSTED and not described:
        return "it has no base_url"
    if own is not None and alone:
        _refuse_redirect(own, offer, env)
    if _api_key(offer, env):
        return ""
    if own is not None and own.entry.api_key:
        unset = [name for name in references(own.entry.api_key) if not variables(env)(name)]
        return f"its api_key is empty: {', '.join(unset) or 'a variable'} is not set"
    if described and (known is None or alone):
        return ""  # a server that asks for no key
    return f"set {known.key}" if known is not None else "it has no api_key"


def _refuse_redirect(own: ProviderConfig, offer: Offer, env: Mapping[str, str]) -> None:
    """A key of the user does not go where a repository says (docs/reference/config.md)."""
    where = f"{own.alone}: providers.{own.id}"
    if own.entry.api_key:
        return
    if own.stray_key_file:
        raise ConfigError(
            f"{where}: the api_key in {own.stray_key_file} is not sent to an address from another file",
            hint="put api_key and base_url into the same file",
        )
    if own.user_declared or (offer.known and variables(env)(offer.known.key)):
        raise ConfigError(
            f"{where}: a project file may not change where your key for {own.id!r} is sent",
            hint=f"{_MOVE}, or give the project's own api_key in the same file",
        )


def _api_key(offer: Offer, env: Mapping[str, str]) -> str:
    own, known, lookup = offer.config, offer.known, variables(env)
    if own is None or not own.entry.api_key:
        alone = own is not None and own.alone
        key = lookup(known.key) if known is not None and not alone else ""
        return _sendable(key or "", f"provider {offer.id!r}: the key")
    if own.key_file:
        permitted = known.key if known is not None and not own.alone else ""
        lookup = _only(permitted, lookup)
    where = f"{own.key_file or 'configuration'}: providers.{own.id}.api_key"
    return _sendable(_expanded(own.entry.api_key, lookup, where), where)


def _base_url(offer: Offer, env: Mapping[str, str]) -> str:
    own, known = offer.config, offer.known
    if own is not None and own.entry.base_url:
        where = f"{own.alone or 'configuration'}: providers.{own.id}.base_url"
        url = _expanded(own.entry.base_url, _lookup(own, env), where)
    elif known is None:
        return ""
    else:
        where = known.endpoint
        endpoint = variables(env)(known.endpoint) if not (own is not None and own.alone) else ""
        url = endpoint or known.base_url
        if not url:
            return ""
    url = url.strip().rstrip("/")
    if not _is_plain_url(url):
        raise ConfigError(
            f"{where}: not an http(s) address",
            hint="https://host/path, without a query; a key belongs into api_key or extra_headers",
        )
    return url


def _is_plain_url(url: str) -> bool:
    if not (url.isascii() and url.isprintable()) or any(mark in url for mark in " ?#@\\"):
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def _headers(offer: Offer, env: Mapping[str, str]) -> dict[str, str]:
    own = offer.config
    headers: dict[str, str] = {}
    if own is None:
        return headers
    for name, template in own.entry.extra_headers.items():
        where = f"{own.alone or 'configuration'}: providers.{own.id}.extra_headers.{name}"
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigError(f"{where}: not the name of a header")
        if value := _sendable(_expanded(template, _lookup(own, env), where), where):
            headers[name] = value
    return headers


def _sendable(value: str, where: str) -> str:
    """Without the white space that copying leaves behind; raises for what no header can carry."""
    value = value.strip()
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(f"{where} contains characters that cannot be sent")
    return value


def _expanded(template: str, lookup: Lookup, where: str) -> str:
    try:
        return expand(template, lookup)
    except ExpansionError as exc:
        raise ConfigError(f"{where}: {exc.message}", hint=exc.hint) from exc


def _lookup(own: ProviderConfig, env: Mapping[str, str]) -> Lookup:
    return _only("", variables(env)) if own.alone else variables(env)


def _only(permitted: str, lookup: Lookup) -> Lookup:
    def limited(name: str) -> str | None:
        if name != permitted:
            raise ExpansionError(f"a project file may not use your variable ${name}", hint=_MOVE)
        return lookup(name)

    return limited
