"""`job_kill`: ends a background job of this session with everything that it started."""

from msgspec import Struct

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.exit_text import exit_text
from crush.tools.own_job import own_job, unknown_job


class JobKillArgs(Struct, frozen=True, kw_only=True):
    """Arguments of `job_kill`."""

    shell_id: str


class JobKillMetadata(Struct, frozen=True, kw_only=True):
    """The job for front ends."""

    shell_id: str
    command: str
    description: str


class JobKillTool:
    """Who was allowed to start a job may end it."""

    name = "job_kill"
    args_type = JobKillArgs
    read_only = False

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: JobKillArgs, context: ToolContext) -> list[Need]:
        own_job(args.shell_id, context)
        return []

    async def run(self, args: JobKillArgs, context: ToolContext) -> ToolResult:
        before = own_job(args.shell_id, context)
        job = await context.jobs.kill(before.id, by=self.name)
        if job is None:
            raise unknown_job(args.shell_id, context)
        code = exit_text(job.exit_code or 0) or "Exit code 0"
        had = "was ended" if before.state == "running" else "had already ended"
        return ToolResult(
            content=f"Job {job.id} {had}. {code}",
            metadata=JobKillMetadata(
                shell_id=job.id, command=job.command, description=job.description
            ),
        )
