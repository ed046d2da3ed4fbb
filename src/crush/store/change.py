"""The records that go in and out of the store; nothing here knows how they are kept."""

from collections.abc import Sequence

from msgspec import Struct

from crush.wire.events import Committed, CommittedEvent
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.messages import Message, Run, Session, Todo
from crush.wire.parts import Part
from crush.wire.permissions import PermissionRequest
from crush.wire.questions import QuestionRequest


class FileRead(Struct, frozen=True, kw_only=True):
    """What a session knows of a file. `read_at` in seconds.

    `digest` is the SHA-256 (hex) of the bytes; "" when another program recorded the read.
    """

    session_id: SessionId
    path: str
    digest: str
    read_at: int = 0


class FileEdit(Struct, frozen=True, kw_only=True):
    """A tool changed a file of a session: its content before and after, None for no file.

    The store numbers the versions (W 5.4): the first edit of a path in a session writes version 0
    with `before`, a later one writes `before` again only if it is not the last version; then `after`.
    Each version that is written makes a `file_changed`; content over the cap is not kept, and the
    event says so.
    """

    session_id: SessionId
    run_id: RunId
    path: str
    before: str | None
    after: str | None


class Pending(Struct, frozen=True, kw_only=True):
    """A permission request that waits for its answer."""

    run_id: RunId
    request: PermissionRequest
    asked_at_ms: int = 0


class PendingQuestion(Struct, frozen=True, kw_only=True):
    """A form that waits to be filled in."""

    run_id: RunId
    request: QuestionRequest
    asked_at_ms: int = 0


class SessionUsage(Struct, frozen=True, kw_only=True):
    """What one request to the model adds to its session (F 3.15).

    The token counts replace the session's (they measure the context), the cost is added. Makes a
    `session_updated`, like a session in `sessions`; a session that is gone is passed over.
    """

    session_id: SessionId
    prompt_tokens: int
    completion_tokens: int
    cost: float


class TodoList(Struct, frozen=True, kw_only=True):
    """The todo list of a session, whole."""

    session_id: SessionId
    todos: Sequence[Todo]


class QueuedPrompt(Struct, frozen=True, kw_only=True):
    """The words of a run that is accepted but not begun: kept with the run row (`py_runs`).

    They are a message only once the run's turn begins. Recovery of a queued run stores them as a
    user message before its `run_complete`, so that nothing the user typed is lost.
    """

    run_id: RunId
    parts: Sequence[Part]


class Change(Struct, frozen=True, kw_only=True):
    """What one step writes, in one transaction: all of it or nothing.

    Records are upserted whole. Times of 0 become now. `message_count` of a session is ignored: the
    database keeps it.

    Attributes:
        sessions: each makes a `session_created` or `session_updated`, read back after the write;
            they come before `events`.
        runs: a run that already ended is refused.
        prompts: of runs in `runs` or accepted before; forgotten when the run has ended.
        edits: of files, by tools; `file_changed` events come after those of `sessions`.
        todos: lists that replace those of their sessions; each makes a `session_updated`.
        asked, answered: permission requests that begin and cease to wait.
        questions: forms that begin to wait; `answered` ends them too.
        deleted: sessions that go, with their sub-agents' sessions and all that belongs to them.
        events: with the run they belong to, "" for none. `run_complete` also writes its run.
        durable: on the disk before `commit` returns, even if the machine loses power.
    """

    sessions: Sequence[Session] = ()
    messages: Sequence[Message] = ()
    runs: Sequence[Run] = ()
    usage: Sequence[SessionUsage] = ()
    prompts: Sequence[QueuedPrompt] = ()
    reads: Sequence[FileRead] = ()
    edits: Sequence[FileEdit] = ()
    todos: Sequence[TodoList] = ()
    questions: Sequence[PendingQuestion] = ()
    asked: Sequence[Pending] = ()
    answered: Sequence[PermissionId] = ()
    deleted: Sequence[SessionId] = ()
    events: Sequence[tuple[RunId, CommittedEvent]] = ()
    durable: bool = False


class Acceptance(Struct, frozen=True, kw_only=True):
    """The answer to `accept`. `repeated`: the run was accepted before, nothing was written."""

    run: Run
    committed: Sequence[Committed]
    repeated: bool


class Snapshot(Struct, frozen=True, kw_only=True):
    """A session as it stood at one moment: all events up to `seq` are in it, none after."""

    session: Session
    messages: Sequence[Message]
    runs: Sequence[Run]  # those that have not ended
    pending: Sequence[Pending]
    questions: Sequence[PendingQuestion]
    epoch: str
    seq: int


class Limits(Struct, frozen=True, kw_only=True):
    """Caps on what grows in a database."""

    events: int = 20_000
    event_bytes: int = 64 * 1024 * 1024
    backups: int = 3
    file_bytes: int = 4 * 1024 * 1024  # of one version
    files_bytes: int = 256 * 1024 * 1024  # of all versions
