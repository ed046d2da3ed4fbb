"""The classic event stream, as Crush has it: whole records in a double envelope (W 4).

`{"type": <kind>, "payload": {"type": "created|updated|deleted", "payload": {…}}}`, one `data:` line
each, nothing else. `type` stands before `payload` because a Go reader that fails on the payload keeps
what it had read.
"""

from typing import Generic, Literal, TypeVar

from msgspec import Struct, field

from crush.wire.files import FileVersion
from crush.wire.ids import MessageId, SessionId
from crush.wire.messages import Message, Session
from crush.wire.permissions import PermissionRequest
from crush.wire.questions import QuestionRequest

T = TypeVar("T")


class Change(Struct, Generic[T], frozen=True):
    """The inner envelope."""

    type: Literal["created", "updated", "deleted"]
    payload: T


class PermissionNotification(Struct, frozen=True, kw_only=True):
    """Both false: pending. Answers close the dialogs of other clients."""

    tool_call_id: str
    granted: bool = field(default_factory=bool)
    denied: bool = field(default_factory=bool)


EMPTY_MESSAGE = Message(parts=[], id=MessageId(""), role="", session_id=SessionId(""))


class AgentEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The agent finished a turn, or an error; `message` is always the empty message."""

    type: str
    message: Message = field(default_factory=lambda: EMPTY_MESSAGE)
    error: str = ""
    run_id: str = ""
    session_id: str = ""
    session_title: str = ""


class RunCompleted(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The end of an accepted prompt; `text` is that of the last assistant message."""

    session_id: str
    run_id: str = ""
    message_id: str = field(default_factory=str)
    text: str = ""
    error: str = ""
    cancelled: bool = False


class ClassicMessage(Struct, frozen=True, tag_field="type", tag="message"):
    """A message, whole."""

    payload: Change[Message]


class ClassicSession(Struct, frozen=True, tag_field="type", tag="session"):
    """A session, whole."""

    payload: Change[Session]


class ClassicPermissionRequest(Struct, frozen=True, tag_field="type", tag="permission_request"):
    """A tool waits for an answer."""

    payload: Change[PermissionRequest]


class ClassicPermissionNotification(
    Struct, frozen=True, tag_field="type", tag="permission_notification"
):
    """A request is pending, granted or denied."""

    payload: Change[PermissionNotification]


class QuestionNotification(Struct, frozen=True, kw_only=True):
    """A form was answered or cancelled: its dialogs close."""

    batch_id: str


class ClassicQuestionRequest(Struct, frozen=True, tag_field="type", tag="question_batch_request"):
    """A tool waits for a form to be filled in."""

    payload: Change[QuestionRequest]


class ClassicQuestionNotification(
    Struct, frozen=True, tag_field="type", tag="question_batch_notification"
):
    """A form is no longer open."""

    payload: Change[QuestionNotification]


class ClassicFile(Struct, frozen=True, tag_field="type", tag="file"):
    """A version of a file, whole."""

    payload: Change[FileVersion]


class ClassicAgentEvent(Struct, frozen=True, tag_field="type", tag="agent_event"):
    """A turn finished or failed."""

    payload: Change[AgentEvent]


class ClassicRunComplete(Struct, frozen=True, tag_field="type", tag="run_complete"):
    """A prompt is over."""

    payload: Change[RunCompleted]


ClassicEvent = (
    ClassicMessage
    | ClassicSession
    | ClassicPermissionRequest
    | ClassicPermissionNotification
    | ClassicQuestionRequest
    | ClassicQuestionNotification
    | ClassicFile
    | ClassicAgentEvent
    | ClassicRunComplete
)
