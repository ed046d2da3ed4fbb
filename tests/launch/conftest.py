"""A place for one host: a short directory, an environment, and listeners that say anything."""

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from crush.launch.host import Host
from crush.launch.lock import read_holder
from crush.launch.spawn import boot_command

FAKES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "fakes")

Handler = Callable[[socket.socket, bytes], None]
Listen = Callable[[Handler], Host]


def wait_until(condition: Callable[[], object], *, within_s: float = 10) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        threading.Event().wait(0.005)


class Place:
    """Everything of one host, and the servers that were started in it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.host = Host(scheme="unix", address=os.path.join(directory, "s.sock"))
        self.ready_log = os.path.join(directory, "ready")
        self.command = boot_command("tiny_server", paths=[FAKES])
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": directory,
            "CRUSH_CACHE_DIR": os.path.join(directory, "cache"),
            "TINY_LOG": self.ready_log,
        }

    def ready_servers(self) -> list[int]:
        """The pids of all servers that ever became ready here."""
        try:
            with open(self.ready_log, encoding="utf-8") as file:
                return [int(line) for line in file]
        except FileNotFoundError:
            return []

    def holder(self) -> int:
        """The pid that the server lock names; 0 if none."""
        return int(str(read_holder(f"{self.host.address}.lock").get("pid", 0)))

    def clean_up(self) -> None:
        for pid in {*self.ready_servers(), self.holder()} - {0, os.getpid()}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory)


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


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]
