"""What is at a host, found out without starting, stopping or changing anything.

`status`, `stop` and `doctor` judge by it. A lock file that is not there is not made.
"""

import os
import stat
import time

from crush.errors import CrushError, NotListeningError, StartError
from crush.launch.host import Host, own_uid
from crush.launch.http import probe_health, request
from crush.launch.lock import read_holder, server_lock_path, try_lock
from crush.launch.protocol import build_id, is_newer, overlaps
from crush.paths import Env

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal, TypeAlias

    Facts: TypeAlias = dict[str, Any]
    State: TypeAlias = Literal[
        "running",  # a server of this build
        "mismatched",  # one of another build, or of a protocol that we do not speak
        "silent",  # a process holds the server lock and does not answer
        "stopped",  # nothing
        "stale",  # nothing but the socket of a server that died
        "foreign",  # something else answers there
        "blocked",  # something is in the way, or we may not connect
    ]

# A busy server gets this time to answer.
PATIENCE_S = 2.0
_PROBE_S = 0.5
_OK = 200
_PAUSE_S = 0.02


class Sighting:
    """What was found. `holder` is who holds the server lock, None if nobody does.

    `facts` is what a healthy server told about itself (`wire.status.Status`), as far as it did.
    """

    __slots__ = ("detail", "facts", "hint", "holder", "is_healthy", "state")

    def __init__(
        self,
        state: "State",
        detail: str,
        *,
        holder: "Facts | None",
        hint: str = "",
        is_healthy: bool = False,
        facts: "Facts | None" = None,
    ) -> None:
        self.state = state
        self.detail = detail
        self.hint = hint
        self.holder = holder
        self.is_healthy = is_healthy  # this client can work with it
        self.facts: Facts = facts or {}

    @property
    def is_ours(self) -> bool:
        """Whether it is a server that this program knows how to end."""
        return self.state in {"running", "mismatched", "silent"}


def look_at(host: Host, *, env: Env) -> Sighting:
    """See what is there; takes a little more than `PATIENCE_S` at most."""
    holder = lock_holder(host, env)
    if host.scheme == "unix" and (blocked := _in_the_way(host.address)):
        detail, hint = blocked
        return Sighting("blocked", detail, hint=hint, holder=holder)
    try:
        # A server of this machine that is only busy holds its lock: without one there is no use
        # in asking again.
        _wait_healthy(host, PATIENCE_S if holder is not None or host.scheme == "tcp" else 0)
    except NotListeningError:
        return _nothing(host, holder)
    except CrushError as exc:
        return _no_answer(host, holder, exc)
    try:
        version = _get(host, "/v1/version")
        if "protocol" not in version:
            return _not_ours(version, holder)
        facts = {"version": version, **_get(host, "/v1/status")}
    except CrushError as exc:
        return _no_answer(host, holder, exc)
    return _compare(facts, holder)


def lock_holder(host: Host, env: Env) -> "Facts | None":
    """What the holder of the server lock wrote down, None if nobody holds it."""
    path = server_lock_path(host, env)
    if not os.path.lexists(path):
        return None
    try:
        lock = try_lock(path)
    except StartError:
        return None
    if lock is None:
        return read_holder(path)
    lock.close()
    return None


def _in_the_way(path: str) -> tuple[str, str] | None:
    """What keeps a server from listening at a path, and what to do about it."""
    try:
        info = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as exc:
        return f"cannot look at {path}: {exc.strerror}", "choose another --host"
    if not stat.S_ISSOCK(info.st_mode):
        return f"{path} is not a socket", "move it away or choose another --host"
    if info.st_uid != own_uid():
        return f"{path} is a socket of uid {info.st_uid}, not yours", "choose another --host"
    return None


def _wait_healthy(host: Host, patience_s: float) -> None:
    """Return once the server answers. Raises CrushError with the last cause."""
    deadline = time.monotonic() + patience_s
    while True:
        try:
            probe_health(host, timeout_s=_PROBE_S)
        except NotListeningError:
            raise
        except StartError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_PAUSE_S)
        else:
            return


def _get(host: Host, path: str) -> "Facts":
    """A JSON object of the server; empty where it has no such route."""
    reply = request(host, "GET", path, headers={}, body=b"", timeout_s=PATIENCE_S)
    return dict(reply.json()) if reply.status == _OK else {}


def _nothing(host: Host, holder: "Facts | None") -> Sighting:
    if holder is not None:
        return _silent(holder, f"nothing listens at {host}")
    if host.scheme == "unix" and os.path.lexists(host.address):
        detail = "no server is running; one that died left its socket, which the next replaces"
        return Sighting("stale", detail, holder=None)
    return Sighting("stopped", "no server is running", holder=None)


def _no_answer(host: Host, holder: "Facts | None", cause: CrushError) -> Sighting:
    if holder is not None:
        return _silent(holder, cause.message)
    detail = f"what is at {host} is no crush server of ours: {cause.message}"
    return Sighting("foreign", detail, holder=None, hint=cause.hint or "choose another --host")


def _silent(holder: "Facts", cause: str) -> Sighting:
    detail = f"process {holder.get('pid', '?')} is the server but does not answer: {cause}"
    hint = "it may be starting or leaving; if it stays so, `crush stop --force` ends it"
    return Sighting("silent", detail, holder=holder, hint=hint)


def _not_ours(version: "Facts", holder: "Facts | None") -> Sighting:
    told = str(version.get("version", "")) if "go_version" in version else ""
    what = f"a Crush server, version {told}" if told else "an HTTP server, but none of crush"
    return Sighting(
        "foreign", f"what answers is {what}", holder=holder, hint="choose another --host"
    )


def _compare(facts: "Facts", holder: "Facts | None") -> Sighting:
    """Judge a healthy server of ours by protocol and build, as it would judge us."""
    version = facts["version"]
    speaks = int(version["protocol"].get("min", 0)), int(version["protocol"].get("max", 0))
    theirs = str(version.get("build_id", ""))
    is_older = is_newer(build_id(), than=theirs)
    gives_way = is_older and not facts.get("is_busy", False)
    detail, hint, is_healthy = "", "", True
    if gives_way:
        detail = "it is older than this crush and idle: the next run replaces it"
    elif not overlaps(speaks):
        is_healthy = False
        detail = f"it speaks protocol {speaks[0]} to {speaks[1]}, which this crush does not"
        hint = "use the crush that started it, or `crush stop` once it is idle"
    elif is_older:
        detail = "it is older than this crush and busy: it serves until it is idle"
    elif theirs != build_id():
        detail = "it is of another build than this crush, and serves it all the same"
    state: State = "mismatched" if detail else "running"
    return Sighting(state, detail, hint=hint, holder=holder, is_healthy=is_healthy, facts=facts)
