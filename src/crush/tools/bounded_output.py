"""What a program wrote, kept as a head and a tail of fixed size, with a count of what is between."""

from collections import deque

from crush.tools.clean_text import clean_text

_HEAD_BYTES = 128 * 1024
_TAIL_BYTES = 128 * 1024


class BoundedOutput:
    """Memory stays bounded whatever is fed."""

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._dropped = False
        self._newlines = 0

    def feed(self, data: bytes) -> None:
        self._newlines += data.count(b"\n")
        room = _HEAD_BYTES - len(self._head)
        self._head += data[:room]
        if rest := data[room:]:
            self._tail.append(rest)
            self._tail_bytes += len(rest)
        while self._tail and self._tail_bytes - len(self._tail[0]) >= _TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())
            self._dropped = True

    def text(self, limit: int) -> str:
        """At most about `limit` characters: all, or half head and half tail around a count."""
        head, tail = bytes(self._head), b"".join(self._tail)
        if not self._dropped:
            return shorten(head + tail, limit)
        return cut_middle(head, tail, limit, newlines=self._newlines)


def shorten(data: bytes, limit: int) -> str:
    """All of it as clean text, or half head and half tail around a count."""
    whole = clean_text(data.decode(errors="replace"))
    if len(whole) <= limit:
        return whole
    return _cut(whole, whole, limit, whole.count("\n"))


def cut_middle(head: bytes, tail: bytes, limit: int, *, newlines: int) -> str:
    """The ends of a text of `newlines` lines, whose middle is not at hand."""
    return _cut(
        clean_text(head.decode(errors="replace")),
        clean_text(tail.decode(errors="replace")),
        limit,
        newlines,
    )


def _cut(head: str, tail: str, limit: int, newlines: int) -> str:
    first, last = head[: limit // 2], tail[-(limit // 2) :]
    omitted = max(newlines - first.count("\n") - last.count("\n"), 0)
    plural = "" if omitted == 1 else "s"
    return f"{first}\n\n[... {omitted} line{plural} omitted ...]\n\n{last}"
