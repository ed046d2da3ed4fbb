"""Who holds a workspace, and until when (W 4.6): a create, then streams, then a grace.

A claim without a stream expires; the server leaves only when nothing is claimed. All expiry goes
through one sweep, so no timer outlives what it was set for.
"""

from collections.abc import Mapping

import anyio

from crush.errors import ConflictError
from crush.server.lifetime import Lifetime
from crush.wire.ids import ClientId, WorkspaceId

CREATE_GRACE_S = 30.0
DETACH_GRACE_S = 10.0


def detach_grace_s(env: Mapping[str, str]) -> float:
    """`CRUSH_SERVER_DETACH_GRACE`, whole seconds; 10 if it is not set or makes no sense."""
    text = env.get("CRUSH_SERVER_DETACH_GRACE", "")
    return float(text) if text.isascii() and text.isdigit() else DETACH_GRACE_S


class Claim:
    """One client's hold on one workspace."""

    __slots__ = ("arriving", "expires_at", "interactive", "released", "streams")

    def __init__(self, expires_at: float) -> None:
        self.expires_at = expires_at
        self.streams = 0
        self.released = False
        self.arriving = True  # created, and no stream since
        self.interactive = False  # the client said that a person can answer


class Claims:
    """Every claim of the server; each one holds it."""

    def __init__(self, *, lifetime: Lifetime, grace_s: float) -> None:
        self._lifetime = lifetime
        self._grace_s = grace_s
        self._claims: dict[tuple[WorkspaceId, ClientId], Claim] = {}
        self._retired: set[ClientId] = set()

    def create(self, workspace_id: WorkspaceId, client_id: ClientId) -> Claim:
        """A client announces itself; it has 30 s to open a stream."""
        if client_id in self._retired:
            raise ConflictError("client has been retired")
        claim = self._claims.get((workspace_id, client_id))
        if claim is None:
            claim = Claim(0.0)
            self._claims[workspace_id, client_id] = claim
            self._lifetime.take()
        claim.expires_at = anyio.current_time() + CREATE_GRACE_S
        claim.released = False
        claim.arriving = True
        return claim

    def attach(self, workspace_id: WorkspaceId, client_id: ClientId) -> Claim:
        """A stream begins; attaching without a create makes a claim too."""
        claim = self._claims.get((workspace_id, client_id)) or self.create(workspace_id, client_id)
        claim.streams += 1
        claim.arriving = False
        return claim

    def detach(self, workspace_id: WorkspaceId, client_id: ClientId) -> None:
        claim = self._claims.get((workspace_id, client_id))
        if claim is None:
            return
        claim.streams -= 1
        if not claim.streams:
            claim.expires_at = anyio.current_time() + (0 if claim.released else self._grace_s)
            self.sweep()

    def release(self, workspace_id: WorkspaceId, client_id: ClientId) -> None:
        """The client says goodbye to one workspace; open streams keep it."""
        claim = self._claims.get((workspace_id, client_id))
        if claim is not None:
            claim.released = True
            claim.expires_at = 0.0
            self.sweep()

    def retire(self, client_id: ClientId) -> None:
        """The client says goodbye for good; its later creates are refused."""
        if len(self._retired) > _MOST_RETIRED:
            self._retired.clear()
        self._retired.add(client_id)
        for workspace_id, owner in list(self._claims):
            if owner == client_id:
                self._drop(workspace_id, owner)

    def find(self, workspace_id: WorkspaceId, client_id: ClientId) -> Claim | None:
        return self._claims.get((workspace_id, client_id))

    def of(self, workspace_id: WorkspaceId) -> list[Claim]:
        return [claim for (owned, _), claim in self._claims.items() if owned == workspace_id]

    def sweep(self) -> None:
        """Drop what has expired."""
        now = anyio.current_time()
        for (workspace_id, client_id), claim in list(self._claims.items()):
            if not claim.streams and claim.expires_at <= now:
                self._drop(workspace_id, client_id)

    def _drop(self, workspace_id: WorkspaceId, client_id: ClientId) -> None:
        del self._claims[workspace_id, client_id]
        self._lifetime.release()


_MOST_RETIRED = 10_000
