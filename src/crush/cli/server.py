"""`crush server`: become the server of a host, or say who is; then serve until nobody needs it."""

import os
import sys

from crush.cli.options import Parsed
from crush.errors import CrushError, Exit, UsageError
from crush.launch.bind import Listener
from crush.launch.host import Host, default_host, make_private_dir, parse_host, server_dir
from crush.launch.lock import LockHeldError
from crush.launch.ready import adopt, report


def main(parsed: Parsed) -> int:
    ready_fd = int(parsed.number("ready_fd"))
    ready_fd = adopt(ready_fd) if ready_fd else 0
    start_lock_fd = int(parsed.number("start_lock_fd"))
    instance_id = os.urandom(16).hex()
    # The first client's has nothing to do with everybody's server: 0777 would lock it out, 0 open it.
    os.umask(0o077)
    try:
        host = _host(parsed)
        directory = server_dir(host, os.environ)
        make_private_dir(directory)
        listener = Listener(host, env=os.environ, instance_id=instance_id, allow_remote=False)
    except LockHeldError as exc:
        # Another server was faster: that is what the client wanted, too.
        if ready_fd:
            report(ready_fd, state="other", pid=int(str(exc.pid or 0)))
            return Exit.OK
        raise
    except CrushError as exc:
        if ready_fd:
            report(ready_fd, state="failed", pid=os.getpid(), error=exc.message)
        raise
    try:
        # Not for a server that is not needed; and aiohttp comes in the lean way only if that is first.
        import crush.server.lean_aiohttp  # noqa: F401, PLC0415
        from crush.server.app import serve  # noqa: PLC0415

        return serve(
            host=host,
            listener=listener,
            instance_id=instance_id,
            directory=directory,
            ready_fd=ready_fd,
            start_lock_fd=start_lock_fd,
            debug=parsed.flag("debug"),
        )
    finally:
        listener.close()


def _host(parsed: Parsed) -> Host:
    text = parsed.text("host")
    host = parse_host(text) if text else default_host(os.environ)
    if host.scheme == "tcp" and not parsed.flag("dangerously_no_auth"):
        raise UsageError(
            "a tcp server without a token admits every program of this user",
            hint="--dangerously-no-auth says that you want that; a unix socket needs no flag",
        )
    if host.scheme == "npipe" and sys.platform != "win32":
        raise UsageError("named pipes exist on Windows only", hint="use unix://PATH")
    return host
