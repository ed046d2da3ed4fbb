"""Applies one `Change` inside a transaction, in the order that its foreign keys need."""

import apsw

from crush.errors import ConflictError
from crush.store import events, messages, pending, reads, runs, sessions
from crush.store.change import Acceptance, Change
from crush.wire.events import Committed, RunComplete, SessionCreated, SessionUpdated
from crush.wire.ids import RunId, SessionId


class Writer:
    """Writes the changes of one owner; lives in the writer's thread."""

    def __init__(self, *, owner: str, pruner: events.Pruner) -> None:
        self._owner = owner
        self._pruner = pruner

    def apply(self, connection: apsw.Connection, change: Change) -> list[Committed]:
        """Write all of it; the events with their places in the log."""
        _delete(connection, change)
        created = {session.id for session in change.sessions if sessions.save(connection, session)}
        for message in change.messages:
            messages.save(connection, message)
        for read in change.reads:
            reads.save(connection, read)
        for run in change.runs:
            runs.save(connection, run, owner=self._owner)
        for asked in change.asked:
            pending.save(connection, asked)
        for permission_id in change.answered:
            pending.remove(connection, permission_id)
        committed = self._append(connection, change, created)
        self._pruner.appended(connection, len(committed))
        return committed

    def accept(
        self, connection: apsw.Connection, change: Change, idempotency_key: str
    ) -> Acceptance:
        """`apply` for a new run, or the run that was accepted under this key or id before."""
        (run,) = change.runs
        before = runs.accepted_before(connection, run.id, idempotency_key)
        if before is not None:
            return Acceptance(run=before, committed=(), repeated=True)
        committed = self.apply(connection, change)
        runs.set_key(connection, run.id, idempotency_key)
        return Acceptance(run=run, committed=committed, repeated=False)

    def _append(
        self, connection: apsw.Connection, change: Change, created: set[SessionId]
    ) -> list[Committed]:
        committed: list[Committed] = []
        for key in dict.fromkeys(session.id for session in change.sessions):
            kind = SessionCreated if key in created else SessionUpdated
            told = kind(session_id=key, session=sessions.load(connection, key))
            committed.append(events.append(connection, RunId(""), told))
        for run_id, event in change.events:
            if isinstance(event, RunComplete):
                runs.complete(connection, event.run)
            committed.append(events.append(connection, run_id, event))
        return committed


def _delete(connection: apsw.Connection, change: Change) -> None:
    for session_id in change.deleted:
        for member in sessions.family(connection, session_id):
            if runs.unfinished_of(connection, member):
                raise ConflictError(
                    f"session {session_id!r} is busy", hint="Cancel its run first, then delete it."
                )
            events.delete_of_session(connection, member)
            sessions.delete(connection, member)
