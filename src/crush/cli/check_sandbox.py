"""What `crush doctor` says of the sandbox: which one holds here, tried, and what it cannot stop."""

from collections.abc import Iterator

import anyio

from crush.cli.check import Check
from crush.launch.host import Host, server_dir
from crush.paths import Env
from crush.sandbox.choose import find_sandbox
from crush.sandbox.sandbox import Sandbox
from crush.server.own_places import own_places

_WITHOUT = "commands need a permission each, and one that has it can reach our socket as you"


def check_sandbox(host: Host, env: Env) -> Iterator[Check]:
    """Runs the self-test of a server that starts; leaves nothing behind."""
    hidden = own_places(host, server_dir(host, env), env)
    yield _said_of(anyio.run(lambda: find_sandbox(dict(env), hidden=hidden)))


def _said_of(sandbox: Sandbox) -> Check:
    if sandbox.kind == "none":
        return Check("sandbox", "warn", f"{sandbox.reason}: {_WITHOUT}", hint=sandbox.remedy)
    text = f"{sandbox.kind}; {sandbox.reason}" if sandbox.reason else sandbox.kind
    return Check("sandbox", "warn" if sandbox.remedy else "ok", text, hint=sandbox.remedy)
