"""What holds when nobody wrote a rule: the three modes, `--read-only`, and the default cautions.

The cautions are computed from names (`protected`), not listed: a rule for each would be hundreds.
"""

import os
from collections.abc import Iterator, Sequence

from crush.permissions.path_patterns import escape_path
from crush.permissions.protected import (
    bare_repository_reason,
    protected_reason,
    secret_file_reason,
)
from crush.permissions.rules import Kind, Rule
from crush.wire.messages import Mode

EVERYTHING = Rule("allow", "tool", "*", "mode", "everything is allowed (-y)")

# On commands this one spares what is known to only read: see `shell_judge`.
_READ_ONLY = (
    Rule("deny", "write", "/**", "mode", "the run is read-only"),
    Rule("deny", "command", "*", "mode", "the run is read-only"),
)


def rules_for(
    mode: Mode, *, read_only: bool, root: str, user: Sequence[Rule], project: Sequence[Rule]
) -> tuple[Rule, ...]:
    """All rules of a run whose working directory resolves to `root`, before anything is granted.

    In `yolo` nothing asks: of what people wrote only the denies count.
    """
    written = (*user, *project)
    if mode == "yolo":
        written = tuple(rule for rule in written if rule.effect == "deny" or rule.kind == "env")
    return (*written, *mode_rules(mode, read_only=read_only, root=root))


def mode_rules(mode: Mode, *, read_only: bool, root: str) -> tuple[Rule, ...]:
    """The rules of a mode for a run whose working directory resolves to `root`, an absolute path."""
    if not os.path.isabs(root):  # "" would stand for everywhere
        raise ValueError(f"the working directory {root!r} is not an absolute path")
    return (*(_READ_ONLY if read_only else ()), *_allowed(mode, escape_path(root.rstrip("/"))))


def _allowed(mode: Mode, root: str) -> Iterator[Rule]:
    match mode:
        case "yolo":
            yield EVERYTHING
        case "workspace":
            yield Rule("allow", "read", f"{root}/**", "mode", "inside the working directory")
            yield Rule("allow", "write", f"{root}/**", "mode", "inside the working directory")
        case "ask":
            yield Rule(
                "allow", "read", f"{root}/**", "mode", "looking inside the working directory"
            )


def caution(kind: Kind, path: str, *, root: str) -> Rule | None:
    """The default ask for a path that other programs obey, or where keys lie. Looks at the disk."""
    if kind == "write":
        reason = protected_reason(path, root=root) or bare_repository_reason(path, root=root)
        return Rule("ask", "write", escape_path(path), "default", reason) if reason else None
    if kind in {"read", "list"} and (reason := secret_file_reason(path)):
        return Rule("ask", "read", escape_path(path), "default", reason)
    return None
