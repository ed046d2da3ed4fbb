"""What a run costs, counted: transactions, requests, frames, bytes. Times are `make bench`'s."""

import json
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Iterator

import anyio
import anyio.to_thread
import apsw
import pytest

from tests.server.site import Event, Site

COMMITS = 4  # the prompt, the run that begins, the message that begins, everything up to the end
STATEMENTS = 48  # of the project's database
TEXT = "".join(f"{number % 1000:03d} " for number in range(8000))


class Transactions:
    """Commits and statements of every connection opened since, by database."""

    def __init__(self) -> None:
        self.commits: Counter[str] = Counter()
        self.statements: Counter[str] = Counter()

    def attach(self, connection: apsw.Connection) -> None:
        name = os.path.basename(connection.filename)

        def committed() -> bool:
            self.commits[name] += 1
            return False

        def executed(_cursor: object, _sql: str, _bindings: object) -> bool:
            self.statements[name] += 1
            return True

        connection.set_commit_hook(committed)
        connection.set_exec_trace(executed)

    def clear(self) -> None:
        self.commits.clear()
        self.statements.clear()


@pytest.fixture
def transactions() -> Iterator[Transactions]:
    counted = Transactions()
    apsw.connection_hooks.append(counted.attach)
    yield counted
    apsw.connection_hooks.remove(counted.attach)


async def wait_registered(site: Site) -> None:
    """`run_complete` is told a moment before the registry knows."""
    with anyio.fail_after(5):
        while await site.services.projects._registry.unfinished():
            pass


async def test_a_short_answer_costs_few_transactions(
    transactions: Transactions, site: Site
) -> None:
    await site.run("hi")
    await site.run("hi")
    await wait_registered(site)
    transactions.clear()

    await site.run("hi")
    await wait_registered(site)

    assert transactions.commits["registry.db"] == 2
    assert transactions.commits["crush.db"] <= COMMITS
    assert transactions.statements["crush.db"] <= STATEMENTS


async def test_many_deltas_cost_no_more_transactions_than_few(
    transactions: Transactions, site: Site
) -> None:
    await site.run("hi")
    transactions.clear()

    events = await site.run("DELTAS 8000")

    assert text_of(events) == TEXT
    # One more for every 250 ms that the answer takes.
    took_ms = events[-1]["run"]["ended_at_ms"] - events[-1]["run"]["created_at_ms"]
    assert transactions.commits["crush.db"] <= COMMITS + took_ms // 250 + 1


async def test_many_deltas_become_few_frames_and_few_bytes(site: Site) -> None:
    await site.run("hi")
    body = {"path": str(site.project()), "prompt": "DELTAS 8000", "env": site.env}
    async with site.http.post(site.url("/runs"), json=body) as response:
        raw = await response.read()
    frames = re.findall(rb"^data: \{.*$", raw, re.MULTILINE)
    assert len(raw) <= 1.3 * len(TEXT) + 160 * len(frames)
    # 512 code points a frame at the least, or 33 ms.
    assert len(frames) <= len(TEXT) / 512 + 40


async def test_hi_is_one_request_to_the_model(site: Site, model_url: str) -> None:
    def requests() -> list[Event]:
        with urllib.request.urlopen(f"{model_url}/__log") as answer:  # noqa: S310 - our own
            log: list[Event] = json.load(answer)
        return log

    before = await anyio.to_thread.run_sync(requests)
    await site.run("hi")
    assert len(await anyio.to_thread.run_sync(requests)) == len(before) + 1


def text_of(events: list[Event]) -> str:
    """Deltas placed by their offsets."""
    text = ""
    for event in events:
        if event["type"] == "delta" and event["kind"] == "text":
            offset = event.get("offset", 0)
            text = text[:offset] + event["text"]
    return text
