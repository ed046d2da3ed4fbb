"""SQLite's and the system's errors as `StoreError`s that say what to do, in one table."""

import errno
import logging

import apsw

from crush.errors import CrushError, NotFoundError, StoreError

_log = logging.getLogger(__name__)

_BY_KIND: tuple[tuple[type[apsw.Error], str, str], ...] = (
    (apsw.FullError, "the disk is full", "Free some space; nothing that was committed is lost."),
    (
        apsw.NotADBError,
        "this is not a database",
        "Move the file away and start again, or put back a copy from the `backups` directory.",
    ),
    (
        apsw.CorruptError,
        "the database is damaged",
        "Stop every crush, keep the file, and put back a copy from the `backups` directory.",
    ),
    (apsw.ReadOnlyError, "the database cannot be written", "Check owner and mode of the file."),
    (
        apsw.CantOpenError,
        "the database cannot be opened",
        "Check that it is a regular file and that its directory can be written.",
    ),
    (
        apsw.BusyError,
        "another program keeps the database locked",
        "Close other programs that have it open, then try again.",
    ),
    (
        apsw.InterruptError,
        "a step took too long and was undone",
        "The file may hold triggers that no crush made: move it away and start again.",
    ),
    (apsw.IOError, "the disk failed", "Check the disk, its free space and its mount options."),
)

_BY_ERRNO = {
    errno.EACCES: "Check owner and mode of the directory.",
    errno.EPERM: "Check owner and mode of the directory.",
    errno.EROFS: "The file system is read-only; set `options.data_directory` to another place.",
    errno.EEXIST: "A file stands where the data directory should be; move it away.",
    errno.ENOTDIR: "A file stands where a directory should be; move it away.",
    errno.ENOSPC: "The disk is full; free some space.",
    errno.EDQUOT: "The quota is used up; free some space.",
    errno.ENOLCK: "This file system has no locks; set `options.data_directory` to a local disk.",
    errno.ENOTSUP: "This file system has no locks; set `options.data_directory` to a local disk.",
    errno.ELOOP: "A symbolic link stands where a file should be; remove it.",
}


def database_error(exc: Exception, path: str) -> CrushError:
    """`exc` in the words of the table; an unknown one of SQLite keeps its own."""
    if getattr(exc, "extendedresult", 0) == apsw.SQLITE_CONSTRAINT_FOREIGNKEY:
        return NotFoundError("the session that this belongs to is gone")
    for kind, message, hint in _BY_KIND:
        if isinstance(exc, kind):
            return StoreError(f"{path}: {message} ({exc})", hint=hint)
    if not isinstance(exc, apsw.Error):
        _log.error("%s: unreadable row", path, exc_info=exc)
        return StoreError(
            f"{path}: holds what no crush has written ({type(exc).__name__}: {exc})",
            hint="Put back a copy from the `backups` directory, or move the file away.",
        )
    return StoreError(f"{path}: {exc}")


def system_error(exc: OSError, path: str) -> StoreError:
    """A directory or file that the system does not let us use."""
    reason = exc.strerror or str(exc)
    return StoreError(f"{path}: {reason}", hint=_BY_ERRNO.get(exc.errno or 0, ""))
