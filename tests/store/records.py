"""Records as the agent would write them, with only what a test cares about spelled out."""

import apsw
from msgspec import Raw

from crush.store import crush_schema
from crush.store.change import Change
from crush.wire.events import CommittedEvent, MessageStarted, Notice, RunComplete, RunUpdated
from crush.wire.ids import MessageId, PermissionId, RunId, SessionId, ToolCallId
from crush.wire.messages import Message, Run, RunState, Session
from crush.wire.parts import Part, Text, TextPart
from crush.wire.permissions import PermissionRequest
from crush.wire.questions import Question, QuestionRequest

SID = SessionId("11111111-2222-3333-4444-555555555555")
RID = RunId("run-1")


def session(key: str = SID, *, title: str = "a title", parent: str = "") -> Session:
    return Session(id=SessionId(key), title=title, parent_session_id=parent)


def message(
    key: str, *parts: Part, role: str = "assistant", session_id: str = SID, at: int = 0
) -> Message:
    return Message(
        id=MessageId(key),
        session_id=SessionId(session_id),
        role=role,
        parts=list(parts),
        model="model" if role == "assistant" else "",
        provider="provider" if role == "assistant" else "",
        created_at=at,
    )


def text(words: str) -> TextPart:
    return TextPart(Text(text=words))


def run(key: str = RID, *, state: RunState = "queued", session_id: str = SID) -> Run:
    return Run(id=RunId(key), session_id=SessionId(session_id), state=state)


def notice(words: str, *, run_id: str = RID, session_id: str = SID) -> tuple[RunId, CommittedEvent]:
    key = RunId(run_id)
    return key, Notice(session_id=SessionId(session_id), run_id=key, text=words)


def updated(record: Run) -> tuple[RunId, CommittedEvent]:
    return record.id, RunUpdated(session_id=record.session_id, run=record)


def ended(record: Run) -> tuple[RunId, CommittedEvent]:
    return record.id, RunComplete(session_id=record.session_id, run=record)


def started(record: Message, *, run_id: str = RID) -> tuple[RunId, CommittedEvent]:
    key = RunId(run_id)
    return key, MessageStarted(session_id=record.session_id, message=record, run_id=key)


def acceptance(key: str = RID, *, session_id: str = SID) -> Change:
    """A prompt as it is accepted: session, run, first event."""
    record = run(key, session_id=session_id)
    return Change(sessions=[session(session_id)], runs=[record], events=[updated(record)])


def permission(key: str = "perm-1", *, session_id: str = SID) -> PermissionRequest:
    return PermissionRequest(
        id=PermissionId(key),
        session_id=SessionId(session_id),
        tool_call_id=ToolCallId("call-open"),
        tool_name="bash",
        description="",
        action="execute",
        params=Raw(b'{"command":"make"}'),
        path="/tmp",  # noqa: S108 - a value, not a file
    )


def question(key: str = "form-1", *, session_id: str = SID) -> QuestionRequest:
    return QuestionRequest(
        id=PermissionId(key),
        session_id=SessionId(session_id),
        tool_call_id=ToolCallId("call-open"),
        questions=[Question(id="q", type="yes_no", question="Go on?")],
    )


def content_of(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def write_file(path: str, content: bytes) -> None:
    with open(path, "wb") as file:
        file.write(content)


def make_crush_database(path: str, *, steps: int) -> None:
    """A database as a Crush of that many migrations leaves it, with a conversation in it."""
    connection = apsw.Connection(path)
    connection.execute("BEGIN")
    connection.execute(crush_schema.GOOSE)
    crush_schema.record(connection, 0)
    for version, sql in crush_schema.STEPS[:steps]:
        connection.execute(sql)
        crush_schema.record(connection, version)
    insert_like_crush(connection, "old", ["m1", "m2", "m3"])
    connection.execute(
        "INSERT INTO files VALUES ('f1', 'old', 'a.txt', 'before', 0, 1750000000, 1750000000)"
    )
    connection.execute("COMMIT")
    connection.close()


def insert_like_crush(connection: apsw.Connection, key: str, message_ids: list[str]) -> None:
    """Only columns of the first migration, all in one second."""
    connection.execute(
        "INSERT INTO sessions (id, title, updated_at, created_at)"
        " VALUES (?, 'by Crush', 1750000000, 1750000000) ON CONFLICT (id) DO NOTHING",
        (key,),
    )
    for message_id in message_ids:
        parts = f'[{{"type":"text","data":{{"text":"{message_id}"}}}}]'
        connection.execute(
            "INSERT INTO messages (id, session_id, role, parts, model, created_at, updated_at)"
            " VALUES (?, ?, 'user', ?, 'm', 1750000000, 1750000000)",
            (message_id, key, parts),
        )
