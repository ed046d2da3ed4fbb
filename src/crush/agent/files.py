"""Which files a session knows and changed: loaded with the turn, written back with its journal."""

import time
from collections.abc import Mapping

from crush.agent.journal import Journal
from crush.store.change import FileEdit, FileRead


class SessionFiles:
    """The file log of one session (`tools.base.FileLog`). Its methods may be called from threads."""

    def __init__(self, *, known: Mapping[str, str], journal: Journal) -> None:
        self._known = dict(known)
        self._journal = journal

    def digest(self, path: str) -> str | None:
        return self._known.get(path)

    def record(self, path: str, digest: str) -> None:
        self._known[path] = digest
        session_id = self._journal.run.session_id
        self._journal.noted.add_read(
            FileRead(session_id=session_id, path=path, digest=digest, read_at=int(time.time()))
        )

    def changed(self, path: str, *, before: str | None, after: str | None) -> None:
        run = self._journal.run
        self._journal.noted.add_edit(
            FileEdit(
                session_id=run.session_id, run_id=run.id, path=path, before=before, after=after
            )
        )
