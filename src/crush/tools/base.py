"""What a tool is: typed arguments, needs that are known before it runs, a typed result.

A tool knows nothing of permissions, HTTP or storage: it says what it would touch, and the agent's
gate decides. Failure that the model can do something about raises `ToolError`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

import msgspec
from msgspec import Struct, field

from crush.permissions.rules import Need


class ReadLog(Protocol):
    """Which files this session has read or written, and what they held then."""

    def digest(self, path: str) -> str | None:
        """SHA-256 (hex) of the file's bytes when the session last read or wrote it."""

    def record(self, path: str, digest: str) -> None:
        """The session now knows this content."""


class ToolContext(Struct, frozen=True, kw_only=True):
    """What a call may know of its run.

    Attributes:
        cwd: real absolute working directory.
        env: the asking client's environment without secrets (`CRUSH_TOKEN` and the like).
        umask: of the asking client.
        reads: the session's read log.
        emit_output: takes text as it is produced, for people who watch; not for the model.
    """

    cwd: str
    env: Mapping[str, str]
    umask: int
    reads: ReadLog
    emit_output: Callable[[str], None]


class ToolResult(Struct, frozen=True, kw_only=True):
    """Text for the model; `metadata` (a Struct of this tool) and media for front ends."""

    content: str
    is_error: bool = False
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
