"""The todo list of a session, as the tools of one turn see it."""

from collections.abc import Sequence

from crush.agent.journal import Journal
from crush.store.change import TodoList
from crush.wire.messages import Todo


class SessionTodos:
    """Kept with the turn, written with its journal (`tools.base.Todos`)."""

    def __init__(self, *, todos: Sequence[Todo], journal: Journal) -> None:
        self._todos = tuple(todos)
        self._journal = journal

    def current(self) -> Sequence[Todo]:
        return self._todos

    def replace(self, todos: Sequence[Todo]) -> None:
        self._todos = tuple(todos)
        self._journal.noted.set_todos(
            TodoList(session_id=self._journal.run.session_id, todos=self._todos)
        )
