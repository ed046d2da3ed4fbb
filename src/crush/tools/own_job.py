"""The job that a model names: only those of its own session are there for it."""

from crush.errors import ToolError
from crush.tools.base import ToolContext
from crush.wire.jobs import Job

_DIGITS = 3


def own_job(shell_id: str, context: ToolContext) -> Job:
    """The job, however its id is written. Raises ToolError with the ids that there are."""
    job = context.jobs.find(shell_id.strip().upper().zfill(_DIGITS))
    if job is None or job.session_id != context.session_id:
        raise unknown_job(shell_id, context)
    return job


def unknown_job(shell_id: str, context: ToolContext) -> ToolError:
    own = [job.id for job in context.jobs.listed() if job.session_id == context.session_id]
    known = f"Jobs of this session: {', '.join(own)}." if own else "This session has none."
    return ToolError(f"There is no job {shell_id!r}. {known}")
