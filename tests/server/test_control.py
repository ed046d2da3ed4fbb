"""`POST /v1/control` and what the server tells of itself."""

import json
import os
import sys
from pathlib import Path

import anyio
import pytest

from crush import __version__
from crush.launch.host import parse_host
from crush.server import app
from tests.server.classic_client import ClassicClient
from tests.server.site import Site, serving, until


@pytest.mark.parametrize("command", ["shutdown", "shutdown_if_idle"])
@pytest.mark.parametrize("kind", ["text/plain", "application/json", "x/y"])
async def test_an_idle_server_answers_and_leaves(site: Site, command: str, kind: str) -> None:
    await site.ask("POST", "/control", {"command": command}, headers={"Content-Type": kind})
    with anyio.fail_after(5):
        await site.server._lifetime.wait_leaving()
    with anyio.fail_after(5):
        while await _is_served(site):
            await anyio.lowlevel.checkpoint()


async def _is_served(site: Site) -> bool:
    try:
        await (await site.connect()).aclose()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("command", ["shutdown", "shutdown_if_idle"])
async def test_a_server_that_is_needed_stays(site: Site, command: str) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    problem = await site.ask("POST", "/control", {"command": command}, status=409)
    assert problem["message"] == "server is hosting live workspaces"
    await client.leave()
    async with site.start(f"LATCH {site.root}/never") as run:
        await run.next()
        await site.ask("POST", "/control", {"command": command}, status=409)
        await site.ask("DELETE", f"/runs/{run.run_id}")
        await run.rest()


@pytest.mark.parametrize("body", [{"command": "dance"}, {"command": ""}, {}])
async def test_an_unknown_command_is_refused(site: Site, body: object) -> None:
    problem = await site.ask("POST", "/control", body, status=400)
    assert problem["message"] == "unknown command"


async def test_what_is_in_flight_is_finished_before_the_server_leaves(site: Site) -> None:
    """The answer to the request that ends the server included (W16)."""
    async with await site.connect() as connection, await site.connect() as other:
        body = b'{"command":"shutdown"}'
        head = f"POST /v1/control HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        await other.send(b"GET /v1/version HTTP/1.1\r\nHost: x\r\n\r\n")
        await connection.send(head.encode() + body)
        with anyio.fail_after(5):
            assert (await connection.receive()).startswith(b"HTTP/1.1 200 ")
            assert (await other.receive()).startswith(b"HTTP/1.1 200 ")


async def test_a_leaving_server_does_not_mind_that_its_socket_is_gone(
    root: Path, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It took it away itself; bound anew, it would stand in its successor's way."""
    monkeypatch.setattr(app, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(app, "FINISH_WITHIN_S", 0.2)
    host = parse_host(f"unix://{root}/s.sock")
    async with serving(root, host, model_url=model_url) as site, await site.connect() as slow:
        await slow.send(b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{")
        await site.ask("GET", "/health")
        site.server._lifetime.leave()
        await until(lambda: not os.path.exists(host.address))
    assert not os.access(host.address, os.F_OK)


async def test_a_server_whose_socket_was_removed_makes_a_new_one(
    root: Path, model_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "LOOK_EVERY_S", 0.01)
    host = parse_host(f"unix://{root}/s.sock")
    async with (
        serving(root, host, model_url=model_url) as site,
        site.start(f"SAY begin\nLATCH {root}/latch\nSAY end") as run,
    ):
        await run.until("delta")
        os.unlink(host.address)
        await until(lambda: os.path.exists(host.address))
        async with site.follow(run.run_id) as again:  # over the new one
            (root / "latch").touch()
            assert (await again.rest())[-1]["run"]["state"] == "done"
        assert (await run.rest())[-1]["run"]["state"] == "done"


async def test_the_version_has_the_fields_of_crush_and_ours(site: Site) -> None:
    version = await site.ask("GET", "/version")
    assert version["version"] == __version__
    assert version["build_id"].startswith(f"{__version__}+")
    assert version["platform"] == sys.platform
    assert set(version) == {
        *("version", "commit", "build_id", "go_version", "platform"),
        *("protocol", "instance_id", "pid"),
    }


async def test_health_is_an_empty_success(site: Site) -> None:
    async with site.http.get(site.url("/health")) as response:
        assert (response.status, await response.read()) == (200, b"")


async def test_the_status_tells_what_keeps_the_server(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    async with site.start(f"SAY begin\nLATCH {site.root}/never") as run:
        await run.until("delta")
        status = json.loads(json.dumps(await site.ask("GET", "/status")))
        await site.ask("DELETE", f"/runs/{run.run_id}")
        await run.rest()
    assert status["is_busy"]
    assert [session["runs"] for session in status["sessions"]] == [[run.run_id]]
    assert status["workspaces"] == [
        {"path": client.path, "data_dir": f"{client.path}/.crush", "clients": 1}
    ]
