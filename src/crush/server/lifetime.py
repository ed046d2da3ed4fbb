"""When the server lives and when it leaves: holds, linger, the closing latch (architecture §4, W 4.6).

Everything that needs the server holds it: a request in flight, an open stream, a running session, a
claim on a workspace. When nothing does, it lingers, then leaves. Leaving is latched: from then on new
work is refused, and what is in flight is finished first.
"""

import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import anyio

from crush.errors import ClosingError

LINGER_S = 30 * 60.0
SETTLE_WITHIN_S = 0.3
FIRST_CLIENT_WITHIN_S = 5.0  # whoever started the server is about to ask


def linger_s(env: Mapping[str, str]) -> float:
    """`CRUSH_SERVER_IDLE_TIMEOUT`, whole seconds; 30 minutes if it is not set or makes no sense."""
    text = env.get("CRUSH_SERVER_IDLE_TIMEOUT", "")
    return float(text) if text.isascii() and text.isdigit() else LINGER_S


class Lifetime:
    """Counts who needs the server."""

    def __init__(self, *, linger_s: float) -> None:
        self.linger_s = linger_s
        self._began = time.monotonic()
        self._holds = 0
        self._was_needed = False
        self._changed = anyio.Event()
        self._leaving = anyio.Event()

    @property
    def is_leaving(self) -> bool:
        return self._leaving.is_set()

    @property
    def uptime_s(self) -> float:
        return time.monotonic() - self._began

    @property
    def holds(self) -> int:
        return self._holds

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the server while the block runs. Raises ClosingError if it is leaving already."""
        if self._leaving.is_set():
            raise ClosingError("server is shutting down", hint="try again")
        self.take()
        try:
            yield
        finally:
            self.release()

    def take(self) -> None:
        """Like `hold`, for what was let in already and ends elsewhere; pair it with `release`."""
        self._holds += 1
        self._was_needed = True
        self._tell()

    def release(self) -> None:
        self._holds -= 1
        self._tell()

    def leave(self) -> None:
        """Refuse new work from now on and end the server."""
        self._leaving.set()
        self._tell()

    async def leave_if_idle(self, *, except_holds: int) -> bool:
        """Leave if nothing but the asking request itself needs the server.

        A run whose client has its answer may still be putting its things away: that is awaited.
        """
        with anyio.move_on_after(SETTLE_WITHIN_S):
            while self._holds > except_holds:
                await self._changed.wait()
        if self._holds > except_holds:
            return False
        self.leave()
        return True

    async def wait_leaving(self) -> None:
        """Until somebody says so, or nobody has needed the server for the linger time."""
        while not self._leaving.is_set():
            changed = self._changed
            with anyio.move_on_after(self._patience_s()) as scope:
                await changed.wait()
            # In the same turn of the loop something may have been let in.
            if scope.cancelled_caught and not self._holds:
                self._leaving.set()

    def _patience_s(self) -> float:
        if self._holds:
            return math.inf
        return self.linger_s if self._was_needed else max(self.linger_s, FIRST_CLIENT_WITHIN_S)

    async def wait_unneeded(self) -> None:
        """Until nothing needs the server, if only for a moment."""
        while self._holds:
            await self._changed.wait()

    def _tell(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()
