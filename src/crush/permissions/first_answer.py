"""The first answer to a request that waits for a person; every later one learns what the first was.

An answer is committed before it counts. If that fails, whoever gave it is told and the request goes on
waiting. One lock per request: requests never wait for each other.
"""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio

A = TypeVar("A")

Commit = Callable[[], Awaitable[None]]


class FirstAnswer(Generic[A]):
    """What one request waits for. Until it is asked it is as good as `withdrawn`."""

    def __init__(self, *, withdrawn: A) -> None:
        self._answer: A | None = withdrawn
        self._lock = anyio.Lock()
        self._done = anyio.Event()

    @property
    def is_awaited(self) -> bool:
        return self._answer is None

    async def ask(self, commit: Commit) -> None:
        """It waits from now on; answers that come meanwhile are looked at afterwards."""
        with anyio.CancelScope(shield=True):
            async with self._lock:
                await commit()
                self._answer = None

    async def settle(self, answer: A, commit: Commit) -> A:
        """Answer it, unless it is answered; the answer that counts. Not cut by cancellation."""
        counted: A | None = None
        with anyio.CancelScope(shield=True):
            async with self._lock:
                counted = self._answer
                if counted is None:
                    await commit()
                    counted = self._answer = answer
                    self._done.set()
        return answer if counted is None else counted

    async def wait(self) -> None:
        await self._done.wait()
