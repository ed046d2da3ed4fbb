"""The embedded model itself: llama.cpp through `xllamacpp`, inside the worker process only."""

import importlib
import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from types import ModuleType
from typing import Literal, Protocol

import msgspec
from msgspec import Struct, field

from crush.providers._local_protocol import (
    Chat,
    Delta,
    Done,
    Failed,
    FromWorker,
    Progress,
    Ready,
    Unusable,
)

CONTEXT_TOKENS = 4096
# Between two batches the engine looks whether to go on: at 300 tokens/s, every 0.4 s.
_BATCH_TOKENS = 128
# Room for the prompts of other sessions and of titles, so that each finds its prefix again.
_PROMPT_CACHE_MIB = 128
_LOG_ERRORS = 1


class _Text(Struct, frozen=True):
    content: str | None = None


class _Choice(Struct, frozen=True):
    delta: _Text = field(default_factory=_Text)
    finish_reason: str | None = None


class _Cached(Struct, frozen=True):
    cached_tokens: int = 0


class _Usage(Struct, frozen=True):
    prompt_tokens: int = 0
    completion_tokens: int = 0
    prompt_tokens_details: _Cached = field(default_factory=_Cached)


class _Problem(Struct, frozen=True):
    message: str = ""
    type: str = ""


class _Chunk(Struct, frozen=True):
    choices: tuple[_Choice, ...] = ()
    usage: _Usage | None = None
    error: _Problem | None = None


class _Server(Protocol):
    def handle_chat_completions(
        self, request: bytes, callback: Callable[[bytes], bool], /
    ) -> object: ...


class LlamaEngine:
    """One model in memory; keeps the tokens of past prompts, so that a shared prefix is free."""

    def __init__(self) -> None:
        self._server: _Server | None = None

    def load(self, weights: str) -> Ready | Unusable:
        """Load `weights`; the interpreter stands still meanwhile (about 0.3 s)."""
        threads = _cores()
        # Threads that spin while they wait are twice as fast on a quiet machine, but one other busy
        # process makes them fifty times slower: each waits for one that is not running. Read by
        # OpenMP when the engine is imported.
        os.environ["OMP_WAIT_POLICY"] = "passive"
        try:
            # An optional extra, and nobody but this process may pay for it.
            xllamacpp = importlib.import_module("xllamacpp")
            self._server = _open_server(xllamacpp, weights, threads)
        except ModuleNotFoundError as exc:
            return Unusable("missing", str(exc))
        except ImportError as exc:  # a system library that it needs
            return Unusable("engine", str(exc))
        except AttributeError as exc:
            return Unusable("engine", f"this xllamacpp is too old: {exc}")
        except RuntimeError as exc:
            return Unusable("weights", str(exc))
        return Ready(threads)

    def chat(self, chat: Chat, say: Callable[[FromWorker], bool]) -> Done | Failed:
        if self._server is None:
            raise RuntimeError("asked before it was loaded")
        answer = _Answer(chat.id, say)
        self._server.handle_chat_completions(_request(chat), answer.take)
        return answer.end()


class _Answer:
    """Collects the chunks of one answer; `take` is called by native code, which it may stop."""

    def __init__(self, chat_id: int, say: Callable[[FromWorker], bool]) -> None:
        self._id = chat_id
        self._say = say
        self._stop: Literal["stop", "length", "cancelled"] = "stop"
        self._usage = _Usage()
        self._problem: _Problem | None = None
        self._broken: OSError | None = None

    def take(self, raw: bytes) -> bool:
        chunk = _chunks.decode(raw)
        if chunk.error is not None:
            self._problem = chunk.error
            return True
        if chunk.usage is not None:
            self._usage = chunk.usage
            return False
        unwanted = False
        for choice in chunk.choices:
            if choice.finish_reason == "length":
                self._stop = "length"
            if choice.finish_reason is None:
                text = choice.delta.content
                unwanted = self._pass_on(Delta(self._id, text) if text else Progress(self._id))
        if unwanted:
            self._stop = "cancelled"
        return unwanted

    def end(self) -> Done | Failed:
        if self._broken is not None:
            raise self._broken
        if self._problem is not None:
            overflow = self._problem.type == "exceed_context_size_error"
            return Failed(self._id, self._problem.message, overflow)
        return Done(
            id=self._id,
            stop=self._stop,
            input_tokens=self._usage.prompt_tokens,
            cached_tokens=self._usage.prompt_tokens_details.cached_tokens,
            output_tokens=self._usage.completion_tokens,
        )

    def _pass_on(self, message: FromWorker) -> bool:
        try:
            return self._say(message)
        except OSError as exc:  # an exception must not unwind through native frames
            self._broken = exc
            return True


_chunks = msgspec.json.Decoder(_Chunk)


def _request(chat: Chat) -> bytes:
    return msgspec.json.encode(
        {
            "messages": chat.messages,
            "max_tokens": chat.max_tokens,
            "temperature": chat.temperature,
            "top_p": chat.top_p,
            "stream": True,
            "stream_options": {"include_usage": True},
            "return_progress": True,
            "cache_prompt": True,
        }
    )


def _open_server(xllamacpp: ModuleType, weights: str, threads: int) -> _Server:
    """Load the model with an HTTP listener that nobody can reach.

    The binding always opens one. It gets a key that is thrown away and, where there are Unix
    sockets, a name in a private directory that is gone before the first chat.
    """
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
    params.n_ctx = CONTEXT_TOKENS
    params.n_batch = params.n_ubatch = _BATCH_TOKENS
    params.n_parallel = 1
    params.cache_ram_mib = _PROMPT_CACHE_MIB
    params.fit_params = False  # sizes the model to a GPU; costs a third of the loading time
    params.force_pure_content_parser = True
    params.verbosity = _LOG_ERRORS
    params.n_threads_http = 1
    params.ui = params.endpoint_slots = False
    params.api_keys = [secrets.token_hex(32)]
    server: _Server
    if sys.platform == "win32":
        server = xllamacpp.Server(params)
        return server
    with tempfile.TemporaryDirectory(prefix="crush-") as private:
        os.chdir(private)  # a relative name is never too long for a socket
        params.hostnames = ["listener.sock"]
        try:
            server = xllamacpp.Server(params)
        finally:
            os.chdir("/")
    return server


def _cores() -> int:
    """Processors this process may use; one thread too many makes generation several times slower."""
    if sys.platform == "linux":
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _cgroup_cores(cores)))


def _cgroup_cores(default: int) -> int:
    """The limit of a container, which the affinity does not show (cgroup v2)."""
    try:
        with open("/sys/fs/cgroup/cpu.max", encoding="ascii") as file:
            quota, period = file.read().split()
    except (OSError, ValueError):
        return default
    return default if quota == "max" else int(quota) // int(period)
