"""What a dead server left behind, brought to an end: one ordinary `Change` for each of its runs.

The log says which messages a run made (`message_started`), so nothing else is touched: another
program may be in the middle of a turn of its own in the same session.
"""

import uuid
from collections.abc import Iterator, Sequence

import apsw
import msgspec
from msgspec.structs import replace

from crush.store import events, messages, runs
from crush.store.change import Change, Pending, PendingQuestion
from crush.store.pending import PERMISSIONS, QUESTIONS
from crush.wire.events import (
    Committed,
    CommittedEvent,
    MessageReset,
    MessageStarted,
    PartAdded,
    PartEnded,
    PermissionResolved,
    QuestionResolved,
    RunComplete,
)
from crush.wire.ids import MessageId, RunId, SessionId
from crush.wire.messages import ENDED, Message, Role, Run, RunError
from crush.wire.parts import (
    Finish,
    FinishPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)

_ERROR = RunError(
    code="interrupted",
    message="The server stopped before this run ended.",
    hint="What was done until then is kept; send another prompt to go on.",
)
_RESULT = (
    "The server stopped before this call ended. It may have had effects: check before retrying."
)
_WITHDRAWN = "The server stopped while this request waited."


def plan_recovery(connection: apsw.Connection, *, owner: str, now_ms: int) -> list[Change]:
    """One change for each unfinished run whose owner is not us; reads only."""
    return [_end_run(connection, run, now_ms) for run in runs.abandoned(connection, owner)]


def _end_run(connection: apsw.Connection, run: Run, now_ms: int) -> Change:
    log = [committed.event for committed in _whole_log(connection, run.id)]
    written: list[Message] = []
    told: list[CommittedEvent] = []
    for message in _unsent_prompt(connection, run, log, now_ms):
        written.append(message)
        told.append(MessageStarted(session_id=run.session_id, message=message, run_id=run.id))
    for message, its_events in _close_messages(connection, run, log, now_ms):
        written.append(message)
        told += its_events
    waiting = PERMISSIONS.of_run(connection, run.id)
    told += [_withdrawn(asked) for asked in waiting]
    forms = QUESTIONS.of_run(connection, run.id)
    told += [_withdrawn_form(form) for form in forms]
    ended = run
    if run.state not in ENDED:
        ended = replace(run, state="interrupted", error=_ERROR, ended_at_ms=now_ms)
    told.append(RunComplete(session_id=run.session_id, run=ended))
    return Change(
        messages=written,
        answered=[item.request.id for item in waiting] + [form.request.id for form in forms],
        events=[(run.id, event) for event in told],
        durable=True,
    )


def _whole_log(connection: apsw.Connection, run_id: RunId) -> Sequence[Committed]:
    # An unfinished run is never pruned, so that its log is whole.
    return events.of_run(connection, run_id, after_seq=0, limit=-1) or ()


def _unsent_prompt(
    connection: apsw.Connection, run: Run, log: Sequence[CommittedEvent], now_ms: int
) -> Iterator[Message]:
    """The user's words, if the run's turn had not yet made a message of them."""
    if any(isinstance(event, MessageStarted) and event.message.role == "user" for event in log):
        return
    if parts := runs.prompt_of(connection, run.id):
        yield _whole_message("user", run.session_id, parts, now_ms)


def _close_messages(
    connection: apsw.Connection, run: Run, log: Sequence[CommittedEvent], now_ms: int
) -> Iterator[tuple[Message, Sequence[CommittedEvent]]]:
    made = [event.message.id for event in log if isinstance(event, MessageStarted)]
    own = messages.with_ids(connection, made)
    answered = {
        part.data.tool_call_id
        for session_id in {message.session_id for message in own}
        for message in messages.of_session(connection, session_id)
        for part in message.parts
        if isinstance(part, ToolResultPart)
    }
    for message in own:
        if message.role != "assistant":
            continue
        closed = _close(message, now_ms)
        if closed != message:
            yield closed, [*_difference(message, closed, _ended_parts(log, message.id), run.id)]
        for result in _missing_results(closed, answered, now_ms):
            event = MessageStarted(session_id=result.session_id, message=result, run_id=run.id)
            yield result, [event]


def _withdrawn(asked: Pending) -> PermissionResolved:
    return PermissionResolved(
        session_id=asked.request.session_id,
        permission_id=asked.request.id,
        tool_call_id=asked.request.tool_call_id,
        tool_name=asked.request.tool_name,
        outcome="withdrawn",
        hint=_WITHDRAWN,
        run_id=asked.run_id,
    )


def _withdrawn_form(form: PendingQuestion) -> QuestionResolved:
    return QuestionResolved(
        session_id=form.request.session_id,
        question_id=form.request.id,
        outcome="withdrawn",
        run_id=form.run_id,
    )


def _close(message: Message, now_ms: int) -> Message:
    """The message with whole tool calls and a finish."""
    parts: list[Part] = [
        ToolCallPart(replace(part.data, input=_whole_input(part.data.input), finished=True))
        if isinstance(part, ToolCallPart)
        else part
        for part in message.parts
    ]
    if not any(isinstance(part, FinishPart) for part in parts):
        finish = Finish(reason="error", time=now_ms // 1000, message=_ERROR.message)
        parts.append(FinishPart(finish))
    return message if parts == message.parts else replace(message, parts=parts)


def _whole_input(text: str) -> str:
    """Arguments that broke off are no JSON, and no provider takes them back."""
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return "{}"
    return text


def _difference(
    before: Message, after: Message, ended: frozenset[int], run_id: RunId
) -> Iterator[CommittedEvent]:
    for index, part in enumerate(after.parts):
        match part:
            case TextPart() | ReasoningPart() if index not in ended:
                text = part.data.text if isinstance(part, TextPart) else part.data.thinking
                yield PartEnded(
                    session_id=after.session_id,
                    message_id=after.id,
                    part=index,
                    kind="text" if isinstance(part, TextPart) else "reasoning",
                    size=len(text),
                    signature=part.data.signature if isinstance(part, ReasoningPart) else "",
                    run_id=run_id,
                )
            case ToolCallPart() | FinishPart() if part not in before.parts[index : index + 1]:
                yield PartAdded(
                    session_id=after.session_id,
                    message_id=after.id,
                    part=index,
                    content=part,
                    run_id=run_id,
                )
            case _:
                pass


def _ended_parts(log: Sequence[CommittedEvent], message_id: MessageId) -> frozenset[int]:
    ended: set[int] = set()
    for event in log:
        if isinstance(event, MessageReset) and event.message_id == message_id:
            ended.clear()
        elif isinstance(event, PartEnded) and event.message_id == message_id:
            ended.add(event.part)
    return frozenset(ended)


def _missing_results(message: Message, answered: set[str], now_ms: int) -> Iterator[Message]:
    for part in message.parts:
        if not isinstance(part, ToolCallPart) or part.data.provider_executed:
            continue
        if part.data.id in answered:
            continue
        result = ToolResult(
            tool_call_id=part.data.id, name=part.data.name, content=_RESULT, is_error=True
        )
        yield _whole_message("tool", message.session_id, [ToolResultPart(result)], now_ms)


def _whole_message(
    role: Role, session_id: SessionId, parts: Sequence[Part], now_ms: int
) -> Message:
    return Message(
        id=MessageId(str(uuid.uuid4())),
        session_id=session_id,
        role=role,
        parts=[*parts, FinishPart(Finish(reason="stop"))],
        created_at=now_ms // 1000,
        updated_at=now_ms // 1000,
    )
