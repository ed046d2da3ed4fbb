"""Bytes of a file and the text in them: bounded reading that never blocks, BOM, content digest.

Line endings stay in the text as they are; what an edit does with them is `edit_match`'s.
"""

import codecs
import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from msgspec import Struct

from crush.errors import ToolError
from crush.tools.file_kind import HEAD_BYTES, why_not_text
from crush.tools.open_directory import OpenDirectory, containing

MAX_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024
_KINDS = {
    stat.S_IFLNK: "a link",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class FileBytes(Struct, frozen=True, kw_only=True):
    """A file as it is; `links` counts its hard links."""

    data: bytes
    links: int


class FileText(Struct, frozen=True, kw_only=True):
    """A text file as read. `text` has no BOM; `digest` is the SHA-256 of all bytes."""

    text: str
    bom: bool
    digest: str
    links: int


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def load_text(path: str) -> FileText:
    """The file at a resolved path. Raises ToolError with the reason if it cannot be used."""
    file = load_bytes(path)
    return FileText(
        text=decode_text(file.data, path),
        bom=file.data.startswith(codecs.BOM_UTF8),
        digest=digest_of(file.data),
        links=file.links,
    )


def load_bytes(path: str) -> FileBytes:
    """A regular file that is not too large. Raises ToolError."""
    with open_regular(path) as file:
        return _read(file, path)


def load_entry(directory: OpenDirectory, name: str, path: str) -> FileBytes:
    """As `load_bytes`, in a directory that is open; `path` is for the error."""
    with _opened(directory, name, path) as file:
        return _read(file, path)


@contextlib.contextmanager
def open_regular(path: str) -> Iterator[BinaryIO]:
    """A file at a resolved path, to be read from; no link on the way is followed, nothing waits.

    Raises ToolError for what is not a regular file, and for any OSError meanwhile.
    """
    try:
        parent, name = containing(path)
        with parent as directory, _opened(directory, name, path) as file:
            yield file
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be read: {_reason(exc)}.") from exc


@contextlib.contextmanager
def _opened(directory: OpenDirectory, name: str, path: str) -> Iterator[BinaryIO]:
    # Before opening: opening a device may already do something.
    refuse_irregular(directory.stat(name), path)
    with open(directory.open(name, os.O_RDONLY), "rb") as file:
        refuse_irregular(os.fstat(file.fileno()), path)
        yield file


def exists(path: str) -> bool:
    """Whether anything is at a resolved path, a dangling link included."""
    return os.path.lexists(path)


def refuse_irregular(found: os.stat_result, path: str) -> None:
    """Raises ToolError, with the reason, for what cannot be read like a file."""
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{path!r} is a directory; use ls.")
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no file")
        raise ToolError(f"{path!r} is {kind}, not a regular file.")
    if found.st_dev in _made_up_devices():
        raise ToolError(
            f"{path!r} is made up by the kernel as it is read, without a known end; use bash."
        )


def _made_up_devices() -> set[int]:
    found = set()
    for root in ("/proc", "/sys"):
        with contextlib.suppress(OSError):
            if os.path.ismount(root):
                found.add(os.stat(root).st_dev)
    return found


def _read(file: BinaryIO, path: str) -> FileBytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := file.read(_CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise ToolError(
                f"{path!r} is larger than {MAX_BYTES // _CHUNK} MiB; use grep, or bash for a part."
            )
    return FileBytes(data=b"".join(chunks), links=os.fstat(file.fileno()).st_nlink)


def decode_text(data: bytes, path: str) -> str:
    if why := why_not_text(data[:HEAD_BYTES]):
        raise ToolError(f"{path!r} {why}.")
    if b"\0" in data:
        raise ToolError(f"{path!r} is a binary file.")
    try:
        return data.removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError as exc:
        raise ToolError(f"{path!r} is not UTF-8 text (byte {exc.start}).") from exc


def encode_text(text: str, *, bom: bool) -> bytes:
    try:
        data = text.encode()
    except UnicodeEncodeError as exc:
        raise ToolError("The text contains half of a surrogate pair; it is not Unicode.") from exc
    if len(data) > MAX_BYTES:
        raise ToolError(f"The text is larger than {MAX_BYTES // _CHUNK} MiB.")
    return codecs.BOM_UTF8 + data if bom and not data.startswith(codecs.BOM_UTF8) else data


def _reason(exc: OSError) -> str:
    if exc.errno == errno.ENOENT:
        return "no such file"
    return (exc.strerror or str(exc)).lower()
