"""Which addresses are not public, and which of those a call may still connect to.

An address that is not public is reached only if the call's needs named it, so that whoever allowed
the call knew. Names are not looked up before that: a lookup alone can carry a secret away. A public
name that turns out to lead to a private address is refused once and remembered: the needs of the next
call name that address. Nothing is gained by a name that changes its answer (DNS rebinding).
"""

import ipaddress
import threading
import weakref
from collections.abc import Sequence

from crush.errors import ToolError
from crush.tools.target_path import CallArgs
from crush.tools.web_url import Address, WebUrl

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_LOOPBACK = frozenset({"127.0.0.1", "::1"})
_MOST_LEARNT = 256


def is_public(address: Address) -> bool:
    """Whether the address is everybody's; an address inside another one is what counts."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    # Teredo (2001::/32) counts as private for `ipaddress` too.
    return address in _GLOBAL_UNICAST and address.is_global


class Reach:
    """What one call may connect to; collects what it was kept from."""

    def __init__(self, named: frozenset[str]) -> None:
        self._named = named
        self.refused: list[str] = []
        self.used_named = False

    def admits(self, address: str) -> bool:
        """Judge an address just before it is connected to."""
        plain = address.partition("%")[0]  # a zone
        try:
            parsed = ipaddress.ip_address(plain)
        except ValueError:
            return False
        if str(parsed) in self._named:
            self.used_named = True
            return True
        if is_public(parsed):
            return True
        self.refused.append(str(parsed))
        return False


class PrivateHosts:
    """What calls were allowed by name, and where names were seen to lead. Safe in threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._learnt: dict[str, str] = {}
        self._named: weakref.WeakKeyDictionary[CallArgs, frozenset[str]] = (
            weakref.WeakKeyDictionary()
        )

    def name(self, call: CallArgs, url: WebUrl) -> str | None:
        """The private address that a need of this call has to name besides the URL, if any."""
        with self._lock:
            learnt = self._learnt.get(url.host)
            self._named[call] = frozenset(_by_itself(url)) | ({learnt} if learnt else frozenset())
        return learnt

    def reach(self, call: CallArgs) -> Reach:
        """What the call may connect to: public addresses, and what its needs named."""
        with self._lock:
            return Reach(self._named.get(call, frozenset()))

    def refuse(self, host: str, addresses: Sequence[str]) -> ToolError:
        """Remember where `host` leads; the error says how to go on."""
        with self._lock:
            self._learnt.pop(host, None)
            while len(self._learnt) >= _MOST_LEARNT:
                del self._learnt[next(iter(self._learnt))]
            self._learnt[host] = addresses[0]
        return ToolError(
            f"{host!r} leads to {addresses[0]}, a private address, which nobody was asked about; "
            "nothing was sent. Call again only if that is wanted: then permission is asked for it."
        )

    def forget(self, host: str) -> None:
        """The name leads to public addresses now."""
        with self._lock:
            self._learnt.pop(host, None)


def is_private_host(url: WebUrl) -> bool:
    """Whether the URL itself says that it is not public."""
    return bool(_by_itself(url))


def _by_itself(url: WebUrl) -> frozenset[str]:
    if url.is_local_name:
        return _LOOPBACK
    address = url.address
    return frozenset() if address is None or is_public(address) else frozenset({str(address)})
