"""The process that holds the embedded model: `python -m crush.providers._local_worker`.

It answers one chat at a time on its standard streams, as `_local_protocol` says, and ends after a
time without work or when its parent is gone. Native code may crash here without harm to the server.
"""

import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import BinaryIO, Protocol

from crush.providers._local_engine import LlamaEngine
from crush.providers._local_protocol import (
    Cancel,
    Chat,
    Done,
    Failed,
    FromWorker,
    Ready,
    ToWorker,
    Unusable,
    line,
    to_worker,
)

_ORPHAN_S = 3.0


class Engine(Protocol):
    """A model that can be loaded once and asked many times."""

    def load(self, weights: str) -> Ready | Unusable: ...

    def chat(self, chat: Chat, say: Callable[[FromWorker], bool]) -> Done | Failed:
        """Answer; `say` returns whether to stop because nobody wants the rest."""


class Inbox:
    """What the parent sends, read by a thread so that a cancel is seen during generation."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._chats: queue.SimpleQueue[Chat | None] = queue.SimpleQueue()
        self._cancelled_id = 0
        self._orphaned = False

    def read(self) -> None:
        """Read to the end of the input, then see to it that the process ends."""
        try:
            for text in self._source:
                self._take(to_worker.decode(text))
        finally:
            self._orphaned = True
            self._chats.put(None)
            # Native code that answers no more must not outlive the server.
            threading.Event().wait(_ORPHAN_S)
            os._exit(1)

    def _take(self, message: ToWorker) -> None:
        match message:
            case Chat() as chat:
                self._chats.put(chat)
            case Cancel(chat_id):
                self._cancelled_id = max(self._cancelled_id, chat_id)

    def is_unwanted(self, chat_id: int) -> bool:
        return self._orphaned or chat_id <= self._cancelled_id

    def next_chat(self, idle_s: float) -> Chat | None:
        """None when there was no work for `idle_s` seconds or the parent is gone."""
        try:
            return self._chats.get(timeout=idle_s)
        except queue.Empty:
            return None


def serve(engine: Engine, *, weights: str, inbox: Inbox, sink: BinaryIO, idle_s: float) -> None:
    """Load, then answer until there is nothing more to do."""

    def send(message: FromWorker) -> None:
        sink.write(line(message))
        sink.flush()

    loaded = engine.load(weights)
    send(loaded)
    if isinstance(loaded, Unusable):
        return
    while (chat := inbox.next_chat(idle_s)) is not None:
        chat_id = chat.id

        def say(message: FromWorker, chat_id: int = chat_id) -> bool:
            send(message)
            return inbox.is_unwanted(chat_id)

        if inbox.is_unwanted(chat_id):
            send(Done(id=chat_id, stop="cancelled"))
        else:
            send(engine.chat(chat, say))


def run(engine: Engine, arguments: Sequence[str]) -> None:
    """The whole process; arguments: seconds of idleness after which it ends, path of the weights."""
    idle_s, weights = arguments
    # Native code prints what it likes: only our own copy of the descriptor reaches the parent.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    inbox = Inbox(os.fdopen(os.dup(0), "rb"))
    threading.Thread(target=inbox.read, daemon=True).start()
    try:
        serve(engine, weights=weights, inbox=inbox, sink=sink, idle_s=float(idle_s))
    except BrokenPipeError:
        os._exit(1)  # the parent went away between two messages
    # The reader sits in a read that nothing but the parent ends, and freeing the model piece by
    # piece is slower than ending the process.
    os._exit(0)


if __name__ == "__main__":
    run(LlamaEngine(), sys.argv[1:])
