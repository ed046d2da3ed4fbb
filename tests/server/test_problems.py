"""What is not a success is a problem: a status, a stable code, a sentence, what to do."""

import json
from typing import Any

import pytest

from crush.errors import CrushError
from crush.launch.protocol import (
    BUILD_HEADER,
    PROTOCOL_HEADER,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    build_id,
)
from crush.server.problems import STATUS
from tests.server.classic_client import ClassicClient
from tests.server.site import Event, Site


def start_body(site: Site, **changes: object) -> Event:
    return {"path": str(site.project()), "prompt": "hi", "env": site.env, **changes}


def test_every_error_has_a_status() -> None:
    def codes(kind: type[CrushError]) -> set[str]:
        return {kind.code}.union(*map(codes, kind.__subclasses__()))

    # These end a command before there is a server, or travel in a run instead of an answer.
    elsewhere = {"limit", "tool", "host", "start", "not_listening", "blocked", "server_lost"}
    assert codes(CrushError) - elsewhere - {"internal"} == set(STATUS)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "http_404"),
        ("GET", "/workspaces/unknown", 404, "not_found"),
        ("GET", "/workspaces/unknown/events", 404, "not_found"),
        ("GET", "/workspaces/unknown/lsps", 404, "not_found"),
        ("POST", "/workspaces/unknown/lsps/start", 404, "not_found"),
        ("POST", "/workspaces/unknown/agent", 404, "not_found"),
        ("GET", "/runs/unknown", 404, "not_found"),
        ("GET", "/runs/unknown/events", 404, "not_found"),
        ("DELETE", "/runs/unknown", 404, "not_found"),
        ("DELETE", "/clients/unknown", 400, "usage"),
        ("PUT", "/runs", 405, "http_405"),
        ("DELETE", "/version", 405, "http_405"),
        ("GET", "/sessions?path=relative", 400, "usage"),
        ("GET", "/sessions/last?path=/nowhere", 404, "not_found"),
    ],
)
async def test_a_request_that_fails_says_why(
    site: Site, method: str, path: str, status: int, code: str
) -> None:
    problem = await site.ask(method, path, status=status)
    assert problem["code"] == code
    assert problem["message"]


async def test_a_wrong_method_is_told_the_right_ones(site: Site) -> None:
    async with site.http.get(site.url("/runs")) as response:
        assert response.status == 405
        assert response.headers["Allow"] == "POST"
        assert response.content_type == "application/json"


@pytest.mark.parametrize(
    "body",
    ["", "{", "[]", "null", "7", '{"path": 7}', '{"prompt": "hi"}', "\ufeff{}", "[" * 5000],
    ids=lambda body: body[:12] or "empty",
)
async def test_a_body_that_is_none_is_refused(site: Site, body: str) -> None:
    async with site.http.post(site.url("/runs"), data=body.encode()) as response:
        problem = json.loads(await response.text())
    assert (response.status, problem["code"]) == (400, "usage")
    assert problem["message"].startswith("failed to decode request")


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"prompt": " \n"}, 400, "usage"),
        ({"path": "p"}, 400, "usage"),
        ({"path": "/nowhere/at/all"}, 400, "usage"),
        ({"session": "ffffff"}, 404, "not_found"),
        ({"last": True}, 404, "not_found"),
        ({"model": "nobody/knows"}, 422, "config"),
        ({"mode": "careless"}, 400, "usage"),
    ],
    ids=str,
)
async def test_a_run_that_cannot_be_accepted_is_refused_before_anything_is_written(
    site: Site, changes: Event, status: int, code: str
) -> None:
    problem = await site.ask("POST", "/runs", start_body(site, **changes), status=status)
    assert problem["code"] == code
    assert await site.ask("GET", f"/sessions?path={site.project()}") == []


async def test_a_directory_without_a_provider_is_told_so(site: Site) -> None:
    bare = site.root / "bare"
    bare.mkdir()
    problem = await site.ask("POST", "/runs", start_body(site, path=str(bare)), status=422)
    assert problem["code"] == "no_provider"
    assert "provider" in problem["message"]


async def test_changes_of_parts_that_are_not_built_say_so(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    for method, path in [
        ("POST", "/lsps/start"),
        ("PUT", "/sessions/x"),
        ("DELETE", "/sessions/x"),
    ]:
        problem = await client.ask(method, path, {}, status=501)
        assert problem["code"] == "not_built"
    shapes: dict[str, object] = {"/lsps": {}, "/mcp/states": {}, "/mcp/pending-auth": []}
    for path, shape in shapes.items():
        assert await client.ask("GET", path) == shape
    assert await client.ask("GET", "/skills") == []


async def test_a_failure_of_ours_tells_nothing_of_it(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a secret")

    monkeypatch.setattr("crush.server.routes.status.Status", break_)
    problem = await site.ask("GET", "/status", status=500)
    assert problem["code"] == "internal"
    assert "secret" not in str(problem)
    assert "ZeroDivisionError" in caplog.text
    await site.ask("GET", "/health")


async def test_a_server_that_is_leaving_says_so(site: Site) -> None:
    """Only what was let in already can hear of it: nothing listens any more."""
    with site.services.lifetime.hold():
        async with await site.connect() as connection:
            await connection.send(b"GET /v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
            await connection.receive()
            site.server._lifetime._leaving.set()  # the latch alone, so that the server stays
            await connection.send(b"GET /v1/workspaces HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await connection.receive()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b'"code":"closing"' in answer


OURS = f"{PROTOCOL_MIN}-{PROTOCOL_MAX}"
NEXT = str(PROTOCOL_MAX + 1)


def newer() -> str:
    version, _, stamp = build_id().partition("+")
    return f"{version}+z{stamp}"


@pytest.mark.parametrize(
    ("protocol", "build", "busy", "expected"),
    [
        (OURS, "", False, None),
        (f"{PROTOCOL_MAX}-{NEXT}", "", False, None),
        (NEXT, "", False, (False, "speaks protocol")),
        (f"{NEXT}-9", newer(), True, (False, "speaks protocol")),
        (f"{NEXT}-9", newer(), False, (True, "speaks protocol")),
        (OURS, newer(), False, (True, "older than the client")),
        (OURS, newer(), True, None),  # a busy server serves
        (OURS, build_id(), False, None),
        (OURS, "0.0.1+1", False, None),
        (OURS, "devel", False, None),
    ],
)
async def test_protocols_must_overlap_and_an_idle_older_server_gives_way(
    site: Site, protocol: str, build: str, busy: bool, expected: tuple[bool, str] | None
) -> None:
    headers = {PROTOCOL_HEADER: protocol, BUILD_HEADER: build}
    if busy:
        site.services.lifetime.take()
    async with site.http.post(
        site.url("/runs"), json=start_body(site), headers=headers
    ) as response:
        answer = await response.text()
    if expected is None:
        assert response.status == 200
        assert "run_complete" in answer
        return
    problem: dict[str, Any] = json.loads(answer)
    replaceable, message = expected
    assert (response.status, problem["code"]) == (426, "protocol")
    assert problem["protocol"] == {"min": PROTOCOL_MIN, "max": PROTOCOL_MAX}
    assert problem.get("replaceable", False) is replaceable
    assert message in problem["message"]
    assert await site.ask("GET", f"/sessions?path={site.project()}") == []


@pytest.mark.parametrize("header", ["x", "0-1", "2-1", "", "1-2-3"])
async def test_a_protocol_range_that_is_none_is_refused(site: Site, header: str) -> None:
    headers = {PROTOCOL_HEADER: header}
    await site.ask("POST", "/runs", start_body(site), status=400, headers=headers)


async def test_a_path_that_no_system_has_is_the_clients_fault(site: Site) -> None:
    await site.ask("GET", "/sessions?path=/a%00b", status=400)
    await site.ask("POST", "/runs", start_body(site, path="/a\0b"), status=400)
    await site.ask("POST", "/runs", start_body(site, data_dir="/a\0b"), status=422)
    workspace = {"path": "/a\0b", "client_id": "5f2b1c1e-0000-4000-8000-000000000000"}
    await site.ask("POST", "/workspaces", workspace, status=400)


async def test_a_body_that_is_nested_without_end_is_the_clients_fault(site: Site) -> None:
    async with site.http.post(site.url("/runs"), data=b"[" * 100_000) as response:
        assert response.status == 400
