"""Bytes of a file and the text in them: bounded reading that never blocks, BOM, content digest.

Line endings stay in the text as they are; what an edit does with them is `edit_match`'s.
"""

import codecs
import errno
import hashlib
import os
import stat

from msgspec import Struct

from crush.errors import ToolError

MAX_BYTES = 16 * 1024 * 1024
_CHUNK = 1024 * 1024


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
    data, links = load_bytes(path)
    return FileText(
        text=_decode(data, path),
        bom=data.startswith(codecs.BOM_UTF8),
        digest=digest_of(data),
        links=links,
    )


def load_bytes(path: str) -> tuple[bytes, int]:
    """Bytes and number of hard links of a regular file."""
    try:
        # Before opening: opening a device may already do something.
        _refuse_irregular(os.lstat(path), path)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
        try:
            found = os.fstat(descriptor)
            _refuse_irregular(found, path)
            return _read_all(descriptor, path), found.st_nlink
        finally:
            os.close(descriptor)
    except OSError as exc:
        raise ToolError(f"{path!r} cannot be read: {_reason(exc)}.") from exc


def exists(path: str) -> bool:
    """Whether anything is at a resolved path, a dangling link included."""
    return os.path.lexists(path)


def _refuse_irregular(found: os.stat_result, path: str) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise ToolError(f"{path!r} is a directory; use ls.")
    if not stat.S_ISREG(found.st_mode):
        raise ToolError(f"{path!r} is not a regular file.")


def _read_all(descriptor: int, path: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := os.read(descriptor, _CHUNK):
        chunks.append(chunk)
        size += len(chunk)
        if size > MAX_BYTES:
            raise ToolError(
                f"{path!r} is larger than {MAX_BYTES // _CHUNK} MiB; use grep, or bash for a part."
            )
    return b"".join(chunks)


def _decode(data: bytes, path: str) -> str:
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ToolError(f"{path!r} is UTF-16 text; only UTF-8 is supported.")
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
