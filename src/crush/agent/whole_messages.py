"""Messages that come whole: what the user says and what tools return.

Only assistant messages grow; see `draft`.
"""

import time
import uuid
from collections.abc import Sequence

from crush.wire.events import CommittedEvent, MessageStarted, RunUpdated
from crush.wire.ids import MessageId, RunId
from crush.wire.messages import Message, Run
from crush.wire.parts import Finish, FinishPart, Part, ToolResult, ToolResultPart


def result_message(result: ToolResult, run: Run) -> Message:
    return _whole([ToolResultPart(result)], "tool", run)


def user_message(parts: Sequence[Part], run: Run) -> Message:
    """The prompt and its attachments."""
    return _whole(parts, "user", run)


def started_events(run: Run, message: Message) -> list[tuple[RunId, CommittedEvent]]:
    """What followers are told of a prompt that became a message."""
    return [
        (run.id, RunUpdated(session_id=run.session_id, run=run)),
        (
            run.id,
            MessageStarted(session_id=run.session_id, message=message, run_id=run.id),
        ),
    ]


def _whole(parts: Sequence[Part], role: str, run: Run) -> Message:
    now = int(time.time())
    return Message(
        parts=[*parts, FinishPart(Finish(reason="stop", time=0))],
        id=MessageId(str(uuid.uuid4())),
        role=role,
        session_id=run.session_id,
        created_at=now,
        updated_at=now,
    )
