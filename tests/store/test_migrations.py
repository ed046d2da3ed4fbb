import os
from pathlib import Path

import apsw
import pytest

from crush.errors import StoreError
from crush.store import crush_schema, migrations
from crush.store.backup import back_up
from crush.store.change import Change, Limits
from crush.wire.ids import SessionId
from tests.store import records
from tests.store.conftest import OpenStore
from tests.store.records import (
    content_of,
    insert_like_crush,
    make_crush_database,
    message,
    session,
    text,
    write_file,
)

STEPS = range(1, len(crush_schema.STEPS) + 1)
VERSIONS = [0, 20250424200609, 20250515105448, 20250624000000, 20250627000000, 20250810000000]
VERSIONS += [20250812000000, 20260127000000]


@pytest.fixture
def db_path(data_dir: str) -> str:
    os.makedirs(data_dir)
    return os.path.join(data_dir, "crush.db")


def rows(path: str, query: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(path)
    found = [tuple(row) for row in connection.execute(query)]
    connection.close()
    return found


def backups(data_dir: str) -> list[str]:
    directory = os.path.join(data_dir, "backups")
    if not os.path.isdir(directory):
        return []
    return sorted(os.path.join(directory, name) for name in os.listdir(directory))


@pytest.mark.parametrize("steps", STEPS)
async def test_a_database_of_every_crush_is_brought_up_after_a_backup(
    open_store: OpenStore, data_dir: str, db_path: str, steps: int
) -> None:
    make_crush_database(db_path, steps=steps)

    store = await open_store()

    (old,) = await store.sessions()
    assert (old.id, old.title, old.message_count) == ("old", "by Crush", 3)
    assert [item.parts for item in await store.messages(old.id)] == [
        [text("m1")],
        [text("m2")],
        [text("m3")],
    ]
    await store.commit(Change(messages=[message("new", text("x"), session_id="old")]))
    assert (await store.session(old.id)).message_count == 4
    assert rows(db_path, "SELECT content FROM files") == [("before",)]
    query = "SELECT version_id, is_applied FROM goose_db_version ORDER BY id"
    assert rows(db_path, query) == [(version, 1) for version in VERSIONS]
    (copy,) = backups(data_dir)
    assert rows(copy, query) == [(version, 1) for version in VERSIONS[: steps + 1]]
    assert rows(copy, "SELECT id FROM messages ORDER BY rowid") == [("m1",), ("m2",), ("m3",)]
    assert rows(copy, "SELECT 1 FROM sqlite_schema WHERE name LIKE 'py~_%' ESCAPE '~'") == []


@pytest.mark.parametrize("steps", STEPS)
async def test_an_old_database_ends_up_with_the_tables_of_a_new_one(
    open_store: OpenStore, data_dir: str, db_path: str, steps: int
) -> None:
    make_crush_database(db_path, steps=steps)
    await open_store()
    await open_store(path=f"{data_dir}-fresh")

    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name"
    assert rows(db_path, query) == rows(f"{data_dir}-fresh/crush.db", query)


async def test_a_new_database_has_what_goose_expects(open_store: OpenStore, data_dir: str) -> None:
    await open_store()
    path = os.path.join(data_dir, "crush.db")

    assert rows(path, "SELECT id, version_id, is_applied FROM goose_db_version ORDER BY id") == [
        (number, version, 1) for number, version in enumerate(VERSIONS, start=1)
    ]
    info = rows(
        path, "SELECT name, type, \"notnull\", pk FROM pragma_table_info('goose_db_version')"
    )
    assert info == [
        ("id", "INTEGER", 0, 1),
        ("version_id", "INTEGER", 1, 0),
        ("is_applied", "INTEGER", 1, 0),
        ("tstamp", "TIMESTAMP", 0, 0),
    ]
    assert rows(path, "SELECT count(*) FROM goose_db_version WHERE tstamp IS NULL") == [(0,)]
    assert backups(data_dir) == []


async def test_a_database_of_our_first_version_gets_what_came_later(
    open_store: OpenStore, data_dir: str, db_path: str
) -> None:
    make_crush_database(db_path, steps=7)
    connection = apsw.Connection(db_path)
    connection.execute(
        "CREATE TABLE py_migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL,"
        " applied_at INTEGER NOT NULL DEFAULT (strftime('%s', 'now')))"
    )
    migrations.MIGRATIONS[0](connection)
    connection.execute("INSERT INTO py_migrations (number, name) VALUES (1, 'm001')")
    connection.close()

    await open_store()

    assert len(backups(data_dir)) == 1
    numbers = rows(db_path, "SELECT number FROM py_migrations ORDER BY number")
    assert numbers == [(number,) for number in range(1, len(migrations.MIGRATIONS) + 1)]
    assert rows(db_path, "SELECT count(*) FROM py_file_versions") == [(0,)]
    assert rows(db_path, "SELECT count(*) FROM py_questions") == [(0,)]


async def test_a_database_that_is_up_to_date_is_not_backed_up_again(
    open_store: OpenStore, data_dir: str, db_path: str
) -> None:
    make_crush_database(db_path, steps=3)
    first = await open_store()
    await first.close()

    second = await open_store()

    assert second.epoch == first.epoch
    assert len(backups(data_dir)) == 1


async def test_only_the_newest_backups_are_kept(
    open_store: OpenStore, data_dir: str, db_path: str
) -> None:
    for number in range(4):
        make_crush_database(db_path, steps=7)
        store = await open_store(limits=Limits(backups=2))
        await store.commit(Change(sessions=[session(f"s{number}")]))
        await store.close()
        os.unlink(db_path)

    assert len(backups(data_dir)) == 2


async def test_a_newer_crush_is_opened_if_it_still_has_our_columns(
    open_store: OpenStore, db_path: str
) -> None:
    make_crush_database(db_path, steps=7)
    newer = apsw.Connection(db_path)
    newer.execute("ALTER TABLE sessions ADD COLUMN colour TEXT")
    crush_schema.record(newer, 20270101000000)
    newer.close()

    store = await open_store()

    assert [item.id for item in await store.sessions()] == ["old"]


async def test_the_order_is_mended_after_a_crush_that_rebuilt_its_tables(
    open_store: OpenStore, db_path: str
) -> None:
    make_crush_database(db_path, steps=7)
    await (await open_store()).close()
    newer = apsw.Connection(db_path)
    newer.execute(
        "PRAGMA legacy_alter_table = ON;"
        "CREATE TABLE copy AS SELECT * FROM messages; DROP TABLE messages;"
        "ALTER TABLE copy RENAME TO messages"
    )
    newer.execute("CREATE UNIQUE INDEX rebuilt ON messages (id)")
    newer.execute("DELETE FROM messages WHERE id = 'm1'")
    insert_like_crush(newer, "old", ["a-new"])
    newer.close()

    store = await open_store()
    await store.commit(Change(messages=[message("ours", session_id="old")]))

    found = await store.messages(SessionId("old"))
    assert [item.id for item in found] == ["m2", "m3", "a-new", "ours"]


@pytest.mark.parametrize("ours_came_first", [False, True])
async def test_a_newer_crush_without_our_columns_is_refused_and_left_as_it_was(
    open_store: OpenStore, db_path: str, *, ours_came_first: bool
) -> None:
    make_crush_database(db_path, steps=7)
    if ours_came_first:
        await (await open_store()).close()
    newer = apsw.Connection(db_path)
    newer.execute("ALTER TABLE messages RENAME COLUMN provider TO vendor")
    crush_schema.record(newer, 20270101000000)
    newer.close()
    before = rows(db_path, "SELECT sql FROM sqlite_schema")

    with pytest.raises(StoreError, match=r"messages\.provider") as refused:
        await open_store()

    assert "pycrush" in refused.value.hint
    assert rows(db_path, "SELECT sql FROM sqlite_schema") == before


async def test_the_database_of_another_program_is_refused(
    open_store: OpenStore, db_path: str
) -> None:
    other = apsw.Connection(db_path)
    other.execute("CREATE TABLE sessions (id)")
    other.close()

    with pytest.raises(StoreError, match="another program"):
        await open_store()

    assert rows(db_path, "SELECT name FROM sqlite_schema") == [("sessions",)]


async def test_an_empty_file_becomes_a_database(open_store: OpenStore, db_path: str) -> None:
    write_file(db_path, b"")

    store = await open_store()

    assert await store.sessions() == []


async def test_a_copy_put_back_begins_a_new_epoch(
    open_store: OpenStore, data_dir: str, db_path: str
) -> None:
    store = await open_store()
    await store.accept(records.acceptance(), idempotency_key="")
    await store.close()
    os.rename(db_path, f"{data_dir}/kept.db")
    connection = apsw.Connection(f"{data_dir}/kept.db")
    connection.execute("VACUUM INTO ?", (db_path,))
    connection.close()

    restored = await open_store()

    assert restored.epoch != store.epoch
    assert [item.id for item in await restored.sessions()] == [records.SID]


async def test_a_backup_written_over_the_database_begins_a_new_epoch(
    open_store: OpenStore, db_path: str
) -> None:
    store = await open_store()
    await store.commit(Change(sessions=[session("kept")]))
    raw = apsw.Connection(db_path)
    copy = back_up(raw, db_path, keep=1)
    raw.close()
    await store.commit(Change(sessions=[session("lost")]))
    await store.close()
    write_file(db_path, content_of(copy))  # the same inode, as `cp` does it

    restored = await open_store()

    assert restored.epoch != store.epoch
    assert [item.id for item in await restored.sessions()] == ["kept"]


async def test_sessions_of_an_old_database_are_listed_by_their_last_change(
    open_store: OpenStore, db_path: str
) -> None:
    make_crush_database(db_path, steps=7)
    raw = apsw.Connection(db_path)
    for key, updated_at in (("later", 1760000000), ("earlier", 1740000000)):
        raw.execute(
            "INSERT INTO sessions (id, title, updated_at, created_at) VALUES (?, '', ?, 1)",
            (key, updated_at),
        )
    raw.close()

    store = await open_store()

    assert [item.id for item in await store.sessions()] == ["old", "later", "earlier"]
    assert (await store.session(SessionId("later"))).created_at == 1


async def test_copies_are_not_written_where_a_link_of_the_project_leads(
    open_store: OpenStore, data_dir: str, db_path: str, tmp_path: Path
) -> None:
    """Old copies are removed, and what the link leads to may hold files of that name."""
    make_crush_database(db_path, steps=1)
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", os.path.join(data_dir, "backups"))

    with pytest.raises(StoreError, match="backups") as refused:
        await open_store()

    assert "symbolic link" in refused.value.hint
    assert os.listdir(tmp_path / "elsewhere") == []
