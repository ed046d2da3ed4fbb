"""The sandbox of a server, looked for once: when the first command needs it, or in an idle moment."""

from collections.abc import Awaitable, Callable

import anyio

TYPE_CHECKING = False  # what is found is loaded when somebody looks for it
if TYPE_CHECKING:
    from crush.sandbox.sandbox import Sandbox


class SandboxOnce:
    """Calls `find` at most once. `found` is None until then."""

    def __init__(self, find: "Callable[[], Awaitable[Sandbox]]") -> None:
        self._find = find
        self._lock = anyio.Lock()
        self.found: Sandbox | None = None

    async def __call__(self) -> "Sandbox":
        async with self._lock:
            if self.found is None:
                self.found = await self._find()
        return self.found
