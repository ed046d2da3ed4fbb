"""The judgement of a command by the default rules, as `crush permissions explain` makes it."""

from collections.abc import Mapping
from functools import cache

from crush.permissions.decision import Decision
from crush.permissions.defaults import rules_for
from crush.permissions.judge import Judge
from crush.permissions.known_commands import KnownCommands
from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import Need, Rule
from crush.wire.messages import Mode

HOME = "/home/ann"
ENV = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": HOME}


def effect_of(command: str, directory: str, env: Mapping[str, str]) -> str:
    """What mode `workspace` without a sandbox says to it."""
    return decision_of(command, directory, env=env).effect


def decision_of(
    command: str,
    directory: str,
    *,
    env: Mapping[str, str] = ENV,
    mode: Mode = "workspace",
    read_only: bool = False,
    allow: tuple[str, ...] = (),
    ask: tuple[str, ...] = (),
    deny: tuple[str, ...] = (),
    more: tuple[Rule, ...] = (),
    has_bash: bool = True,
) -> Decision:
    user = [
        *(parse_rule(text, effect="allow", source="user") for text in allow),
        *(parse_rule(text, effect="ask", source="user") for text in ask),
        *(parse_rule(text, effect="deny", source="user") for text in deny),
    ]
    judge = Judge(
        rules=rules_for(mode, read_only=read_only, root=directory, user=user, project=()),
        mode=mode,
        root=directory,
        env=env,
        known=known_commands(),
        has_bash=has_bash,
        uid=0,
    )
    return judge.judge(bash_need(command, directory), more=more)


@cache
def known_commands() -> KnownCommands:
    return KnownCommands.load()


def bash_need(command: str, directory: str) -> Need:
    return Need(
        tool="bash",
        action="execute",
        kind="execute",
        target=command,
        directory=directory,
        description=command,
    )
