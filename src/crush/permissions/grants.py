"""What was allowed *always*: `grants.json` of the user state, by the directory that a run works in.

The directory and not its git root, because paths and commands in rules are meant from there. A copy
of it, and one that was removed and made again, has no grants.
"""

import logging
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from msgspec import Struct

from crush import paths
from crush.config.real_directory import RealDirectory
from crush.config.state_file import StateFile
from crush.errors import ConfigError
from crush.permissions.rule_text import parse_rule

MOST_PROJECTS = 2000
MOST_RULES = 500  # of one directory

_log = logging.getLogger(__name__)


class Grant(Struct, frozen=True, kw_only=True):
    """One rule that a person allowed for good, who it was, and when."""

    rule: str
    by: str
    at: str


class _Project(Struct, frozen=True, kw_only=True):
    inode: int
    grants: tuple[Grant, ...]


class _Records(Struct, frozen=True):
    projects: dict[str, _Project] = {}


class Grants:
    """The grants of the user to whom an environment belongs. Blocking."""

    def __init__(self, env: paths.Env) -> None:
        path = os.path.join(paths.state_dir(env), "grants.json")
        self._file = StateFile(path, kind=_Records, empty=_Records())

    def of(self, root: str) -> list[str]:
        """The rules that are always allowed in `root`; one that is no rule is left out."""
        loaded = self._file.load()
        if loaded.notice:
            _log.warning("%s", loaded.notice)
        return [grant.rule for grant in _grants(loaded.value, root) if _is_rule(grant.rule)]

    def add(self, root: str, rules: Sequence[str], *, by: str) -> None:
        """Allow these from now on. Raises StoreError if that cannot be kept, ConfigError for no rule."""
        for rule in rules:
            parse_rule(rule, effect="allow", source="grant")
        at = datetime.now(UTC).isoformat(timespec="seconds")

        def edit(records: _Records) -> _Records:
            had = _grants(records, root)
            known = {grant.rule for grant in had}
            new = [Grant(rule=r, by=by, at=at) for r in dict.fromkeys(rules) if r not in known]
            return _with(records, root, [*had, *new][-MOST_RULES:])

        self._file.change(edit)

    def remove(self, root: str, rules: Sequence[str]) -> list[str]:
        """Allow these no more; those that were. Raises StoreError."""
        gone = [rule for rule in self.of(root) if rule in rules]
        if gone:
            self._file.change(
                lambda records: _with(
                    records, root, [g for g in _grants(records, root) if g.rule not in rules]
                )
            )
        return gone


def _grants(records: _Records, root: str) -> Sequence[Grant]:
    directory = RealDirectory.of(root)
    project = records.projects.get(directory.path)
    return project.grants if project and directory.is_still(project.inode) else ()


def _with(records: _Records, root: str, grants: Sequence[Grant]) -> _Records:
    """The records with these grants for `root`, which becomes the newest of the projects."""
    directory = RealDirectory.of(root)
    projects = _without(records.projects, directory.path)
    if grants:
        projects[directory.path] = _Project(inode=directory.inode, grants=tuple(grants))
    return _Records(dict([*projects.items()][-MOST_PROJECTS:]))


def _without(projects: Mapping[str, _Project], path: str) -> dict[str, _Project]:
    return {key: project for key, project in projects.items() if key != path}


def _is_rule(text: str) -> bool:
    try:
        parse_rule(text, effect="allow", source="grant")
    except ConfigError as exc:
        _log.warning("grants.json: %s", exc.message)
        return False
    return True
