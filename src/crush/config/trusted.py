"""What this user trusted, in `trust.json` of the user state: by real path, the hash and the items.

Trust given in a directory holds for those below it in the same work tree, as long as they bring
nothing of their own. Anything that changes ends it. Only `crush trust` writes here.
"""

import os
from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct

from crush import paths
from crush.config.real_directory import RealDirectory
from crush.config.state_file import Loaded, StateFile
from crush.config.what_runs import Item, WhatRuns, directories_up

MOST_PROJECTS = 1000


class Trust(Struct, frozen=True, kw_only=True):
    """One decision of the user: what it was about, when, and of which directory."""

    digest: str
    inode: int
    at: str
    items: tuple[Item, ...]


class _Records(Struct, frozen=True):
    projects: dict[str, Trust] = {}


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether a project is trusted as it is now.

    Attributes:
        before: what was trusted here, None if nothing was.
        notice: why the file with the decisions does not count, "" if it does.
    """

    is_trusted: bool
    before: Trust | None = None
    notice: str = ""


class Trusted:
    """The decisions of the user to whom an environment belongs. Blocking."""

    def __init__(self, env: paths.Env) -> None:
        path = os.path.join(paths.state_dir(env), "trust.json")
        self._file = StateFile(path, kind=_Records, empty=_Records())

    def judge(self, now: WhatRuns) -> Verdict:
        """A project that would run nothing has nothing to be trusted with."""
        if not now.items:
            return Verdict(is_trusted=False)
        loaded = self._file.load()
        found = _decisions(loaded, now)
        is_trusted = not now.problem and any(trust.digest == now.digest for trust in found)
        return Verdict(
            is_trusted=is_trusted, before=found[0] if found else None, notice=loaded.notice
        )

    def add(self, now: WhatRuns) -> None:
        """Trust exactly what was looked at. Raises StoreError."""
        directory = RealDirectory.of(now.cwd)
        trust = Trust(
            digest=now.digest,
            inode=directory.inode,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            items=now.items,
        )

        def edit(records: _Records) -> _Records:
            others = _without(records.projects, {directory.path})
            return _Records(dict([*others.items(), (directory.path, trust)][-MOST_PROJECTS:]))

        self._file.change(edit)

    def revoke(self, now: WhatRuns) -> bool:
        """Trust nothing here any more; whether something was trusted. Raises StoreError."""
        gone = {*directories_up(now.cwd, now.root)}
        found = gone & self._file.load().value.projects.keys()
        if found:
            self._file.change(lambda r: _Records(_without(r.projects, gone)))
        return bool(found)


def _decisions(loaded: Loaded[_Records], now: WhatRuns) -> list[Trust]:
    """Those that hold for the directory, the nearest first."""
    projects = loaded.value.projects
    known = [path for path in directories_up(now.cwd, now.root) if path in projects]
    return [
        projects[path] for path in known if RealDirectory.of(path).is_still(projects[path].inode)
    ]


def _without(projects: Mapping[str, Trust], gone: set[str]) -> dict[str, Trust]:
    return {path: trust for path, trust in projects.items() if path not in gone}
