"""What a tool is: typed arguments, needs that are known before it runs, a typed result.

A tool knows nothing of permissions, HTTP or storage: it says what it would touch, and the agent's
gate decides. Failure that the model can do something about raises `ToolError`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from crush.config.schema import ToolLimits
from crush.permissions.rules import Need
from crush.sandbox.fence import Fence
from crush.tools.jobs import Jobs
from crush.wire.ids import RunId, SessionId, ToolCallId
from crush.wire.messages import Todo
from crush.wire.questions import Question, QuestionResponse


class FileLog(Protocol):
    """Which files this session has read or changed, and what they held then."""

    def digest(self, path: str) -> str | None:
        """SHA-256 (hex) of the file's bytes when the session last read or wrote it."""

    def record(self, path: str, digest: str) -> None:
        """The session now knows this content."""

    def changed(self, path: str, *, before: str | None, after: str | None) -> None:
        """A tool changed the file: its text before and after, None for no file. Kept for undo."""


class Todos(Protocol):
    """The todo list of the session."""

    def current(self) -> Sequence[Todo]: ...

    def replace(self, todos: Sequence[Todo]) -> None: ...


class Form(Struct, frozen=True, kw_only=True):
    """Questions to a person, as a call of the `question` tool asks them."""

    call_id: ToolCallId
    questions: Sequence[Question]
    confirm_title: str = ""
    confirm_description: str = ""


class Asker(Protocol):
    """Somebody who can be asked, as long as one follows the session."""

    async def ask(self, form: Form) -> Sequence[QuestionResponse] | None:
        """Wait for the answers; None if the person will not answer: then the turn ends.

        Raises ToolError if nobody can answer.
        """


class Facts(Protocol):
    """What the agent may know of itself (F 4.7): the configuration of this run, the log."""

    def describe(self) -> str:
        """Sections of plain text, without secrets. Blocking."""

    def log_tail(self, lines: int) -> str:
        """The last lines of the server's log, without secrets. Blocking."""


class ToolContext(Struct, frozen=True, kw_only=True):
    """What a call may know of its run, and whom it may turn to.

    Attributes:
        cwd: real absolute working directory.
        env: the asking client's environment without secrets (`CRUSH_TOKEN` and the like).
        umask: of the asking client.
        tmp: the session's private directory, real and absolute; fenced commands see it as `/tmp`.
        fence: the limits of this call's commands; None: they run as the user.
        only_reads: this call's command is known to change nothing; git is kept to that.
        limits: of `ls`, `grep` and `glob`, from the configuration.
        files, todos, jobs, asker, facts: of the session and its project.
        emit_output: takes text as it is produced, for people who watch; not for the model.
        escape: asks whether the call's command may run outside the fence, giving the reason; False
            if it was refused or nobody can answer.
    """

    session_id: SessionId
    run_id: RunId
    call_id: ToolCallId
    cwd: str
    env: Mapping[str, str]
    umask: int
    tmp: str
    fence: Fence | None
    files: FileLog
    todos: Todos
    jobs: Jobs
    asker: Asker
    facts: Facts
    emit_output: Callable[[str], None]
    escape: Callable[[str], Awaitable[bool]]
    limits: ToolLimits = ToolLimits()
    only_reads: bool = False


class ToolResult(Struct, frozen=True, kw_only=True):
    """Text for the model; `metadata` (a Struct of this tool) and media for front ends.

    `stop` ends the turn after this step: the person it turned to does not want to go on.
    """

    content: str
    is_error: bool = False
    stop: bool = False
    metadata: Struct | None = None
    data: bytes = b""
    mime_type: str = ""

    def metadata_json(self) -> str:
        """The JSON text that the wire carries, "" when there is none."""
        return "" if self.metadata is None else msgspec.json.encode(self.metadata).decode()


Args = TypeVar("Args", bound=Struct)


class Tool(Protocol[Args]):
    """One tool. `read_only` tools may run in parallel and before the answer has ended."""

    name: str
    description: str
    args_type: type[Args]
    read_only: bool

    def needs(self, args: Args, context: ToolContext) -> Sequence[Need]:
        """What the call would touch, paths resolved through symlinks. Changes nothing.

        May read files to show a change as a diff. Raises ToolError if the call cannot work.
        """

    async def run(self, args: Args, context: ToolContext) -> ToolResult:
        """Do it. Blocking work happens in threads. Cancellation stops it and cleans up."""


class AnyTool(Struct, frozen=True, kw_only=True):
    """A tool as the agent holds it, arguments still JSON."""

    name: str
    description: str
    parameters: Mapping[str, object]
    read_only: bool
    tool: Tool[Struct] = field()

    def parse(self, text: str) -> Struct:
        """The arguments as their Struct. Raises msgspec.ValidationError or DecodeError.

        Lenient with what models write: numbers as strings, null for what they leave out.
        """
        fields = msgspec.json.decode(text.strip() or "{}", type=dict[str, object])
        given = {name: value for name, value in fields.items() if value is not None}
        return msgspec.convert(given, self.tool.args_type, strict=False)
