"""A whole server in this event loop, and what its clients do: JSON requests, streams, raw bytes."""

import json
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
from anyio.abc import SocketStream

from crush.launch.bind import Listener
from crush.launch.host import Host, parse_host
from crush.server.app import Server
from crush.server.services import Services

Event = dict[str, Any]
WITHIN_S = 10.0
READ_BYTES = 16 * 1024  # what a client takes in without being asked: a reader that waits is slow


class Site:
    """A serving server, seen from its clients."""

    def __init__(
        self, *, server: Server, host: Host, root: Path, model_url: str, http: aiohttp.ClientSession
    ) -> None:
        self.server = server
        self.host = host
        self.root = root
        self.http = http
        self._model_url = model_url

    @property
    def services(self) -> Services:
        services = self.server._services
        assert services is not None
        return services

    @property
    def env(self) -> dict[str, str]:
        """What a client of this machine sends along."""
        return {"HOME": str(self.root / "home"), "PATH": os.environ["PATH"]}

    def url(self, path: str) -> str:
        authority = self.host.address if self.host.scheme == "tcp" else "api.crush.localhost"
        return f"http://{authority}/v1{path}"

    def project(self, name: str = "p", **provider: object) -> Path:
        """A directory whose configuration names the scripted model."""
        directory = self.root / name
        if directory.exists() and not provider:
            return directory
        directory.mkdir(exist_ok=True)
        model = {"id": "m", "name": "M", "context_window": 200_000, "default_max_tokens": 4096}
        chosen = {"provider": "fake", "model": "m", "max_tokens": 4096}
        entry = {
            "type": "openai-compat",
            "base_url": f"{self._model_url}/v1",
            "api_key": "test-key",
            "models": [model],
            **provider,
        }
        config = {"providers": {"fake": entry}, "models": {"large": chosen, "small": chosen}}
        (directory / "crush.json").write_text(json.dumps(config))
        return directory

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """One exchange; what the answer holds, None if that is nothing."""
        data = None if body is None else json.dumps(body).encode()
        with anyio.fail_after(WITHIN_S):
            async with self.http.request(
                method, self.url(path), data=data, headers=headers
            ) as response:
                text = await response.text()
        assert response.status == status, (method, path, response.status, text)
        return json.loads(text) if text else None

    @asynccontextmanager
    async def start(
        self, prompt: str, *, key: str = "", **wanted: object
    ) -> AsyncIterator["RunFollower"]:
        """`POST /v1/runs`, as `crush run` does it."""
        body = {"path": str(self.project()), "prompt": prompt, "env": self.env, **wanted}
        headers = {"Idempotency-Key": key} if key else {}
        async with self.http.post(self.url("/runs"), json=body, headers=headers) as response:
            assert response.status == 200, await response.text()
            yield RunFollower(response)

    async def run(self, prompt: str, **wanted: Any) -> list[Event]:
        """A run to its end; its events."""
        async with self.start(prompt, **wanted) as run:
            return await run.rest()

    @asynccontextmanager
    async def follow(self, run_id: str, *, after: str = "") -> AsyncIterator["RunFollower"]:
        url = self.url(f"/runs/{run_id}/events") + (f"?after={after}" if after else "")
        async with self.http.get(url) as response:
            assert response.status == 200, await response.text()
            yield RunFollower(response)

    async def connect(self) -> SocketStream:
        """A raw connection."""
        if self.host.scheme == "unix":
            return await anyio.connect_unix(self.host.address)
        name, _, port = self.host.address.rpartition(":")
        return await anyio.connect_tcp(name, int(port))


class RunFollower:
    """One stream of a run, read event by event."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.run_id = response.headers["Crush-Run-Id"]
        self.frames: list[tuple[str, Event]] = []

    async def next(self) -> Event | None:
        """The next event, None at the end of the stream."""
        with anyio.fail_after(WITHIN_S):
            frame = await next_frame(self.response)
        if frame is None:
            return None
        self.frames.append(frame)
        return frame[1]

    async def until(self, kind: str, **fields: object) -> Event:
        """Read up to the first event of this kind that has these values."""
        while (event := await self.next()) is not None:
            if event["type"] == kind and all(event.get(k) == v for k, v in fields.items()):
                return event
        raise AssertionError(f"the stream ended before {kind}; it had {self.frames}")

    async def rest(self) -> list[Event]:
        """Everything to the end; all events of this stream."""
        while await self.next() is not None:
            pass
        return [event for _, event in self.frames]


async def next_frame(response: aiohttp.ClientResponse) -> tuple[str, Event] | None:
    """Id and event of the next SSE frame, None at the end; comments are passed over."""
    cursor, data = "", ""
    while line := await response.content.readline(max_line_length=1 << 30):
        field, _, value = line.decode().rstrip("\n").partition(": ")
        if field == "id":
            cursor = value
        elif field == "data":
            data = value
        elif not field and data:
            return cursor, json.loads(data)
    return None


async def until(condition: Callable[[], object]) -> None:
    """Wait for a condition of this process that nothing else tells of."""
    with anyio.fail_after(WITHIN_S):
        while not condition():
            await anyio.lowlevel.checkpoint()


def free_tcp_host() -> Host:
    """A port of the loopback interface that nobody uses."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return parse_host(f"tcp://127.0.0.1:{probe.getsockname()[1]}")


@asynccontextmanager
async def serving(root: Path, host: Host, *, model_url: str) -> AsyncIterator[Site]:
    """A server of `host` with its engine loaded; it leaves when the block ends."""
    listener = Listener(host, env=os.environ, instance_id="i", allow_remote=False)
    directory = root / "logs"
    directory.mkdir(exist_ok=True)
    server = Server(host=host, listener=listener, instance_id="i", directory=str(directory))
    unix = host.scheme == "unix"
    connector: aiohttp.BaseConnector = (
        aiohttp.UnixConnector(host.address, limit=0) if unix else aiohttp.TCPConnector(limit=0)
    )
    try:
        async with (
            anyio.create_task_group() as tasks,
            aiohttp.ClientSession(connector=connector, read_bufsize=READ_BYTES) as http,
        ):
            tasks.start_soon(server.run, 0, 0)
            with anyio.fail_after(WITHIN_S):
                await server._engine_ready.wait()
            yield Site(server=server, host=host, root=root, model_url=model_url, http=http)
            server._lifetime.leave()
    finally:
        listener.close()
