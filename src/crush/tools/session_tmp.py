"""The private temporary directory of a session, which fenced commands see as `/tmp`."""

import hashlib
import os


def session_tmp(base: str, session_id: str) -> str:
    """Its path below `base`; hashed, since an id may be anything and paths of sockets are short."""
    return os.path.join(base, hashlib.sha256(session_id.encode()).hexdigest()[:16])


def make_session_tmp(path: str) -> None:
    """Make it for its owner alone; it may be there already. Raises OSError."""
    os.makedirs(path, mode=0o700, exist_ok=True)
