"""The private temporary directory of a session, which fenced commands see as `/tmp`.

It outlives the server, since a session does; unused for a while it goes, as in anybody's `/tmp`.
"""

import hashlib
import os
import shutil
from contextlib import suppress

KEEP_S = 10 * 24 * 3600.0


def session_tmp(base: str, session_id: str) -> str:
    """Its path below `base`; hashed, since an id may be anything and paths of sockets are short."""
    return os.path.join(base, hashlib.sha256(session_id.encode()).hexdigest()[:16])


def make_session_tmp(path: str) -> None:
    """Make it for its owner alone, or note that it is used again. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    os.utime(path)


def remove_unused(base: str, *, before: float) -> None:
    """Those below `base` that were last used before that time. May take long: call it in a thread."""
    with suppress(OSError), os.scandir(base) as entries:
        for entry in entries:
            is_one = entry.is_dir(follow_symlinks=False)
            if is_one and entry.stat(follow_symlinks=False).st_mtime < before:
                shutil.rmtree(entry.path, ignore_errors=True)
