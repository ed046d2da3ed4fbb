"""A Windows named pipe as a stream with timeouts: the part of `socket.socket` that we use.

Overlapped calls, because a plain read of a pipe cannot be given up. The system's functions are
passed in, so that this module can be read, checked and tested on any platform.
"""

import sys
import time
from typing import Protocol, Self

_ERROR_IO_PENDING = 997
_ERROR_PIPE_BUSY = 231
_WAIT_OBJECT_0 = 0
_GENERIC_READ_WRITE = 0xC0000000
_OPEN_EXISTING = 3
_FILE_FLAG_OVERLAPPED = 0x40000000
# A server that is not ours learns who we are, and cannot act as us.
_IDENTIFICATION_ONLY = 0x00100000 | 0x00010000


class Overlapped(Protocol):
    """`_winapi.Overlapped`: one call that may still be going on."""

    event: int

    def GetOverlappedResult(self, wait: bool, /) -> tuple[int, int]: ...  # noqa: N802 - its name
    def getbuffer(self) -> bytes | None: ...
    def cancel(self) -> None: ...


class WinApi(Protocol):
    """What we use of CPython's `_winapi`."""

    def CreateFile(  # noqa: N802, PLR0917 - its name and shape
        self, name: str, access: int, share: int, security: int, how: int, flags: int, like: int, /
    ) -> int: ...
    def WaitNamedPipe(self, name: str, timeout_ms: int, /) -> None: ...  # noqa: N802 - its name
    def ReadFile(  # noqa: N802 - its name
        self, handle: int, size: int, overlapped: bool
    ) -> tuple[Overlapped, int]: ...
    def WriteFile(  # noqa: N802 - its name
        self, handle: int, buffer: bytes, overlapped: bool
    ) -> tuple[Overlapped, int]: ...
    def WaitForMultipleObjects(  # noqa: N802 - its name
        self, handles: list[int], wait_all: bool, timeout_ms: int, /
    ) -> int: ...
    def CloseHandle(self, handle: int, /) -> None: ...  # noqa: N802 - its name


class PipeStream:
    """A connected pipe."""

    def __init__(self, api: WinApi, handle: int, *, timeout_s: float) -> None:
        self._api = api
        self._handle = handle
        self._timeout_s = timeout_s

    def settimeout(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def send(self, message: bytes | memoryview) -> int:
        """Write some or all of `message`; how many bytes that were."""
        call, error = self._api.WriteFile(self._handle, bytes(message), overlapped=True)
        return self._finish(call, error)

    def recv(self, size_bytes: int) -> bytes:
        """What is there, at most `size_bytes`; nothing at the end of the stream."""
        while True:
            try:
                call, error = self._api.ReadFile(self._handle, size_bytes, overlapped=True)
                count = self._finish(call, error)
            except BrokenPipeError:
                return b""
            # Pipes can carry empty messages, which mean nothing.
            if count:
                return bytes(call.getbuffer() or b"")[:count]

    def _finish(self, call: Overlapped, error: int) -> int:
        timeout_ms = max(int(self._timeout_s * 1000), 1)
        waited = _WAIT_OBJECT_0
        try:
            if error == _ERROR_IO_PENDING:
                waited = self._api.WaitForMultipleObjects([call.event], False, timeout_ms)
        except BaseException:
            call.cancel()
            raise
        if waited != _WAIT_OBJECT_0:
            call.cancel()
        # After a cancel this tells what was done before it took effect.
        count, _ = call.GetOverlappedResult(True)
        if waited != _WAIT_OBJECT_0 and not count:
            raise TimeoutError("timed out")
        return count

    def close(self) -> None:
        if self._handle:
            self._api.CloseHandle(self._handle)
            self._handle = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_pipe(address: str, *, timeout_s: float) -> PipeStream:
    """Connect to a pipe; `FileNotFoundError` if there is none."""
    if sys.platform == "win32":
        import _winapi  # noqa: PLC0415 - exists there only

        return connect_pipe(_winapi, address, timeout_s=timeout_s)
    raise OSError(0, "named pipes exist on Windows only")


def connect_pipe(api: WinApi, address: str, *, timeout_s: float) -> PipeStream:
    name = address.replace("/", "\\")
    deadline = time.monotonic() + timeout_s
    flags = _FILE_FLAG_OVERLAPPED | _IDENTIFICATION_ONLY
    while True:
        try:
            handle = api.CreateFile(name, _GENERIC_READ_WRITE, 0, 0, _OPEN_EXISTING, flags, 0)
        except OSError as exc:
            remaining_ms = int((deadline - time.monotonic()) * 1000)
            if getattr(exc, "winerror", 0) != _ERROR_PIPE_BUSY or remaining_ms <= 0:
                raise
            # All instances are taken: the backlog of a pipe.
            api.WaitNamedPipe(name, remaining_ms)
        else:
            return PipeStream(api, handle, timeout_s=timeout_s)
