from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from crush.errors import NotFoundError
from crush.store.change import Acceptance, Change
from crush.store.registry import Registry
from crush.store.startup import recover_all
from crush.store.store import Store
from crush.wire.ids import RunId
from tests.store import records
from tests.store.records import RID


async def test_an_accepted_run_is_on_the_disk_and_in_the_registry(
    store: Store, registry: Registry
) -> None:
    change = records.acceptance()

    acceptance = await store.accept(change, idempotency_key="k")

    assert acceptance.run == change.runs[0]
    assert not acceptance.repeated
    assert [item.seq for item in acceptance.committed] == [1, 2]
    assert await store.run(RID) == change.runs[0]
    assert await registry.data_dir_of(RID) == store.data_dir
    assert list(await registry.unfinished()) == [store.data_dir]


async def test_a_known_key_returns_the_run_that_it_began_and_writes_nothing(
    store: Store, registry: Registry
) -> None:
    first = await store.accept(records.acceptance("one"), idempotency_key="k")
    second = await store.accept(records.acceptance("two"), idempotency_key="k")

    assert second == Acceptance(run=first.run, committed=(), repeated=True)
    assert [run.id for run in await store.runs_of(records.SID)] == ["one"]
    assert await registry.data_dir_of(RunId("two")) is None


async def test_the_repeat_of_an_ended_run_tells_its_end(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="k")
    done = records.run(state="done")
    await store.commit(Change(events=[records.ended(done)]))

    again = await store.accept(records.acceptance("other"), idempotency_key="k")

    assert again.run == done


async def test_a_known_run_id_is_a_repeat_too(store: Store, registry: Registry) -> None:
    await store.accept(records.acceptance(), idempotency_key="")

    again = await store.accept(records.acceptance(), idempotency_key="")

    assert again.repeated
    assert await registry.data_dir_of(RID) == store.data_dir


async def test_runs_without_a_key_are_different_runs(store: Store) -> None:
    for key in ("one", "two"):
        assert not (await store.accept(records.acceptance(key), idempotency_key="")).repeated

    assert [run.id for run in await store.runs_of(records.SID)] == ["one", "two"]


async def test_fifty_requests_with_one_key_begin_one_run(store: Store) -> None:
    acceptances: list[Acceptance] = []

    async def accept(number: int) -> None:
        change = records.acceptance(f"run-{number}")
        acceptances.append(await store.accept(change, idempotency_key="k"))

    async with anyio.create_task_group() as tasks:
        for number in range(50):
            tasks.start_soon(accept, number)

    assert [item.repeated for item in acceptances].count(False) == 1
    assert len({item.run.id for item in acceptances}) == 1
    assert len(await store.runs_of(records.SID)) == 1
    assert len(await store.events(0) or ()) == 2


async def test_two_hundred_runs_at_once_all_end(store: Store, registry: Registry) -> None:
    async def one(number: int) -> None:
        change = records.acceptance(f"run-{number}", session_id=f"session-{number}")
        run = (await store.accept(change, idempotency_key=f"key-{number}")).run
        await store.commit(Change(events=[records.ended(run)]))

    async with anyio.create_task_group() as tasks:
        for number in range(200):
            tasks.start_soon(one, number)

    assert await store.unfinished_runs() == []
    assert list(await registry.unfinished()) == []
    assert len(await store.sessions()) == 200


async def test_an_acceptance_that_fails_is_settled_later(store: Store, registry: Registry) -> None:
    orphan = Change(runs=[records.run(session_id="nowhere")])
    with pytest.raises(NotFoundError):
        await store.accept(orphan, idempotency_key="k")
    assert list(await registry.unfinished()) == [store.data_dir]

    @asynccontextmanager
    async def opened(_data_dir: str) -> AsyncIterator[Store]:
        yield store

    await recover_all(await registry.unfinished(), registry=registry, opened=opened)

    assert list(await registry.unfinished()) == []
    accepted = await store.accept(records.acceptance(), idempotency_key="k")
    assert not accepted.repeated
