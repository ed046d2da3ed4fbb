"""A `crush.db` that came with a repository runs nothing, and damages nothing."""

import os
import shutil
from collections.abc import Iterator
from contextlib import closing

import apsw
import pytest

from crush.errors import StoreError
from crush.store import crush_schema, foreign
from crush.store.change import Change, Pending, PendingQuestion, QueuedPrompt
from crush.store.health import examine
from crush.store.registry import Registry
from crush.wire.ids import RunId
from tests.store.conftest import OpenStore
from tests.store.records import (
    SID,
    acceptance,
    make_crush_database,
    message,
    permission,
    question,
    run,
    session,
    text,
    updated,
)


@pytest.fixture
def db_path(data_dir: str) -> str:
    os.makedirs(data_dir)
    path = os.path.join(data_dir, "crush.db")
    make_crush_database(path, steps=7)
    return path


@pytest.fixture
def hostile(db_path: str) -> Iterator[apsw.Connection]:
    with closing(apsw.Connection(db_path)) as connection:
        yield connection


SURPRISES = {
    "a trigger": (
        "CREATE TRIGGER evil AFTER INSERT ON messages BEGIN DELETE FROM sessions; END",
        "trigger 'evil'",
    ),
    "a trigger under a known name": (
        (
            "DROP TRIGGER update_files_updated_at;"
            "CREATE TRIGGER update_files_updated_at AFTER UPDATE ON files BEGIN"
            " UPDATE files SET content = load_extension('x') WHERE id = new.id; END"
        ),
        "trigger 'update_files_updated_at'",
    ),
    "a known trigger that does more": (
        (
            "DROP TRIGGER update_files_updated_at;"
            "CREATE TRIGGER update_files_updated_at AFTER UPDATE ON files BEGIN"
            " UPDATE files SET updated_at = strftime('%s', 'now') WHERE id = new.id;"
            " DELETE FROM sessions; END"
        ),
        "trigger 'update_files_updated_at'",
    ),
    "one of ours with another body": (
        (
            "CREATE TRIGGER py_message_order_insert AFTER INSERT ON messages BEGIN"
            " DELETE FROM messages; END"
        ),
        "trigger 'py_message_order_insert'",
    ),
    "a view": ("CREATE VIEW v AS SELECT 1", "view 'v'"),
    "a view in the place of a table": (
        "DROP TABLE read_files; CREATE VIEW read_files AS SELECT * FROM files",
        "view 'read_files'",
    ),
    "a virtual table": ("CREATE VIRTUAL TABLE f USING fts5(x)", "virtual table 'f'"),
    "a generated column": (
        "ALTER TABLE files ADD COLUMN more AS (hex(content))",
        "generated column 'files'.'more'",
    ),
    "a trigger behind a comment": (
        "CREATE TRIGGER/* */evil AFTER INSERT ON messages BEGIN DELETE FROM sessions; END",
        "trigger 'evil'",
    ),
}


@pytest.mark.parametrize(("sql", "named"), SURPRISES.values(), ids=list(SURPRISES))
async def test_what_would_run_by_itself_is_refused_by_name(
    open_store: OpenStore, hostile: apsw.Connection, db_path: str, sql: str, named: str
) -> None:
    hostile.execute(sql)
    hostile.close()

    with pytest.raises(StoreError) as refused:
        await open_store()

    assert named in refused.value.message
    assert "move the file away" in refused.value.hint
    with closing(apsw.Connection(db_path)) as connection:
        assert not connection.table_exists("main", "py_runs")
    with pytest.raises(StoreError, match="no crush has made"):
        examine(db_path, within_s=5)


async def test_it_is_refused_too_when_it_came_into_a_known_database(
    open_store: OpenStore, db_path: str
) -> None:
    await (await open_store()).close()
    with closing(apsw.Connection(db_path)) as connection:
        connection.execute("CREATE VIEW v AS SELECT 1")
    with pytest.raises(StoreError, match="view 'v'"):
        await open_store()


@pytest.mark.parametrize(
    "sql",
    [
        (
            "create trigger [update_files_updated_at]\n\tafter UPDATE on `files` -- so\nfor each row"
            ' begin update "files" set updated_at=/* now */unixepoch() where id=new.id;END'
        ),
        (
            "CREATE TRIGGER update_files_updated_at AFTER UPDATE ON files BEGIN UPDATE files SET"
            " updated_at = strftime('%s', 'now') * 1000 WHERE rowid = new.rowid; END"
        ),
    ],
)
async def test_another_crush_may_say_the_same_in_other_words(
    open_store: OpenStore, hostile: apsw.Connection, sql: str
) -> None:
    hostile.execute("DROP TRIGGER update_files_updated_at")
    hostile.execute(sql)
    hostile.close()
    store = await open_store()
    assert [one.id for one in await store.sessions()] == ["old"]


@pytest.mark.parametrize("steps", range(1, len(crush_schema.STEPS) + 1))
async def test_no_database_of_a_crush_or_of_ours_is_refused(
    open_store: OpenStore, data_dir: str, steps: int
) -> None:
    os.makedirs(data_dir)
    make_crush_database(os.path.join(data_dir, "crush.db"), steps=steps)
    await (await open_store()).close()
    store = await open_store()
    await store.commit(Change(messages=[message("new", text("x"), session_id="old")]))


def damage(path: str) -> None:
    """A page in the middle overwritten, as a crafted file could have it."""
    with closing(apsw.Connection(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")
        for number in range(400):
            connection.execute(
                "INSERT INTO messages (id, session_id, role, parts, created_at, updated_at)"
                " VALUES (?, 'old', 'user', ?, 1, 1)",
                (f"more-{number}", "x" * 400),
            )
        root = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'idx_messages_session_id'"
        ).get
        page = connection.pragma("page_size")
    with open(path, "r+b") as file:
        file.seek((root - 1) * page)
        file.write(b"\x05\x00" + b"\xff" * 200)


async def test_a_damaged_file_is_found_before_it_is_used(
    open_store: OpenStore, db_path: str
) -> None:
    damage(db_path)
    with pytest.raises(StoreError, match="damaged"):
        await open_store()


async def test_a_file_is_checked_once_and_again_when_another_takes_its_place(
    open_store: OpenStore,
    registry: Registry,
    db_path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    checked: list[str] = []
    monkeypatch.setattr(
        "crush.store.store.check_whole", lambda _connection, path: checked.append(path)
    )
    for _ in range(2):
        await (await open_store()).close()
    assert checked == [db_path]
    assert await registry.knows(db_path)

    shutil.copy(db_path, f"{db_path}-copy")
    os.replace(f"{db_path}-copy", db_path)
    assert not await registry.knows(db_path)
    await (await open_store()).close()
    assert checked == [db_path, db_path]


@pytest.mark.parametrize("owner", ["somebody", "", "this server's twin"])
async def test_runs_that_came_with_it_are_never_started(
    open_store: OpenStore, data_dir: str, tmp_path: os.PathLike[str], owner: str
) -> None:
    shipped = os.path.join(tmp_path, "shipped")
    author = await open_store(path=shipped, owner=owner or "x")
    await author.accept(acceptance("run-live"), idempotency_key="")
    queued = run("run-queued")
    await author.accept(
        Change(
            runs=[queued],
            prompts=[QueuedPrompt(run_id=queued.id, parts=[text("rm -rf ~")])],
            events=[updated(queued)],
        ),
        idempotency_key="",
    )
    await author.commit(Change(asked=[Pending(run_id=RunId("run-live"), request=permission())]))
    await author.close()
    shutil.copytree(shipped, data_dir)
    os.unlink(os.path.join(data_dir, "crush.lock"))
    if not owner:
        with closing(apsw.Connection(os.path.join(data_dir, "crush.db"))) as connection:
            connection.execute("UPDATE py_runs SET owner = ''")

    store = await open_store()

    states = {one.id: one.state for one in await store.runs_of(SID)}
    assert states == {RunId("run-live"): "interrupted", RunId("run-queued"): "interrupted"}
    assert await store.unfinished_runs() == []
    assert await store.pending() == []


async def test_requests_that_came_with_it_and_wait_for_nobody_are_forgotten(
    open_store: OpenStore, data_dir: str, tmp_path: os.PathLike[str]
) -> None:
    shipped = os.path.join(tmp_path, "shipped")
    author = await open_store(path=shipped)
    await author.commit(Change(sessions=[session()]))
    stray = Pending(run_id=RunId("no run"), request=permission())
    form = PendingQuestion(run_id=RunId("no run"), request=question())
    await author.commit(Change(asked=[stray], questions=[form]))
    await author.close()
    shutil.copytree(shipped, data_dir)
    os.unlink(os.path.join(data_dir, "crush.lock"))

    store = await open_store()

    assert await store.pending() == []
    assert await store.questions() == []


def test_the_words_of_our_own_triggers_are_known_in_every_version() -> None:
    assert len(foreign._our_triggers()) == 10
