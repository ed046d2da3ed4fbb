from collections.abc import Sequence
from itertools import pairwise
from tempfile import TemporaryDirectory

import anyio
import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.errors import ConflictError, NotFoundError
from crush.store.change import Change, Limits
from crush.store.events import BATCH, CHECK_EVERY
from crush.store.registry import Registry
from crush.store.store import Store
from crush.wire.events import Committed, CommittedEvent
from crush.wire.ids import RunId, SessionId
from tests.store import records
from tests.store.conftest import OpenStore
from tests.store.records import RID, SID, notice

# One step: a run, how many events it tells, whether it ends, whether the step is made to fail.
Step = tuple[int, int, bool, bool]
steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 4), st.booleans(), st.booleans()), max_size=25
)


@given(steps)
@settings(max_examples=15, deadline=None)
def test_a_run_reads_its_events_in_order_without_gap_or_repeat(plan: list[Step]) -> None:
    anyio.run(_play, plan)


async def _play(plan: list[Step]) -> None:
    with TemporaryDirectory() as directory:
        registry = await Registry.open(f"{directory}/registry.db")
        store = await Store.open(
            f"{directory}/.crush", owner="o", registry=registry, limits=Limits()
        )
        try:
            expected = [item for step in plan for item in await _take(store, step)]
            await _check(store, expected)
        finally:
            await store.close()
            await registry.close()


async def _take(store: Store, step: Step) -> Sequence[Committed]:
    number, count, ends, fails = step
    run_id = f"run-{number}"
    accepted = await store.accept(records.acceptance(run_id), idempotency_key=run_id)
    told = [notice(str(index), run_id=run_id) for index in range(count)]
    if ends:
        told.append(records.ended(records.run(run_id, state="done")))
    broken = [records.message("m", session_id="nowhere")] if fails else []
    try:
        committed = await store.commit(Change(messages=broken, events=told))
    except (ConflictError, NotFoundError):  # already ended, or made to fail: nothing of it counts
        return accepted.committed
    return [*accepted.committed, *committed]


async def _check(store: Store, expected: list[Committed]) -> None:
    assert [item.seq for item in expected] == list(range(1, len(expected) + 1))
    assert await _paged(store, 3) == expected
    for number in range(3):
        run_id = RunId(f"run-{number}")
        own = [item for item in expected if item.run_id == run_id]
        assert await store.events_of_run(run_id, 0) == own
        for before, after in pairwise(own):
            rest = await store.events_of_run(run_id, before.seq, limit=1)
            assert rest == [after]


async def _paged(store: Store, limit: int) -> list[Committed]:
    found: list[Committed] = []
    while page := await store.events(found[-1].seq if found else 0, limit=limit):
        found += page
    return found


async def test_events_are_filtered_by_session(store: Store) -> None:
    for key in ("a", "b"):
        await store.commit(Change(sessions=[records.session(key)]))

    only_b = await store.events(0, session_id=SessionId("b"))

    assert only_b is not None
    assert [item.seq for item in only_b] == [2]


async def test_a_cursor_from_the_future_asks_for_a_new_start(store: Store) -> None:
    await store.commit(Change(sessions=[records.session()]))

    assert await store.events(1) == []
    assert await store.events(2) is None


async def test_events_that_this_version_does_not_know_are_skipped(
    store: Store, data_dir: str
) -> None:
    await store.commit(Change(sessions=[records.session()]))
    raw = apsw.Connection(f"{data_dir}/crush.db")
    for kind, body in (
        ("new", b'{"type":"new","session_id":"x"}'),
        ("run_updated", b'{"type":"run_updated","session_id":"x","run":{"state":"new"}}'),
    ):
        raw.execute(
            "INSERT INTO py_events (run_id, session_id, type, body) VALUES ('', ?, ?, ?)",
            (SID, kind, body),
        )
    raw.close()
    await store.commit(Change(events=[notice("n", run_id="")]))

    log = await store.events(0)

    assert log is not None
    assert [item.seq for item in log] == [1, 4]


async def _fill(store: Store, run_id: str, count: int, size: int = 1) -> None:
    words = "x" * size
    await store.commit(Change(events=[notice(words, run_id=run_id) for _ in range(count)]))


@pytest.mark.parametrize(
    "limits",
    [Limits(events=300), Limits(event_bytes=300 * 1000)],
    ids=["by number", "by size"],
)
async def test_the_log_is_kept_under_its_cap_and_knows_what_it_forgot(
    open_store: OpenStore, limits: Limits
) -> None:
    store = await open_store(limits=limits)
    await store.accept(records.acceptance("old"), idempotency_key="")
    await _fill(store, "old", 50, 1000)
    await store.commit(Change(events=[records.ended(records.run("old", state="done"))]))
    await store.accept(records.acceptance("young"), idempotency_key="")
    for _ in range(4):
        await _fill(store, "young", CHECK_EVERY, 1000)
    young = records.run("young", state="done")
    await store.commit(Change(events=[records.ended(young)]))
    await store.accept(records.acceptance("last"), idempotency_key="")
    for _ in range(10):
        await _fill(store, "last", CHECK_EVERY, 10)

    assert await store.events(0) is None
    assert await store.events_of_run(RunId("old"), 0) is None
    assert await store.events_of_run(RunId("young"), 0) is None
    assert (await store.run(RunId("old"))).state == "done"
    whole = await store.events_of_run(RunId("last"), 0, limit=-1)
    assert whole is not None
    assert len(whole) == 1 + 10 * CHECK_EVERY
    assert [item.seq for item in whole] == sorted({item.seq for item in whole})


async def test_events_of_a_run_that_goes_on_are_never_pruned(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(events=10))
    await store.accept(records.acceptance(), idempotency_key="")
    for _ in range(4):
        await _fill(store, RID, CHECK_EVERY)

    log = await store.events_of_run(RID, 0, limit=-1)

    assert log is not None
    assert len(log) == 1 + 4 * CHECK_EVERY


async def test_a_commit_prunes_at_most_one_batch(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(events=1))
    last = (await store.commit(Change(sessions=[records.session()])))[-1].seq
    many: list[tuple[RunId, CommittedEvent]] = [notice("n", run_id="")] * (3 * BATCH)
    last = (await store.commit(Change(events=many)))[-1].seq

    left = await store.events(BATCH, limit=-1)

    assert left is not None
    assert len(left) == last - BATCH
    assert await store.events(BATCH - 1) is None


async def test_a_second_end_in_the_log_is_refused_by_an_index(store: Store, data_dir: str) -> None:
    await store.accept(records.acceptance(), idempotency_key="")
    await store.commit(Change(events=[records.ended(records.run(state="done"))]))
    raw = apsw.Connection(f"{data_dir}/crush.db")
    again = (
        "INSERT INTO py_events (run_id, session_id, type, body)"
        " SELECT run_id, session_id, type, body FROM py_events WHERE type = 'run_complete'"
    )

    with pytest.raises(apsw.ConstraintError):
        raw.execute(again)

    raw.close()
