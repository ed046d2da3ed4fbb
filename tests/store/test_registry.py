from pathlib import Path

import anyio
import pytest

from crush.errors import StoreError
from crush.store.change import Change
from crush.store.registry import Registry
from crush.wire.ids import RunId
from tests.store import records
from tests.store.conftest import OpenStore

ONE, TWO, THREE = RunId("1"), RunId("2"), RunId("3")


async def test_a_run_is_found_by_its_id_also_after_its_end(registry: Registry) -> None:
    await registry.add(ONE, "/a")
    assert await registry.data_dir_of(ONE) == "/a"

    await registry.finish([ONE], "/a")

    assert await registry.data_dir_of(ONE) == "/a"
    assert list(await registry.unfinished()) == []
    assert await registry.data_dir_of(TWO) is None


async def test_databases_with_unfinished_runs_are_listed_once_each(registry: Registry) -> None:
    for run_id, data_dir in ((ONE, "/b"), (TWO, "/a"), (THREE, "/b")):
        await registry.add(run_id, data_dir)
    assert list(await registry.unfinished()) == ["/b", "/a"]

    await registry.finish([ONE], "/b")
    assert list(await registry.unfinished()) == ["/a", "/b"]

    await registry.finish([THREE], "/b")
    assert await registry.unfinished() == {"/a": [TWO]}


async def test_a_run_that_was_not_committed_is_forgotten(registry: Registry) -> None:
    await registry.add(ONE, "/a")
    await registry.add(TWO, "/a")

    await registry.finish([ONE], "/a")
    await registry.forget(TWO)

    assert list(await registry.unfinished()) == []
    assert await registry.data_dir_of(TWO) is None


async def test_it_survives_its_server_and_serves_two(tmp_path: Path) -> None:
    path = str(tmp_path / "registry.db")
    first, second = await Registry.open(path), await Registry.open(path)
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon((first, second)[number % 2].add, RunId(f"r{number}"), f"/d{number}")
    await first.close()
    await second.close()

    third = await Registry.open(path)

    assert len(await third.unfinished()) == 20
    await third.close()


async def test_a_run_that_moved_with_its_directory_is_found_in_its_new_place(
    open_store: OpenStore, registry: Registry, data_dir: str
) -> None:
    store = await open_store(owner="dead")
    await store.accept(records.acceptance(), idempotency_key="")
    await store.close()
    await anyio.Path(data_dir).rename(f"{data_dir}-moved")

    moved = await open_store(path=f"{data_dir}-moved", owner="next")

    assert await registry.data_dir_of(records.RID) == moved.data_dir
    assert list(await registry.unfinished()) == []


async def test_a_registry_that_cannot_be_written_does_not_take_back_an_end(
    open_store: OpenStore, registry: Registry, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store()
    await store.accept(records.acceptance(), idempotency_key="")
    await registry.close()

    done = records.run(state="done")
    await store.commit(Change(events=[records.ended(done)]))

    assert await store.run(records.RID) == done
    assert "registry" in caplog.text
    with pytest.raises(StoreError):  # but nothing is accepted that could not be found again
        await store.accept(records.acceptance("next"), idempotency_key="")
    assert [run.id for run in await store.runs_of(records.SID)] == [records.RID]


async def test_a_registry_in_a_place_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")

    with pytest.raises(StoreError, match="state"):
        await Registry.open(str(tmp_path / "state" / "registry.db"))
