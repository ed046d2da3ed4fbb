"""200 MB of text: what an answer may hold arrives whole, what it may not is cut, nobody drowns."""

import json
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from crush.errors import Exit
from crush.providers._bounded import MAX_ANSWER_CHARS
from tests.e2e.machine import Machine
from tests.soak.counts import peak_mib, times

pytestmark = pytest.mark.soak

SIZE_MB = 200
FEW_PIECES = 60
MOST_MIB = 250.0
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


def test_the_longest_answer_arrives_whole_and_a_longer_one_is_cut(machine: Machine) -> None:
    fits = MAX_ANSWER_CHARS // len(PIECE)
    for pieces, code in ((fits, Exit.OK), (SIZE_MB * 16, Exit.PROVIDER), (fits, Exit.OK)):
        with flooding_model(pieces) as url:
            machine.model_url = url
            done = machine.run(machine.project(f"p{pieces}{code}{url[-5:]}"), "run", "hi")
        assert done.returncode == code, done.stderr
        assert len(done.stdout) >= fits * len(PIECE)
    assert peak_mib(machine.server_pid()) < MOST_MIB


def test_a_long_session_of_the_longest_answers_goes_on(machine: Machine, share: float) -> None:
    """200 MB of text in one session: each request carries all of it, and all of it is kept."""
    answers = times(SIZE_MB * 16 // FEW_PIECES, share)
    with flooding_model(FEW_PIECES) as url:
        machine.model_url = url
        project = machine.project("p")
        for number in range(answers):
            done = machine.run(project, "run", *(["-C"] if number else []), "go on")
            assert done.returncode == Exit.OK, done.stderr
            assert len(done.stdout) == FEW_PIECES * len(PIECE) + 1
    sys.stdout.write(f"{answers} answers: peak {peak_mib(machine.server_pid()):.0f} MiB\n")
