"""Judges a command line by its parts: each on its own, the strictest decides.

A part is allowed by a rule, or by default if it is known to only read. What cannot be told is asked
about; only a rule for the whole tool may allow it.
"""

from collections.abc import Mapping

from crush.permissions.decision import Decision, decided, worst
from crush.permissions.known_commands import KnownCommands
from crush.permissions.offers import together
from crush.permissions.rules import Need, Patterns, Rule
from crush.permissions.shell_part_judge import PartJudge
from crush.permissions.shell_script import Assignment, Command, Part, Script, Unclear
from crush.permissions.shell_setting import Setting
from crush.permissions.shell_syntax import parse_script
from crush.permissions.word_paths import expansions

_NOTHING = Rule("allow", "command", ":", "default", "it runs nothing")
_NO_BASH = "there is no bash here, and other shells are judged only for a single simple command"


class ShellJudge:
    """Judges the command lines of one run."""

    def __init__(
        self,
        *,
        root: str,
        home: str,
        env: Mapping[str, str],
        known: KnownCommands,
        has_bash: bool,
        uid: int,
    ) -> None:
        self._setting = Setting(root=root, home=home, env=env, known=known, uid=uid)
        self._has_bash = has_bash

    def judge(self, need: Need, rules: Patterns, *, is_careful: bool) -> Decision:
        """Blocking: looks at PATH and at the files that are named. `is_careful`: all but yolo."""
        script = parse_script(need.target)
        parts = self._parts(script, need.target)
        judge = PartJudge(
            self._setting,
            need=need,
            rules=rules,
            values=_values(script, self._setting.env),
            is_careful=is_careful,
        )
        judge.places.begin(script, need.target)
        decisions: list[Decision] = []
        for part in parts:
            decisions.append(judge.judge(part))
            if isinstance(part, Command):
                judge.places.follow(part.words)
        return _compound(decisions) or decided([*rules.on_tool(need), _NOTHING], otherwise="")

    def _parts(self, script: Script, text: str) -> list[Part]:
        if self._has_bash or script.is_simple or not script.parts:
            return [*script.parts]
        return [*script.parts, Unclear(source=text, reason=_NO_BASH)]


def _compound(decisions: list[Decision]) -> Decision | None:
    if not decisions[1:]:
        return decisions[0] if decisions else None
    deciding = worst(decisions)
    asking = [part for part in decisions if part.effect == "ask"]
    can_remember = deciding.effect == "ask" and not deciding.is_explicit_ask
    return Decision(
        effect=deciding.effect,
        reason="each part is allowed" if deciding.effect == "allow" else deciding.reason,
        rule=deciding.rule,
        parts=tuple(decisions),
        offers=together([part.offers for part in asking]) if can_remember else (),
        is_explicit_ask=deciding.is_explicit_ask,
    )


def _values(script: Script, env: Mapping[str, str]) -> dict[str, set[str]]:
    """What the variables of the script can hold, as far as it is known."""
    values: dict[str, set[str]] = {}
    for part in script.parts:
        if isinstance(part, Assignment):
            text = part.value.text
            texts = expansions(part.value, values=values, env=env) if text is None else (text,)
            values.setdefault(part.name, set()).update(texts)
    return values
