"""Which files to leave out when looking around: ignore files of every level and our own list.

The nearest file that has an opinion wins, as in Git. A directory that is asked for by name is
looked into even if a rule above it ignores it.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence

from crush import paths

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

_NAMES = (".crushignore", ".ignore", ".gitignore")
_MAX_BYTES = 1024 * 1024
_EXCLUDES_FILE = re.compile(r"^\s*excludesfile\s*=\s*\"?(.+?)\"?\s*$", re.IGNORECASE | re.MULTILINE)


class IgnoreRules:
    """Rules for the entries of one directory, nearest first."""

    def __init__(self, levels: "Sequence[tuple[str, GitIgnoreSpec]]") -> None:
        self._levels = tuple(levels)

    def ignores(self, path: str, *, is_directory: bool) -> bool:
        for base, spec in self._levels:
            relative = os.path.relpath(path, base) + ("/" if is_directory else "")
            verdict = spec.check_file(relative).include
            if verdict is not None:
                return verdict
        return False

    def entering(self, directory: str) -> "IgnoreRules":
        """The rules below `directory`, its own ignore files first."""
        found = [
            (directory, spec) for name in _NAMES if (spec := _load(os.path.join(directory, name)))
        ]
        return IgnoreRules((*found, *self._levels)) if found else self

    def narrowed(self, base: str, patterns: Iterable[str]) -> "IgnoreRules":
        """These rules after `patterns`, relative to `base`, which win."""
        return IgnoreRules([(base, _spec(patterns)), *self._levels])


def rules_for(root: str, env: Mapping[str, str], *, extra: Iterable[str] = ()) -> IgnoreRules:
    """The rules for looking into `root`; `extra` patterns beat everything."""
    builtin = _spec(_read(builtin_file()).splitlines())
    rules = IgnoreRules([*_global_rules(root, env), (root, builtin)])
    for directory in _directories_above(root):
        rules = rules.entering(directory)
    if rules.ignores(root, is_directory=True):
        rules = IgnoreRules([(root, builtin)])
    return rules.entering(root).narrowed(root, extra)


def builtin_file() -> str:
    return os.path.join(os.path.dirname(__file__), "ignored.txt")


def user_file(env: Mapping[str, str]) -> str:
    return os.path.join(paths.global_config_dir(env), "ignore")


def _directories_above(root: str) -> list[str]:
    """From the git root down to the parent of `root`."""
    top = paths.git_root(root)
    if top is None:
        return []
    above: list[str] = []
    while root != top:
        root = os.path.dirname(root)
        above.append(root)
    return above[::-1]


def _global_rules(root: str, env: Mapping[str, str]) -> "list[tuple[str, GitIgnoreSpec]]":
    files = (user_file(env), _git_excludes(env))
    return [(root, spec) for path in files if (spec := _load(path))]


def _git_excludes(env: Mapping[str, str]) -> str:
    config = env.get("XDG_CONFIG_HOME") or os.path.join(paths.home(env), ".config")
    for path in (os.path.join(paths.home(env), ".gitconfig"), f"{config}/git/config"):
        if found := _EXCLUDES_FILE.search(_read(path)):
            return re.sub("^~(?=/)", paths.home(env), found[1])
    return os.path.join(config, "git", "ignore")


def _load(path: str) -> "GitIgnoreSpec | None":
    text = _read(path)
    return _spec(text.splitlines()) if text else None


def _spec(lines: Iterable[str]) -> "GitIgnoreSpec":
    # 33 modules, 8 ms: not for the first answer of a server, which seldom needs it.
    from pathspec import GitIgnoreSpec  # noqa: PLC0415

    return GitIgnoreSpec.from_lines(lines)


def _read(path: str) -> str:
    """The text of a small regular file, "" for anything else."""
    if not os.path.isfile(path):
        return ""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_MAX_BYTES)
    except OSError:
        return ""
