"""Needs, rules and the pure decision between them (architecture §8).

A deny beats everything. What a person wrote or granted beats what a mode or a default says; within
each of the two an ask beats an allow. What no rule covers asks. The languages of the patterns are
those of the modules beside this one; reading a rule is `rule_text`'s.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from msgspec import Struct

from crush.permissions.command_patterns import CommandPattern
from crush.permissions.host_patterns import HostPattern
from crush.permissions.path_patterns import PathPattern, escape_path
from crush.permissions.protected import (
    bare_repository_reason,
    protected_reason,
    secret_file_reason,
)
from crush.permissions.wildcards import Name, Wild, fits_name, plain_or_glob

Kind = Literal["read", "list", "write", "execute", "fetch"]
Effect = Literal["allow", "ask", "deny"]
RuleKind = Literal["tool", "read", "write", "command", "host", "env"]
Source = Literal["default", "mode", "user", "project", "session", "grant"]

SEVERITY: Sequence[Effect] = ("allow", "ask", "deny")
_ANSWERS: frozenset[Source] = frozenset({"session", "grant"})
_UNWRITTEN: frozenset[Source] = frozenset({"default", "mode"})
_PATH_KINDS: dict[Kind, RuleKind] = {"read": "read", "list": "read", "write": "write"}


class Need(Struct, frozen=True, kw_only=True):
    """One thing that a tool call would touch, resolved before it is judged.

    Attributes:
        tool, action: the names on the wire (`bash`, `execute`; `edit`, `write`; …).
        kind: what kind of access it is; `action` is the word that Crush's clients show.
        target: real absolute path for files, the command for `execute`, the URL for `fetch`.
        directory: what a classic dialog shows as `path`; where a command runs.
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


class Rule(Struct, frozen=True):
    """Says `effect` for what `pattern` covers. Made by `rule_text.parse_rule`, which checks it.

    `reason` is for a person; "" if the rule is reason enough because a person wrote it.
    """

    effect: Effect
    kind: RuleKind
    pattern: str
    source: Source
    reason: str = ""

    @property
    def text(self) -> str:
        return f"{self.kind}({self.pattern})"

    @property
    def is_written(self) -> bool:
        """Whether a person wrote or granted it."""
        return self.source not in _UNWRITTEN


def strongest(covering: Iterable[Rule]) -> Rule | None:
    """The rule that decides, among those that cover the same thing; the first of equals."""
    best: Rule | None = None
    for rule in covering:
        if best is None or _rank(rule) > _rank(best):
            best = rule
    return best


def _rank(rule: Rule) -> tuple[bool, bool, int]:
    return (rule.effect == "deny", rule.is_written, SEVERITY.index(rule.effect))


def effect_of(rule: Rule | None) -> Effect:
    return "ask" if rule is None else rule.effect


def decide(need: Need, rules: Iterable[Rule], *, root: str = "/", home: str = "/") -> Effect:
    """What rules say to a need that is no command line; `root` and `home` anchor their paths."""
    patterns = Patterns(rules, root=root, home=home)
    return effect_of(strongest(patterns.covering(need)))


class Patterns:
    """Rules with their patterns read, for one working directory and one home.

    A need can be covered by rules for its tool, for its path and for its host. Commands are asked
    for by `commands`, since only a parsed command line can be compared.
    """

    def __init__(self, rules: Iterable[Rule], *, root: str, home: str) -> None:
        self._root = root
        self._tools: list[tuple[Rule, Name, str | None]] = []
        self._paths: list[tuple[Rule, Sequence[PathPattern]]] = []
        self._hosts: list[tuple[Rule, HostPattern]] = []
        self.commands: list[tuple[Rule, CommandPattern]] = []
        for rule in rules:
            match rule.kind:
                case "tool":
                    name, action = tool_pattern(rule.pattern)
                    self._tools.append((rule, name, action))
                case "read" | "write":
                    self._paths.append((rule, _path_patterns(rule, root=root, home=home)))
                case "command":
                    self.commands.append((rule, CommandPattern.parse(rule.pattern)))
                case "host":
                    self._hosts.append((rule, HostPattern.parse(rule.pattern)))
                case "env":  # about children's environments, not about needs
                    pass

    def covering(self, need: Need) -> Iterator[Rule]:
        """The rules that cover the need, except for those on commands."""
        yield from self.on_tool(need)
        if need.kind in _PATH_KINDS:
            yield from self.on_path(need.kind, need.target)
        elif need.kind == "fetch":
            for rule, pattern in self._hosts:
                if pattern.covers(need.target, strictly=rule.effect == "allow"):
                    yield rule
        else:
            yield from (rule for rule, command in self.commands if is_any_command(command))

    def on_tool(self, need: Need) -> Iterator[Rule]:
        for rule, name, action in self._tools:
            if fits_name(name, need.tool) and action in {None, need.action}:
                yield rule

    def on_path(self, kind: Kind, path: str) -> Iterator[Rule]:
        """The rules on this access to a path; a path that is not resolved may be denied anything."""
        wanted = _PATH_KINDS[kind]
        is_resolved = os.path.isabs(path) and ".." not in path.split("/")
        for rule, patterns in self._paths:
            if rule.kind != wanted:
                continue
            if not is_resolved:
                if rule.effect != "allow":
                    yield rule
            elif any(p.covers(path) for p in patterns) and not self._is_beyond_grant(rule, path):
                yield rule

    def _is_beyond_grant(self, rule: Rule, path: str) -> bool:
        """Who answered for a whole directory did not mean what asks by its name in there."""
        if rule.source not in _ANSWERS or rule.pattern == escape_path(path):
            return False
        if rule.kind == "read":
            return bool(secret_file_reason(path))
        return bool(
            protected_reason(path, root=self._root) or bare_repository_reason(path, root=self._root)
        )

    def limits(self, kind: Literal["read", "write"]) -> list[Rule]:
        """The rules that deny or ask for this access to some path, whichever it is."""
        return [rule for rule, _ in self._paths if rule.kind == kind and rule.effect != "allow"]


def _path_patterns(rule: Rule, *, root: str, home: str) -> Sequence[PathPattern]:
    """An allow rule means the place that it names, not where a link there leads meanwhile."""
    pattern = PathPattern.parse(rule.pattern, root=root, home=home)
    return (pattern,) if rule.effect == "allow" else (pattern, pattern.resolved())


def is_any_command(pattern: CommandPattern) -> bool:
    """Whether the pattern is `*`, which covers even what cannot be judged."""
    return pattern.is_open and not pattern.words


def tool_pattern(text: str) -> tuple[Name, str | None]:
    """`NAME` or `NAME:ACTION`, with `*` in the name: the name, and the action if there is one."""
    name, colon, action = text.partition(":")
    elements = [Wild.MANY if char == "*" else char for char in name]
    return plain_or_glob(elements), action if colon else None


def is_within(path: str, directory: str) -> bool:
    """Whether a resolved `path` is `directory` or lies below it; one with `..` is not resolved."""
    if ".." in path.split(os.sep):
        return False
    return path == directory or path.startswith(directory.rstrip(os.sep) + os.sep)
