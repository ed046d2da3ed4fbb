"""Which proxy leads to a URL, by the asking client's environment; pure.

HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY in either case, lower case first as curl has it.
Loopback never goes through a proxy: that is where local model servers live.
"""

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from crush.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def proxy_for(url: str, env: Mapping[str, str]) -> str | None:
    """The proxy's URL, or None to go there directly. Raises ConfigError for one we cannot use."""
    target = urlsplit(url)
    for variable in (f"{target.scheme}_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            if value := env.get(name, "").strip():
                return None if _goes_directly(target, env) else _checked(value, name)
    return None


def _checked(value: str, variable: str) -> str:
    """A usable proxy URL; the value may hold a password, so messages name the variable only."""
    url = value if "://" in value else f"http://{value}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError as exc:
        raise ConfigError(f"{variable} does not hold a URL") from exc
    if not usable:
        raise ConfigError(f"{variable} does not hold a URL")
    if parts.scheme not in _DEFAULT_PORTS:
        raise ConfigError(
            f"{variable} names a {parts.scheme} proxy, which is not supported",
            hint="Use the http:// address of the proxy.",
        )
    return url


def _goes_directly(target: SplitResult, env: Mapping[str, str]) -> bool:
    host = (target.hostname or "").rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = target.port or _DEFAULT_PORTS.get(target.scheme, 0)
    entries = re.split(r"[\s,]+", env.get("no_proxy") or env.get("NO_PROXY") or "")
    return any(_covers(entry.lower(), host, port, address) for entry in entries if entry)


def _covers(entry: str, host: str, port: int, address: _Address | None) -> bool:
    if entry == "*":
        return True
    if address is not None and (network := _network(entry)) is not None:
        return address in network
    name, wanted_port = _host_and_port(entry)
    if wanted_port and wanted_port != str(port):
        return False
    suffix = name.removeprefix("*").lstrip(".")
    return bool(suffix) and (host == suffix or host.endswith(f".{suffix}"))


def _host_and_port(entry: str) -> tuple[str, str]:
    if bracketed := re.fullmatch(r"\[(.+)\](?::(\d+))?", entry):
        return bracketed[1], bracketed[2] or ""
    name, _, port = entry.partition(":")
    return (name, port) if ":" not in port else (entry, "")


def _address(host: str) -> _Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return None
