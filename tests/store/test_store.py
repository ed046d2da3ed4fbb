import os
import stat
from pathlib import Path

import anyio
import anyio.lowlevel
import apsw
import msgspec
import pytest
from blockbuster import blockbuster_ctx

from crush.errors import ConflictError, NotFoundError, StoreError
from crush.store.change import (
    Change,
    FileRead,
    Limits,
    Pending,
    PendingQuestion,
    QueuedPrompt,
    SessionUsage,
    TodoList,
)
from crush.store.registry import Registry
from crush.store.store import Store
from crush.wire.events import RunComplete, SessionCreated, SessionUpdated
from crush.wire.ids import PermissionId, RunId, SessionId
from crush.wire.messages import Session, Todo
from crush.wire.parts import Finish, FinishPart
from tests.store import records
from tests.store.conftest import OpenStore
from tests.store.records import (
    RID,
    SID,
    content_of,
    message,
    notice,
    session,
    text,
    write_file,
)


async def test_a_session_comes_back_as_it_was_written(store: Store) -> None:
    todos = [Todo(content="look", status="in_progress", active_form="looking")]
    written = Session(
        id=SID,
        title="t",
        parent_session_id="p",
        prompt_tokens=3,
        completion_tokens=4,
        summary_message_id="m",
        cost=0.25,
        todos=todos,
        created_at=1,
        updated_at=2,
    )

    await store.commit(Change(sessions=[written]))

    assert await store.session(SID) == written


async def test_the_database_counts_messages_and_nobody_else(store: Store) -> None:
    lying = Session(id=SID, title="t", message_count=99)
    messages = [message("a", text("x")), message("b")]

    await store.commit(Change(sessions=[lying], messages=messages))
    await store.commit(Change(sessions=[lying], messages=messages))

    assert (await store.session(SID)).message_count == 2


async def test_session_events_come_first_and_tell_the_state_after_the_triggers(
    store: Store,
) -> None:
    first = await store.commit(
        Change(sessions=[session()], messages=[message("a")], events=[notice("n", run_id="")])
    )
    second = await store.commit(Change(sessions=[session(title="new")]))

    created, told = first
    assert isinstance(created.event, SessionCreated)
    assert created.event.session.message_count == 1
    assert created.run_id == ""
    assert told.event == notice("n", run_id="")[1]
    assert [item.seq for item in (*first, *second)] == [1, 2, 3]
    assert isinstance(second[0].event, SessionUpdated)
    assert second[0].event.session == await store.session(SID)


async def test_a_change_that_fails_leaves_nothing_behind(store: Store) -> None:
    bad = Change(
        sessions=[session()],
        messages=[message("a"), message("b", session_id="nowhere")],
        events=[notice("n")],
    )

    with pytest.raises(NotFoundError, match="session"):
        await store.commit(bad)

    assert await store.sessions() == []
    assert await store.events(0) == []
    assert (await store.commit(Change(sessions=[session()])))[0].seq == 1


async def test_messages_keep_the_order_of_their_insertion_within_a_second(store: Store) -> None:
    keys = ["c", "a", "b", "0"]
    for key in keys:
        await store.commit(Change(sessions=[session()], messages=[message(key, at=7)]))
    await store.commit(Change(messages=[message("a", text("longer"), at=7)]))

    assert [item.id for item in await store.messages(SID)] == keys


async def test_a_message_is_finished_when_it_has_a_finish(store: Store, data_dir: str) -> None:
    await store.commit(
        Change(
            sessions=[session()],
            messages=[
                message("open", text("…")),
                message("done", FinishPart(Finish(reason="end_turn", time=1234))),
                message("tool", FinishPart(Finish(reason="stop")), role="tool"),
            ],
        )
    )

    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    rows = {str(key): at for key, at in raw.execute("SELECT id, finished_at FROM messages")}
    raw.close()
    assert rows["open"] is None
    assert rows["done"] == 1234
    assert isinstance(rows["tool"], int)


async def test_sub_agents_are_left_out_of_the_list_and_the_newest_write_leads(store: Store) -> None:
    a, b = session("a"), session("b")
    child = session("m1$$call", parent="a")
    await store.commit(Change(sessions=[a]))
    await store.commit(Change(sessions=[b]))
    await store.commit(Change(sessions=[child]))
    assert [item.id for item in await store.sessions()] == ["b", "a"]

    await store.commit(Change(messages=[message("m1", session_id="a")]))

    assert [item.id for item in await store.sessions(limit=1)] == ["a"]


async def test_there_is_no_last_session_in_an_empty_store(store: Store) -> None:
    assert await store.sessions(limit=1) == []


async def test_what_is_not_there_is_named_in_the_error(store: Store) -> None:
    with pytest.raises(NotFoundError, match="'no-session'"):
        await store.session(SessionId("no-session"))
    with pytest.raises(NotFoundError, match="'no-run'"):
        await store.run(RunId("no-run"))
    with pytest.raises(NotFoundError, match="'no-session'"):
        await store.snapshot(SessionId("no-session"))


async def test_a_snapshot_holds_all_that_is_open_and_the_cursor_it_is_true_at(
    store: Store,
) -> None:
    await store.accept(records.acceptance("done"), idempotency_key="")
    await store.commit(Change(events=[records.ended(records.run("done", state="done"))]))
    await store.accept(records.acceptance(), idempotency_key="")
    asked = Pending(run_id=RID, request=records.permission(), asked_at_ms=5)
    form = PendingQuestion(run_id=RID, request=records.question(), asked_at_ms=6)
    committed = await store.commit(
        Change(
            messages=[message("a", text("hi"))],
            asked=[asked],
            questions=[form],
            events=[notice("last")],
        )
    )

    snapshot = await store.snapshot(SID)

    assert snapshot.session == await store.session(SID)
    assert [item.id for item in snapshot.messages] == ["a"]
    assert [item.id for item in snapshot.runs] == [RID]
    assert snapshot.pending == [asked]
    assert snapshot.questions == [form]
    assert (snapshot.epoch, snapshot.seq) == (store.epoch, committed[-1].seq)


async def test_an_answered_form_no_longer_waits(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="")
    form = PendingQuestion(run_id=RID, request=records.question(), asked_at_ms=5)
    asked = Pending(run_id=RID, request=records.permission(), asked_at_ms=5)
    await store.commit(Change(questions=[form], asked=[asked]))
    assert await store.questions() == [form]

    await store.commit(Change(answered=[form.request.id]))

    assert await store.questions() == []
    assert await store.pending() == [asked]


async def test_a_todo_list_replaces_the_one_before_and_is_told_once(store: Store) -> None:
    await store.commit(Change(sessions=[session()]))
    todos = [Todo(content="look", status="pending", active_form="looking")]
    usage = SessionUsage(session_id=SID, prompt_tokens=1, completion_tokens=2, cost=0.5)

    committed = await store.commit(
        Change(
            usage=[usage],
            todos=[
                TodoList(session_id=SID, todos=()),
                TodoList(session_id=SID, todos=todos),
                TodoList(session_id=SessionId("gone"), todos=todos),
            ],
        )
    )

    (updated,) = [item.event for item in committed]
    assert isinstance(updated, SessionUpdated)
    assert updated.session == await store.session(SID)
    assert (updated.session.todos, updated.session.cost) == (todos, 0.5)

    await store.commit(Change(todos=[TodoList(session_id=SID, todos=())]))
    assert (await store.session(SID)).todos is None


async def test_an_answered_permission_no_longer_waits(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="")
    first, second = (
        Pending(run_id=RID, request=records.permission(key), asked_at_ms=1) for key in ("z", "a")
    )
    await store.commit(Change(asked=[first, second]))
    assert await store.pending() == [first, second]

    await store.commit(Change(answered=[PermissionId("z")]))

    assert await store.pending() == [second]


async def test_a_read_is_known_with_its_digest_and_seen_by_crush(
    store: Store, data_dir: str
) -> None:
    first = FileRead(session_id=SID, path="a.py", digest="aa", read_at=10)
    second = FileRead(session_id=SID, path="a.py", digest="bb", read_at=20)
    await store.commit(Change(sessions=[session()], reads=[first]))
    await store.commit(Change(reads=[second]))
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    assert raw.execute("SELECT path, read_at FROM read_files").fetchall() == [("a.py", 20)]
    raw.execute("INSERT INTO read_files VALUES (?, 'by-crush.py', 30)", (SID,))
    raw.close()

    assert await store.file_reads(SID) == [
        second,
        FileRead(session_id=SID, path="by-crush.py", digest="", read_at=30),
    ]


async def test_usage_replaces_the_tokens_adds_the_cost_and_touches_nothing_else(
    store: Store,
) -> None:
    await store.commit(Change(sessions=[session(title="kept")]))
    usage = SessionUsage(session_id=SID, prompt_tokens=10, completion_tokens=2, cost=0.25)
    gone = SessionUsage(
        session_id=SessionId("gone"), prompt_tokens=1, completion_tokens=1, cost=1.0
    )

    await store.commit(Change(usage=[usage, usage]))
    told, last = await store.commit(
        Change(usage=[usage, gone], events=[notice("after", run_id="")])
    )

    assert isinstance(told.event, SessionUpdated)
    assert told.event.session == await store.session(SID)
    assert last.event == notice("after", run_id="")[1]
    found = told.event.session
    assert (found.title, found.prompt_tokens, found.completion_tokens) == ("kept", 10, 2)
    assert found.cost == pytest.approx(0.75)


async def test_the_words_of_a_prompt_are_not_kept_beyond_its_run(
    store: Store, data_dir: str
) -> None:
    change = msgspec.structs.replace(
        records.acceptance(), prompts=[QueuedPrompt(run_id=RID, parts=[text("words")])]
    )
    await store.accept(change, idempotency_key="")
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    assert b"words" in (raw.execute("SELECT prompt FROM py_runs").fetchone() or (b"",))[0]

    await store.commit(Change(events=[records.ended(records.run(state="done"))]))

    assert raw.execute("SELECT prompt FROM py_runs").fetchone() == (None,)
    raw.close()


async def test_a_deleted_session_takes_its_family_with_it(store: Store, data_dir: str) -> None:
    await store.accept(records.acceptance(), idempotency_key="")
    child = "m1$$call"
    await store.commit(
        Change(
            sessions=[session(child, parent=SID), session(f"{child}$$2", parent=child)],
            messages=[message("m1"), message("m2", session_id=child)],
            reads=[FileRead(session_id=SID, path="a", digest="d")],
            events=[records.ended(records.run(state="done"))],
        )
    )
    await store.commit(Change(sessions=[session("other")]))

    await store.commit(Change(deleted=[SID]))

    assert [item.id for item in await store.sessions()] == ["other"]
    left = await store.events(0)
    assert left is not None
    assert {item.event.session_id for item in left} == {"other"}
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    for table in ("messages", "py_message_order", "py_runs", "read_files", "py_read_digests"):
        assert raw.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,), table  # noqa: S608
    assert raw.execute("SELECT count(*) FROM py_session_order").fetchone() == (1,)
    raw.close()


async def test_a_busy_session_is_not_deleted(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="")

    with pytest.raises(ConflictError, match="busy"):
        await store.commit(Change(deleted=[SID]))

    assert (await store.session(SID)).id == SID


async def test_a_run_ends_once(store: Store) -> None:
    await store.accept(records.acceptance(), idempotency_key="")
    done = records.run(state="done")
    await store.commit(Change(runs=[done], events=[records.ended(done)]))

    with pytest.raises(ConflictError, match=RID):
        await store.commit(Change(events=[records.ended(done)]))
    with pytest.raises(ConflictError, match=RID):
        await store.commit(Change(runs=[records.run(state="running")]))

    assert await store.run(RID) == done
    log = await store.events_of_run(RID, 0)
    assert log is not None
    assert [type(item.event) for item in log].count(RunComplete) == 1


async def test_a_run_that_was_never_accepted_cannot_end(store: Store) -> None:
    await store.commit(Change(sessions=[session()]))

    with pytest.raises(ConflictError):
        await store.commit(Change(events=[records.ended(records.run(state="done"))]))


async def test_a_commit_is_not_cut_by_cancellation(store: Store) -> None:
    committed: list[int] = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        committed += [item.seq for item in await store.commit(Change(sessions=[session()]))]

    assert committed == [1]
    assert (await store.session(SID)).title == "a title"


async def test_sessions_are_found_by_id_and_by_a_prefix_of_their_short_id(store: Store) -> None:
    keys = [f"00000000-0000-0000-0000-{number:012}" for number in range(40)]
    await store.commit(Change(sessions=[session(key) for key in keys]))
    await store.commit(Change(sessions=[session("m$$c", parent=keys[0])]))

    assert [item.id for item in await store.find_sessions(keys[3])] == [keys[3]]
    assert [item.id for item in await store.find_sessions("m$$c")] == ["m$$c"]
    assert await store.find_sessions("") == []
    assert await store.find_sessions("zzz") == []
    by_first_character = [
        item.id for digit in "0123456789abcdef" for item in await store.find_sessions(digit)
    ]
    assert sorted(by_first_character) == keys


async def test_a_closed_store_says_so(store: Store) -> None:
    await store.close()

    with pytest.raises(StoreError, match="closed"):
        await store.sessions()
    with pytest.raises(StoreError, match="closed"):
        await store.commit(Change(sessions=[session()]))


async def test_close_waits_for_what_was_handed_over(open_store: OpenStore) -> None:
    store = await open_store()
    async with anyio.create_task_group() as tasks:
        for number in range(20):
            tasks.start_soon(store.commit, Change(sessions=[session(f"s{number}")]))
        await anyio.lowlevel.checkpoint()
        tasks.start_soon(store.close)

    again = await open_store()
    assert len(await again.sessions()) == 20


async def test_nothing_blocks_the_event_loop(tmp_path: Path) -> None:
    with blockbuster_ctx():
        registry = await Registry.open(str(tmp_path / "state" / "registry.db"))
        store = await Store.open(
            str(tmp_path / ".crush"), owner="o", registry=registry, limits=Limits()
        )
        await store.accept(records.acceptance(), idempotency_key="k")
        await store.commit(Change(events=[records.ended(records.run(state="done"))]))
        await store.snapshot(SID)
        await store.close()
        await registry.close()

    assert "crush.db" in os.listdir(tmp_path / ".crush")


async def test_the_data_directory_is_private_and_ignored_by_git(
    store: Store, data_dir: str
) -> None:
    await store.commit(Change(sessions=[session()]))

    assert stat.S_IMODE(os.stat(data_dir).st_mode) == 0o700
    for name in ("crush.db", "crush.db-wal", "crush.lock"):
        assert stat.S_IMODE(os.stat(os.path.join(data_dir, name)).st_mode) == 0o600, name
    assert content_of(os.path.join(data_dir, ".gitignore")) == b"*\n"


async def test_an_existing_gitignore_is_kept(open_store: OpenStore, data_dir: str) -> None:
    os.makedirs(data_dir)
    write_file(os.path.join(data_dir, ".gitignore"), b"*\n!skills/\n")

    await open_store()

    assert content_of(os.path.join(data_dir, ".gitignore")) == b"*\n!skills/\n"


async def test_the_pragmas_are_those_of_the_format(store: Store) -> None:
    def pragmas(connection: apsw.Connection) -> list[object]:
        names = ("journal_mode", "foreign_keys", "secure_delete", "synchronous", "page_size")
        return [connection.pragma(name) for name in names]

    assert await store._database.write(pragmas) == ["wal", 1, 1, 1, 4096]
    assert await store._database.write(pragmas, durable=True) == ["wal", 1, 1, 2, 4096]
