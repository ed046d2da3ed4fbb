"""The figure of many readers: from the model's write to each of twenty clients of one session."""

import json
import re
import selectors
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

from bench.figure import Figure
from bench.processes import BenchError
from bench.stage import Stage, stage
from bench.wire import LIMIT_S, connect, follow_directory

READERS = 20
TICKS = 50
# Longer than the 33 ms for which text of one part is gathered: each tick is the first of its frame.
TICK_S = 0.06
STAMP = re.compile(rb"\d{20}")


class TickingModel:
    """A model whose every delta is the time of its sending; it begins when told to."""

    def __init__(self) -> None:
        self.begin = threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def serve(self) -> None:
        """Answer every request that comes, until `close`."""
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                with connection:
                    self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as incoming:
            length = 0
            while (line := incoming.readline()) not in {b"\r\n", b""}:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            incoming.read(length)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
        )
        self.begin.wait(LIMIT_S)
        for _ in range(TICKS):
            time.sleep(TICK_S)
            _say(connection, {"content": f"{time.monotonic_ns():020d}"}, None)
        _say(connection, {}, "stop")
        connection.sendall(b"data: [DONE]\n\n")

    def close(self) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()


def _say(connection: socket.socket, delta: dict[str, str], stop: str | None) -> None:
    choice = {"index": 0, "delta": delta, "finish_reason": stop}
    chunk = {"id": "x", "object": "chat.completion.chunk", "choices": [choice]}
    connection.sendall(b"data: " + json.dumps(chunk).encode() + b"\n\n")


def fan_out(rounds: int) -> Iterator[Figure]:
    """The 99th percentile of all arrivals of a round."""
    percentiles: list[float] = []
    for _ in range(max(3, rounds // 5)):
        with stage(rounds=1) as on:
            percentiles.append(_p99_ms(on))
    yield Figure(
        name="fan-out",
        what=f"{READERS} clients on one session, model to client: p99",
        unit="ms",
        samples=tuple(percentiles),
        budget=20,
        note="absolute: waiting is no work, a slower machine hardly shows",
    )


def _p99_ms(on: Stage) -> float:
    model = TickingModel()
    on.machine.model_url = model.url
    project = str(on.machine.project("ticking"))
    threading.Thread(target=model.serve, daemon=True).start()
    on.start_server()
    with ExitStack() as opened:
        opened.callback(model.close)
        readers = [opened.enter_context(follow_directory(on.host, project)) for _ in range(READERS)]
        body = {"path": project, "prompt": "tick", "env": dict(on.env), "mode": "workspace"}
        opened.enter_context(connect(on.host, "POST", "/v1/runs", body))
        latencies = _arrivals(readers, model)
    latencies.sort()
    return latencies[int(len(latencies) * 0.99)]


def _arrivals(readers: list[socket.socket], model: TickingModel) -> list[float]:
    """Milliseconds of every stamp at every reader."""
    latencies: list[float] = []
    selector = selectors.DefaultSelector()
    rests = dict.fromkeys(readers, b"")
    for reader in readers:
        selector.register(reader, selectors.EVENT_READ)
    model.begin.set()
    deadline = time.monotonic() + LIMIT_S
    while len(latencies) < READERS * TICKS:
        if time.monotonic() > deadline:
            raise BenchError(f"only {len(latencies)} of {READERS * TICKS} deltas arrived")
        for key, _ in selector.select(1.0):
            reader = next(each for each in readers if each is key.fileobj)
            received = rests[reader] + reader.recv(1 << 16)
            now = time.monotonic_ns()
            frames, _, rests[reader] = received.rpartition(b"\n\n")
            for frame in frames.split(b"\n\n"):
                if b'"delta"' in frame:
                    latencies += [(now - int(stamp)) / 1e6 for stamp in STAMP.findall(frame)]
    return latencies
