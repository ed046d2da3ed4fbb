"""Questions of a turn to whoever follows its session (`tools.base.Asker`)."""

import uuid
from collections.abc import Callable, Sequence

from crush.agent.journal import Journal
from crush.agent.questions import Questions
from crush.agent.waiting import PersonWait
from crush.errors import ToolError
from crush.tools.base import Form
from crush.wire.ids import PermissionId
from crush.wire.questions import QuestionRequest, QuestionResponse

_DECIDE = "Decide yourself, and say what you decided."


class SessionAsker:
    """Asks on behalf of one turn."""

    def __init__(
        self,
        *,
        questions: Questions,
        journal: Journal,
        waiting: PersonWait,
        can_ask: Callable[[], bool],
    ) -> None:
        self._questions = questions
        self._journal = journal
        self._waiting = waiting
        self._can_ask = can_ask

    async def ask(self, form: Form) -> Sequence[QuestionResponse] | None:
        if not self._can_ask():
            raise ToolError(f"Nobody can answer in this run. {_DECIDE}")
        run = self._journal.run
        request = QuestionRequest(
            id=PermissionId(str(uuid.uuid4())),
            session_id=run.session_id,
            tool_call_id=form.call_id,
            questions=list(form.questions),
            confirm_title=form.confirm_title,
            confirm_description=form.confirm_description,
        )
        with self._waiting.one_call():
            await self._journal.flush()  # the call is known before it is asked about
            end = await self._questions.ask(request, run_id=run.id)
        match end.outcome:
            case "answered":
                return end.responses
            case "cancelled":
                return None
            case "withdrawn":
                raise ToolError(f"Nobody answered in time. {_DECIDE}")
