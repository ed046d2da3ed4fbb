"""What a turn notes beside its messages: usage, files read and changed, the todo list."""

from collections.abc import Sequence

from msgspec import Struct

from crush.store.change import FileEdit, FileRead, SessionUsage, TodoList


class Notes(Struct, frozen=True, kw_only=True):
    """What one commit takes of them."""

    usage: Sequence[SessionUsage]
    reads: Sequence[FileRead]
    edits: Sequence[FileEdit]
    todos: TodoList | None

    def __bool__(self) -> bool:
        return bool(self.usage or self.reads or self.edits or self.todos)


class Noted:
    """Collected until it is committed. Files are noted from the threads of tools."""

    def __init__(self) -> None:
        self._usage: list[SessionUsage] = []
        self._reads: list[FileRead] = []
        self._edits: list[FileEdit] = []
        self._todos: TodoList | None = None

    def add_usage(self, usage: SessionUsage) -> None:
        self._usage.append(usage)

    def add_read(self, read: FileRead) -> None:
        self._reads.append(read)

    def add_edit(self, edit: FileEdit) -> None:
        self._edits.append(edit)

    def set_todos(self, todos: TodoList) -> None:
        """The latest list is the one that is written."""
        self._todos = todos

    def notes(self) -> Notes:
        """Everything so far; it stays until it is forgotten."""
        return Notes(
            usage=self._usage[:], reads=self._reads[:], edits=self._edits[:], todos=self._todos
        )

    def forget(self, notes: Notes) -> None:
        """These are committed; what came meanwhile stays."""
        del self._usage[: len(notes.usage)]
        del self._reads[: len(notes.reads)]
        del self._edits[: len(notes.edits)]
        if self._todos is notes.todos:
            self._todos = None
