"""What a tool call has around it, in memory: a todo list, a person, facts."""

from collections.abc import Sequence

from crush.errors import ToolError
from crush.tools.base import Form
from crush.wire.messages import Todo
from crush.wire.questions import QuestionResponse


class FakeTodos:
    """A todo list of its own."""

    def __init__(self) -> None:
        self.todos: tuple[Todo, ...] = ()

    def current(self) -> Sequence[Todo]:
        return self.todos

    def replace(self, todos: Sequence[Todo]) -> None:
        self.todos = tuple(todos)


class FakeAsker:
    """A person who gives one answer to every form; nobody, if it is left out."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.is_there = False
        self.answer: Sequence[QuestionResponse] | None = None

    async def ask(self, form: Form) -> Sequence[QuestionResponse] | None:
        if not self.is_there:
            raise ToolError("nobody is there")
        self.forms.append(form)
        return self.answer


class FakeFacts:
    """Facts that a test chose."""

    def __init__(self) -> None:
        self.text = "model: fake"
        self.log: list[str] = []

    def describe(self) -> str:
        return self.text

    def log_tail(self, lines: int) -> str:
        return "\n".join(self.log[-lines:])


class FakeWayOut:
    """Somebody who lets commands out of the fence, or nobody."""

    def __init__(self) -> None:
        self.opens = False
        self.reasons: list[str] = []

    async def __call__(self, reason: str) -> bool:
        self.reasons.append(reason)
        return self.opens
