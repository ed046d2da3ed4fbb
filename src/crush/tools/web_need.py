"""The needs of a request to the web: the URL, and the private address that it is known to lead to."""

import msgspec

from crush.permissions.rules import Need
from crush.tools.private_hosts import PrivateHosts, is_private_host
from crush.tools.target_path import CallArgs
from crush.tools.web_url import WebUrl


def web_needs(
    call: CallArgs, url: WebUrl, need: Need, *, private_hosts: PrivateHosts
) -> list[Need]:
    """`need`, whose target is `url`, with what a person has to know of the host.

    A name that leads to a private address needs that address too: a rule for the name was not meant
    for a machine in one's own network.
    """
    learnt = private_hosts.name(call, url)
    if is_private_host(url):
        return [
            msgspec.structs.replace(need, description=f"{need.description} (a private address)")
        ]
    if learnt is None:
        return [need]
    there = msgspec.structs.replace(url, host=learnt)
    also = msgspec.structs.replace(
        need,
        target=str(there),
        description=f"{need.description} from {learnt} (a private address)",
    )
    return [need, also]
