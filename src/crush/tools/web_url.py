"""A web address as it is judged, shown and connected to: one form, nothing left to interpretation.

What two parsers could read differently is refused: user names, backslashes, numbers that stand for
an IPv4 address in other spellings. Pure.
"""

import ipaddress
import re
from typing import Literal
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct
from typing_extensions import override

from crush.errors import ToolError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Scheme = Literal["http", "https"]

_DEFAULT_PORTS: dict[Scheme, int] = {"http": 80, "https": 443}
_MAX_CHARS = 8000
_MAX_HOST_CHARS = 253
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
# IDNA 2003, which Python has, gives these away: the name would be another one than is meant.
_AMBIGUOUS = re.compile("[\u00df\u03c2\u200c\u200d]")
_KEPT_IN_PATH = "%/:=&?~#+!$,;'@()*[]"


class WebUrl(Struct, frozen=True, kw_only=True):
    """`host` is lower-case ASCII without brackets or final dot; `path` includes the query."""

    scheme: Scheme
    host: str
    port: int
    path: str

    @override
    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"

    @property
    def authority(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def address(self) -> Address | None:
        """The host, if it is an address and no name."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_local_name(self) -> bool:
        """Whether the host is this machine by its name (RFC 6761)."""
        return self.host == "localhost" or self.host.endswith(".localhost")


def parse_url(text: str) -> WebUrl:
    """The address that `text` means. Raises ToolError if it is none that can be fetched."""
    text = text.strip()
    if len(text) > _MAX_CHARS:
        raise ToolError(f"The URL is longer than {_MAX_CHARS} characters.")
    if re.search(r"[\x00-\x20\x7f-\xa0\\\ud800-\udfff]", text):
        raise ToolError("The URL contains a blank, a backslash or a control character; encode it.")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as exc:
        raise ToolError(f"{text!r} is not a URL: {exc}.") from exc
    scheme = _scheme(parts.scheme)
    if "@" in parts.netloc:
        raise ToolError("A URL with a user name or password is not fetched.")
    if port == 0:
        raise ToolError("Port 0 cannot be connected to.")
    query = f"?{parts.query}" if parts.query else ""
    return WebUrl(
        scheme=scheme,
        host=_host(host),
        port=port or _DEFAULT_PORTS[scheme],
        path=quote(parts.path or "/", safe=_KEPT_IN_PATH) + quote(query, safe=_KEPT_IN_PATH),
    )


def redirect_target(url: WebUrl, location: str) -> WebUrl:
    """Where a redirect of `url` leads, if it may be followed: permission was for one host.

    The same host with or without `www.`, and https instead of http, are the same to people.
    Raises ToolError that names the target otherwise.
    """
    # Servers send blanks and other alphabets unencoded.
    location = quote(location.strip().encode(errors="surrogateescape"), safe=_KEPT_IN_PATH)
    try:
        target = parse_url(urljoin(str(url), location))
    except ValueError as exc:
        raise ToolError(f"{url} redirects to what is not a URL.") from exc
    if url.scheme == "https" and target.scheme == "http":
        raise ToolError(f"{url} redirects from https to http: {target}; not followed.")
    is_upgrade = (url.scheme, url.port, target.scheme, target.port) == ("http", 80, "https", 443)
    same_port = url.port == target.port or is_upgrade
    if not same_port or _bare(url.host) != _bare(target.host):
        raise ToolError(
            f"{url} redirects to another host; not followed. If that is wanted, ask for: {target}"
        )
    return target


def _bare(host: str) -> str:
    return host.removeprefix("www.")


def _scheme(name: str) -> Scheme:
    match name:
        case "http" | "https":
            return name
        case "":
            raise ToolError("The URL must begin with https:// or http://.")
        case _:
            raise ToolError(f"Only http and https can be fetched, not {name!r}.")


def _host(host: str) -> str:
    if ":" in host:
        return _ipv6(host)
    host = _ascii(host).removesuffix(".")
    labels = host.split(".")
    if len(host) > _MAX_HOST_CHARS or not all(map(_LABEL.fullmatch, labels)):
        raise ToolError(f"{host!r} is not a host name.")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError as exc:
            raise ToolError(
                f"{host!r} is not an address; write IPv4 as four decimal numbers."
            ) from exc
    return host


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError as exc:
        raise ToolError(f"{host!r} is not an IPv6 address.") from exc
    if address.scope_id:
        raise ToolError("An address with a zone is not fetched.")
    return str(address)


def _ascii(host: str) -> str:
    if host.isascii():
        return host.lower()
    try:
        if _AMBIGUOUS.search(host):
            raise UnicodeError("ambiguous")  # noqa: TRY301 - one message for both
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError as exc:
        raise ToolError(f"The host {host!r} must be written in its xn-- form.") from exc
