"""An answer of 200 MB: it arrives whole, and no process keeps more than it must."""

import json
import os
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.machine import CRUSH, Machine
from tests.soak.counts import times

pytestmark = pytest.mark.soak

SIZE_MB = 200
PIECE = ("The quick brown fox jumps over the lazy dog. " * 1456)[: 64 * 1024]


@contextmanager
def flooding_model(pieces: int) -> Iterator[str]:
    """A model that answers every request with that many pieces of 64 kB."""
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(connection: socket.socket) -> None:
        with connection, suppress(ConnectionError), connection.makefile("rb") as incoming:
            length = 0
            while (line := incoming.readline()) not in {b"\r\n", b""}:
                if line.lower().startswith(b"content-length:"):
                    length = int(line.partition(b":")[2])
            incoming.read(length)
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
            )
            delta = json.dumps({"choices": [{"index": 0, "delta": {"content": PIECE}}]})
            for _ in range(pieces):
                connection.sendall(f"data: {delta}\n\n".encode())
            stop = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            connection.sendall(f"data: {json.dumps(stop)}\n\ndata: [DONE]\n\n".encode())

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def test_a_very_long_answer_arrives_whole(machine: Machine, tmp_path: Path, share: float) -> None:
    pieces = times(SIZE_MB * 16, share)
    with flooding_model(pieces) as url:
        machine.model_url = url
        project = machine.project("p")
        out = tmp_path / "out"
        with out.open("wb") as stdout:
            done = subprocess.run(
                [*CRUSH, "--host", machine.host, "--cwd", str(project), "run", "hi"],
                env=machine.env,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=subprocess.PIPE,
                check=False,
                timeout=1700,
            )
    assert done.returncode == 0, done.stderr[-500:]
    assert out.stat().st_size == pieces * len(PIECE) + 1
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss > 0
    assert os.path.exists(machine.socket)
