"""Small JSON files of the user state (architecture §4): private, locked while they change, whole.

A file that cannot be believed — broken, a link, another user's — counts as empty and is set aside: it
must neither stop a run nor give anything. Blocking.
"""

import contextlib
import os
import secrets
import stat
import sys
import time
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

import msgspec
from msgspec import Struct

from crush.errors import StartError, StoreError
from crush.launch.lock import try_lock

T = TypeVar("T")

_MAX_BYTES = 16 * 1024 * 1024
_LOCK_WITHIN_S = 5.0
_LOOK_EVERY_S = 0.005
_FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


class Loaded(Struct, Generic[T], frozen=True):
    """What a file holds; `notice` says for a person why it does not count, "" if it does."""

    value: T
    notice: str = ""


class StateFile(Generic[T]):
    """One file of the user state that holds a `kind` as JSON."""

    def __init__(self, path: str, *, kind: type[T], empty: T) -> None:
        self._path = path
        self._kind = kind
        self._empty = empty

    def load(self) -> Loaded[T]:
        """Never raises: what cannot be read is not there."""
        try:
            return Loaded(self._read())
        except StoreError as exc:
            reason = exc.message
        try:
            return self._set_aside()
        except StoreError:
            return Loaded(self._empty, f"{reason}; it does not count")

    def change(self, edit: Callable[[T], T]) -> None:
        """Replace the content by what `edit` makes of it. Raises StoreError if it cannot be kept."""
        make_state_dir(os.path.dirname(self._path))
        with locked(self._path):
            try:
                before = self._read()
            except StoreError:
                self._move_away()
                before = self._empty
            after = edit(before)
            if after != before:
                data = msgspec.json.format(msgspec.json.encode(after), indent=1)
                if len(data) > _MAX_BYTES:  # it would not be read again
                    raise StoreError(f"{self._path}: would become too large")
                self._replace(data)

    def _read(self) -> T:
        try:
            descriptor = open_private(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return self._empty
        except OSError as exc:
            raise StoreError(f"{self._path}: {exc.strerror}") from exc
        with open(descriptor, "rb") as file:
            data = file.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise StoreError(f"{self._path}: too large")
        try:
            return msgspec.json.decode(data, type=self._kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
            raise StoreError(f"{self._path}: cannot be read: {exc}") from exc

    def _set_aside(self) -> Loaded[T]:
        make_state_dir(os.path.dirname(self._path))
        with locked(self._path):
            try:
                return Loaded(self._read())  # somebody has mended it meanwhile
            except StoreError as exc:
                self._move_away()
                aside = f"it does not count and was renamed to {self._aside!r}"
                return Loaded(self._empty, f"{exc.message}; {aside}")

    @property
    def _aside(self) -> str:
        return f"{self._path}.broken"

    def _move_away(self) -> None:
        try:
            os.replace(self._path, self._aside)
        except OSError as exc:
            raise StoreError(f"{self._path}: {exc.strerror}") from exc

    def _replace(self, data: bytes) -> None:
        directory, name = os.path.split(self._path)
        temporary = os.path.join(directory, f".{name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, 0o600)
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(temporary, self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
                raise
            _sync_directory(directory)
        except OSError as exc:
            raise StoreError(f"{self._path}: {exc.strerror}") from exc


def make_state_dir(path: str) -> None:
    """The directory, ours and 0700. Raises StoreError if it is not or cannot be."""
    try:
        os.makedirs(path, mode=0o700, exist_ok=True)
        if sys.platform == "win32":
            return
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            info = os.fstat(descriptor)
            if info.st_uid != os.geteuid():
                raise StoreError(f"{path}: belongs to uid {info.st_uid}, not to you")
            if info.st_mode & 0o077:
                os.fchmod(descriptor, 0o700)
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise StoreError(f"{path}: {exc.strerror}") from exc


def open_private(path: str, flags: int) -> int:
    """A descriptor of a regular file that is ours, in a directory that is; 0600 from now on.

    Raises OSError, and StoreError for what is there and not ours.
    """
    descriptor = os.open(path, flags | _FLAGS, 0o600)
    try:
        _require_ours(path, descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _require_ours(path: str, descriptor: int) -> None:
    info = os.fstat(descriptor)
    if not stat.S_ISREG(info.st_mode):
        raise StoreError(f"{path}: not a regular file")
    if sys.platform == "win32":
        return  # access lists are not judged
    for owner in (info.st_uid, os.stat(os.path.dirname(path)).st_uid):
        if owner != os.geteuid():
            raise StoreError(f"{path}: belongs to uid {owner}, not to you")
    if info.st_mode & 0o077:
        os.fchmod(descriptor, 0o600)


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Nobody else changes `path` meanwhile. Raises StoreError if the lock cannot be had in time."""
    end = time.monotonic() + _LOCK_WITHIN_S
    try:
        while (lock := try_lock(f"{path}.lock")) is None:
            if time.monotonic() > end:
                raise StoreError(f"{path}: another process keeps it locked")
            time.sleep(_LOOK_EVERY_S)
    except StartError as exc:
        raise StoreError(exc.message, hint=exc.hint) from exc
    with lock:
        yield


def _sync_directory(path: str) -> None:
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
