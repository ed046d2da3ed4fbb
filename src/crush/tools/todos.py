"""`todos`: the list of steps that the model keeps for itself and shows to whoever follows."""

from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.wire.messages import Todo


class TodoArgs(Struct, frozen=True, kw_only=True):
    """One step."""

    content: str
    status: Literal["pending", "in_progress", "completed"]
    active_form: str = ""


class TodosArgs(Struct, frozen=True, kw_only=True):
    """Arguments of `todos`: the whole list, which replaces the one before."""

    todos: list[TodoArgs]


class TodosMetadata(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The list for front ends, and what is new in it."""

    is_new: bool
    todos: list[Todo]
    just_completed: list[str] = []
    just_started: str = ""
    completed: int
    total: int


class TodosTool:
    """Touches nothing but the session's own list."""

    name = "todos"
    args_type = TodosArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: TodosArgs, context: ToolContext) -> list[Need]:
        del context
        for number, todo in enumerate(args.todos, start=1):
            if not todo.content.strip():
                raise ToolError(f"Todo {number} has no content.")
        return []

    async def run(self, args: TodosArgs, context: ToolContext) -> ToolResult:
        before = context.todos.current()
        todos = [
            Todo(content=todo.content, status=todo.status, active_form=todo.active_form)
            for todo in args.todos
        ]
        context.todos.replace(todos)
        metadata = _news(before, todos)
        return ToolResult(
            content=f"Kept: {metadata.completed} of {metadata.total} completed.", metadata=metadata
        )


def _news(before: Sequence[Todo], now: list[Todo]) -> TodosMetadata:
    """What the new list says that the old one did not; a step is the same if its words are."""
    known = {(todo.content, todo.status) for todo in before}
    news = [todo for todo in now if (todo.content, todo.status) not in known]
    started = [todo.active_form or todo.content for todo in news if todo.status == "in_progress"]
    return TodosMetadata(
        is_new=not before,
        todos=now,
        just_completed=[todo.content for todo in news if todo.status == "completed"],
        just_started=started[0] if started else "",
        completed=sum(todo.status == "completed" for todo in now),
        total=len(now),
    )
