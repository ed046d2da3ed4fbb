"""Questions of a turn to whoever follows its session (`tools.base.Asker`)."""

from collections.abc import Callable, Sequence

from crush.errors import ToolError
from crush.tools.base import Form
from crush.wire.questions import QuestionResponse


class SessionAsker:
    """Asks on behalf of one turn."""

    def __init__(self, *, can_ask: Callable[[], bool]) -> None:
        self._can_ask = can_ask

    async def ask(self, form: Form) -> Sequence[QuestionResponse] | None:
        del form
        raise ToolError("Nobody can answer in this run. Decide yourself, and say what you decided.")
