"""The embedded model: no key, no network, no tools. One process for the whole server.

`LocalModels` owns the worker and lets one chat at a time through; `LocalProvider` is the adapter.
What the worker does is in `_local_worker`, the weights are in `weights`.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Self

import anyio
import anyio.to_thread
from typing_extensions import override

from crush.config.settings import ProviderSettings
from crush.errors import ProviderError
from crush.paths import local_weights
from crush.providers._local_process import WorkerProcess, start_worker
from crush.providers._local_protocol import Chat, ChatMessage
from crush.providers.base import (
    Answer,
    AssistantTurn,
    EmitStream,
    ImageBlock,
    ModelRequest,
    Provider,
    ReasoningBlock,
    TextBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    UserTurn,
)

IDLE_S = 300

_ANSWER_TOKENS = 1024
# What the authors of the model recommend; without a narrow choice it rambles.
_TEMPERATURE = 0.2
_TOP_P = 0.9
_UNSEEN_IMAGE = "[an image, which you cannot see]"


def worker_command() -> tuple[str, ...]:
    """How to start the real worker; the path of the weights is appended."""
    return (sys.executable, "-P", "-s", "-S", "-m", "crush.providers._local_worker", str(IDLE_S))


class LocalModels:
    """Owns the worker process: started when first asked, shared, ended with the server.

    Use as an async context manager around everything that asks. The worker ends by itself when
    idle, which frees its memory; the next chat starts another.
    """

    def __init__(self, *, command: Sequence[str], verify: Callable[[str], None]) -> None:
        self._command = command
        self._verify = verify
        self._turn = anyio.Lock()  # first come, first served
        self._worker: WorkerProcess | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed = True
        await self._end_worker()

    @property
    def worker_pid(self) -> int | None:
        """The process that was asked last; it may have ended."""
        return self._worker.pid if self._worker is not None else None

    async def chat(self, weights: str, chat: Chat, emit: EmitStream) -> Answer:
        """Ask the model in `weights`, after everybody who asked before."""
        async with self._turn:
            reused = self._worker
            worker = await self._loaded(weights)
            try:
                return await worker.chat(chat, emit)
            except ProviderError:
                # It may have gone idle in this moment: then nobody has seen anything yet.
                if worker is not reused or worker.answered or self._closed:
                    raise
            return await (await self._loaded(weights)).chat(chat, emit)

    async def _loaded(self, weights: str) -> WorkerProcess:
        """The present worker if it will do, otherwise a new one."""
        worker = self._worker
        if worker is not None and worker.usable and worker.weights == weights:
            return worker
        await self._end_worker()
        await anyio.to_thread.run_sync(self._verify, weights)
        if self._closed:
            raise ProviderError("the server is stopping")
        worker = await start_worker(self._command, weights)
        self._worker = worker
        loaded = False
        try:
            await worker.wait_ready()
            loaded = True
        finally:
            if not loaded:
                await self._end_worker()
        return worker

    async def _end_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.end()


class LocalProvider(Provider):
    """Asks the embedded model. Tools are not offered to it, and past tool calls are left out."""

    def __init__(self, settings: ProviderSettings, *, models: LocalModels) -> None:
        self._weights = local_weights(settings.env)
        self._models = models

    @override
    async def respond(self, request: ModelRequest, emit: EmitStream) -> Answer:
        return await self._models.chat(self._weights, to_chat(request), emit)


def to_chat(request: ModelRequest) -> Chat:
    """The request as the plain text that the model's chat template knows."""
    system = [ChatMessage("system", request.system)] if request.system else []
    turns = (_message(turn) for turn in request.turns)
    return Chat(
        id=0,
        messages=(*system, *_joined(message for message in turns if message.content)),
        max_tokens=request.max_tokens or _ANSWER_TOKENS,
        temperature=_TEMPERATURE if request.temperature is None else request.temperature,
        top_p=_TOP_P if request.top_p is None else request.top_p,
    )


def _message(turn: Turn) -> ChatMessage:
    match turn:
        case UserTurn(blocks=blocks):
            return ChatMessage("user", "\n\n".join(_text(block) for block in blocks))
        case AssistantTurn(blocks=blocks):
            return ChatMessage("assistant", "".join(_text(block) for block in blocks))
        case ToolTurn():
            return ChatMessage("user", "")


def _text(block: TextBlock | ImageBlock | ReasoningBlock | ToolUseBlock) -> str:
    match block:
        case TextBlock(text=text):
            return text
        case ImageBlock():
            return _UNSEEN_IMAGE
        case ReasoningBlock() | ToolUseBlock():
            return ""


def _joined(messages: Iterable[ChatMessage]) -> list[ChatMessage]:
    """Neighbours of one role as one message: the template expects the two to take turns."""
    joined: list[ChatMessage] = []
    for message in messages:
        if joined and joined[-1].role == message.role:
            content = f"{joined.pop().content}\n\n{message.content}"
            joined.append(ChatMessage(message.role, content))
        else:
            joined.append(message)
    return joined
