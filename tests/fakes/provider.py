"""A provider that plays a script: one list of steps for each request, with gates and failures."""

from collections.abc import Awaitable, Callable, Sequence

import anyio
import anyio.lowlevel
import msgspec

from crush.providers.base import (
    Answer,
    EmitStream,
    ModelRequest,
    ReasoningDelta,
    ReasoningEnded,
    RetryWaiting,
    StopReason,
    StreamEvent,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
    Usage,
)


class Hold:
    """A place in a script where the stream stands still until the test lets it go on."""

    def __init__(self) -> None:
        self.reached = anyio.Event()
        self.released = anyio.Event()


class Breath:
    """A place where other tasks get their turn."""


class Act:
    """Something that happens elsewhere while the model answers."""

    def __init__(self, work: Callable[[], Awaitable[object]]) -> None:
        self.work = work


Item = StreamEvent | Hold | Breath | Act | Answer | Exception
Script = Sequence[Item]


class FakeProvider:
    """Answers the n-th request with the n-th script; keeps the requests.

    A script that names no `Answer` ends as a well-behaved model's would.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self._default: Script | None = None
        self.requests: list[ModelRequest] = []
        self.answered = 0

    def add(self, *scripts: Script) -> None:
        self._scripts.extend(scripts)

    def add_default(self, script: Script) -> None:
        """What is answered when no script is left."""
        self._default = script

    def forget_scripts(self) -> None:
        """What was not played will not be."""
        self._scripts.clear()

    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        script = self._scripts.pop(0) if self._scripts else self._default
        if script is None:
            raise AssertionError("a request that the script does not know")
        self.requests.append(request)
        stop: StopReason = "end_turn"
        for item in script:
            match item:
                case Answer():
                    self.answered += 1
                    return item
                case Hold():
                    item.reached.set()
                    await item.released.wait()
                case Breath():
                    await anyio.lowlevel.checkpoint()
                case Act():
                    await item.work()
                case Exception():
                    raise item
                case _:
                    if isinstance(item, ToolCallReady):
                        stop = "tool_use"
                    emit(item)
        await anyio.lowlevel.checkpoint()
        self.answered += 1
        return Answer(stop=stop, usage=Usage(input_tokens=10, output_tokens=5))


def says(*pieces: str) -> Script:
    """An answer of text."""
    return [TextDelta(piece) for piece in pieces]


def thinks(text: str, *, signature: str = "") -> Script:
    return [ReasoningDelta(text), ReasoningEnded(signature)]


def calls(tool: str, call_id: str, **arguments: object) -> Script:
    """One call, whole."""
    text = msgspec.json.encode(arguments).decode()
    return [ToolCallStarted(call_id, tool), ToolCallReady(call_id, tool, text)]


def retries(*, wait_s: float = 0.0) -> Script:
    return [RetryWaiting(1, wait_s, "overloaded")]
