import os
import time
from collections.abc import Sequence

import apsw
import pytest
from blockbuster import blockbuster_ctx

from crush.errors import NotFoundError
from crush.store.change import Change, FileEdit, FileRead, Limits
from crush.store.store import Store
from crush.wire import codec
from crush.wire.events import Committed, FileChanged, RunComplete
from crush.wire.ids import RunId, SessionId
from tests.store import records
from tests.store.conftest import OpenStore
from tests.store.records import RID, SID, notice, session

OTHER = "22222222-2222-3333-4444-555555555555"
KIB = 1024


def edit(
    before: str | None, after: str | None, *, path: str = "/p/a", session_id: str = SID
) -> FileEdit:
    return FileEdit(
        session_id=SessionId(session_id), run_id=RID, path=path, before=before, after=after
    )


def told(committed: Sequence[Committed]) -> list[FileChanged]:
    return [item.event for item in committed if isinstance(item.event, FileChanged)]


async def contents(store: Store, session_id: str = SID) -> dict[str, list[tuple[int, str]]]:
    found: dict[str, list[tuple[int, str]]] = {}
    for version in await store.files.versions(SessionId(session_id)):
        found.setdefault(version.path, []).append((version.version, version.content))
    return found


async def test_the_first_edit_keeps_what_was_there_and_what_is_there_now(store: Store) -> None:
    committed = await store.commit(Change(sessions=[session()], edits=[edit("old", "new")]))

    assert await contents(store) == {"/p/a": [(0, "old"), (1, "new")]}
    events = told(committed)
    assert [(event.file.version, event.kept, event.run_id) for event in events] == [
        (0, True, RID),
        (1, True, RID),
    ]
    assert [event.file.content for event in events] == ["", ""]
    assert (await store.files.version(events[1].file.id)).content == "new"


async def test_a_later_edit_adds_one_version_and_one_more_if_somebody_else_wrote_meanwhile(
    store: Store,
) -> None:
    await store.commit(Change(sessions=[session()], edits=[edit("0", "1"), edit("1", "2")]))
    assert await contents(store) == {"/p/a": [(0, "0"), (1, "1"), (2, "2")]}

    await store.commit(Change(edits=[edit("outside", "3")]))
    assert (await contents(store))["/p/a"][3:] == [(3, "outside"), (4, "3")]


async def test_no_file_and_an_empty_file_are_told_apart(store: Store, data_dir: str) -> None:
    await store.commit(
        Change(sessions=[session()], edits=[edit(None, ""), edit("", "x"), edit("x", None)])
    )
    assert await contents(store) == {"/p/a": [(0, ""), (1, ""), (2, "x"), (3, "")]}
    await store.close()
    connection = apsw.Connection(os.path.join(data_dir, "crush.db"))
    rows = connection.execute("SELECT version, absent, run_id FROM py_file_versions").fetchall()
    connection.close()
    assert rows == [(0, 1, RID), (1, 0, RID), (2, 0, RID), (3, 1, RID)]


async def test_sessions_have_histories_of_their_own(store: Store) -> None:
    await store.commit(
        Change(
            sessions=[session(), session(OTHER)],
            edits=[edit("0", "1"), edit("1", "2", session_id=OTHER)],
        )
    )
    assert await contents(store) == {"/p/a": [(0, "0"), (1, "1")]}
    assert await contents(store, OTHER) == {"/p/a": [(0, "1"), (1, "2")]}


async def test_history_comes_by_version_with_all_files_mixed(store: Store) -> None:
    await store.commit(
        Change(sessions=[session()], edits=[edit("0", "1"), edit("a", "b", path="/p/b")])
    )
    order = [(item.path, item.version) for item in await store.files.versions(SID)]
    assert order == [("/p/a", 0), ("/p/b", 0), ("/p/a", 1), ("/p/b", 1)]


async def test_versions_that_crush_wrote_are_continued(
    open_store: OpenStore, data_dir: str
) -> None:
    os.makedirs(data_dir)
    records.make_crush_database(os.path.join(data_dir, "crush.db"), steps=7)
    store = await open_store()

    await store.commit(Change(edits=[edit("before", "after", path="a.txt", session_id="old")]))

    assert await contents(store, "old") == {"a.txt": [(0, "before"), (1, "after")]}


async def test_a_hundred_edits_are_one_transaction_after_the_session_and_before_the_events(
    store: Store,
) -> None:
    edits = [edit(str(number), str(number + 1)) for number in range(100)]
    committed = await store.commit(Change(sessions=[session()], edits=edits, events=[notice("n")]))

    assert [item.seq for item in committed] == list(range(1, 104))
    assert len(told(committed[1:-1])) == 101
    assert await contents(store) == {"/p/a": [(n, str(n)) for n in range(101)]}


async def test_an_edit_of_a_session_that_is_gone_undoes_its_whole_step(store: Store) -> None:
    await store.commit(Change(sessions=[session()]))
    with pytest.raises(NotFoundError):
        await store.commit(Change(edits=[edit("0", "1"), edit("0", "1", session_id="gone")]))
    assert await contents(store) == {}


async def test_what_is_too_large_is_not_kept_and_said_so(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(file_bytes=10))
    committed = await store.commit(
        Change(sessions=[session()], edits=[edit("small", "é" * 6), edit("é" * 6, "small again")])
    )
    events = told(committed)
    assert [(event.file.version, event.kept) for event in events] == [
        (0, True),
        (1, False),
        (2, False),
    ]
    assert [event.file.id for event in events[1:]] == ["", ""]
    assert await contents(store) == {"/p/a": [(0, "small")]}

    # Numbers are not used again, and the first version stays the first.
    await store.commit(Change(edits=[edit("small again", "s")]))
    assert await contents(store) == {"/p/a": [(0, "small"), (3, "s")]}


async def ended_session(store: Store, key: str, *edits: FileEdit) -> None:
    await store.commit(Change(sessions=[session(key)], edits=edits))


async def test_over_the_quota_other_sessions_lose_what_is_between_before_their_ends(
    open_store: OpenStore,
) -> None:
    store = await open_store(limits=Limits(files_bytes=4 * KIB))
    text = "x" * KIB
    await ended_session(
        store,
        OTHER,
        edit("0" + text[1:], "1" + text[1:], session_id=OTHER),
        edit("1" + text[1:], "2" + text[1:], session_id=OTHER),
    )

    await ended_session(store, SID, edit("a" + text[1:], "b" + text[1:]))
    assert [version for version, _ in (await contents(store, OTHER))["/p/a"]] == [0, 2]

    await store.commit(Change(edits=[edit("b" + text[1:], "c" + text[1:])]))
    assert [version for version, _ in (await contents(store, OTHER))["/p/a"]] == [2]
    assert [version for version, _ in (await contents(store))["/p/a"]] == [0, 1, 2]
    assert await store.files.total_bytes() == 4 * KIB


async def test_the_first_and_last_version_of_a_session_that_goes_on_are_never_removed(
    open_store: OpenStore,
) -> None:
    store = await open_store(limits=Limits(files_bytes=4 * KIB))
    text = "x" * (KIB - 1)
    await store.accept(records.acceptance("run-2", session_id=OTHER), idempotency_key="k")
    await store.commit(
        Change(
            edits=[
                edit("0" + text, "1" + text, session_id=OTHER),
                edit("1" + text, "2" + text, session_id=OTHER),
            ]
        )
    )
    committed = await store.commit(
        Change(sessions=[session()], edits=[edit("a" + text, "b" + text), edit("c" + text, "d")])
    )

    assert [version for version, _ in (await contents(store, OTHER))["/p/a"]] == [0, 2]
    # No room is left but for what is small; nothing of the other session had to go for it.
    assert [(event.file.version, event.kept) for event in told(committed)] == [
        (0, True),
        (1, True),
        (2, False),
        (3, False),
    ]

    done = records.run("run-2", state="done", session_id=OTHER)
    await store.commit(
        Change(events=[(RunId("run-2"), RunComplete(session_id=SessionId(OTHER), run=done))])
    )
    await store.commit(Change(edits=[edit("d", "e" + text)]))
    assert [version for version, _ in (await contents(store, OTHER))["/p/a"]] == [2]


async def test_the_quota_holds_over_many_edits(open_store: OpenStore) -> None:
    store = await open_store(limits=Limits(file_bytes=2 * KIB, files_bytes=64 * KIB))
    await store.commit(Change(sessions=[session()]))
    for number in range(20):
        edits = [
            edit(f"{number}.{step}".ljust(2 * KIB), f"{number}.{step + 1}".ljust(2 * KIB))
            for step in range(10)
        ]
        events = told(await store.commit(Change(edits=edits)))
        assert all(event.kept for event in events)
        assert await store.files.total_bytes() <= 64 * KIB
    versions = (await contents(store))["/p/a"]
    assert versions[0][1].startswith("0.0")
    assert versions[-1][1].startswith("19.10")


async def test_large_content_does_not_hold_up_the_event_loop(store: Store) -> None:
    large = "x" * (4 * KIB * KIB)
    await store.commit(Change(sessions=[session()]))
    with blockbuster_ctx("crush"):
        began = time.thread_time()
        committed = await store.commit(Change(edits=[edit(large, "y" + large[1:])]))
        for event in told(committed):
            assert (await store.files.version(event.file.id)).content[1:] == large[1:]
            assert len(codec.encode(event)) < KIB
        spent = time.thread_time() - began
    assert spent < 0.1  # of this thread: what SQLite and hashing do happens in others


async def test_a_deleted_session_takes_its_versions_along(store: Store) -> None:
    committed = await store.commit(Change(sessions=[session()], edits=[edit("0", "1")]))
    await store.commit(Change(deleted=[SID]))
    assert await contents(store) == {}
    with pytest.raises(NotFoundError):
        await store.files.version(told(committed)[0].file.id)


async def test_tracked_files_come_latest_first(store: Store) -> None:
    await store.commit(Change(sessions=[session()]))
    for path, at in (("/a", 5), ("/b", 5), ("/c", 4), ("/a", 5)):
        await store.commit(
            Change(reads=[FileRead(session_id=SID, path=path, digest="d", read_at=at)])
        )
    assert await store.files.tracked(SID) == ["/a", "/b", "/c"]
    assert await store.files.tracked(SessionId("unknown")) == []
    assert await store.files.last_read(SID, "/c") == 4
    assert await store.files.last_read(SID, "/never") == 0
