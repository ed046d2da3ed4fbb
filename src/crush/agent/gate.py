"""The gate in front of every tool call: rules first, then a person, then a refusal that explains.

Headless means that no client that can answer follows the session: then asking is refusing, at once.
What no rule and no person allowed may still run where a fence bounds it: in mode `workspace`.
"""

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Struct

from crush.agent.fencing import Fencing
from crush.agent.journal import Journal
from crush.agent.question_of_call import Judged, one_question_each, request_for
from crush.agent.waiting import PersonWait
from crush.permissions.broker import Answer, Broker, Remember
from crush.permissions.decision import Decision, Judges
from crush.permissions.rule_text import parse_rule
from crush.permissions.rules import Need, Rule
from crush.sandbox.fence import Fence
from crush.wire.events import PermissionResolved
from crush.wire.ids import PermissionId, ToolCallId
from crush.wire.permissions import PermissionRequest

HEADLESS_HINT = (
    "allow it with -y or by a rule (see `crush permissions explain`), or run in a terminal where you "
    "can answer"
)
OUTSIDE_HINT = "the sandbox refused it; allow the command by a rule, or the run with -y"
READ_ONLY_HINT = "leave out --read-only to allow changes"
RULE_HINT = "`crush permissions list` shows the rule"


class Verdict(Struct, frozen=True, kw_only=True):
    """Whether a call may run, and how.

    Attributes:
        text: tells the model why not.
        stop: the turn ends after this step.
        fence, only_reads: see `ToolContext`.
    """

    allowed: bool
    text: str = ""
    stop: bool = False
    fence: Fence | None = None
    only_reads: bool = False


ALLOWED = Verdict(allowed=True)


class Gate:
    """Judges the needs of one run's calls."""

    def __init__(
        self,
        *,
        build_judge: Callable[[], Judges],
        fencing: Fencing,
        broker: Broker,
        journal: Journal,
        waiting: PersonWait,
        remember: Remember,
        audit: Callable[[PermissionRequest, Answer], Awaitable[None]],
        hide: Callable[[str], str],
        can_ask: Callable[[], bool],
    ) -> None:
        self._build_judge = build_judge
        self._judge: Judges | None = None
        self._fencing = fencing
        self._broker = broker
        self._journal = journal
        self._waiting = waiting
        self._remember = remember
        self._audit = audit
        self._hide = hide
        self._can_ask = can_ask

    def judge(self, needs: Sequence[Need]) -> list[Judged]:
        """What rules say of each need. Blocks: for a thread."""
        if not needs:
            return []
        judge = self._judge = self._judge or self._build_judge()  # two at once make two alike
        granted = self._granted()
        return [Judged(need=need, decision=judge.judge(need, more=granted)) for need in needs]

    async def check(self, call_id: str, judged: Sequence[Judged]) -> Verdict:
        """Whether the call may run, and how; waits for a person where one can answer."""
        for item in judged:
            if item.decision.effect == "deny":  # before anybody is asked about the rest
                return self._deny(call_id, item)
        verdict, open_ones = ALLOWED, []
        for item in judged:
            permitted = await self._permit(item)
            if permitted is None:
                open_ones.append(item)
            elif item.need.kind == "execute":
                verdict = permitted
        if open_ones and not self._can_ask():
            return self._nobody(call_id, open_ones[0].need)
        for group in one_question_each(open_ones):
            answered = await self._ask(call_id, group)
            if not answered.allowed:
                return answered
        return verdict

    async def let_out(self, call_id: str, judged: Sequence[Judged], reason: str) -> bool:
        """Whether a command that its fence refused something may run without one."""
        (item,) = [item for item in judged if item.need.kind == "execute"]
        need = msgspec.structs.replace(
            item.need, description=f"{item.need.description} (outside the sandbox)"
        )
        if self._broker.remembered(self._journal.run.session_id, item.need):
            return True
        if not self._can_ask():
            self._refuse(call_id, need, by="headless", hint=OUTSIDE_HINT)
            return False
        decision = msgspec.structs.replace(item.decision, reason=reason)
        verdict = await self._ask(call_id, [Judged(need=need, decision=decision)])
        return verdict.allowed

    def _granted(self) -> list[Rule]:
        return _session_rules(self._broker.session_rules(self._journal.run.session_id))

    def _covers(self, need: Need, rules: Sequence[str]) -> bool:
        """Whether these grants would let it through, as they would a call that comes now. Blocks."""
        if self._judge is None:
            return False
        decision = self._judge.judge(need, more=_session_rules(rules))
        return decision.effect == "allow" and _is_explicit(decision)

    def _deny(self, call_id: str, item: Judged) -> Verdict:
        rule = item.decision.rule
        is_mode = rule is None or rule.source == "mode"
        hint = READ_ONLY_HINT if is_mode else RULE_HINT
        self._refuse(call_id, item.need, by="rule", hint=hint)
        return Verdict(
            allowed=False,
            text=(
                f"Not allowed: {item.decision.reason}. "
                "Do not try another way; say what you would have done."
            ),
        )

    async def _permit(self, item: Judged) -> Verdict | None:
        """By a rule, by what was granted before, or inside a fence; None: a person has to say."""
        need, decision = item.need, item.decision
        runs = need.kind == "execute"
        if decision.effect == "allow":
            if not runs or _is_explicit(decision):
                return ALLOWED
            return Verdict(allowed=True, fence=await self._fencing.fence(), only_reads=True)
        if self._broker.remembered(self._journal.run.session_id, need):
            return ALLOWED
        if runs and not (decision.is_explicit_ask or _names_secrets(decision)):
            fence = await self._fencing.fence()
            if fence is not None:
                return Verdict(allowed=True, fence=fence)
        return None

    def _nobody(self, call_id: str, need: Need) -> Verdict:
        self._refuse(call_id, need, by="headless", hint=self._hint(runs=need.kind == "execute"))
        return Verdict(
            allowed=False,
            text=(
                "Permission needed, and nobody can give it in this run. Go on without it if "
                "you can; otherwise say what you would have done."
            ),
        )

    def _hint(self, *, runs: bool) -> str:
        remedy = self._fencing.remedy
        if runs and remedy:
            return f"a sandbox would let it run: {remedy}; or {HEADLESS_HINT}"
        return HEADLESS_HINT

    async def _ask(self, call_id: str, group: Sequence[Judged]) -> Verdict:
        needs = [item.need for item in group]
        request = request_for(
            group, session_id=self._journal.run.session_id, call_id=call_id, hide=self._hide
        )
        with self._waiting.one_call():
            await self._journal.flush()  # the call is known before it is asked about
            answer = await self._broker.ask(
                request,
                needs,
                run_id=self._journal.run.id,
                covers=self._covers,
                remember=self._remember,
            )
        if answer.by not in {"timeout", "turn"}:
            await self._audit(request, answer)
        if answer.outcome in {"allow", "allow_session", "allow_always"}:
            for need in needs:
                if need.kind == "write":
                    self._fencing.admit(need.target)
            return ALLOWED
        self._count()
        if answer.by == "timeout":
            return Verdict(
                allowed=False,
                text="Permission needed, and nobody gave it in time. Go on without it if you can.",
            )
        if answer.feedback:
            return Verdict(allowed=False, text=f"The user refused this: {answer.feedback}")
        return Verdict(
            allowed=False,
            text="The user refused this. Do not try another way; ask what they want instead.",
            stop=True,
        )

    def _refuse(self, call_id: str, need: Need, *, by: str, hint: str) -> None:
        self._count()
        self._journal.note(
            PermissionResolved(
                session_id=self._journal.run.session_id,
                permission_id=PermissionId(""),
                tool_call_id=ToolCallId(call_id),
                tool_name=need.tool,
                outcome="deny",
                by=by,
                what=self._hide(need.description),
                hint=hint,
                run_id=self._journal.run.id,
            )
        )

    def _count(self) -> None:
        run = self._journal.run
        self._journal.set_run(msgspec.structs.replace(run, denied=run.denied + 1))


def _session_rules(texts: Sequence[str]) -> list[Rule]:
    return [parse_rule(text, effect="allow", source="session") for text in texts]


def _is_explicit(decision: Decision) -> bool:
    """Whether somebody allowed it, or a part of it, as it is: then it runs as they would run it."""
    rule = decision.rule
    if rule is not None and (rule.is_written or rule.source == "mode"):
        return True
    return any(_is_explicit(part) for part in decision.parts)


def _names_secrets(decision: Decision) -> bool:
    """Whether it asks because keys lie where it reads: a fence does not keep those from the model."""
    rule = decision.rule
    if decision.effect == "ask" and rule is not None and rule.kind == "read":
        return True
    return any(map(_names_secrets, decision.parts))
