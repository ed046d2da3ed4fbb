"""`Judge`: what one run may do, need by need. The same judgement everywhere; `explain` shows it."""

import os
import shutil
from collections.abc import Mapping, Sequence

from crush import paths
from crush.permissions.decision import Decision, decided
from crush.permissions.defaults import caution
from crush.permissions.known_commands import KnownCommands
from crush.permissions.offers import Offers, fetch_offers, path_offers, tool_offers
from crush.permissions.rules import Need, Patterns, Rule
from crush.permissions.shell_judge import ShellJudge
from crush.wire.messages import Mode

_SHELL_TOOL = "bash"


class Judge:
    """Decides the needs of one run. Cheap to build; `judge` blocks and is safe in threads.

    `rules` are those of `defaults.rules_for`; `env` is the environment of commands, whose PATH says
    what a name runs; without `has_bash` only single simple commands can be allowed.
    """

    def __init__(
        self,
        *,
        rules: Sequence[Rule],
        mode: Mode,
        root: str,
        env: Mapping[str, str],
        known: KnownCommands,
        has_bash: bool,
        uid: int,
    ) -> None:
        home = paths.home(env)
        self._rules = tuple(rules)
        self._is_careful = mode != "yolo"
        self._root = root
        self._home = home
        self._patterns = Patterns(rules, root=root, home=home)
        self._shell = ShellJudge(
            root=root, home=home, env=env, known=known, has_bash=has_bash, uid=uid
        )

    def judge(self, need: Need, *, more: Sequence[Rule] = ()) -> Decision:
        """`more`: rules that were granted meanwhile."""
        patterns = self._with(more)
        if need.kind == "execute" and need.tool == _SHELL_TOOL:
            return self._shell.judge(need, patterns, is_careful=self._is_careful)
        covering = [*patterns.covering(need)]
        warning = caution(need.kind, need.target, root=self._root)
        if warning and self._is_careful:
            covering.append(warning)
        offers = self._offers(need, is_careful=warning is not None)
        return decided(covering, otherwise=_NOT_COVERED[need.kind], offers=offers)

    def _offers(self, need: Need, *, is_careful: bool) -> Offers:
        match need.kind:
            case "read" | "list" | "write":
                return path_offers(need, root=self._root, is_careful=is_careful)
            case "fetch":
                return fetch_offers(need)
            case "execute":
                return tool_offers(need)

    def _with(self, more: Sequence[Rule]) -> Patterns:
        """In `yolo` nothing asks: what is granted has nothing to add, what is denied has."""
        added = [rule for rule in more if self._is_careful or rule.effect == "deny"]
        if not added:
            return self._patterns
        return Patterns([*self._rules, *added], root=self._root, home=self._home)


_NOT_COVERED = {
    "read": "it is outside of what may be read unasked",
    "list": "it is outside of what may be read unasked",
    "write": "it changes a file that no rule allows to change",
    "fetch": "it reaches the network",
    "execute": "it runs something that no rule allows",
}


def build_judge(
    known: KnownCommands, *, rules: Sequence[Rule], mode: Mode, root: str, env: Mapping[str, str]
) -> Judge:
    """The judge of a run of this user, whose commands have `env`."""
    return Judge(
        rules=rules,
        mode=mode,
        root=root,
        env=env,
        known=known,
        has_bash=shutil.which("bash", path=env.get("PATH", os.defpath)) is not None,
        uid=os.geteuid(),
    )
