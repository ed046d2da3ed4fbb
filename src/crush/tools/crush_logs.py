"""`crush_logs`: the last entries of the server's own log, a line each, without secrets."""

from functools import partial

import anyio.to_thread
from msgspec import Struct

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult

MOST_LINES = 100


class CrushLogsArgs(Struct, frozen=True, kw_only=True):
    """Arguments of `crush_logs`."""

    lines: int = 50


class CrushLogsTool:
    """Only the log of the server that runs this turn."""

    name = "crush_logs"
    args_type = CrushLogsArgs
    read_only = True

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: CrushLogsArgs, context: ToolContext) -> list[Need]:
        del args, context
        return []

    async def run(self, args: CrushLogsArgs, context: ToolContext) -> ToolResult:
        lines = min(max(args.lines, 1), MOST_LINES)
        text = await anyio.to_thread.run_sync(partial(context.facts.log_tail, lines))
        return ToolResult(content=text or "The log is empty.")
