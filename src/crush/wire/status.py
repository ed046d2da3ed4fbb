"""`GET /v1/status`: who this server is, how long it has lived, and what keeps it from leaving."""

from msgspec import Struct

from crush.wire.ids import RunId, SessionId
from crush.wire.requests import Version


class BusySession(Struct, frozen=True, kw_only=True):
    """A session at work: its running prompt first, then what waits behind it."""

    id: SessionId
    title: str
    data_dir: str
    runs: list[RunId]


class HeldWorkspace(Struct, frozen=True, kw_only=True):
    """A workspace and how many clients claim it."""

    path: str
    data_dir: str
    clients: int


class SandboxStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What fences commands on this machine: `bubblewrap`, `landlock`, `seatbelt` or `none`.

    `reason`: why there is none, or what this kind cannot stop.
    """

    kind: str
    reason: str = ""


class Status(Struct, frozen=True, kw_only=True):
    """The answer.

    Attributes:
        is_busy: `shutdown_if_idle` would be refused; requests in flight count too.
        linger_s: how long the server stays after its last use.
        sandbox: None until it was looked for, which the first idle moment or command does.
    """

    version: Version
    uptime_s: float
    linger_s: float
    is_busy: bool
    sessions: list[BusySession]
    workspaces: list[HeldWorkspace]
    sandbox: SandboxStatus | None = None
