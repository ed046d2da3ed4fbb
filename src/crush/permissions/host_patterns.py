"""Host patterns of rules: `example.com`, `*.example.com`, `example.com:8443`, `*`.

Without a port any port is meant. A wildcard means the public net: an address or a name of one's own
machine or network has to be written out to be allowed.
"""

import ipaddress
import re
from urllib.parse import urlsplit

from msgspec import Struct

_PORTS = {"http": 80, "https": 443}
_HOST = re.compile(r"\*|(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\]")


class HostPattern(Struct, frozen=True):
    """`host` in lower case, perhaps with a `*` in front; `port` 0 is any."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "HostPattern":
        """Raises ValueError, which says what is wrong."""
        host, colon, port = text.rpartition(":") if re.search(r":\d+$", text) else (text, "", "0")
        host = host.lower().rstrip(".")
        if not _HOST.fullmatch(host):
            raise ValueError(
                "a host is a name, an address ([::1] for IPv6), `*.name` or `*`, with a port or not"
            )
        number = int(port)
        if colon and not 0 < number < 1 << 16:
            raise ValueError(f"{number} is not a port")
        return cls(host.strip("[]"), number)

    def covers(self, url: str, *, strictly: bool) -> bool:
        """Whether `url` goes there; `strictly`: wildcards leave private addresses out."""
        found = host_of(url)
        if found is None:
            return not strictly
        host, port = found
        if self.port not in {0, port}:
            return False
        if not self.host.startswith("*"):
            return host == self.host
        if strictly and _is_private(host):
            return False
        return self.host == "*" or host.endswith(self.host[1:])


def host_of(url: str) -> tuple[str, int] | None:
    """Host in lower case and port; None for what is no address of the web."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        return None
    return (host.rstrip("."), port) if host else None


def host_pattern(url: str) -> str:
    """The narrowest pattern that covers `url`, "" if it names no host."""
    found = host_of(url)
    if found is None:
        return ""
    host, port = found
    shown = f"[{host}]" if ":" in host else host
    return shown if port in _PORTS.values() else f"{shown}:{port}"


def _is_private(host: str) -> bool:
    if host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return True
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return False
