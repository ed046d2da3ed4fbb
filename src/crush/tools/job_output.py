"""`job_output`: what a background job of this session wrote, and whether it goes on."""

from typing import Annotated

from msgspec import Meta, Struct

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.exit_text import exit_text
from crush.tools.own_job import own_job, unknown_job
from crush.wire.jobs import Job

MAX_CHARS = 30_000


class JobOutputArgs(Struct, frozen=True, kw_only=True):
    """Arguments of `job_output`."""

    shell_id: str
    wait: Annotated[bool, Meta(description="until it has ended")] = False


class JobOutputMetadata(Struct, frozen=True, kw_only=True):
    """The job for front ends."""

    shell_id: str
    command: str
    description: str
    done: bool
    working_directory: str


class JobOutputTool:
    """Waiting ends with the turn; the job does not."""

    name = "job_output"
    args_type = JobOutputArgs
    read_only = True

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: JobOutputArgs, context: ToolContext) -> list[Need]:
        own_job(args.shell_id, context)
        return []

    async def run(self, args: JobOutputArgs, context: ToolContext) -> ToolResult:
        job_id = own_job(args.shell_id, context).id
        if args.wait:
            await context.jobs.wait(job_id)
        found = await context.jobs.text(job_id, limit=MAX_CHARS)
        if found is None:
            raise unknown_job(args.shell_id, context)
        job = found.job
        done = job.state != "running"
        parts = [f"Status: {'completed' if done else 'running'}", "", found.text.rstrip("\n")]
        return ToolResult(
            content="\n".join((*parts, *_end(job))).rstrip("\n"),
            metadata=JobOutputMetadata(
                shell_id=job.id,
                command=job.command,
                description=job.description,
                done=done,
                working_directory=job.working_directory,
            ),
        )


def _end(job: Job) -> list[str]:
    if job.exit_code is None:
        return []
    by = [f"(ended by {job.ended_by})"] if job.ended_by else []
    return [*by, exit_text(job.exit_code) or "Exit code 0"]
