"""Copies of a database before it is migrated: `backups/` beside it, the newest few kept."""

import errno
import os
from datetime import UTC, datetime

import apsw

from crush.store.failures import system_error


def back_up(connection: apsw.Connection, path: str, *, keep: int) -> str:
    """Copy the database by SQLite's backup API; where the copy is."""
    directory = os.path.join(os.path.dirname(path), "backups")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    target = os.path.join(directory, f"crush-{stamp}.db")
    partial = f"{target}.partial"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        _refuse_link(directory)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        _copy(connection, partial)
        os.rename(partial, target)
        _prune(directory, keep)
    except OSError as exc:
        raise system_error(exc, directory) from exc
    return target


def _refuse_link(directory: str) -> None:
    """It may come with a repository, and old copies are removed from where it leads."""
    if os.path.islink(directory):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _copy(connection: apsw.Connection, partial: str) -> None:
    copy = apsw.Connection(partial)
    try:
        with copy.backup("main", connection, "main") as backup:
            while not backup.done:
                backup.step(1000)
        copy.execute("PRAGMA journal_mode=DELETE")  # one file, not three
        # Without its epoch: a database put back from this copy starts a new event log.
        if copy.table_exists("main", "py_meta"):
            copy.execute("DELETE FROM py_meta WHERE key = 'epoch'")
    finally:
        copy.close()


def _prune(directory: str, keep: int) -> None:
    copies = sorted(name for name in os.listdir(directory) if name.startswith("crush-"))
    for name in copies[: max(0, len(copies) - keep)]:
        os.unlink(os.path.join(directory, name))
