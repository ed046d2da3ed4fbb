"""The server's end of one worker process of the embedded model: start, ask, cancel, end."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

import anyio
import msgspec
from anyio.abc import Process
from anyio.lowlevel import checkpoint
from anyio.streams.buffered import BufferedByteReceiveStream

from crush.errors import ConfigError, ProviderError
from crush.providers._local_protocol import (
    Cancel,
    Chat,
    Delta,
    Done,
    Failed,
    FromWorker,
    Progress,
    Ready,
    ToWorker,
    Unusable,
    from_worker,
    line,
)
from crush.providers.base import Answer, EmitStream, StopReason, TextDelta, Usage
from crush.providers.weights import EXTRA_HINT, INSTALL_HINT

_LOAD_S = 60
_SILENCE_S = 60  # a batch of the prompt takes 0.4 s, a token 10 ms
_CANCEL_S = 5
_END_S = 2
_LINE_BYTES = 1 << 20
_KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT")
_CURES = {
    "missing": EXTRA_HINT,
    "engine": "it needs a current xllamacpp and the system's OpenMP library (libgomp1)",
    "weights": INSTALL_HINT,
}
_STOPS: Mapping[str, StopReason] = {"stop": "end_turn", "length": "max_tokens"}
_GONE = (
    anyio.EndOfStream,
    anyio.IncompleteRead,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)


class WorkerProcess:
    """One child with one model loaded, asked by one task at a time.

    Attributes:
        weights: path of what it has loaded.
        answered: whether anything came back for the chat that was sent last.
        usable: False once it ended or lost step with us; then only `end` makes sense.
    """

    def __init__(self, process: Process, *, weights: str) -> None:
        if process.stdin is None or process.stdout is None:
            raise ValueError("the worker needs pipes")
        self.weights = weights
        self.answered = False
        self.usable = True
        self._process = process
        self._stdin = process.stdin
        self._stdout = BufferedByteReceiveStream(process.stdout)
        self._last_id = 0
        self._working = False

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait_ready(self) -> None:
        """Wait until the model is loaded. Raises ConfigError if it never will be."""
        try:
            with anyio.fail_after(_LOAD_S):
                message = await self._receive()
        except TimeoutError as exc:
            raise ProviderError(
                f"the embedded model was not loaded within {_LOAD_S} s", retryable=True
            ) from exc
        match message:
            case Ready():
                return
            case Unusable(reason=reason, message=cause):
                raise ConfigError(
                    f"the embedded model cannot be loaded: {cause}", hint=_CURES[reason]
                )
            case _:
                raise self._out_of_step()

    async def chat(self, chat: Chat, emit: EmitStream) -> Answer:
        """Ask once. Cancellation is passed on and not waited for: the next chat does that."""
        self.answered = False
        if self._working:
            await self._settle()
        self._last_id += 1
        self._working = True
        try:
            await self._send(msgspec.structs.replace(chat, id=self._last_id))
            return await self._follow(emit)
        finally:
            if self.usable and self._working:
                with anyio.move_on_after(_END_S, shield=True), suppress(ProviderError):
                    await self._send(Cancel(self._last_id))

    async def end(self) -> None:
        """End the process: asked by closing its input, killed if that does not help."""
        self.usable = False
        with anyio.move_on_after(_END_S, shield=True):
            await self._process.aclose()

    async def _follow(self, emit: EmitStream) -> Answer:
        while True:
            message = await self._next()
            self.answered = True
            match message:
                case Delta(text=text):
                    emit(TextDelta(text))
                case Progress():
                    pass
                case Done() as done:
                    self._working = False
                    return _answer(done)
                case Failed(message=cause, overflow=overflow):
                    self._working = False
                    raise ProviderError(f"the embedded model refused: {cause}", overflow=overflow)
                case Ready() | Unusable():
                    raise self._out_of_step()

    async def _next(self) -> FromWorker:
        """The next message about the chat that was sent last."""
        try:
            with anyio.fail_after(_SILENCE_S):
                return await self._receive()
        except TimeoutError as exc:
            self.usable = False
            raise ProviderError(
                f"the embedded model has been silent for {_SILENCE_S} s", retryable=True
            ) from exc

    async def _settle(self) -> None:
        """Wait for the end of a chat that was cancelled; kill a worker that does not obey."""
        try:
            with anyio.fail_after(_CANCEL_S):
                while not isinstance(await self._receive(), Done | Failed):
                    pass
        except TimeoutError as exc:
            self.usable = False
            self._process.kill()
            raise ProviderError("the embedded model does not stop", retryable=True) from exc
        self._working = False

    async def _send(self, message: ToWorker) -> None:
        try:
            await self._stdin.send(line(message))
        except _GONE as exc:
            raise await self._lost() from exc

    async def _receive(self) -> FromWorker:
        # Reading what is buffered already never yields: a flood would keep a cancel out.
        await checkpoint()
        try:
            text = await self._stdout.receive_until(b"\n", _LINE_BYTES)
            return from_worker.decode(text)
        except _GONE as exc:
            raise await self._lost() from exc
        except (msgspec.MsgspecError, anyio.DelimiterNotFound) as exc:
            raise self._out_of_step() from exc

    async def _lost(self) -> ProviderError:
        """The error for a worker whose pipes are closed; says what it died of."""
        self.usable = False
        with anyio.move_on_after(_END_S):
            await self._process.wait()
        code = self._process.returncode
        if code is None:
            cause = "closed its pipes"
        elif code < 0:
            cause = f"was killed by signal {-code}"
        else:
            cause = f"ended with exit code {code}"
        return ProviderError(f"the embedded model's process {cause}", retryable=True)

    def _out_of_step(self) -> ProviderError:
        self.usable = False
        return ProviderError(
            "the embedded model's process sent something unexpected", retryable=True
        )


async def start_worker(command: Sequence[str], weights: str) -> WorkerProcess:
    """Start a child for `weights` in a session of its own, so that Ctrl-C does not reach it.

    It has no environment to speak of, only what is needed to find modules; its diagnostics go to
    our own standard error.
    """
    env = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    env["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if os.path.isabs(path))
    process = await anyio.open_process(
        [*command, weights],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=None,
        env=env,
        start_new_session=True,
    )
    return WorkerProcess(process, weights=weights)


def _answer(done: Done) -> Answer:
    usage = Usage(
        input_tokens=done.input_tokens - done.cached_tokens,
        cache_read_tokens=done.cached_tokens,
        output_tokens=done.output_tokens,
    )
    return Answer(stop=_STOPS.get(done.stop, "unknown"), usage=usage)
