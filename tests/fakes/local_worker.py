"""A worker of the embedded model whose engine follows a script: the real protocol, no model.

The last thing the user said is the script: `count N`, `forever`, `deaf`, `die`, `die after N`,
`noise`, `nonsense`, `overflow`, `echo`. The name of the weights can make loading fail: `no-engine`,
`old-engine`, `broken`, `die-loading`.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Literal

import msgspec

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
from crush.providers._local_worker import run

Say = Callable[[FromWorker], bool]


class FakeEngine:
    """Answers with numbered words."""

    def load(self, weights: str) -> Ready | Unusable:
        match os.path.basename(weights):
            case "no-engine":
                return Unusable("missing", "No module named 'xllamacpp'")
            case "old-engine":
                return Unusable("engine", "libgomp.so.1: cannot open shared object file")
            case "broken":
                return Unusable("weights", "not a GGUF file")
            case "die-loading":
                _die()
            case _:
                pass
        return Ready(1)

    def chat(self, chat: Chat, say: Say) -> Done | Failed:
        match chat.messages[-1].content.split():
            case ["count", n]:
                return _count(chat, say, int(n))
            case ["forever"]:
                return _count(chat, say, sys.maxsize)
            case ["deaf"]:
                say(Delta(chat.id, "0 "))
                threading.Event().wait()
            case ["die"]:
                _die()
            case ["die", "after", n]:
                _count(chat, say, int(n))
                _die()
            case ["noise"]:
                os.write(1, b'{"type":"delta","id":1,"text":"noise"}\n')
                return _count(chat, say, 1)
            case ["nonsense"]:
                say(Ready(1))
            case ["overflow"]:
                return Failed(chat.id, "too long", overflow=True)
            case _:
                say(Delta(chat.id, msgspec.json.encode(chat).decode()))
        return Done(id=chat.id, stop="stop", input_tokens=10, cached_tokens=4, output_tokens=1)


def _count(chat: Chat, say: Say, n: int) -> Done:
    stop: Literal["stop", "cancelled"] = "stop"
    said = 0
    say(Progress(chat.id))
    while said < n and stop == "stop":
        if say(Delta(chat.id, f"{said} ")):
            stop = "cancelled"
        said += 1
    return Done(id=chat.id, stop=stop, input_tokens=10, cached_tokens=4, output_tokens=said)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run(FakeEngine(), sys.argv[1:])
