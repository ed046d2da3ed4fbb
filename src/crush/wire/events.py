"""Format 2 of the event stream: one Struct per event, tagged by `type` (docs/reference/wire.md).

Committed events carry a cursor `<epoch>.<seq>` as the SSE `id`; they are published after their
commit. `Delta` and `ToolOutput` are volatile: they carry the id of the last committed event and are
placed by `(message_id, part, offset)`, so they are idempotent. Offsets and sizes count Unicode code
points. Text of a streamed part travels in deltas only; `PartEnded` names its size.

Order within a run: run_updated(queued), message_started(user), run_updated(running), then for each
step message_started(assistant), deltas and part_ended / part_added, message_started(tool) per
result; finally run_complete, which is the last event of the run.
"""

from typing import Literal

from msgspec import Struct, field

from crush.wire.files import FileVersion
from crush.wire.ids import MessageId, PermissionId, RunId, SessionId, ToolCallId
from crush.wire.jobs import Job
from crush.wire.messages import Message, Run, Session
from crush.wire.parts import Part
from crush.wire.permissions import Outcome, PermissionRequest
from crush.wire.questions import QuestionRequest, QuestionResponse


class _Event(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    session_id: SessionId


class SessionCreated(_Event, tag="session_created", frozen=True, kw_only=True):
    """A session exists from now on."""

    session: Session


class SessionUpdated(_Event, tag="session_updated", frozen=True, kw_only=True):
    """Title, counters, cost or todo list changed; the session whole."""

    session: Session


class RunUpdated(_Event, tag="run_updated", frozen=True, kw_only=True):
    """A run was accepted or moved on; its end is `run_complete`."""

    run: Run


class RunComplete(_Event, tag="run_complete", frozen=True, kw_only=True):
    """The one end of a run."""

    run: Run


class MessageStarted(_Event, tag="message_started", frozen=True, kw_only=True):
    """A message exists. User and tool messages come whole, an assistant's without parts."""

    message: Message
    run_id: RunId = RunId("")


class PartAdded(_Event, tag="part_added", frozen=True, kw_only=True):
    """A part that comes whole: tool call, finish, media. A part of the same index is replaced."""

    message_id: MessageId
    part: int = field(default_factory=int)
    content: Part
    run_id: RunId = RunId("")


class PartEnded(_Event, tag="part_ended", frozen=True, kw_only=True):
    """A streamed part is complete: its deltas make up `size` code points."""

    message_id: MessageId
    part: int = field(default_factory=int)
    kind: Literal["text", "reasoning"]
    size: int = field(default_factory=int)
    signature: str = ""
    run_id: RunId = RunId("")


class MessageReset(_Event, tag="message_reset", frozen=True, kw_only=True):
    """The provider is asked again: forget every part of this message."""

    message_id: MessageId
    run_id: RunId = RunId("")


class RetryScheduled(_Event, tag="retry_scheduled", frozen=True, kw_only=True):
    """The provider failed and will be asked again in `wait_ms`."""

    run_id: RunId
    attempt: int
    wait_ms: int
    message: str


class PermissionAsked(_Event, tag="permission_asked", frozen=True, kw_only=True):
    """A tool waits for an answer."""

    request: PermissionRequest
    run_id: RunId = RunId("")


class PermissionResolved(_Event, tag="permission_resolved", frozen=True, kw_only=True):
    """A request was answered or withdrawn. `by` is a client id, `headless` or `timeout`."""

    permission_id: PermissionId
    tool_call_id: ToolCallId
    tool_name: str
    outcome: Outcome
    by: str = ""
    what: str = ""  # one line: what was asked
    hint: str = ""
    rules: list[str] = field(default_factory=list)  # what is remembered from now on
    run_id: RunId = RunId("")


class QuestionAsked(_Event, tag="question_asked", frozen=True, kw_only=True):
    """A tool waits for a person to fill in a form."""

    request: QuestionRequest
    run_id: RunId = RunId("")


class QuestionResolved(_Event, tag="question_resolved", frozen=True, kw_only=True):
    """A form was filled in, cancelled (a person will not answer) or withdrawn (the turn is over)."""

    question_id: PermissionId
    outcome: Literal["answered", "cancelled", "withdrawn"]
    by: str = ""
    responses: list[QuestionResponse] = field(default_factory=list)
    run_id: RunId = RunId("")


class JobUpdated(_Event, tag="job_updated", frozen=True, kw_only=True):
    """A background job began or ended; its output is fetched, not told."""

    job: Job
    run_id: RunId = RunId("")


class FileChanged(_Event, tag="file_changed", frozen=True, kw_only=True):
    """A tool changed a file: one event for each version that was kept, `content` left out.

    Also told, with `kept` false, when the content was too large to keep.
    """

    file: FileVersion
    kept: bool = True
    run_id: RunId = RunId("")


class Notice(_Event, tag="notice", frozen=True, kw_only=True):
    """A sentence for the user that is not part of the conversation."""

    run_id: RunId
    text: str


class Delta(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="delta"):
    """A piece of a streamed part (volatile); a frame is at most 160 bytes more than its text."""

    message_id: MessageId
    part: int = 0
    kind: Literal["text", "reasoning"]
    offset: int = 0
    text: str


class ToolOutput(
    Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", tag="tool_output"
):
    """A piece of a running tool's output (volatile)."""

    tool_call_id: ToolCallId
    offset: int = 0
    text: str


CommittedEvent = (
    SessionCreated
    | SessionUpdated
    | RunUpdated
    | RunComplete
    | MessageStarted
    | PartAdded
    | PartEnded
    | MessageReset
    | RetryScheduled
    | PermissionAsked
    | PermissionResolved
    | QuestionAsked
    | QuestionResolved
    | JobUpdated
    | FileChanged
    | Notice
)
AnyEvent = CommittedEvent | Delta | ToolOutput


class Committed(Struct, frozen=True, kw_only=True):
    """A committed event with its place in the log; `run_id` is "" for events of no run."""

    seq: int
    run_id: RunId
    event: CommittedEvent
