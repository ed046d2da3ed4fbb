"""A place for one host, and listeners in it that say anything."""

import contextlib
import socket
import tempfile
import threading
from collections.abc import Iterator

import pytest

from crush.launch.host import Host
from tests.launch.place import Handler, Listen, Place


@pytest.fixture
def place() -> Iterator[Place]:
    # Not `tmp_path`: it contains the test's name, and a socket's path is limited.
    place = Place(tempfile.mkdtemp(prefix="crush-", dir="/tmp"))
    try:
        yield place
    finally:
        place.clean_up()


@pytest.fixture
def listen(place: Place) -> Iterator[Listen]:
    """Listen at the place's host; the handler gets each connection and the head of its request."""
    opened = contextlib.ExitStack()
    threads: list[threading.Thread] = []
    closing = threading.Event()

    def serve(connection: socket.socket, handler: Handler) -> None:
        with connection, contextlib.suppress(OSError):
            request = b""
            while b"\r\n\r\n" not in request and (received := connection.recv(65536)):
                request += received
            if request:
                handler(connection, request)

    def accept(listening: socket.socket, handler: Handler) -> None:
        while not closing.is_set():
            connection, _ = listening.accept()
            thread = threading.Thread(target=serve, args=(connection, handler))
            thread.start()
            threads.append(thread)
        listening.close()

    def start(handler: Handler) -> Host:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(place.host.address)
        listening.listen(64)
        thread = threading.Thread(target=accept, args=(listening, handler))
        thread.start()
        threads.insert(0, thread)
        return place.host

    with opened:
        yield start
        closing.set()
        if threads:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as last:
                last.connect(place.host.address)
        for thread in threads:
            thread.join(5)


@pytest.fixture
def hold() -> Iterator[threading.Event]:
    """What a handler waits for to stay silent; set at the end of the test."""
    event = threading.Event()
    yield event
    event.set()
