"""Sessions, messages and runs as they travel and as they are stored (docs/reference/wire.md)."""

from typing import Literal

from msgspec import Struct, field

from crush.wire.ids import MessageId, RunId, SessionId
from crush.wire.parts import Part

Role = Literal["user", "assistant", "tool", "system"]
Mode = Literal["ask", "workspace", "yolo"]
RunState = Literal["queued", "running", "waiting", "done", "cancelled", "failed", "interrupted"]

ENDED: frozenset[str] = frozenset({"done", "cancelled", "failed", "interrupted"})


class Todo(Struct, frozen=True, kw_only=True):
    """One entry of the todo list."""

    content: str
    status: str = field(default_factory=str)
    active_form: str = field(default_factory=str)


class Session(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A conversation. Times in seconds, cost in USD; `is_busy` and `attached_clients` are computed."""

    id: SessionId
    parent_session_id: str = field(default_factory=str)
    title: str = field(default_factory=str)
    message_count: int = field(default_factory=int)
    prompt_tokens: int = field(default_factory=int)
    completion_tokens: int = field(default_factory=int)
    summary_message_id: str = field(default_factory=str)
    cost: float = field(default_factory=float)
    todos: list[Todo] | None = None
    created_at: int = field(default_factory=int)
    updated_at: int = field(default_factory=int)
    is_busy: bool = field(default_factory=bool)
    attached_clients: int = field(default_factory=int)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message, whole. Times in seconds; order is by the store's sequence, never by time."""

    parts: list[Part]
    id: MessageId
    role: str  # a Role; "" in the empty message of an agent event
    session_id: SessionId
    model: str = field(default_factory=str)
    provider: str = field(default_factory=str)
    created_at: int = field(default_factory=int)
    updated_at: int = field(default_factory=int)
    is_summary_message: bool = False


class RunError(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Why a run failed: a stable code of the error tree, a sentence, what to do."""

    code: str
    message: str
    hint: str = ""


class Run(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One accepted prompt. Accepted means committed; it ends in exactly one `run_complete`.

    Times in milliseconds since the epoch. `denied` counts permissions that were refused, by a rule,
    by a person, or because nobody could answer. `anonymous`: a classic client prompted without a run
    id. `folded_into` names the run whose turn took the prompt up. Tokens and cost are of this run
    alone.
    """

    id: RunId
    session_id: SessionId
    state: RunState
    mode: Mode = "workspace"
    read_only: bool = False
    detached: bool = False
    anonymous: bool = False
    message_id: str = ""
    error: RunError | None = None
    denied: int = 0
    steps: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost: float = 0.0
    folded_into: str = ""
    created_at_ms: int = 0
    started_at_ms: int = 0
    ended_at_ms: int = 0
