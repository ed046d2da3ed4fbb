"""Rules as people write them: `command(npm test)`, `write(src/**)`, `host(*.example.com)`.

The same texts stand in `crush.json`, in grants, in requests and in what `crush permissions` prints.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import get_args

from crush.config.schema import Permissions
from crush.errors import ConfigError
from crush.permissions.command_patterns import CommandPattern
from crush.permissions.host_patterns import HostPattern
from crush.permissions.path_patterns import check_path_pattern
from crush.permissions.rules import Effect, Rule, RuleKind, Source
from crush.permissions.wildcards import Name, Wild, fits_name, plain_or_glob

_RULE = re.compile(r"([a-z]+)\((.*)\)", re.DOTALL)
_KINDS: dict[str, RuleKind] = {kind: kind for kind in get_args(RuleKind)}
_TOOL = re.compile(r"[A-Za-z0-9_.*-]+(:[A-Za-z0-9_.-]+)?")
_VARIABLE = re.compile(r"[A-Za-z0-9_*]+")
_FORMS = (
    "a rule is tool(NAME), read(PATH), write(PATH), command(WORDS), host(NAME) or env(NAME), "
    "like command(npm test) or write(src/**)"
)


def parse_rule(text: str, *, effect: Effect, source: Source) -> Rule:
    """The rule that `text` is. Raises ConfigError, which quotes it and says what is wrong."""
    found = _RULE.fullmatch(text.strip())
    kind = _KINDS.get(found[1]) if found else None
    if found is None or kind is None:
        raise ConfigError(f"{text!r} is no rule", hint=_FORMS)
    pattern = found[2].strip(" ")
    try:
        _check(kind, pattern)
    except ValueError as exc:
        raise ConfigError(f"the rule {text!r} cannot be used: {exc}") from exc
    return Rule(effect, kind, pattern, source)


def _check(kind: RuleKind, pattern: str) -> None:
    if not pattern:
        raise ValueError("the parentheses are empty")
    if not pattern.isprintable():
        raise ValueError("it contains a character that cannot be shown")
    _CHECKS[kind](pattern)


def rules_from(permissions: Permissions, *, source: Source) -> list[Rule]:
    """The rules of a `permissions` section. Raises ConfigError, which names the key."""
    return [*_rules_from(permissions, source)]


def _rules_from(permissions: Permissions, source: Source) -> Iterator[Rule]:
    tools = [f"tool({tool})" for tool in permissions.allowed_tools]
    lists: tuple[tuple[str, Effect, Iterable[str]], ...] = (
        ("allowed_tools", "allow", tools),
        ("allow", "allow", permissions.allow),
        ("ask", "ask", permissions.ask),
        ("deny", "deny", permissions.deny),
    )
    for key, effect, texts in lists:
        for at, text in enumerate(texts):
            try:
                yield parse_rule(text, effect=effect, source=source)
            except ConfigError as exc:
                raise ConfigError(f"permissions.{key}[{at}]: {exc.message}", hint=exc.hint) from exc


def env_passes(rules: Iterable[Rule]) -> Callable[[str], bool]:
    """Whether a variable may pass to children although its name looks secret."""
    patterns = [(rule.effect, _wild(rule.pattern)) for rule in rules if rule.kind == "env"]

    def passes(name: str) -> bool:
        said = {effect for effect, pattern in patterns if fits_name(pattern, name)}
        return said == {"allow"}

    return passes


def _wild(text: str) -> Name:
    return plain_or_glob([Wild.MANY if char == "*" else char for char in text])


def _check_tool(text: str) -> None:
    if not _TOOL.fullmatch(text):
        raise ValueError("a tool is NAME or NAME:ACTION, like view, edit:write or mcp_github_*")


def _check_variable(text: str) -> None:
    if not _VARIABLE.fullmatch(text):
        raise ValueError("a variable is a name, like NPM_TOKEN or AWS_*")


_CHECKS: dict[RuleKind, Callable[[str], object]] = {
    "tool": _check_tool,
    "read": check_path_pattern,
    "write": check_path_pattern,
    "command": CommandPattern.parse,
    "host": HostPattern.parse,
    "env": _check_variable,
}
