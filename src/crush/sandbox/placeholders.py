"""Names that nothing inside may create, held by an empty entry of ours while commands run.

A mount needs something to stand on. Held by count, since commands overlap; whoever is last removes
it, and only if it is still what we made. After a killed server the entry stays until the next
command in that workspace has ended: an empty `.git` is no repository, so it stops nobody.
"""

import contextlib
import os
import stat
from collections.abc import Mapping
from threading import Lock


class Placeholders:
    """Thread-safe; blocks for a few system calls."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._lock = Lock()

    def hold(self, wanted: Mapping[str, bytes | None]) -> tuple[str, ...]:
        """Makes each that is not there (`None`: a directory); those that are held now."""
        held = []
        with self._lock:
            for path, content in wanted.items():
                if self._held.get(path) or _make(path, content) or is_leftover(path, content):
                    self._held[path] = self._held.get(path, 0) + 1
                    held.append(path)
        return tuple(held)

    def release(self, wanted: Mapping[str, bytes | None], held: tuple[str, ...]) -> None:
        with self._lock:
            for path in held:
                self._held[path] -= 1
                if not self._held[path]:
                    del self._held[path]
                    if is_leftover(path, wanted[path]):
                        _remove(path)


def is_leftover(path: str, content: bytes | None) -> bool:
    """Whether `path` is exactly what we would make, and holds nothing of anybody."""
    try:
        if content is None:
            return not os.path.islink(path) and not os.listdir(path)
        # Another command may put a FIFO there at any moment, and opening one waits for a writer.
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
        try:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            return is_file and os.read(fd, len(content) + 1) == content
        finally:
            os.close(fd)
    except OSError:
        return False


def _make(path: str, content: bytes | None) -> bool:
    try:
        if content is None:
            os.mkdir(path)
            return True
        with open(path, "xb") as file:
            file.write(content)
    except OSError:  # there already, or a directory that nobody can write to
        return False
    return True


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):  # somebody put something in it
        os.rmdir(path) if os.path.isdir(path) else os.unlink(path)
