"""Disks and directories that do not do what they should: a StoreError with a hint, nothing lost."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import anyio
import anyio.lowlevel
import apsw
import pytest

from crush.errors import StoreError
from crush.store import db
from crush.store.change import Change
from crush.store.db import Database
from crush.store.directory import is_local
from crush.store.store import Store
from tests.store import records
from tests.store.children import child, read_line
from tests.store.conftest import OpenStore
from tests.store.records import SID, content_of, message, session, text, write_file


async def test_a_file_in_the_place_of_the_directory(open_store: OpenStore, tmp_path: Path) -> None:
    write_file(str(tmp_path / "file"), b"kept")

    for path in (tmp_path / "file", tmp_path / "file" / ".crush"):
        with pytest.raises(StoreError, match="file") as refused:
            await open_store(path=str(path))
        assert "move it away" in refused.value.hint

    assert content_of(str(tmp_path / "file")) == b"kept"


async def test_a_directory_in_the_place_of_the_database(
    open_store: OpenStore, data_dir: str
) -> None:
    os.makedirs(os.path.join(data_dir, "crush.db"))

    with pytest.raises(StoreError, match=r"crush\.db") as refused:
        await open_store()

    assert refused.value.hint


async def test_a_database_that_is_a_symbolic_link_is_not_followed(
    open_store: OpenStore, data_dir: str, tmp_path: Path
) -> None:
    victim = str(tmp_path / "victim.db")
    write_file(victim, b"")
    os.makedirs(data_dir)
    os.symlink(victim, os.path.join(data_dir, "crush.db"))

    with pytest.raises(StoreError):
        await open_store()

    assert content_of(victim) == b""


async def test_what_is_not_a_database_is_left_alone(open_store: OpenStore, data_dir: str) -> None:
    os.makedirs(data_dir)
    path = os.path.join(data_dir, "crush.db")
    write_file(path, b"this is my diary " * 500)

    with pytest.raises(StoreError, match="not a database") as refused:
        await open_store()

    assert "backups" in refused.value.hint
    assert content_of(path) == b"this is my diary " * 500


async def test_a_damaged_database_is_told_from_a_healthy_one(
    open_store: OpenStore, data_dir: str
) -> None:
    store = await open_store()
    await store.commit(Change(sessions=[session()], messages=[message("m", text("x" * 50_000))]))
    await store.close()
    path = os.path.join(data_dir, "crush.db")
    whole = content_of(path)
    write_file(path, whole[:100] + b"\xff" * 4000 + whole[4100:])

    with pytest.raises(StoreError, match="damaged") as refused:
        await open_store()

    assert "backups" in refused.value.hint


async def test_a_full_disk_fails_one_step_and_loses_nothing(store: Store) -> None:
    await store.commit(Change(sessions=[session()], messages=[message("kept", text("x"))]))
    pages = await store._database.write(lambda c: c.pragma("page_count"))
    await store._database.write(lambda c: c.pragma("max_page_count", pages))
    big = Change(
        sessions=[session(title="never")],
        messages=[message("big", text("x" * 1_000_000))],
        events=[records.notice("never", run_id="")],
    )

    with pytest.raises(StoreError, match="disk is full") as refused:
        await store.commit(big)

    assert "lost" in refused.value.hint
    assert (await store.session(SID)).title == "a title"
    assert [item.id for item in await store.messages(SID)] == ["kept"]
    await store._database.write(lambda c: c.pragma("max_page_count", 1_000_000))
    assert [item.seq for item in await store.commit(big)] == [2, 3]


READ_ONLY = """
import os, sys
import anyio
from crush.errors import StoreError
from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.store import Store

async def main(directory, uid):
    registry = await Registry.open(directory + "/registry.db")
    if os.getuid() == 0:
        os.setuid(int(uid))  # only now: everything is imported
    try:
        await Store.open(directory + "/project/.crush", owner="o", registry=registry, limits=Limits())
    except StoreError as exc:
        print(repr((exc.message, exc.hint)), flush=True)
    await registry.close()

anyio.run(main, *sys.argv[1:3])
"""
NOBODY = 65534


@pytest.fixture
def shared_directory() -> Iterator[str]:
    """A directory that another user may enter, unlike pytest's own."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)  # noqa: S103 - that is the point
        yield directory


@pytest.mark.skipif(sys.platform == "win32", reason="modes of POSIX")
@pytest.mark.parametrize("what", ["directory", "database"])
def test_a_place_that_cannot_be_written_is_named_with_a_hint(
    shared_directory: str, what: str
) -> None:
    project = os.path.join(shared_directory, "project")
    os.mkdir(project)
    if what == "database":
        os.mkdir(os.path.join(project, ".crush"))
        write_file(os.path.join(project, ".crush", "crush.db"), b"")
    os.chmod(project, 0o555)  # noqa: S103 - readable, which is the point

    with child("-c", READ_ONLY, shared_directory, str(NOBODY)) as process:
        answer = read_line(process)

    os.chmod(project, 0o755)  # noqa: S103 - so that it can be removed
    assert project in answer
    assert "Permission denied" in answer
    assert "Check owner and mode" in answer


@pytest.fixture
def no_shared_memory() -> Iterator[None]:
    """A file system like that of a network: SQLite finds no shared memory on it."""
    vfs = apsw.VFS("no-shared-memory", base="unix-dotfile", makedefault=True)
    yield
    vfs.unregister()


@pytest.mark.usefixtures("no_shared_memory")
async def test_without_shared_memory_it_works_with_a_rollback_journal_and_says_so(
    open_store: OpenStore, caplog: pytest.LogCaptureFixture
) -> None:
    store = await open_store()

    await store.accept(records.acceptance(), idempotency_key="k")
    await store.commit(Change(messages=[message("m", text("x"))]))

    assert "no write-ahead log" in caplog.text
    assert [item.id for item in await store.messages(SID)] == ["m"]
    level = await store._database.write(lambda c: c.pragma("synchronous"))
    assert level == 2


async def test_a_database_that_moved_to_a_network_keeps_its_content(tmp_path: Path) -> None:
    path = str(tmp_path / "x.db")
    write_file(path, b"")
    local, _ = await Database.open(path, prepare=lambda c: c.execute("CREATE TABLE t (x)"))
    await local.write(lambda c: c.execute("INSERT INTO t VALUES (7)"))
    await local.close()

    remote, mode = await Database.open(
        path, prepare=lambda c: c.pragma("journal_mode"), local=False
    )

    assert mode == "delete"
    await remote.write(lambda c: c.execute("INSERT INTO t VALUES (8)"))
    assert await remote.read(lambda c: c.execute("SELECT x FROM t").fetchall()) == [(7,), (8,)]
    other = apsw.Connection(path)  # it is not locked exclusively
    assert other.execute("SELECT count(*) FROM t").fetchone() == (2,)
    other.close()
    await remote.close()


async def test_a_project_that_is_moved_while_it_is_open_loses_nothing(
    open_store: OpenStore, data_dir: str
) -> None:
    store = await open_store()
    await store.commit(Change(sessions=[session()]))
    os.rename(data_dir, f"{data_dir}-moved")
    os.makedirs(data_dir)
    await store.commit(Change(sessions=[session("later")]))

    with pytest.raises(StoreError):
        await store.sessions()

    await store.close()
    moved = await open_store(path=f"{data_dir}-moved")
    assert {item.id for item in await moved.sessions()} == {SID, "later"}


async def test_a_replaced_database_is_not_read_in_the_place_of_ours(
    open_store: OpenStore, data_dir: str
) -> None:
    store = await open_store()
    await store.commit(Change(sessions=[session()]))
    path = os.path.join(data_dir, "crush.db")
    os.rename(path, f"{path}.old")
    write_file(path, b"")

    with pytest.raises(StoreError, match="moved, replaced or removed"):
        await store.sessions()


async def test_a_commit_waits_for_another_program_to_finish_its_own(
    store: Store, data_dir: str
) -> None:
    await store.commit(Change(sessions=[session()]))
    crush = apsw.Connection(os.path.join(data_dir, "crush.db"))
    crush.execute("BEGIN IMMEDIATE")
    records.insert_like_crush(crush, SID, ["theirs"])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(store.commit, Change(messages=[message("ours")]))
        await anyio.lowlevel.checkpoint()
        assert await store.messages(SID) == []
        crush.execute("COMMIT")
    crush.close()

    assert [item.id for item in await store.messages(SID)] == ["theirs", "ours"]


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /home rw - nfs4 server:/home rw,vers=4.2
31 30 0:41 / /home/me/local\\040disk rw - xfs /dev/sdb1 rw
32 22 0:42 / /mnt/ssh rw - fuse.sshfs me@host: rw
"""


@pytest.mark.parametrize(
    ("path", "local"),
    [
        ("/srv/p/.crush/crush.db", True),
        ("/home/me/.crush/crush.db", False),
        ("/homeless/.crush/crush.db", True),
        ("/home/me/local disk/crush.db", True),
        ("/mnt/ssh/x/crush.db", False),
    ],
)
def test_network_file_systems_are_known_by_their_mount(path: str, *, local: bool) -> None:
    assert is_local(path, MOUNTS) is local


def test_a_system_without_a_list_of_mounts_counts_as_local() -> None:
    assert is_local("/home/me/.crush/crush.db", "")


ENDLESS_TRIGGER = """
CREATE TRIGGER evil AFTER INSERT ON messages BEGIN
    UPDATE sessions SET title = 'evil' WHERE id IN (
        WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT x FROM r WHERE x < 0
    );
END
"""
ENDLESS_VIEW = """
CREATE VIEW py_runs AS
WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r)
SELECT x AS seq, x AS id, x AS session_id, 'o' AS owner, 0 AS completed, x AS body
FROM r WHERE x < 0
"""


async def test_a_trigger_that_never_ends_is_ended(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database can come with a repository; its writer must stay ours, or the server never ends."""
    monkeypatch.setattr(db, "JOB_WITHIN_S", 0.2)
    await store.commit(Change(sessions=[session()]))
    await store._database.write(lambda c: c.execute(ENDLESS_TRIGGER))

    with pytest.raises(StoreError, match="too long") as refused:
        await store.commit(Change(messages=[message("m", text("x"))]))

    assert "triggers" in refused.value.hint
    assert await store.messages(SID) == []


async def test_a_view_in_the_place_of_a_table_cannot_hold_the_opening(
    open_store: OpenStore, data_dir: str
) -> None:
    await (await open_store()).close()
    with closing(apsw.Connection(os.path.join(data_dir, "crush.db"))) as hostile:
        hostile.execute("DROP TABLE py_runs")
        hostile.execute(ENDLESS_VIEW)

    with pytest.raises(StoreError, match="view 'py_runs'"):
        await open_store()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
async def test_a_data_directory_that_a_stranger_planted_is_not_used(
    open_store: OpenStore, tmp_path: Path
) -> None:
    os.chmod(tmp_path, 0o1777)  # noqa: S103 - that is what it is about
    planted = tmp_path / ".crush"
    planted.mkdir(mode=0o777)
    os.chown(planted, 4242, 4242)

    with pytest.raises(StoreError, match="belongs to uid 4242") as refused:
        await open_store(path=str(planted))

    assert "--data-dir" in refused.value.hint
    assert os.listdir(planted) == []
