"""A Crush client as it is seen on the wire (W 7.1): the requests it makes, the events it waits for."""

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio

from tests.server.site import WITHIN_S, Event, Site, next_frame


class ClassicClient:
    """One process of a Crush front end, attached to one workspace."""

    def __init__(self, site: Site, *, project: str = "p") -> None:
        self.site = site
        self.id = str(uuid.uuid4())
        self.path = str(site.project(project))
        self.workspace: Event = {}

    @property
    def place(self) -> str:
        return f"/workspaces/{self.workspace['id']}"

    async def attach(self, *, interactive: bool, **wanted: object) -> "ClassicClient":
        """Create the workspace and say whether a person sits here."""
        body = {
            "id": "",
            "path": self.path,
            "version": "devel",
            "client_id": self.id,
            "env": [f"{name}={value}" for name, value in self.site.env.items()],
            **wanted,
        }
        self.workspace = await self.site.ask("POST", "/workspaces", body)
        await self.ask("POST", "/agent/init", {"interactive": interactive})
        return self

    async def ask(self, method: str, path: str, body: object = None, *, status: int = 200) -> Any:
        return await self.site.ask(method, self.place + path, body, status=status)

    async def new_session(self, title: str = "non-interactive") -> str:
        session = await self.ask("POST", "/sessions", {"id": "", "title": title, "cost": 0})
        return str(session["id"])

    async def prompt(self, session_id: str, text: str, *, run_id: str = "") -> str:
        """Send a prompt; the id under which it was accepted."""
        body = {"session_id": session_id, "prompt": text}
        if run_id:
            body["run_id"] = run_id
        accepted = await self.ask("POST", "/agent", body)
        return str(accepted["run_id"])

    @asynccontextmanager
    async def events(self, query: str = "") -> AsyncIterator["ClassicStream"]:
        url = self.site.url(f"{self.place}/events?client_id={self.id}{query}")
        async with self.site.http.get(url) as response:
            assert response.status == 200, await response.text()
            yield ClassicStream(response)

    async def leave(self) -> None:
        await self.site.ask("DELETE", f"/clients/{self.id}")


class ClassicStream:
    """An open event stream, read event by event; works for both formats."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response
        self.frames: list[tuple[str, Event]] = []

    @property
    def seen(self) -> list[Event]:
        return [event for _, event in self.frames]

    async def next(self) -> Event | None:
        with anyio.fail_after(WITHIN_S):
            frame = await next_frame(self.response)
        if frame is None:
            return None
        self.frames.append(frame)
        return frame[1]

    async def until(self, kind: str, wanted: Callable[[Event], bool] = lambda _: True) -> Event:
        """Read up to the first event of a kind whose record is wanted; that record."""
        while (event := await self.next()) is not None:
            if event["type"] == kind and wanted(record := record_of(event)):
                return record
        raise AssertionError(f"the stream ended before {kind}; it had {self.seen}")

    async def complete(self, run_id: str) -> Event:
        return await self.until("run_complete", lambda record: record.get("run_id") == run_id)

    def of(self, kind: str) -> list[Event]:
        """The records of one kind so far."""
        return [record_of(event) for event in self.seen if event["type"] == kind]


def record_of(event: Event) -> Event:
    """What an event tells of; the event itself in format 2."""
    record: Event = event["payload"]["payload"] if "payload" in event else event
    return record
