"""What was decided about a need, and why: for the gate, for people, for `crush permissions explain`."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from msgspec import Struct

from crush.permissions.rules import SEVERITY, Effect, Need, Rule, strongest
from crush.wire.messages import Mode


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """One decision; that of a compound command holds those of its parts.

    Attributes:
        reason: one line for a person.
        rule: the rule that decided; None if none covered it.
        source_text: of a part of a command: that stretch of the text.
        parts: of a compound command, in the order of the text.
        offers: what could be remembered, the narrowest first; each is a tuple of rules that only
            together cover it. Empty: nothing lasting.
        is_explicit_ask: it asks because a rule that somebody wrote says so.
    """

    effect: Effect
    reason: str
    rule: Rule | None = None
    source_text: str = ""
    parts: tuple["Decision", ...] = ()
    offers: tuple[tuple[str, ...], ...] = ()
    is_explicit_ask: bool = False


class Judges(Protocol):
    """Decides the needs of one run; see `judge.Judge`."""

    def judge(self, need: Need, *, more: Sequence[Rule] = ()) -> Decision: ...


class BuildJudge(Protocol):
    """Makes the judge of one run. Blocks, above all the first time: it loads what knows commands."""

    def __call__(
        self, *, rules: Sequence[Rule], mode: Mode, root: str, env: Mapping[str, str]
    ) -> Judges: ...


def decided(
    covering: Iterable[Rule],
    *,
    otherwise: str,
    source_text: str = "",
    offers: tuple[tuple[str, ...], ...] = (),
) -> Decision:
    """The decision of the strongest rule; `otherwise` says why it asks if there is none."""
    rule = strongest(covering)
    if rule is None:
        return Decision(effect="ask", reason=otherwise, source_text=source_text, offers=offers)
    is_explicit_ask = rule.effect == "ask" and rule.is_written
    can_remember = rule.effect == "ask" and not is_explicit_ask  # a grant is weaker than that rule
    return Decision(
        effect=rule.effect,
        reason=rule.reason or f"{_BY[rule.source]} {_SAYS[rule.effect]} {rule.text}",
        rule=rule,
        source_text=source_text,
        offers=offers if can_remember else (),
        is_explicit_ask=is_explicit_ask,
    )


def worst(decisions: Iterable[Decision]) -> Decision:
    """The first of the strictest; one that somebody wrote before one by default."""
    return max(decisions, key=lambda d: (SEVERITY.index(d.effect), d.is_explicit_ask))


_SAYS: dict[Effect, str] = {"allow": "allows", "ask": "asks for", "deny": "denies"}
_BY = {
    "default": "by default crush",
    "mode": "the mode",
    "user": "your configuration",
    "project": "the project's configuration",
    "session": "this session",
    "grant": "what you allowed for good",
}
