"""HTTP/1.1 answers: head, body by length, by chunks or up to the close, lines and SSE frames.

Written for streams of thousands of small frames: reads of 64 kB, no work per byte.
"""

from crush.errors import ServerLostError, StartError
from crush.launch.thin_json import loads

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol, Self

    from crush.launch.host import Connection

    class Watch(Protocol):
        """Judges silence: how long a read or write may take, and what its expiry means."""

        def limit_s(self) -> float: ...
        def heard(self) -> None: ...
        def silent(self) -> None: ...


_MAX_HEAD_BYTES = 64 * 1024
_MAX_CHUNK_HEAD_BYTES = 256
_READ_BYTES = 64 * 1024
_CRLF = 2
_NO_CONTENT, _NOT_MODIFIED = 204, 304


class Response:
    """Status, headers, and a body that is read as it arrives, once.

    A body that breaks off before its announced end (its length or the last chunk) raises
    `ServerLostError`; one that announces none ends with the connection. The watch decides what
    silence means and may raise anything.
    """

    __slots__ = (
        "_chunked",
        "_connection",
        "_left",
        "_raw",
        "_watch",
        "headers",
        "status",
        "status_line",
    )

    def __init__(
        self, connection: "Connection", *, head: bytes, rest: bytes, watch: "Watch"
    ) -> None:
        self.status_line, *fields = head.decode("latin-1").split("\r\n")
        self.status_line = self.status_line.partition(" ")[2].rstrip()
        self.status = int(self.status_line[:3])
        self.headers = {
            name.strip().lower(): value.strip()
            for name, _, value in (field.partition(":") for field in fields)
        }
        self._connection = connection
        self._watch = watch
        self._raw = rest
        self._chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        # Bytes to come: of a chunked body those of the current chunk and the CRLF behind it;
        # of an unlimited one -1.
        self._left = 0 if self._chunked else self._content_length()

    def _content_length(self) -> int:
        text = self.headers.get("content-length", "-1")
        if self.status in (_NO_CONTENT, _NOT_MODIFIED):
            return 0
        if text != "-1" and not (text.isascii() and text.isdigit()):
            raise StartError(f"the server sent an invalid Content-Length: {text[:80]!r}")
        return int(text)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> "Self":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow(self, watch: "Watch") -> None:
        """Let another watch judge the silences from here on."""
        self._watch = watch

    def pieces(self) -> "Iterator[bytes]":
        """The body as it arrives, in pieces of any size; the connection is closed at the end."""
        try:
            while True:
                piece, ended = self._dechunk() if self._chunked else self._count()
                if piece:
                    yield piece
                if ended:
                    return
                received = receive(self._connection, self._watch)
                if received:
                    self._raw += received
                elif self._left >= 0:
                    raise ServerLostError("the server closed the connection in mid-answer")
                else:
                    return
        finally:
            self.close()

    def _count(self) -> tuple[bytes, bool]:
        """What came of a plain body, and whether that was all."""
        piece, self._raw = self._raw, b""
        if self._left < 0:
            return piece, False
        piece = piece[: self._left]
        self._left -= len(piece)
        return piece, self._left == 0

    def _dechunk(self) -> tuple[bytes, bool]:
        """What came of a chunked body, and whether its last chunk was there."""
        raw, at, left = self._raw, 0, self._left
        pieces: list[bytes] = []
        ended = False
        while at < len(raw):
            if left == 0:
                end = raw.find(b"\r\n", at)
                if end < 0:
                    break
                size = _chunk_size(raw[at:end])
                if size == 0:
                    # Trailers carry nothing for us, and no second answer follows.
                    ended = True
                    break
                at, left = end + _CRLF, size + _CRLF
            if left > _CRLF:
                pieces.append(raw[at : at + left - _CRLF])
            step = min(left, len(raw) - at)
            at += step
            left -= step
        self._raw, self._left = raw[at:], left
        if not ended and left == 0 and len(self._raw) > _MAX_CHUNK_HEAD_BYTES:
            raise ServerLostError("the server sent a malformed chunk")
        return b"".join(pieces), ended

    def read(self) -> bytes:
        """The whole body."""
        return b"".join(self.pieces())

    def lines(self) -> "Iterator[bytes]":
        """The body's lines without their ends, each as soon as it is whole; of any length."""
        partial: list[bytes] = []
        for piece in self.pieces():
            first, *others = piece.split(b"\n")
            partial.append(first)
            if not others:
                continue
            yield b"".join(partial).removesuffix(b"\r")
            partial = [others.pop()]
            for line in others:
                yield line.removesuffix(b"\r")
        if last := b"".join(partial):
            yield last

    def frames(self) -> "Iterator[tuple[str, str]]":
        """The events of a stream as `(last id, data)`; comments and other fields are skipped."""
        last_id = ""
        data: list[str] = []
        for line in self.lines():
            if line.startswith(b"data:"):
                data.append(line[5:].decode(errors="replace").removeprefix(" "))
            elif line.startswith(b"id:"):
                last_id = line[3:].decode(errors="replace").removeprefix(" ")
            elif not line and data:
                yield last_id, "\n".join(data)
                data.clear()


class Reply:
    """A whole answer to a short request."""

    __slots__ = ("body", "headers", "status", "status_line")

    def __init__(self, response: Response) -> None:
        self.status = response.status
        self.status_line = response.status_line
        self.headers = response.headers
        self.body = response.read()

    def json(self) -> dict[str, object]:
        """The object in the body; an empty one if there is anything else."""
        try:
            value = loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


def receive(connection: "Connection", watch: "Watch") -> bytes:
    """The next bytes, or none at the end of the connection; silence is the watch's business."""
    while True:
        connection.settimeout(watch.limit_s())
        try:
            received = connection.recv(_READ_BYTES)
        except TimeoutError:
            watch.silent()
        except OSError as exc:
            raise ServerLostError(f"the connection to the server broke: {exc}") from exc
        else:
            watch.heard()
            return received


def read_response(connection: "Connection", watch: "Watch") -> Response:
    """The final answer's head; interim answers (1xx) are skipped."""
    raw = b""
    while True:
        head, separator, rest = raw.partition(b"\r\n\r\n")
        if not separator:
            if len(raw) > _MAX_HEAD_BYTES or not _may_be_head(raw):
                raise StartError(f"the server sent no HTTP answer: {raw[:60]!r}")
            received = receive(connection, watch)
            if not received:
                raise ServerLostError("the server closed the connection without an answer")
            raw += received
        elif _may_be_head(head) and head[9:12].isdigit():
            if head[9:10] != b"1":
                return Response(connection, head=head, rest=rest, watch=watch)
            raw = rest
        else:
            raise StartError(f"the server sent no HTTP answer: {head[:60]!r}")


def _may_be_head(raw: bytes) -> bool:
    """Whether `raw` begins like an answer, so that garbage is not waited for."""
    start = b"HTTP/1."
    return raw[: len(start)] == start[: len(raw)]


def _chunk_size(line: bytes) -> int:
    digits = line.partition(b";")[0].strip()
    if not digits or digits.strip(b"0123456789abcdefABCDEF") or len(line) > _MAX_CHUNK_HEAD_BYTES:
        raise ServerLostError(f"the server sent a malformed chunk: {line[:40]!r}")
    return int(digits, 16)
