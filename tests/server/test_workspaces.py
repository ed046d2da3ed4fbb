"""Workspaces and claims: who holds what, for how long, and clients that know nothing of it (W 4.6)."""

import uuid

import anyio
import anyio.lowlevel
import pytest

from crush.errors import ConflictError
from crush.server import claims
from crush.server import lifetime as lifetimes
from crush.server.claims import Claims, detach_grace_s
from crush.server.lifetime import Lifetime, linger_s
from crush.wire.ids import ClientId, WorkspaceId
from tests.server.classic_client import ClassicClient
from tests.server.site import Site, until

W, V = WorkspaceId("w"), WorkspaceId("v")
A, B = ClientId("a"), ClientId("b")


@pytest.fixture
def lifetime() -> Lifetime:
    return Lifetime(linger_s=60)


class Clock:
    """A time that only the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("crush.server.claims.anyio.current_time", clock)
    return clock


def test_a_created_claim_waits_for_its_stream_and_then_expires(
    lifetime: Lifetime, clock: Clock
) -> None:
    held = Claims(lifetime=lifetime, grace_s=10)
    held.create(W, A)
    clock.now += 29
    held.sweep()
    assert lifetime.holds == 1
    held.create(W, A)  # again: the time begins anew
    clock.now += 29
    held.sweep()
    assert lifetime.holds == 1
    clock.now += 2
    held.sweep()
    assert lifetime.holds == 0


def test_a_stream_holds_its_claim_and_leaves_it_a_grace(lifetime: Lifetime, clock: Clock) -> None:
    held = Claims(lifetime=lifetime, grace_s=10)
    held.create(W, A)
    held.attach(W, A)
    held.attach(W, A)
    clock.now += 1000
    held.detach(W, A)
    held.sweep()
    assert lifetime.holds == 1  # one stream is left
    held.detach(W, A)
    clock.now += 9
    held.sweep()
    assert lifetime.holds == 1
    clock.now += 2
    held.sweep()
    assert lifetime.holds == 0


def test_attaching_without_a_create_makes_a_claim(lifetime: Lifetime, clock: Clock) -> None:
    held = Claims(lifetime=lifetime, grace_s=0)
    held.attach(W, A)
    assert lifetime.holds == 1
    held.detach(W, A)
    assert lifetime.holds == 0


def test_a_released_claim_ends_with_its_last_stream_at_once(
    lifetime: Lifetime, clock: Clock
) -> None:
    held = Claims(lifetime=lifetime, grace_s=10)
    held.create(W, A)
    held.attach(W, A)
    held.release(W, A)
    assert lifetime.holds == 1
    held.detach(W, A)
    assert lifetime.holds == 0
    held.create(W, A)
    held.attach(W, A)
    held.release(W, A)
    held.create(W, A)  # it has thought again
    held.detach(W, A)
    assert lifetime.holds == 1


def test_a_retired_client_holds_nothing_and_gets_nothing(lifetime: Lifetime, clock: Clock) -> None:
    held = Claims(lifetime=lifetime, grace_s=10)
    for workspace in (W, V):
        held.create(workspace, A)
    held.attach(W, A)
    held.create(W, B)
    held.retire(A)
    held.retire(A)
    assert lifetime.holds == 1  # B's
    held.detach(W, A)  # its stream ends after all
    assert lifetime.holds == 1
    for take in (held.create, held.attach):
        with pytest.raises(ConflictError):
            take(W, A)
    assert lifetime.holds == 1


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 10.0), ("0", 0.0), ("3", 3.0), ("-1", 10.0), ("1.5", 10.0)]
)
def test_the_grace_is_whole_seconds_of_the_environment(text: str, seconds: float) -> None:
    assert detach_grace_s({"CRUSH_SERVER_DETACH_GRACE": text}) == seconds


@pytest.mark.parametrize(("text", "seconds"), [("", 1800.0), ("0", 0.0), ("7", 7.0), ("x", 1800.0)])
def test_the_linger_is_whole_seconds_of_the_environment(text: str, seconds: float) -> None:
    assert linger_s({"CRUSH_SERVER_IDLE_TIMEOUT": text}) == seconds


async def test_a_server_that_nobody_needs_any_more_leaves_after_its_linger() -> None:
    lifetime = Lifetime(linger_s=0.05)
    with lifetime.hold():
        pass
    with anyio.fail_after(5):
        await lifetime.wait_leaving()
    assert lifetime.is_leaving


@pytest.mark.parametrize("linger_s", [0.0, 0.1])
async def test_a_server_waits_a_moment_for_its_first_client(
    monkeypatch: pytest.MonkeyPatch, linger_s: float
) -> None:
    """Whoever started it is about to ask, however short it lingers afterwards."""
    monkeypatch.setattr(lifetimes, "FIRST_CLIENT_WITHIN_S", 0.1)
    lifetime = Lifetime(linger_s=linger_s)
    with anyio.move_on_after(0.02) as waited:
        await lifetime.wait_leaving()
    assert waited.cancelled_caught
    with anyio.fail_after(5):
        await lifetime.wait_leaving()


@pytest.mark.parametrize("turns", range(6))
async def test_a_request_that_is_let_in_at_the_last_moment_keeps_the_server(turns: int) -> None:
    """In whichever turn of the loop it comes."""
    lifetime = Lifetime(linger_s=0.0)
    with lifetime.hold():
        pass
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lifetime.wait_leaving)
        tasks.start_soon(_hold_for_a_while, lifetime, turns)


async def _hold_for_a_while(lifetime: Lifetime, turns: int) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    if lifetime.is_leaving:
        return  # it was not let in
    with lifetime.hold():
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        assert not lifetime.is_leaving


async def test_what_holds_the_server_keeps_it() -> None:
    lifetime = Lifetime(linger_s=0.02)
    lifetime.take()
    with anyio.move_on_after(0.1) as waited:
        await lifetime.wait_leaving()
    assert waited.cancelled_caught
    lifetime.release()
    with anyio.fail_after(5):
        await lifetime.wait_leaving()


async def test_one_directory_is_one_workspace_whatever_it_is_called(site: Site) -> None:
    first = await ClassicClient(site).attach(interactive=False)
    (site.root / "link").symlink_to(first.path)
    second = ClassicClient(site)
    second.path = str(site.root / "link")
    await second.attach(interactive=False)
    third = await ClassicClient(site, project="q").attach(interactive=False)
    ids = [client.workspace["id"] for client in (first, second, third)]
    assert ids[0] == ids[1] != ids[2]
    assert len(await site.ask("GET", "/workspaces")) == 2


async def test_creates_at_the_same_time_end_with_one_workspace(site: Site) -> None:
    clients = [ClassicClient(site) for _ in range(10)]
    async with anyio.create_task_group() as tasks:
        for client in clients:
            tasks.start_soon(_attach, client)
    assert len({client.workspace["id"] for client in clients}) == 1
    assert site.services.lifetime.holds == 10


async def _attach(client: ClassicClient) -> None:
    await client.attach(interactive=False)


async def test_a_workspace_lives_as_long_as_somebody_claims_it(site: Site) -> None:
    one = await ClassicClient(site).attach(interactive=False)
    two = await ClassicClient(site).attach(interactive=False)
    async with two.events():
        await one.leave()
        await site.services.workspaces.close_unclaimed()
        await two.ask("GET", "")
    await two.leave()
    await site.services.workspaces.close_unclaimed()
    problem = await two.ask("GET", "", status=404)
    assert problem["message"] == "workspace not found"
    await until(lambda: not site.services.lifetime.holds)
    # A client that finds it gone registers again, and works on.
    three = await ClassicClient(site).attach(interactive=False)
    assert three.workspace["id"] != two.workspace["id"]


async def test_a_workspace_at_work_is_not_closed(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    latch = site.root / "latch"
    session = await client.new_session()
    await client.prompt(session, f"LATCH {latch}\nSAY end", run_id="r0")
    await client.leave()
    await site.services.workspaces.close_unclaimed()
    latch.touch()
    await until(lambda: not site.services.busy())
    assert (await site.ask("GET", "/runs/r0"))["state"] == "done"  # nobody's run ends by itself


async def test_a_retired_client_cannot_create(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    await client.leave()
    await client.leave()
    body = {"path": client.path, "client_id": client.id}
    problem = await site.ask("POST", "/workspaces", body, status=409)
    assert problem["message"] == "client has been retired"
    assert site.services.lifetime.holds == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"path": "", "client_id": str(uuid.uuid4())}, "path is required"),
        ({"client_id": str(uuid.uuid4())}, "path is required"),
        ({"path": "p", "client_id": str(uuid.uuid4())}, "path 'p' is not absolute"),
        ({"path": "/", "client_id": "me"}, "invalid client_id"),
    ],
)
async def test_a_create_that_makes_no_sense_is_refused(
    site: Site, body: object, message: str
) -> None:
    problem = await site.ask("POST", "/workspaces", body, status=400)
    assert problem["message"] == message
    assert site.services.lifetime.holds == 0


async def test_a_client_of_may_2026_sends_no_client_id_anywhere(site: Site) -> None:
    """And no body of `agent/init`, which only its terminal front end calls (W 7.1, 7.2)."""
    workspace = await site.ask("POST", "/workspaces", {"path": str(site.project())})
    place = f"/workspaces/{workspace['id']}"
    await site.ask("POST", f"{place}/agent/init")
    client = ClassicClient(site)
    client.workspace, client.id = workspace, ""
    async with client.events() as stream:
        session = await client.new_session()
        await client.ask("POST", "/agent", {"session_id": session, "prompt": _ASKS})
        request = await stream.until("permission_request")
        body = {"permission": request, "action": "allow"}
        await client.ask("POST", "/permissions/grant", body)
        await stream.until("run_complete")
    await site.ask("DELETE", place)
    await until(lambda: not site.services.lifetime.holds)


_ASKS = 'TOOL bash {"command": "touch a", "description": "d"}'


async def test_only_the_client_that_arrives_is_told_of_by_its_init(site: Site) -> None:
    """A terminal that is just reconnecting stays one that a person sits at."""
    terminal = await ClassicClient(site).attach(interactive=True)
    async with terminal.events():
        pass
    await ClassicClient(site).attach(interactive=False)
    async with terminal.events() as stream:
        session = await terminal.new_session()
        await terminal.prompt(session, _ASKS, run_id="r0")
        request = await stream.until("permission_request")
        await terminal.ask("POST", "/permissions/grant", {"permission": request, "action": "deny"})
        await stream.complete("r0")


async def test_a_workspace_never_tells_a_secret(site: Site) -> None:
    client = await ClassicClient(site).attach(interactive=False)
    own = await site.ask("GET", f"/workspaces/{client.workspace['id']}/config")
    for told in (client.workspace, await site.ask("GET", "/workspaces"), own):
        assert "test-key" not in str(told)
    assert client.workspace["env"] == []
    assert client.workspace["config"]["providers"]["fake"]["api_key"] != ""


def test_the_set_of_retired_clients_is_bounded(
    lifetime: Lifetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "_MOST_RETIRED", 5)
    held = Claims(lifetime=lifetime, grace_s=0)
    for number in range(100):
        held.retire(ClientId(str(number)))
    assert len(held._retired) <= 7
