"""A ceiling for what one answer may hold, far above what any model says.

Whatever a provider sends is kept, stored and sent back with the next request. One that never ends, or
calls tools without end, must not take the memory and the disk of everybody's server.
"""

from crush.providers._errors import ErrorSource
from crush.providers.base import (
    EmitStream,
    ReasoningDelta,
    StreamEvent,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
)

MAX_ANSWER_CHARS = 4 * 1024 * 1024
MAX_CALLS = 256


def bounded(emit: EmitStream, errors: ErrorSource) -> EmitStream:
    """`emit` for one attempt; it raises ProviderError where the answer becomes absurd."""
    chars = calls = 0

    def emit_counted(event: StreamEvent) -> None:
        nonlocal chars, calls
        if isinstance(event, TextDelta | ReasoningDelta):
            chars += len(event.text)
        elif isinstance(event, ToolCallReady):
            chars += len(event.input)
        elif isinstance(event, ToolCallStarted):
            calls += 1
        if chars > MAX_ANSWER_CHARS or calls > MAX_CALLS:
            what = "called too many tools at once" if calls > MAX_CALLS else "did not stop talking"
            raise errors.failure(what, retryable=False)
        emit(event)

    return emit_counted
