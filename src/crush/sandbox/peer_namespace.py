"""Whether a process that talks to us runs behind a fence with network: it has another user namespace.

Its uid cannot tell: it is the user's. Without network, or under Landlock, nobody inside gets as far.
"""

import os
import sys


def is_fenced(pid: int) -> bool:
    """Also if that cannot be told: it has ended, or is not the user's. Two system calls."""
    if sys.platform != "linux":
        return False
    try:
        return os.readlink(f"/proc/{pid}/ns/user") != os.readlink("/proc/self/ns/user")
    except OSError:
        return True
