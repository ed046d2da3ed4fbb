"""Descriptors that bubblewrap inherits: texts to read, and places to mount.

By its name a place is looked up again when it is mounted, as a link perhaps that another command has
put on the way meanwhile. A descriptor stays what it was.
"""

import os
import stat
import sys
from typing import Self


class Held:
    """Closed at the end of the `with`."""

    def __init__(self) -> None:
        self.fds: list[int] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for fd in self.fds:
            os.close(fd)

    def file(self, text: bytes) -> int:
        """One to read `text` from."""
        if sys.platform != "linux":
            raise OSError("bubblewrap needs Linux")
        fd = os.memfd_create("crush-fence")
        self.fds.append(fd)
        with open(fd, "wb", closefd=False) as file:
            file.write(text)
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def place(self, path: str) -> int | None:
        """One that stands for a real path; None if there is a link on the way now, or nothing."""
        if sys.platform != "linux":
            raise OSError("bubblewrap needs Linux")
        flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
        at = os.open(os.sep, flags)
        for part in path.strip(os.sep).split(os.sep):
            try:
                below = os.open(part, flags, dir_fd=at)
            except OSError:
                return None
            finally:
                os.close(at)
            at = below
        self.fds.append(at)
        return None if stat.S_ISLNK(os.fstat(at).st_mode) else at
