"""A stand-in for `crush server`: the real lock, socket and readiness pipe, and a few routes.

Spawned by `launch.boot` as the module `tiny_server`. What it should get wrong is said in
`CRUSH_SERVER_TINY_MODE`; every instance that became ready adds its pid as a line to the file `CRUSH_SERVER_TINY_LOG`.
"""

import argparse
import contextlib
import http.server
import json
import os
import signal
import socketserver
import sys
import threading
import time
import uuid
from typing import Any

from typing_extensions import override

from crush.errors import CrushError
from crush.launch import protocol, ready
from crush.launch.bind import Listener
from crush.launch.host import Host, default_host, parse_host
from crush.launch.lock import LockHeldError


class TinyServer(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def __init__(self, listener: Listener) -> None:
        super().__init__(("", 0), TinyHandler, bind_and_activate=False)
        assert listener.socket is not None
        self.socket.close()
        self.socket = listener.socket
        self.instance_id = uuid.uuid4().hex

    @override
    def get_request(self) -> tuple[Any, Any]:
        connection, _ = self.socket.accept()
        return connection, ("local", 0)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class TinyHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: TinyServer

    @override
    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, status: int, value: object) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if self.path == "/v1/health":
            self._answer(200, {})
        elif self.path == "/v1/version":
            self._answer(
                200,
                {
                    "build_id": os.environ.get("CRUSH_SERVER_TINY_BUILD", protocol.build_id()),
                    "pid": os.getpid(),
                    "instance_id": self.server.instance_id,
                    "cwd": os.getcwd(),
                    "session": os.getsid(0),
                    "fds": sorted(os.listdir("/dev/fd"), key=int),
                    "modules": sorted(sys.modules),
                },
            )
        else:
            self._answer(404, {"message": "not found"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        build = self.headers.get("Crush-Build", "")
        mine = os.environ.get("CRUSH_SERVER_TINY_BUILD", protocol.build_id())
        if self.path == "/v1/control":
            busy = os.environ.get("CRUSH_SERVER_TINY_MODE") == "busy"
            self._answer(409 if busy else 200, {})
            if not busy:
                threading.Thread(target=self.server.shutdown).start()
        elif build and protocol.is_newer(build, than=mine):
            self._answer(426, {"message": "older", "code": "protocol", "replaceable": True})
        else:
            self._stream(int(json.loads(body or b"{}").get("frames", 1)))

    def _stream(self, frames: int) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for number in range(frames):
            frame = b'id: e.%d\ndata: {"type":"text","delta":"word "}\n\n' % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
        self.wfile.write(b"0\r\n\r\n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--host")
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--start-lock-fd", type=int, default=-1)
    options = parser.parse_args(arguments)
    host = parse_host(options.host) if options.host else default_host(os.environ)

    def report(state: str, **fields: Any) -> None:
        # First the lock: whoever reads the report must not find it held.
        if options.start_lock_fd >= 0:
            os.close(options.start_lock_fd)
        if options.ready_fd >= 0:
            ready_fd = ready.adopt(options.ready_fd)
            ready.report(ready_fd, **{"state": state, "pid": os.getpid(), **fields})
            os.close(ready_fd)

    mode = os.environ.get("CRUSH_SERVER_TINY_MODE", "")
    if mode == "die":
        sys.exit("tiny server: no reason at all")
    if mode == "hang":
        time.sleep(60)
    if mode == "slow":
        sys.stderr.write("starting slowly\n")
        time.sleep(0.5)
    try:
        listener = Listener(host, env=os.environ, instance_id="tiny", allow_remote=False)
    except LockHeldError as exc:
        report("other", pid=exc.pid)
        return 0
    except CrushError as exc:
        report("failed", error=exc.message)
        return 1
    return serve(listener, host, report)


def serve(listener: Listener, host: Host, report: Any) -> int:
    server = TinyServer(listener)

    def end(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    with (
        contextlib.suppress(KeyError),
        open(os.environ["CRUSH_SERVER_TINY_LOG"], "a", encoding="utf-8") as log,
    ):
        log.write(f"{os.getpid()}\n")
    report("ready")
    server.serve_forever(poll_interval=0.02)
    listener.close()
    return 0
