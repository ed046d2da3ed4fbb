"""The gate in front of every tool call: rules first, then a person, then a refusal that explains.

Headless means that no client that can answer follows the session: then asking is refusing, at once.
"""

import uuid
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from crush.agent.journal import Journal
from crush.permissions.broker import Broker
from crush.permissions.protected import protected_reason
from crush.permissions.rules import Effect, Need, Patterns, Rule, effect_of, strongest
from crush.wire.codec import params_object
from crush.wire.events import PermissionResolved
from crush.wire.ids import PermissionId, ToolCallId
from crush.wire.permissions import PermissionRequest

HEADLESS_HINT = (
    "allow it with -y, or run in a terminal where you can answer; inside the working directory "
    "file tools need no permission"
)
READ_ONLY_HINT = "leave out --read-only to allow changes"


class Verdict(Struct, frozen=True, kw_only=True):
    """`text` tells the model why not; `stop` ends the turn after this step."""

    allowed: bool
    text: str = ""
    stop: bool = False


ALLOWED = Verdict(allowed=True)


class Gate:
    """Judges the needs of one run's calls."""

    def __init__(
        self,
        *,
        rules: Sequence[Rule],
        broker: Broker,
        journal: Journal,
        can_ask: Callable[[], bool],
    ) -> None:
        self._rules = Patterns(rules, root="/", home="/")
        self._broker = broker
        self._journal = journal
        self._can_ask = can_ask
        self._asking = 0

    async def check(self, call_id: str, needs: Sequence[Need]) -> Verdict:
        """Whether the call may run; waits for a person where one can answer."""
        effects = [self._effect(need) for need in needs]
        for need, effect in zip(needs, effects, strict=True):
            if effect == "deny":  # before anybody is asked about the rest
                return self._deny(call_id, need)
        for need, effect in zip(needs, effects, strict=True):
            verdict = ALLOWED if effect == "allow" else await self._permit(call_id, need)
            if not verdict.allowed:
                return verdict
        return ALLOWED

    def _effect(self, need: Need) -> Effect:
        effect = effect_of(strongest(self._rules.covering(need)))
        is_careful = need.kind == "write" and self._journal.run.mode != "yolo"
        if effect == "allow" and is_careful and protected_reason(need.target, root="/"):
            return "ask"
        return effect

    def _deny(self, call_id: str, need: Need) -> Verdict:
        self._refuse(call_id, need, by="rule", hint=READ_ONLY_HINT)
        rule = strongest(self._rules.covering(need))
        reason = rule.reason if rule else ""
        return Verdict(
            allowed=False,
            text=f"Not allowed: {reason}. Do not try another way; say what you would have done.",
        )

    async def _permit(self, call_id: str, need: Need) -> Verdict:
        """By what was granted before, or by a person who can answer."""
        if self._broker.remembered(self._journal.run.session_id, need):
            return ALLOWED
        if not self._can_ask():
            self._refuse(call_id, need, by="headless", hint=HEADLESS_HINT)
            return Verdict(
                allowed=False,
                text=(
                    "Permission needed, and nobody can give it in this run. Go on without it if "
                    "you can; otherwise say what you would have done."
                ),
            )
        return await self._ask(call_id, need)

    async def _ask(self, call_id: str, need: Need) -> Verdict:
        request = PermissionRequest(
            id=PermissionId(str(uuid.uuid4())),
            session_id=self._journal.run.session_id,
            tool_call_id=ToolCallId(call_id),
            tool_name=need.tool,
            description=need.description,
            action=need.action,
            params=params_object(need.params),
            path=need.directory,
        )
        if self._asking == 0:
            self._journal.move_run("waiting")
        self._asking += 1
        try:
            await self._journal.flush()  # the call is known before it is asked about
            answer = await self._broker.ask(request, need, run_id=self._journal.run.id)
        finally:
            self._asking -= 1
            if self._asking == 0:
                self._journal.move_run("running")
        if answer.outcome in {"allow", "allow_session"}:
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
                what=need.description,
                hint=hint,
                run_id=self._journal.run.id,
            )
        )

    def _count(self) -> None:
        run = self._journal.run
        self._journal.set_run(msgspec.structs.replace(run, denied=run.denied + 1))
