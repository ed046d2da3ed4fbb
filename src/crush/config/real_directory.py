"""Which directory it is: its real path and its inode, by which the user state knows a project.

A copy has another path, and a directory that was removed and made again, as a new clone is, has
another inode: neither has what the first one was given.
"""

import os

from msgspec import Struct


class RealDirectory(Struct, frozen=True):
    """A directory as it was looked at; inode 0 if it is not there."""

    path: str
    inode: int

    @classmethod
    def of(cls, path: str) -> "RealDirectory":
        real = os.path.realpath(path)
        try:
            return cls(real, os.stat(real).st_ino)
        except OSError:
            return cls(real, 0)

    def is_still(self, inode: int) -> bool:
        """Whether it is the one that had `inode`."""
        return self.inode != 0 and self.inode == inode
