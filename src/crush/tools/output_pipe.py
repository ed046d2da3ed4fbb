"""A pipe that a command writes to and we read while it lives: never waited on for its end.

Files that are followed were weighed and lost: a script's `>/dev/stderr` truncates a file, and a
file that a left-over process writes to has no bound. A pipe has neither fault, and nobody can make
us wait for it, since reading stops when the command's own process has ended.
"""

import os
from collections.abc import Callable

import anyio

from crush.tools.bounded_output import BoundedOutput
from crush.tools.clean_text import LiveText
from crush.tools.output_file import OutputFile

_CHUNK = 64 * 1024
_DRAIN_BYTES = 1024 * 1024  # the largest capacity that a pipe may be given without privilege
_FREE_BYTES = 4 * 1024 * 1024  # beyond this a flood is read at a pace that leaves others the CPU
_PACE_S = 0.001
_LIVE_FLOOD_BYTES = 512  # of one chunk; people who watch a flood see its ends


class OutputPipe:
    """One stream of a command; `record` takes it beside the other one, as they come."""

    def __init__(self, *, record: OutputFile, emit: Callable[[str], None]) -> None:
        self.output = BoundedOutput()
        self._record = record
        self._emit: Callable[[str], None] | None = emit
        self._live = LiveText(emit=self._tell)
        self._read_bytes = 0
        self._reader, self.writer = os.pipe()
        self._writer_open = True
        os.set_blocking(self._reader, False)

    def close(self) -> None:
        self.close_writer()
        os.close(self._reader)

    def close_writer(self) -> None:
        """Our copy of the writing end, once the command has its own."""
        if self._writer_open:
            self._writer_open = False
            os.close(self.writer)

    def only_record(self) -> None:
        """Nobody waits for this stream any more: what is to come is recorded and nothing else."""
        self._emit = None
        self.output = BoundedOutput()

    async def follow(self) -> None:
        """Reads until every writer is gone; meant to be cancelled."""
        while True:
            await anyio.wait_readable(self._reader)
            with anyio.CancelScope(shield=True):  # what was read must not be lost
                if await self._read() == 0:
                    return
            if self._read_bytes > _FREE_BYTES:
                await anyio.sleep(_PACE_S)

    async def drain(self) -> None:
        """Takes what is in the pipe now, and ends the live text."""
        end = self._read_bytes + _DRAIN_BYTES
        while self._read_bytes < end and await self._read():
            pass
        self._live.close()

    async def _read(self) -> int | None:
        """Bytes read; 0 at the end, None when there is nothing now."""
        try:
            data = os.read(self._reader, _CHUNK)
        except BlockingIOError:
            return None
        self._read_bytes += len(data)
        if self._emit is not None:
            self.output.feed(data)
            flood = self._read_bytes > _FREE_BYTES
            self._live.feed(data[-_LIVE_FLOOD_BYTES:] if flood else data)
        await self._record.append(data)
        return len(data)

    def _tell(self, text: str) -> None:
        if self._emit is not None:
            self._emit(text)
