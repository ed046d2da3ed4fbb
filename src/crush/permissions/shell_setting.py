"""What stays the same for all command lines of a run, and rules that may be meant."""

from collections.abc import Mapping

from msgspec import Struct

from crush.permissions.known_commands import KnownCommands
from crush.permissions.rules import Rule


class Setting(Struct, frozen=True, kw_only=True):
    """What stays the same for all command lines of a run."""

    root: str
    home: str
    env: Mapping[str, str]
    known: KnownCommands
    uid: int


def doubted(rule: Rule) -> Rule:
    """What a deny or ask rule says to something that may be meant by it."""
    says = "denies" if rule.effect == "deny" else "asks for"
    reason = f"it may do what {rule.text} {says}"
    return Rule("ask", rule.kind, rule.pattern, rule.source, reason)
