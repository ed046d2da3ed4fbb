"""The readiness pipe: how a spawned server tells its spawner what became of it, without polling.

One JSON object a line: `{"state": "starting" | "ready" | "other" | "failed", "pid", "error"}`.
`starting` comes from the boot code and says whom to end if nothing follows; the other three are
the last line. The end of the pipe without one of them means that the server died.
"""

import contextlib
import os
import select
import sys
import time

from crush.launch.thin_json import dumps, loads

if sys.platform == "win32":
    import _winapi
    import msvcrt

_WINDOWS_POLL_S = 0.005


def report(fd: int, *, state: str, pid: int, error: str = "") -> None:
    """Write the line of a server; a spawner that is gone does not matter."""
    line = dumps({"state": state, "pid": pid, "error": error}) + "\n"
    with contextlib.suppress(OSError):
        os.write(fd, line.encode())


if sys.platform == "win32":

    def adopt(number: int) -> int:
        """The descriptor for what `--ready-fd` names: there, an inherited handle."""
        return msvcrt.open_osfhandle(number, os.O_WRONLY)
else:

    def adopt(number: int) -> int:
        """The descriptor for what `--ready-fd` names."""
        return number


class ReadyPipe:
    """The spawner's end."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._raw = b""
        self.ended = False

    def wait_line(self, deadline: float) -> dict[str, object] | None:
        """The next line; None at the end of the pipe (`ended` is set) or at the deadline."""
        while b"\n" not in self._raw:
            if self.ended or not self._wait_readable(deadline):
                return None
            received = os.read(self._fd, 4096)
            self._raw += received
            self.ended = not received
        line, _, self._raw = self._raw.partition(b"\n")
        try:
            value = loads(line)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def wait_end(self, deadline: float) -> bool:
        """Whether the last holder of the other end is gone by the deadline."""
        while not self.ended and self._wait_readable(deadline):
            self.ended = not os.read(self._fd, 4096)
        return self.ended

    if sys.platform == "win32":

        def _wait_readable(self, deadline: float) -> bool:
            # `select` knows only sockets there.
            handle = msvcrt.get_osfhandle(self._fd)
            while True:
                try:
                    if _winapi.PeekNamedPipe(handle, 0)[0]:
                        return True
                except BrokenPipeError:
                    return True
                if time.monotonic() >= deadline:
                    return False
                time.sleep(_WINDOWS_POLL_S)
    else:

        def _wait_readable(self, deadline: float) -> bool:
            remaining_s = max(deadline - time.monotonic(), 0)
            return bool(select.select([self._fd], [], [], remaining_s)[0])

    def close(self) -> None:
        os.close(self._fd)
