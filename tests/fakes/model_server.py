r"""A scripted model server: Anthropic Messages and OpenAI Chat Completions, no model behind them.

    python tests/fakes/model_server.py [--port 0] [--host 127.0.0.1] [--script FILE] [--log FILE]
        [--cert FILE]

prints `http://HOST:PORT` (`https://…` with a certificate) as its first line and serves until SIGTERM or SIGINT. In tests:
`async with start_model_server() as model:` (same event loop) or `with ModelServerProcess() as
model:` (a process of its own); both have `url` and the request log. An Anthropic base URL is
`url`, an OpenAI one `url + "/v1"`. Standard library only; `stream: false` is answered whole.

Routes: `POST /v1/messages`, `POST /v1/chat/completions`, `GET /v1/models`, and for tests
`GET /__log` (what `--log` gets, plus `outcome`) and `GET /__requests` (the last 100 bodies and
headers). A log line is `{"path", "size_bytes", "key", "step", "stream", "tools"}`; `key` is the
last 4 characters of the API key; `outcome` is "open", "answered", "broken" (by a directive) or
"gone" (the client hung up first).

Without a script the *last user text* of a request directs the answer, one directive a line; other
lines are ignored, and a text without any is answered `Hello, how can I help?`. Directives are
carried out in order; `---` ends a step, and the step is the number of assistant turns since that
text. A step beyond the last, or one without content, says `Done.`.

    SAY text          text, one delta a word; \n is a new line
    THINK text        reasoning
    DELTAS n          n deltas of 4 characters: "000 ", "001 ", …
    ECHO              the user text itself
    WHOAMI            the API key's last 4 characters
    TOOL name [json]  a call; several are calls of one step; sent as written, also if no JSON
    STEPS n name [json]  n steps of one call each
    PACE ms           from here on each delta is a write of its own, then a pause
    LATCH path        the rest waits until that file exists
    HANG              the rest never comes; the connection stays open
    RESET             the connection is reset (TCP RST)
    CUT               the connection is closed in the middle of the stream
    ERROR status [retry-after]   an error, once per request body and key; what follows it is the
                      answer to the second try. After content it is an event in the stream.
    ERROR! status [retry-after]  the same, every time
    HTML status       an error with a page instead of JSON
    OVERFLOW          the protocol's own error for a prompt that is too long
    USAGE in out [cache-read cache-write]   what the usage says; `in` leaves out both caches
    STOP reason       the raw stop reason

A conversation that a real provider would refuse is refused with status 400, whatever the directives
say: a call without its result in the next turn, a result without its call, an empty text, a name
that no tool may have (`model_rules`).

Nothing is sent before the first content: `LATCH`, `HANG` and `RESET` at the top hold back the
status line too. Tools can only be called if the request offers some; otherwise calls are left out
(so a request for a title gets text).

A script is a JSON list of steps, numbered by all assistant turns of the request: `{"text",
"reasoning", "tool_calls": [{"name", "input": {…}}], "delay_ms", "expect_tool_result_contains"}`,
each optional; an expectation that is not met is answered with status 400 and says why.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Self

if not __package__:  # run as a script
    sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from tests.fakes.model_connection import Connection, ConnectionOver, LogEntry, ModelServer, Script


@contextlib.asynccontextmanager
async def start_model_server(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    script: Script | None = None,
    log_path: str = "",
    certificate: str = "",
) -> AsyncIterator[ModelServer]:
    """Serve on this event loop for as long as the block lasts; connections end with it."""
    server = ModelServer(script=script, log_path=log_path)
    open_writers: dict[asyncio.StreamWriter, asyncio.Task[Any] | None] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers[writer] = asyncio.current_task()
        try:
            with contextlib.suppress(ConnectionOver, ConnectionError, asyncio.IncompleteReadError):
                await Connection(server, reader, writer).serve()
        finally:
            del open_writers[writer]
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    tls = None
    if certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate)
    listener = await asyncio.start_server(handle, host, port, backlog=1024, ssl=tls)
    address = listener.sockets[0].getsockname()
    server.url = f"{'https' if tls else 'http'}://{host}:{address[1]}"
    try:
        yield server
    finally:
        listener.close()
        tasks = [task for task in open_writers.values() if task is not None]
        for writer in open_writers:
            writer.transport.abort()  # a cancelled handler would be logged as a failure
        if tasks:
            await asyncio.wait(tasks)
        await listener.wait_closed()


class ModelServerProcess:
    """The same server in a process of its own, ready once the block is entered."""

    def __init__(
        self, *, script_path: str = "", log_path: str = "", port: int = 0, certificate: str = ""
    ) -> None:
        self._command = [sys.executable, os.path.abspath(__file__), "--port", str(port)]
        self._command += ["--script", script_path] if script_path else []
        self._command += ["--log", log_path] if log_path else []
        self._command += ["--cert", certificate] if certificate else []
        self.url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        if not self.url:
            self._end()
            raise RuntimeError(f"the model server did not start: {self._command}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def log(self) -> list[LogEntry]:
        return [LogEntry(**entry) for entry in self._fetch("/__log")]

    def requests(self) -> list[dict[str, Any]]:
        """The last 100, oldest first: `path`, `headers` (lower-case names), `body`."""
        return self._fetch("/__requests")

    def _fetch(self, path: str) -> list[dict[str, Any]]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url + path) as response:
            answer: list[dict[str, Any]] = json.load(response)
            return answer

    def _end(self) -> None:
        self._process.terminate()
        self._process.communicate()


async def _serve_until_signal(options: argparse.Namespace, script: Script | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with start_model_server(
        host=options.host,
        port=options.port,
        script=script,
        log_path=options.log,
        certificate=options.cert,
    ) as server:
        sys.stdout.write(server.url + "\n")
        sys.stdout.flush()
        await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description="A scripted model server for tests.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--script", default="", help="a JSON list of steps")
    parser.add_argument("--log", default="", help="a file that gets a JSON line for each request")
    parser.add_argument("--cert", default="", help="a certificate and its key; makes it https")
    options = parser.parse_args()
    script = None
    if options.script:
        with open(options.script, encoding="utf-8") as file:
            script = json.load(file)
    asyncio.run(_serve_until_signal(options, script))


if __name__ == "__main__":
    main()
