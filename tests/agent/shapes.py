"""Events and messages as short words, so that a test can spell out a whole turn."""

from crush.wire.events import (
    CommittedEvent,
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
from crush.wire.messages import Message
from crush.wire.parts import (
    FinishPart,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)


def shape(event: CommittedEvent) -> str:
    word = str(event.__struct_config__.tag)
    match event:
        case MessageStarted() | PartAdded() | PartEnded() | MessageReset():
            word = _of_message(event)
        case PermissionAsked(request=request):
            word = f"asked {request.description}"
        case PermissionResolved(outcome=outcome, by=by):
            word = f"{outcome} by {by}"
        case RunUpdated(run=run):
            word = f"run {run.state}"
        case RunComplete(run=run):
            word = f"complete {run.state}"
        case RetryScheduled(attempt=attempt):
            word = f"retry {attempt}"
        case QuestionResolved(outcome=outcome, by=by):
            word = f"{outcome} by {by}"
        case JobUpdated(job=job):
            word = f"job {job.state}"
        case SessionCreated() | SessionUpdated() | QuestionAsked() | FileChanged() | Notice():
            pass
    return word


def _of_message(event: MessageStarted | PartAdded | PartEnded | MessageReset) -> str:
    match event:
        case MessageStarted(message=message):
            return message.role if message.role != "tool" else brief(message.parts[0])
        case PartAdded(content=content, part=part):
            return f"{part} {brief(content)}"
        case PartEnded(kind=kind, part=part, size=size):
            return f"{part} {kind} of {size}"
        case MessageReset():
            return "reset"


def brief(part: Part) -> str:
    match part:
        case TextPart(data=text):
            return repr(text.text)
        case ReasoningPart(data=reasoning):
            return f"({reasoning.thinking}){reasoning.signature}"
        case ToolCallPart(data=call):
            return f"call {call.id}" if call.finished else f"begins {call.id}"
        case ToolResultPart(data=result):
            return f"{'error' if result.is_error else 'result'} {result.tool_call_id}"
        case FinishPart(data=finish):
            return f"finish {finish.reason}"
        case _:
            return type(part).__name__


def stored(messages: list[Message]) -> list[list[str]]:
    """Whole messages: role, then parts; `finish stop` of user and tool messages left out."""
    return [
        [message.role, *(b for part in message.parts if (b := brief(part)) != "finish stop")]
        for message in messages
    ]
