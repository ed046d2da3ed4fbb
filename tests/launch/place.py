"""A place for one host: a short directory, an environment, and the servers started in it."""

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable

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


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class Place:
    """Everything of one host, and the servers that were started in it."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.host = Host(scheme="unix", address=os.path.join(directory, "s.sock"))
        self.ready_log = os.path.join(directory, "ready")
        self.state = os.path.join(
            directory, "cache", f"server-unix___{directory}_s.sock".replace("/", "_")
        )
        self.command = boot_command("tiny_server", paths=[FAKES])
        self.env = {
            "PATH": os.environ["PATH"],
            "HOME": directory,
            "CRUSH_CACHE_DIR": os.path.join(directory, "cache"),
            "CRUSH_SERVER_TINY_LOG": self.ready_log,
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
