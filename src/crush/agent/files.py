"""Which files a session knows: loaded with the turn, written back with its journal."""

import time
from collections.abc import Mapping

from crush.agent.journal import Journal
from crush.store.change import FileRead
from crush.wire.ids import SessionId


class SessionReads:
    """The read log of one session (`tools.base.ReadLog`)."""

    def __init__(
        self, *, session_id: SessionId, known: Mapping[str, str], journal: Journal
    ) -> None:
        self._session_id = session_id
        self._known = dict(known)
        self._journal = journal

    def digest(self, path: str) -> str | None:
        return self._known.get(path)

    def record(self, path: str, digest: str) -> None:
        self._known[path] = digest
        self._journal.add_read(
            FileRead(
                session_id=self._session_id, path=path, digest=digest, read_at=int(time.time())
            )
        )
