"""The stream over a Windows pipe, on a double of the system's functions."""

import pytest

from crush.launch.npipe import PipeStream, connect_pipe

PENDING = 997
BUSY = 231
TIMED_OUT = 258


class FakeOverlapped:
    """A call that completes when it is waited for, or never."""

    event = 1

    def __init__(self, data: bytes, *, completes: bool = True) -> None:
        self._data = data
        self._completes = completes
        self.cancelled = False

    def GetOverlappedResult(self, wait: bool, /) -> tuple[int, int]:  # noqa: N802
        return (len(self._data), 0) if self._completes else (0, 995)

    def getbuffer(self) -> bytes | None:
        return self._data + b"\0" * 8

    def cancel(self) -> None:
        self.cancelled = True


class FakeWinApi:
    """Pieces to read, what was written, and how often the pipe is busy at first."""

    def __init__(self, pieces: list[bytes | None], *, busy: int = 0) -> None:
        self.pieces = pieces
        self.written = b""
        self.calls: list[FakeOverlapped] = []
        self.closed: list[int] = []
        self.waits: list[tuple[str, int]] = []
        self._busy = busy

    def CreateFile(self, name: str, *_: int) -> int:  # noqa: N802
        if self._busy:
            self._busy -= 1
            error = OSError("all pipe instances are busy")
            error.winerror = BUSY  # type: ignore[attr-defined]
            raise error
        self.name = name
        return 42

    def WaitNamedPipe(self, name: str, timeout_ms: int, /) -> None:  # noqa: N802
        self.waits.append((name, timeout_ms))

    def _call(self, data: bytes | None) -> tuple[FakeOverlapped, int]:
        call = FakeOverlapped(data or b"", completes=data is not None)
        self.calls.append(call)
        return call, PENDING

    def ReadFile(self, handle: int, size: int, overlapped: bool) -> tuple[FakeOverlapped, int]:  # noqa: N802
        if not self.pieces:
            raise BrokenPipeError
        return self._call(self.pieces.pop(0))

    def WriteFile(self, handle: int, buffer: bytes, overlapped: bool) -> tuple[FakeOverlapped, int]:  # noqa: N802
        part = buffer[:4]
        self.written += part
        return self._call(part)

    def WaitForMultipleObjects(  # noqa: N802
        self,
        handles: list[int],
        wait_all: bool,
        timeout_ms: int,
        /,
    ) -> int:
        self.timeout_ms = timeout_ms
        return 0 if self.calls[-1]._completes else TIMED_OUT

    def CloseHandle(self, handle: int, /) -> None:  # noqa: N802
        self.closed.append(handle)


def connect(api: FakeWinApi) -> PipeStream:
    return connect_pipe(api, "//./pipe/pycrush-me", timeout_s=5)


def test_a_pipe_is_opened_by_its_windows_name_and_closed_once() -> None:
    api = FakeWinApi([])
    with connect(api) as stream:
        stream.close()
    assert api.name == r"\\.\pipe\pycrush-me"
    assert api.closed == [42]


def test_a_busy_pipe_is_waited_for() -> None:
    api = FakeWinApi([], busy=2)
    connect(api)
    assert [name for name, _ in api.waits] == [r"\\.\pipe\pycrush-me"] * 2


def test_a_pipe_that_stays_busy_ends_with_the_time() -> None:
    with pytest.raises(OSError, match="busy"):
        connect_pipe(FakeWinApi([], busy=9), "//./pipe/x", timeout_s=0)


def test_bytes_are_read_without_the_rest_of_the_buffer_and_up_to_the_end() -> None:
    stream = connect(FakeWinApi([b"hello", b"", b"world"]))
    assert [stream.recv(100) for _ in range(3)] == [b"hello", b"world", b""]


def test_a_write_tells_how_much_it_wrote() -> None:
    api = FakeWinApi([])
    stream = connect(api)
    assert stream.send(memoryview(b"abcdef")) == 4
    assert api.written == b"abcd"


def test_a_read_that_does_not_end_in_time_is_cancelled() -> None:
    api = FakeWinApi([None])
    stream = connect(api)
    stream.settimeout(0.25)
    with pytest.raises(TimeoutError):
        stream.recv(10)
    assert api.timeout_ms == 250
    assert api.calls[-1].cancelled
