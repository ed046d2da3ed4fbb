"""`crush logs`: the server's log, the files it was rotated into included; `-f` follows it."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Self

from crush.cli.options import Parsed
from crush.cli.place import host_of
from crush.errors import Exit, NotFoundError
from crush.launch.host import server_dir
from crush.launch.logs import KEEP
from crush.tools.clean_text import LiveText

_BLOCK_BYTES = 64 * 1024
_LOOK_EVERY_S = 0.1


def main(parsed: Parsed) -> int:
    path = os.path.join(server_dir(host_of(parsed), os.environ), "stderr.log")
    follow = parsed.flag("follow")
    # What a log quotes must not command the terminal.
    text = LiveText(emit=_write)
    with Log(path) as log:
        if not follow and not log.exists():
            raise NotFoundError(f"there is no log at {path}", hint="`crush run` starts a server")
        for data in log.read(int(parsed.number("tail"))):
            text.feed(data)
        while follow:
            sys.stdout.flush()
            time.sleep(_LOOK_EVERY_S)
            for data in log.read_more():
                text.feed(data)
    text.close()
    return Exit.OK


def _write(text: str) -> None:
    sys.stdout.write(text)


class Log:
    """A log file that its writer may rotate at any time: `path` becomes `path.1`, and so on."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._is_old = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def exists(self) -> bool:
        return any(os.path.exists(path) for path in self._paths())

    def read(self, lines: int) -> Iterator[bytes]:
        """The last lines, oldest first. What is written later is `read_more`'s."""
        self._file = _open(self._path)
        found: list[bytes] = []
        if self._file is not None:
            found = _last_lines(self._file, lines)
        for path in self._paths()[1:]:
            if len(found) >= lines or (older := _open(path)) is None:
                break
            with older:
                found = _last_lines(older, lines - len(found)) + found
        yield from found

    def read_more(self) -> Iterator[bytes]:
        """What was added since; of a rotated file its end, then the new one from its beginning."""
        if self._file is not None:
            yield from iter(_reader(self._file), b"")
            if not self._was_rotated(self._file):
                return
            if not self._is_old:
                # Its writer may still be about to change over: the next look drains it.
                self._is_old = True
                return
            self._file.close()
        self._is_old = False
        self._file = _open(self._path)
        if self._file is not None:
            yield from iter(_reader(self._file), b"")

    def _was_rotated(self, file: BinaryIO) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(file.fileno()))
        except FileNotFoundError:
            return False  # nothing has taken its place yet

    def _paths(self) -> list[str]:
        """Newest first."""
        return [self._path, *(f"{self._path}.{number}" for number in range(1, KEEP + 1))]


def _reader(file: BinaryIO) -> Callable[[], bytes]:
    return lambda: file.read(_BLOCK_BYTES)


def _open(path: str) -> BinaryIO | None:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        return None


def _last_lines(file: BinaryIO, count: int) -> list[bytes]:
    """The last lines, read from the end, which the file is left at."""
    size = start = end = file.seek(0, os.SEEK_END)
    data = b""
    while start and data.count(b"\n") <= count:
        start = max(0, start - _BLOCK_BYTES)
        file.seek(start)
        data = file.read(min(_BLOCK_BYTES, end - start)) + data
        end = start
    file.seek(size)
    lines = data.splitlines(keepends=True)
    return lines[len(lines) - count :] if count < len(lines) else lines
