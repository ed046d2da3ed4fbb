"""Raw connections to the server for benchmarks: what a client would get, byte by byte."""

import json
import socket
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from bench.processes import BenchError
from crush.launch.host import Host, dial
from crush.launch.http import request

LIMIT_S = 60.0
_CREATED = 200


@contextmanager
def follow_directory(host: Host, path: str) -> Iterator[socket.socket]:
    """An open event stream of everything in a directory, and the claim that belongs to it."""
    client_id = str(uuid.uuid4())
    workspace = send(host, "POST", "/v1/workspaces", {"path": path, "client_id": client_id})
    stream = f"/v1/workspaces/{workspace['id']}/events?format=2&client_id={client_id}"
    with connect(host, "GET", stream) as connection:
        yield connection


def send(host: Host, method: str, path: str, body: Mapping[str, object] | None) -> Any:
    """A whole exchange; the JSON of a good answer."""
    data = b"" if body is None else json.dumps(body).encode()
    reply = request(host, method, path, headers={}, body=data, timeout_s=LIMIT_S)
    if reply.status != _CREATED:
        raise BenchError(f"{method} {path}: {reply.status_line} {reply.body[:300]!r}")
    return json.loads(reply.body)


def connect(
    host: Host, method: str, path: str, body: Mapping[str, object] | None = None
) -> socket.socket:
    """A connection with the request sent, to be read raw."""
    data = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    connection = cast("socket.socket", dial(host, timeout_s=LIMIT_S))
    connection.sendall(head.encode() + data)
    return connection


def read_to_end(connection: socket.socket) -> tuple[bytes, bytes]:
    """Head and body as they stand on the wire, chunk sizes and all."""
    with connection:
        connection.settimeout(LIMIT_S)
        pieces: list[bytes] = []
        while piece := connection.recv(1 << 20):
            pieces.append(piece)
    head, _, body = b"".join(pieces).partition(b"\r\n\r\n")
    return head, body
