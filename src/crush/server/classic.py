"""The classic event stream: whole records, `data:` lines only, at most 30 updates a second (W 4).

A message that changed is told of once, as it is by then, when everything that is due was looked at or
something else is to be told.
"""

from collections.abc import Mapping
from typing import Literal

import anyio.to_thread
import msgspec

from crush.agent.feed import LiveMessage, Piece, Queued
from crush.errors import NotFoundError
from crush.store.files import FileHistory
from crush.wire import classic
from crush.wire.codec import encode
from crush.wire.events import (
    FileChanged,
    JobUpdated,
    MessageReset,
    MessageStarted,
    Notice,
    PartAdded,
    PartEnded,
    PermissionAsked,
    PermissionResolved,
    QuestionAsked,
    QuestionResolved,
    RetryScheduled,
    RunComplete,
    RunUpdated,
    SessionCreated,
    SessionUpdated,
)
from crush.wire.ids import MessageId
from crush.wire.messages import Message, Run, Session
from crush.wire.parts import FinishPart, OpaquePart, TextPart

Kind = Literal["created", "updated"]
WholeEvent = (
    SessionCreated
    | SessionUpdated
    | MessageStarted
    | PermissionAsked
    | PermissionResolved
    | QuestionAsked
    | QuestionResolved
    | JobUpdated
    | RunComplete
    | RunUpdated
    | RetryScheduled
    | Notice
)


class ClassicFormat:
    """Format 2's events as a Crush client knows them."""

    heartbeat = b""
    hurries = False

    def __init__(self, *, live: Mapping[MessageId, LiveMessage], files: FileHistory) -> None:
        self._files = files
        self._live = live  # messages that grow in the project right now
        self._answers: dict[str, tuple[str, str]] = {}  # of each session the last: id, text
        self._titles: dict[str, str] = {}
        self._changed: dict[str, LiveMessage] = {}  # not told yet

    async def committed(self, queued: Queued) -> bytes:
        event = queued.item.event
        if isinstance(event, PartAdded | PartEnded | MessageReset):
            self._note(event, queued.live)
            return b""
        frame = await self._file(event) if isinstance(event, FileChanged) else self._frame_of(event)
        return self.rest() + frame if frame else b""

    def grown(self, piece: Piece) -> bytes:
        live = self._live.get(MessageId(piece.source.owner))
        if live is not None:
            self._changed[live.header.id] = live
        return b""

    def rest(self) -> bytes:
        changed, self._changed = self._changed, {}
        return b"".join(_message("updated", live.snapshot()) for live in changed.values())

    def lost(self) -> bytes:
        return b""  # there is no word for it: the stream ends, the client reloads

    def _frame_of(self, event: WholeEvent) -> bytes:
        frame = b""  # runs, retries and notices are not part of the classic stream
        match event:
            case SessionCreated():
                frame = self._session("created", event.session)
            case SessionUpdated():
                frame = self._session("updated", event.session)
            case MessageStarted():
                frame = _message("created", event.message)
            case PermissionAsked() | PermissionResolved() | QuestionAsked() | QuestionResolved():
                frame = _dialog(event)
            case RunComplete():
                frame = self._complete(event.run)
            case RunUpdated() | RetryScheduled() | JobUpdated() | Notice():
                pass
        return frame

    async def _file(self, event: FileChanged) -> bytes:
        """The version whole; nothing for content that is not, or no longer, kept."""
        if not event.kept:
            return b""
        try:
            version = await self._files.version(event.file.id)
        except NotFoundError:
            return b""
        told = classic.ClassicFile(classic.Change("created", version))
        return await anyio.to_thread.run_sync(_frame, told)

    def _note(self, event: PartAdded | PartEnded | MessageReset, live: LiveMessage | None) -> None:
        if live is None:
            return
        self._changed[event.message_id] = live
        if isinstance(event, PartAdded) and isinstance(event.content, FinishPart):
            self._answers[event.session_id] = event.message_id, _text(live.snapshot())

    def _session(self, change: Kind, session: Session) -> bytes:
        self._titles[session.id] = session.title
        return _frame(classic.ClassicSession(classic.Change(change, session)))

    def _complete(self, run: Run) -> bytes:
        if run.folded_into and run.anonymous:
            return b""  # it ended with the turn that took it up, which tells of the end
        frames = []
        error = run.error.message if run.error is not None else ""
        message_id, text = self._answers.get(run.session_id, ("", ""))
        if run.state == "done":
            frames.append(
                classic.AgentEvent(
                    type="agent_finished",
                    session_id=run.session_id,
                    session_title=self._titles.get(run.session_id, ""),
                )
            )
        elif run.state == "failed":
            frames.append(
                classic.AgentEvent(
                    type="error", error=error, run_id=_id(run), session_id=run.session_id
                )
            )
        told = b"".join(
            _frame(classic.ClassicAgentEvent(classic.Change("created", event))) for event in frames
        )
        completed = classic.RunCompleted(
            session_id=run.session_id,
            run_id=_id(run),
            message_id=run.message_id,
            text=text if message_id == run.message_id else "",
            error=error,
            cancelled=run.state == "cancelled",
        )
        return told + _frame(classic.ClassicRunComplete(classic.Change("updated", completed)))


def presentable(message: Message) -> Message:
    """Without the parts that a classic client cannot read: one would cost it the whole list."""
    if not any(isinstance(part, OpaquePart) for part in message.parts):
        return message
    known = [part for part in message.parts if not isinstance(part, OpaquePart)]
    return msgspec.structs.replace(message, parts=known)


def _id(run: Run) -> str:
    return "" if run.anonymous else run.id


def _text(message: Message) -> str:
    return "".join(part.data.text for part in message.parts if isinstance(part, TextPart))


def _message(change: Kind, message: Message) -> bytes:
    return _frame(classic.ClassicMessage(classic.Change(change, presentable(message))))


def _dialog(
    event: PermissionAsked | PermissionResolved | QuestionAsked | QuestionResolved,
) -> bytes:
    """What opens a dialog, or closes it in every client."""
    match event:
        case PermissionAsked(request=request):
            asked = classic.ClassicPermissionRequest(classic.Change("created", request))
            return _frame(asked) + _notification(request.tool_call_id)
        case PermissionResolved():
            return _resolved(event)
        case QuestionAsked():
            return _frame(classic.ClassicQuestionRequest(classic.Change("created", event.request)))
        case QuestionResolved():
            closed = classic.QuestionNotification(batch_id=event.question_id)
            return _frame(classic.ClassicQuestionNotification(classic.Change("created", closed)))


def _resolved(event: PermissionResolved) -> bytes:
    if not event.permission_id:
        return b""  # refused without asking: nobody has a dialog open
    granted = event.outcome in {"allow", "allow_session", "allow_always"}
    return _notification(event.tool_call_id, granted=granted, denied=not granted)


def _notification(call_id: str, *, granted: bool = False, denied: bool = False) -> bytes:
    note = classic.PermissionNotification(tool_call_id=call_id, granted=granted, denied=denied)
    return _frame(classic.ClassicPermissionNotification(classic.Change("created", note)))


def _frame(event: classic.ClassicEvent) -> bytes:
    return b"data: " + encode(event) + b"\n\n"
