"""What one command wrote, both streams as they came: bounded, and read by absolute offset.

A little stays in memory; more goes to a file without a name, which is gone with its descriptor
however the server ends. Beyond the cap the first half stays, and the rest is a ring of the newest.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from typing import IO

import anyio
import anyio.to_thread
from msgspec import Struct

from crush.tools.bounded_output import cut_middle, shorten

CAP_BYTES = 4 * 1024 * 1024
_HEAD_BYTES = CAP_BYTES // 2
_RING_BYTES = CAP_BYTES - _HEAD_BYTES
_MEMORY_BYTES = 64 * 1024
_BYTES_PER_CHARACTER = 4

log = logging.getLogger(__name__)


class Stretch(Struct, frozen=True, kw_only=True):
    """Bytes from `offset` on; `skipped` before it are gone. `is_last`: what follows is not there yet."""

    data: bytes
    offset: int
    skipped: int
    is_last: bool


class OutputFile:
    """`append` and `read` may be called by several tasks; each waits for the others."""

    def __init__(self, *, directory: str) -> None:
        self.size = 0
        self._newlines = 0
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._written = 0  # of the output, from its start, is or was in the file
        self._torn = 0  # of the ring's oldest bytes, which a write that failed has overwritten
        self._failed = False
        self._memory = bytearray()  # the newest
        self._lock = anyio.Lock()

    async def append(self, data: bytes) -> None:
        """Never fails: what the disk does not take is counted and lost."""
        async with self._lock:
            self.size += len(data)
            self._newlines += data.count(b"\n")
            self._memory += data
            if len(self._memory) <= _MEMORY_BYTES:
                return
            if self._failed:
                del self._memory[:-_MEMORY_BYTES]
            else:
                await anyio.to_thread.run_sync(self._spill)

    async def read(self, *, offset: int, limit: int) -> Stretch:
        """At most `limit` bytes from `offset` on, or from the next byte that is kept."""
        async with self._lock:
            return await anyio.to_thread.run_sync(self._read, offset, limit)

    async def text(self, limit: int) -> str:
        """All of it, or its ends, as clean text of at most about `limit` characters."""
        window = limit * _BYTES_PER_CHARACTER
        async with self._lock:
            head = await anyio.to_thread.run_sync(self._read, 0, window)
            if len(head.data) == self.size:
                return shorten(head.data, limit)
            tail = await anyio.to_thread.run_sync(self._read, self.size - window, window)
        return cut_middle(head.data, tail.data, limit, newlines=self._newlines)

    async def close(self) -> None:
        """Give everything back; the output is gone."""
        async with self._lock:
            self._failed = True
            self._written = 0
            self._memory.clear()
            if self._file is not None:
                await anyio.to_thread.run_sync(self._file.close)

    def _spill(self) -> None:
        data = bytes(self._memory)
        try:
            if self._file is None:
                os.makedirs(self._directory, mode=0o700, exist_ok=True)
                self._file = tempfile.TemporaryFile(  # noqa: SIM115 - `close` closes it
                    dir=self._directory, buffering=0
                )
            for place, start, end in _places(self._written, self._written + len(data)):
                _write_at(self._file.fileno(), data[start:end], place)
        except OSError as exc:
            self._failed = True
            self._torn = len(data)
            log.warning("output of a command is not kept in full: %s", exc)
            return
        self._written += len(data)
        self._memory.clear()

    def _pieces(self) -> Iterator[tuple[int, int]]:
        """What is kept, as ranges of the output in order."""
        head = min(self._written, _HEAD_BYTES)
        yield 0, head
        yield max(head, self._written - _RING_BYTES + self._torn), self._written
        yield self.size - len(self._memory), self.size

    def _read(self, offset: int, limit: int) -> Stretch:
        start = at = min(max(offset, 0), self.size)
        data = bytearray()
        for begin, end in self._pieces():
            if at >= end or begin >= end:
                continue
            if begin > at:
                if data:
                    break
                start = at = begin
            data += self._bytes(at, min(end, at + limit - len(data)))
            at = start + len(data)
        return Stretch(
            data=bytes(data),
            offset=start,
            skipped=start - min(max(offset, 0), self.size),
            is_last=at == self.size,
        )

    def _bytes(self, start: int, end: int) -> bytes:
        in_memory = self.size - len(self._memory)
        if start >= in_memory:
            return bytes(self._memory[start - in_memory : end - in_memory])
        if self._file is None:
            return b""
        read = [
            os.pread(self._file.fileno(), to - begin, place)
            for place, begin, to in _places(start, end)
        ]
        return b"".join(read)


def _places(start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Where a range of the output lies in the file: place, and the part of the range."""
    at = start
    while at < end:
        if at < _HEAD_BYTES:
            place, room = at, _HEAD_BYTES - at
        else:
            into = (at - _HEAD_BYTES) % _RING_BYTES
            place, room = _HEAD_BYTES + into, _RING_BYTES - into
        step = min(room, end - at)
        yield place, at - start, at - start + step
        at += step


def _write_at(file: int, data: bytes, place: int) -> None:
    while data:
        count = os.pwrite(file, data, place)
        data, place = data[count:], place + count
