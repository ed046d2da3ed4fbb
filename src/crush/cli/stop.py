"""`crush stop`: ask the server to leave; with `--force`, end the process that provably is it."""

import os
import signal
import sys
import time
from contextlib import suppress
from typing import Self

from crush.cli.options import Parsed
from crush.cli.place import host_of
from crush.cli.sighting import PATIENCE_S, Sighting, lock_holder, look_at
from crush.cli.status import work_of
from crush.errors import ConflictError, CrushError, Exit, NotListeningError, StartError, error_from
from crush.launch.host import Host
from crush.launch.http import probe_health, request
from crush.launch.lock import server_lock_path

# A server finishes what it answers and stores what it did, each bounded, before it leaves.
LEAVE_WITHIN_S = 15.0
_DIE_WITHIN_S = 5.0
_PAUSE_S = 0.02
_OK, _CONFLICT = 200, 409


def main(parsed: Parsed) -> int:
    host = host_of(parsed)
    seen = look_at(host, env=os.environ)
    if seen.state in {"stopped", "stale"}:
        sys.stdout.write(f"no server is running at {host}\n")
        return Exit.OK
    if not seen.is_ours:
        raise StartError(f"there is no server to stop at {host}: {seen.detail}", hint=seen.hint)
    if parsed.flag("force"):
        _end(host, seen)
    elif seen.state == "silent":
        raise StartError(seen.detail, hint=seen.hint)
    else:
        _ask(host, seen)
    sys.stdout.write(f"stopped the server at {host}\n")
    return Exit.OK


def _ask(host: Host, seen: Sighting) -> None:
    """Let the server judge whether it is needed. Raises ConflictError if it is."""
    command = b'{"command": "shutdown_if_idle"}'
    reply = request(host, "POST", "/v1/control", headers={}, body=command, timeout_s=2 * PATIENCE_S)
    if reply.status == _CONFLICT:
        lines = list(work_of(look_at(host, env=os.environ))) or ["a client is connected"]
        raise ConflictError(
            "\n  ".join(("the server is busy:", *lines)),
            hint="`crush stop --force` ends it all the same; what runs is cut at a stored step",
        )
    if reply.status != _OK:
        raise error_from(reply.json(), reply.status_line)
    if not _wait_gone(host, seen, LEAVE_WITHIN_S):
        raise StartError(
            f"the server agreed to leave, but is still there after {LEAVE_WITHIN_S:g} s",
            hint="`crush stop --force` ends it",
        )


def _end(host: Host, seen: Sighting) -> None:
    """SIGTERM, which ends runs at a stored step; SIGKILL if that takes too long."""
    holder = lock_holder(host, os.environ)
    if holder is None:
        raise StartError("no process of this machine holds the server lock", hint="stop it there")
    with _Process(int(holder.get("pid") or 0)) as process:
        # Judged after the process was pinned down: its number cannot pass to another any more.
        if not _is_server(process.pid, host, seen):
            raise StartError(
                f"process {process.pid} stands in the server lock, but it is not certain that it "
                "is the server",
                hint=f"look at {server_lock_path(host, os.environ)} and end its holder yourself",
            )
        process.send(signal.SIGTERM)
        if _wait_gone(host, seen, LEAVE_WITHIN_S):
            return
        sys.stderr.write(f"crush: it did not leave within {LEAVE_WITHIN_S:g} s; killing it\n")
        process.send(getattr(signal, "SIGKILL", signal.SIGTERM))
    if not _wait_gone(host, seen, _DIE_WITHIN_S):
        raise StartError(f"process {process.pid} cannot be ended")


def _is_server(pid: int, host: Host, seen: Sighting) -> bool:
    """Whether a process is the server of a host: who holds its lock, or who knows what is in it.

    Linux shows which files a process has open, also of one that hangs. Elsewhere the server must
    have answered with the secret that the holder of the lock wrote down.
    """
    holder = lock_holder(host, os.environ)
    if not pid or holder is None or holder.get("pid") != pid:
        return False
    if os.path.isdir("/proc/self/fd"):
        return _has_open(pid, server_lock_path(host, os.environ))
    version = seen.facts.get("version", {})
    return (version.get("pid"), version.get("instance_id")) == (pid, holder.get("instance_id"))


def _has_open(pid: int, path: str) -> bool:
    directory = f"/proc/{pid}/fd"
    with suppress(OSError):
        wanted = os.stat(path)
        for name in os.listdir(directory):
            with suppress(OSError):
                if os.path.samestat(os.stat(os.path.join(directory, name)), wanted):
                    return True
    return False


def _wait_gone(host: Host, seen: Sighting, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while not _is_gone(host, seen):
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)
    return True


def _is_gone(host: Host, seen: Sighting) -> bool:
    """Whether that server is; another one may have taken its place."""
    holder = lock_holder(host, os.environ)
    if holder is not None:
        was = (seen.holder or {}).get("instance_id")
        return was is not None and holder.get("instance_id") not in {was, None}
    try:
        probe_health(host)
    except NotListeningError:
        return True
    except CrushError:
        return False
    return seen.holder is not None  # whoever answers now is not the one that held the lock


class _Process:
    """A process that signals reach even if its number is given to another meanwhile (Linux)."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._fd = -1
        if pid and sys.platform == "linux":
            with suppress(OSError):  # gone, or a kernel without them
                self._fd = os.pidfd_open(pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd >= 0:
            os.close(self._fd)

    def send(self, number: int) -> None:
        with suppress(ProcessLookupError):
            if self._fd >= 0 and sys.platform == "linux":
                signal.pidfd_send_signal(self._fd, number)
            else:
                os.kill(self.pid, number)
