"""Applies one `Change` inside a transaction, in the order that its foreign keys need."""

from collections.abc import Container, Iterable, Iterator

import apsw

from crush.errors import ConflictError
from crush.store import events, messages, reads, runs, sessions
from crush.store.change import Acceptance, Change
from crush.store.files import Versions
from crush.store.pending import PERMISSIONS, QUESTIONS
from crush.wire.events import Committed, CommittedEvent, RunComplete, SessionCreated, SessionUpdated
from crush.wire.ids import RunId, SessionId


class Writer:
    """Writes the changes of one owner; lives in the writer's thread."""

    def __init__(self, *, owner: str, pruner: events.Pruner, versions: Versions) -> None:
        self._owner = owner
        self._versions = versions
        self._pruner = pruner

    def apply(self, connection: apsw.Connection, change: Change) -> list[Committed]:
        """Write all of it; the events with their places in the log."""
        _delete(connection, change)
        created = {item.id for item in change.sessions if sessions.save(connection, item)}
        touched = [
            *(item.id for item in change.sessions),
            *(item.session_id for item in change.usage if sessions.add_usage(connection, item)),
            *(item.session_id for item in change.todos if sessions.set_todos(connection, item)),
        ]
        for message in change.messages:
            messages.save(connection, message)
        for read in change.reads:
            reads.save(connection, read)
        for run in change.runs:
            runs.save(connection, run, owner=self._owner)
        for prompt in change.prompts:
            runs.save_prompt(connection, prompt)
        _save_waiting(connection, change)
        committed = [
            *_tell_sessions(connection, touched, created),
            *self._save_edits(connection, change),
            *(_append(connection, run_id, event) for run_id, event in change.events),
        ]
        self._pruner.appended(connection, len(committed))
        return committed

    def _save_edits(self, connection: apsw.Connection, change: Change) -> Iterator[Committed]:
        for edit in change.edits:
            for event in self._versions.save(connection, edit):
                yield events.append(connection, edit.run_id, event)

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


def _save_waiting(connection: apsw.Connection, change: Change) -> None:
    for asked in change.asked:
        PERMISSIONS.save(connection, asked)
    for form in change.questions:
        QUESTIONS.save(connection, form)
    for key in change.answered:
        PERMISSIONS.remove(connection, key)
        QUESTIONS.remove(connection, key)


def _tell_sessions(
    connection: apsw.Connection, touched: Iterable[SessionId], created: Container[SessionId]
) -> Iterator[Committed]:
    for session_id in dict.fromkeys(touched):
        kind = SessionCreated if session_id in created else SessionUpdated
        event = kind(session_id=session_id, session=sessions.load(connection, session_id))
        yield events.append(connection, RunId(""), event)


def _append(connection: apsw.Connection, run_id: RunId, event: CommittedEvent) -> Committed:
    if isinstance(event, RunComplete):
        runs.complete(connection, event.run)
    return events.append(connection, run_id, event)


def _delete(connection: apsw.Connection, change: Change) -> None:
    for session_id in change.deleted:
        for member in sessions.family(connection, session_id):
            if runs.unfinished_of(connection, member):
                raise ConflictError(
                    f"session {session_id!r} is busy", hint="Cancel its run first, then delete it."
                )
            events.delete_of_session(connection, member)
            sessions.delete(connection, member)
