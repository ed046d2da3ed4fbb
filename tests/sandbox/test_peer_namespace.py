"""A process behind a fence with network is known by its namespace, whatever its user is."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator

import anyio.to_thread
import pytest

from crush.sandbox.peer_namespace import is_fenced
from tests.sandbox.yard import Yard, kinds, new_yard, start

PYTHON = os.path.realpath(sys.executable)  # not one that the fence may hide

needs_bubblewrap = pytest.mark.skipif("bubblewrap" not in kinds(), reason="it is not installed")
CONNECT = (
    "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); s.recv(1)"
)


@pytest.fixture
def yard() -> Iterator[Yard]:
    with new_yard() as made:
        yield made


def pid_that_holds(inode: str) -> int:
    """As a server finds who is at the other end of a connection: by the socket's inode."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            held = [os.readlink(f"/proc/{name}/fd/{fd}") for fd in os.listdir(f"/proc/{name}/fd")]
        except OSError:
            continue
        if f"socket:[{inode}]" in held:
            return int(name)
    raise LookupError(inode)


def inode_of(port: int) -> str:
    with open("/proc/net/tcp", encoding="ascii") as table:
        for line in table:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[9] != "0":
                return fields[9]
    raise LookupError(port)


def test_we_and_our_children_are_not_fenced() -> None:
    assert not is_fenced(os.getpid())
    with subprocess.Popen(["/bin/sleep", "1000"]) as child:
        try:
            assert not is_fenced(child.pid)
        finally:
            child.kill()


def test_who_cannot_be_looked_at_counts_as_fenced() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        pass
    assert is_fenced(child.pid)


@needs_bubblewrap
async def test_a_fenced_client_of_a_port_is_known(yard: Yard) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, tempfile.TemporaryFile() as output:
        argv = [
            PYTHON,
            "-I",
            "-S",
            "-c",
            CONNECT,
            str(listener.getsockname()[1]),
        ]
        child = await start(
            yard.sandbox("bubblewrap"), yard.fence(network=True), argv, output=output.fileno()
        )
        connection, address = await anyio.to_thread.run_sync(listener.accept)
        with connection:
            pid = await anyio.to_thread.run_sync(lambda: pid_that_holds(inode_of(address[1])))
            assert is_fenced(pid)
        await child.wait()
