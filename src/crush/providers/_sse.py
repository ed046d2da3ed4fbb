"""Server-sent events from bytes that arrive cut anywhere (WHATWG HTML, 9.2.6).

Works on whole chunks: a line costs one slice, a byte costs nothing. Only `event` and `data` are
kept; nobody reconnects to a provider's stream, so `id` and `retry` have no use.
"""

from msgspec import Struct

MAX_EVENT_BYTES = 16 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"


class Frame(Struct, frozen=True):
    """One event; `event` is empty when the stream did not name it."""

    event: bytes
    data: bytes


class FrameTooLongError(Exception):
    """A line or an event is longer than any answer of a model."""


class SseDecoder:
    """One stream. A line may end in LF, CR or CRLF; an event that is never closed is dropped."""

    def __init__(self, *, limit_bytes: int = MAX_EVENT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._pieces: list[bytes] = []  # of the line that has not ended
        self._pieces_bytes = 0
        self._after_cr = False
        self._at_start = True
        self._event = b""
        self._data: list[bytes] = []
        self._data_bytes = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """The events that this chunk completes. Raises FrameTooLongError."""
        lines = self._split(chunk)
        frames: list[Frame] = []
        for line in lines:
            if line.startswith(b"data:"):
                self._append(line[6:] if line.startswith(b" ", 5) else line[5:])
            elif not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    frames.append(Frame(self._event, data))
                self._data, self._data_bytes, self._event = [], 0, b""
            elif line.startswith(b"event:"):
                self._event = line[7:] if line.startswith(b" ", 6) else line[6:]
            elif line == b"data":
                self._append(b"")
        return frames

    def _append(self, value: bytes) -> None:
        self._data.append(value)
        self._data_bytes += len(value)
        if self._data_bytes > self._limit_bytes:
            raise FrameTooLongError

    def _split(self, chunk: bytes) -> list[bytes]:
        """The lines that end in this chunk, without their ends."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        rest = b"" if chunk[-1] in b"\r\n" else lines.pop()
        if lines and self._pieces:
            lines[0] = b"".join((*self._pieces, lines[0]))
            self._pieces, self._pieces_bytes = [], 0
        if rest:
            self._pieces.append(rest)
            self._pieces_bytes += len(rest)
            if self._pieces_bytes > self._limit_bytes:
                raise FrameTooLongError
        if lines and self._at_start:
            self._at_start = False
            lines[0] = lines[0].removeprefix(_BOM)
        return lines
