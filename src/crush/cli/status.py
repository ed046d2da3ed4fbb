"""`crush status`: which server answers, what it does, and whether this client can work with it."""

import json
import os
import sys
from collections.abc import Iterator

from crush.cli.harmless import harmless
from crush.cli.options import Parsed
from crush.cli.place import host_of
from crush.cli.sighting import Sighting, look_at
from crush.errors import Exit
from crush.launch.host import Host
from crush.launch.protocol import build_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400


def main(parsed: Parsed) -> int:
    host = host_of(parsed)
    seen = look_at(host, env=os.environ)
    if parsed.flag("json"):
        sys.stdout.write(json.dumps(_record(host, seen)) + "\n")
    else:
        rows = list(_rows(host, seen))
        width = max(len(label) for label, _ in rows)
        sys.stdout.writelines(harmless(f"{label:<{width}}  {text}\n") for label, text in rows)
    return Exit.OK if seen.is_healthy else Exit.ERROR


def work_of(seen: Sighting) -> Iterator[str]:
    """What a server is busy with, one line each."""
    for session in seen.facts.get("sessions", ()):
        waiting = len(session["runs"]) - 1
        queue = f", {waiting} waiting" if waiting > 0 else ""
        title = session["title"] or "a session"
        yield f"{title} (in {os.path.dirname(session['data_dir'])}{queue})"
    for workspace in seen.facts.get("workspaces", ()):
        if clients := workspace["clients"]:
            plural = "" if clients == 1 else "s"
            yield f"{clients} client{plural} in {workspace['path']}"


def duration(seconds: float) -> str:
    """A time as people say it: the two largest units."""
    whole = int(seconds)
    if whole < _MINUTE_S:
        return f"{whole} s"
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min"
    if whole < _DAY_S:
        return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S} min"
    return f"{whole // _DAY_S} d {whole % _DAY_S // _HOUR_S} h"


def _rows(host: Host, seen: Sighting) -> Iterator[tuple[str, str]]:
    yield "server", seen.state
    yield "host", str(host)
    if seen.detail:
        yield "note", seen.detail
    if seen.hint:
        yield "hint", seen.hint
    version = seen.facts.get("version")
    if pid := _pid(seen):
        yield "pid", str(pid)
    if version is not None:
        protocol = version["protocol"]
        yield "build", f"{version.get('build_id')}, protocol {protocol['min']} to {protocol['max']}"
    if "uptime_s" in seen.facts:
        leaves = duration(seen.facts["linger_s"])
        yield "up", f"{duration(seen.facts['uptime_s'])}; leaves {leaves} after its last use"
        yield "work", "busy" if seen.facts["is_busy"] else "idle"
        for line in work_of(seen):
            yield "", line
    if sandbox := seen.facts.get("sandbox"):
        reason = sandbox.get("reason")
        yield "sandbox", f"{sandbox['kind']}: {reason}" if reason else sandbox["kind"]


def _pid(seen: Sighting) -> int | None:
    told = seen.facts.get("version", {}).get("pid")
    return told or (seen.holder or {}).get("pid")


def _record(host: Host, seen: Sighting) -> "dict[str, Any]":
    """The same for programs; what the server did not tell is left out."""
    facts = dict(seen.facts)
    version = facts.pop("version", {})
    return {
        "state": seen.state,
        "healthy": seen.is_healthy,
        "host": str(host),
        "detail": seen.detail,
        "hint": seen.hint,
        "client_build_id": build_id(),
        **({"pid": pid} if (pid := _pid(seen)) else {}),
        **{key: version[key] for key in ("version", "build_id", "protocol") if key in version},
        **facts,
    }
