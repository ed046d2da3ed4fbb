"""A real Crush client's `run`, replayed from its recordings against this server (W 7.1).

Structure is compared, not wording: every recorded key is there with the same JSON type. What a Crush
server has and this one does not, and no client needs, is listed here by name.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from crush.launch.host import parse_host
from tests.server.classic_client import ClassicStream, record_of
from tests.server.site import Event, Site, free_tcp_host, serving

RECORDINGS = Path(__file__).parents[1] / "recordings"

# Parts of Crush that a client only shows or passes back.
LEFT_OUT = {
    "/v1/workspaces.skills",
    "/v1/workspaces.config.tools",
    *(
        f"/v1/workspaces.config.options.{name}"
        for name in (
            "context_paths",
            "global_context_paths",
            "skills_paths",
            "disable_provider_auto_update",
            "disable_default_providers",
            "attribution",
            "initialize_as",
            "tui.completions",
        )
    ),
}
STATUS = {
    ("POST", "/agent"): 200
}  # recorded 202; the May 2026 client accepts 200 only (W 0.1 no. 6)


def exchanges(name: str) -> list[Event]:
    text = (RECORDINGS / name).read_text().replace('"bench"', '"fake"')  # the provider's id
    return [json.loads(line) for line in text.splitlines()]


def json_type(value: object) -> str:
    names = {bool: "bool", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def differences(recorded: Any, ours: Any, where: str) -> Iterator[str]:
    """What is recorded and missing, or of another type, in ours."""
    if where in LEFT_OUT:
        return
    if json_type(recorded) != json_type(ours):
        yield f"{where}: {json_type(recorded)} was recorded, ours is {json_type(ours)}"
    elif isinstance(recorded, dict):
        for key, value in recorded.items():
            if f"{where}.{key}" in LEFT_OUT:
                continue
            if key not in ours:
                yield f"{where}.{key} is missing"
            else:
                yield from differences(value, ours[key], f"{where}.{key}")
    elif isinstance(recorded, list) and recorded and ours:
        for kind, value in _by_kind(recorded).items():
            found = _by_kind(ours).get(kind)
            if found is not None:
                yield from differences(value, found, f"{where}[{kind}]")


def _by_kind(items: list[Any]) -> Mapping[str, Any]:
    return {item.get("type", "") if isinstance(item, dict) else "": item for item in items}


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
@pytest.mark.parametrize("recording", ["run.jsonl", "run-asks-permission.jsonl"])
async def test_a_recorded_client_gets_what_it_got_from_crush(
    root: Path, model_url: str, scheme: str, recording: str
) -> None:
    host = free_tcp_host() if scheme == "tcp" else parse_host(f"unix://{root}/s.sock")
    async with serving(root, host, model_url=model_url) as site:
        recorded = exchanges(recording)
        replay = Replay(site, recorded)
        await replay.run()
    assert replay.found == []
    assert replay.stream is not None
    _check_events(recorded, replay.stream, replay.run_id)


class Replay:
    """Sends the recorded requests with this server's ids; collects what differs."""

    def __init__(self, site: Site, recorded: list[Event]) -> None:
        self._site = site
        self._recorded = recorded
        self._names: dict[str, str] = {"/home/u/project": str(site.project())}
        self.run_id = str(uuid.uuid4())
        self.found: list[str] = []
        self.stream: ClassicStream | None = None

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            listening = anyio.Event()
            for exchange in self._recorded:
                if "events" in exchange:
                    tasks.start_soon(self._listen, exchange, listening)
                    await listening.wait()
                else:
                    await self._exchange(exchange)
                if exchange["path"].endswith("/agent") and exchange["method"] == "POST":
                    await self._await_end()
            tasks.cancel_scope.cancel()

    async def _exchange(self, exchange: Event) -> None:
        body = exchange.get("body")
        if body is not None:
            if "env" in body:
                body = {**body, "env": [f"{k}={v}" for k, v in self._site.env.items()]}
            if "run_id" in body:
                self._names[body["run_id"]] = self.run_id
            body = json.loads(self._named(json.dumps(body)))
        # A Go client says text/plain where it does not say what it sends.
        headers = {"Content-Type": "text/plain"} if body is not None else {}
        end = "/agent" if exchange["path"].endswith("/agent") else ""
        status: int = STATUS.get((exchange["method"], end)) or exchange["status"]
        path = self._named(exchange["path"]).removeprefix("/v1")
        answer = await self._site.ask(
            exchange["method"], path, body, status=status, headers=headers
        )
        if "response" in exchange:
            if "id" in exchange["response"]:
                self._names[exchange["response"]["id"]] = answer["id"]
            self.found += differences(exchange["response"], answer, exchange["path"])

    def _named(self, text: str) -> str:
        for recorded, ours in self._names.items():
            text = text.replace(recorded, ours)
        return text

    async def _listen(self, exchange: Event, listening: anyio.Event) -> None:
        url = self._site.url(self._named(exchange["path"]).removeprefix("/v1"))
        timeout = aiohttp.ClientTimeout(total=None)
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        async with self._site.http.get(url, headers=headers, timeout=timeout) as response:
            assert response.status == 200
            assert response.headers["Content-Type"] == "text/event-stream"
            assert response.headers["Cache-Control"] == "no-cache"
            self.stream = ClassicStream(response)
            listening.set()
            while await self.stream.next() is not None:
                pass

    async def _await_end(self) -> None:
        """As the client does: until `run_complete` with its run id."""
        assert self.stream is not None
        stream = self.stream
        with anyio.fail_after(10):
            while not any(
                record.get("run_id") == self.run_id for record in stream.of("run_complete")
            ):
                await anyio.lowlevel.checkpoint()


def _check_events(recorded: list[Event], stream: ClassicStream, run_id: str) -> None:
    (theirs,) = [exchange["events"] for exchange in recorded if "events" in exchange]
    ours = stream.seen
    for event in (item["data"] for item in theirs):
        alike = [
            other
            for other in ours
            if other["type"] == event["type"]
            and other["payload"]["type"] == event["payload"]["type"]
            and other["payload"]["payload"].get("role") == record_of(event).get("role")
        ]
        if event["type"].startswith("permission_"):
            # A run that nobody can answer for is refused at once; the recorded client hung here.
            continue
        assert alike, event
        closest = min((list(differences(event, other, event["type"])) for other in alike), key=len)
        assert closest == []
    kinds = [(event["type"], event["payload"]["type"]) for event in ours]
    roles = [record["role"] for record in stream.of("message")]
    assert roles.index("user") < roles.index("assistant")
    assert kinds.index(("message", "created")) < kinds.index(("run_complete", "updated"))
    (end,) = stream.of("run_complete")
    finished = [m for m in stream.of("message") if m["id"] == end["message_id"]][-1]
    assert end["run_id"] == run_id
    assert end["text"] == "".join(
        part["data"]["text"] for part in finished["parts"] if part["type"] == "text"
    )
    assert finished["parts"][-1]["data"]["reason"] == "end_turn"
