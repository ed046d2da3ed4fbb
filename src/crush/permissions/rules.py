"""Needs, rules and the pure decision between them (architecture §8).

First form: three modes and read-only. Deny beats ask, ask beats allow; a need that no rule covers
asks.
"""

import os
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from crush.wire.messages import Mode

Kind = Literal["read", "list", "write", "execute", "fetch"]
Effect = Literal["allow", "ask", "deny"]


class Need(Struct, frozen=True, kw_only=True):
    """One thing that a tool call would touch, resolved before it is judged.

    Attributes:
        tool, action: the names on the wire (`bash`, `execute`; `edit`, `write`; …).
        kind: what kind of access it is; `action` is the word that Crush's clients show.
        target: real absolute path for files, the command for `execute`, the URL for `fetch`.
        directory: what a classic dialog shows as `path`.
        description: one line for a person.
        params: the Struct (or JSON text) that a dialog shows; see `wire.params`.
    """

    tool: str
    action: str
    kind: Kind
    target: str
    directory: str
    description: str
    params: object = None


class Rule(Struct, frozen=True, kw_only=True):
    """Says `effect` for needs of the given kinds.

    `under` limits it to paths inside a directory, `names` to paths that have one of them in it.
    """

    effect: Effect
    kinds: frozenset[str]
    under: str = ""
    names: frozenset[str] = frozenset()
    tool: str = ""
    reason: str = ""

    def covers(self, need: Need) -> bool:
        if need.kind not in self.kinds or (self.tool and self.tool != need.tool):
            return False
        if self.names and not _has_name(need.target, self.names):
            return False
        return not self.under or is_within(need.target, self.under)


def is_within(path: str, directory: str) -> bool:
    """Whether a resolved `path` is `directory` or lies below it; one with `..` is not resolved."""
    if ".." in path.split(os.sep):
        return False
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)


def _has_name(path: str, names: frozenset[str]) -> bool:
    """In any case: some file systems know no difference."""
    return any(part.casefold() in names for part in path.split(os.sep))


_ALL: frozenset[str] = frozenset({"read", "list", "write", "execute", "fetch"})
_FILES: frozenset[str] = frozenset({"read", "list", "write"})
_LOOKS: frozenset[str] = frozenset({"read", "list"})
_WRITES: frozenset[str] = frozenset({"write"})
_CHANGES: frozenset[str] = frozenset({"write", "execute"})


# The user's next `git` runs what is in `.git`, and the next run asks whom `crush.json` names: writing
# there is a shell by a detour.
_CAREFUL = Rule(
    effect="ask",
    kinds=_WRITES,
    names=frozenset({".git", ".crush", "crush.json", ".crush.json"}),
    reason="git and crush obey what is in there",
)


def mode_rules(mode: Mode, *, read_only: bool, root: str) -> tuple[Rule, ...]:
    """The rules of a mode for a run whose working directory resolves to `root`, an absolute path."""
    if not os.path.isabs(root):  # "" would stand for everywhere
        raise ValueError(f"the working directory {root!r} is not an absolute path")
    narrowing = (
        (Rule(effect="deny", kinds=_CHANGES, reason="the run is read-only"),) if read_only else ()
    )
    careful = (_CAREFUL,) if mode == "workspace" else ()
    return (*narrowing, *careful, _mode_rule(mode, root))


def decide(need: Need, rules: Sequence[Rule]) -> Effect:
    """Deny before ask before allow; ask when no rule covers the need."""
    effects = {rule.effect for rule in rules if rule.covers(need)}
    if "deny" in effects:
        return "deny"
    if "ask" in effects or "allow" not in effects:
        return "ask"
    return "allow"


def _mode_rule(mode: Mode, root: str) -> Rule:
    match mode:
        case "yolo":
            return Rule(effect="allow", kinds=_ALL, reason="everything is allowed (-y)")
        case "workspace":
            return Rule(
                effect="allow", kinds=_FILES, under=root, reason="inside the working directory"
            )
        case "ask":
            return Rule(
                effect="allow",
                kinds=_LOOKS,
                under=root,
                reason="looking inside the working directory",
            )
