"""Background jobs of the shell tool, as they are listed and told of."""

from typing import Literal

from msgspec import Struct

from crush.wire.ids import RunId, SessionId, ToolCallId

JobState = Literal["running", "exited", "killed"]


class Job(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One job. Times in milliseconds since the epoch.

    Attributes:
        id: three or more hexadecimal digits, unique in its project.
        exit_code: as a shell tells it; None while it runs.
        output_bytes: how much it wrote; more than is kept, if it wrote more than the cap.
        sandbox: what confines it: `bubblewrap`, `landlock`, `seatbelt` or `none`.
        ended_by: who killed it: a client id, `job_kill`, `server`, `session`; "" otherwise.
    """

    id: str
    session_id: SessionId
    run_id: RunId
    tool_call_id: ToolCallId
    command: str
    description: str = ""
    working_directory: str = ""
    state: JobState
    exit_code: int | None = None
    output_bytes: int = 0
    sandbox: str = "none"
    started_at_ms: int = 0
    ended_at_ms: int = 0
    ended_by: str = ""


class JobOutput(Struct, frozen=True, kw_only=True):
    """A stretch of a job's output: what lies from `offset` to `next_offset`, counted in bytes.

    `skipped` bytes before `offset` are kept no more. `done`: nothing will follow.
    """

    text: str
    offset: int
    next_offset: int
    skipped: int
    done: bool
