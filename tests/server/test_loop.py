"""Nothing that the server does blocks its event loop: every client would wait for it."""

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster

from tests.server.classic_client import ClassicClient
from tests.server.site import Site


@pytest.fixture
def watched() -> Iterator[None]:
    """A blocking call of our code on the loop raises."""
    watch = BlockBuster("crush")
    # Two names of the kernel's own file system: microseconds, once a connection.
    watch.functions["os.readlink"].can_block_in("crush/sandbox/peer_namespace.py", "is_fenced")
    watch.activate()
    yield
    watch.deactivate()


@pytest.mark.parametrize("transport", ["site", "tcp_site"])
async def test_no_request_blocks_the_loop(
    request: pytest.FixtureRequest, transport: str, site: Site, tcp_site: Site, watched: None
) -> None:
    served = site if transport == "site" else tcp_site
    prompt = 'TOOL view {"file_path": "crush.json"}\nTOOL bash {"command": "echo hi; touch a"}'
    events = await served.run(f"{prompt}\n---\nSAY done", mode="yolo")
    end = events[-1]["run"]
    assert end["state"] == "done"
    results = [
        part["data"]["is_error"]
        for event in events
        if event["type"] == "message_started"
        for part in event["message"]["parts"]
        if part["type"] == "tool_result"
    ]
    assert results == [False, False]
    client = await ClassicClient(served).attach(interactive=False)
    async with client.events() as stream:
        await client.prompt(await client.new_session(), "hi", run_id="r0")
        await stream.complete("r0")
    for path in ("", "/config", "/agent", "/sessions", "/permissions/skip"):
        await client.ask("GET", path)
    for path in ("/status", "/version", f"/runs/{end['id']}", f"/sessions?path={client.path}"):
        await served.ask("GET", path)
    async with served.follow(end["id"]) as again:
        await again.rest()
    await client.leave()
