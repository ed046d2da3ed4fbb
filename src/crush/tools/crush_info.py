"""`crush_info`: what the agent works with, as this run was configured; never a secret."""

import anyio.to_thread
from msgspec import Struct

from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult


class CrushInfoArgs(Struct, frozen=True, kw_only=True):
    """`crush_info` has no arguments."""


class CrushInfoTool:
    """Reads nothing of the project."""

    name = "crush_info"
    args_type = CrushInfoArgs
    read_only = True

    def __init__(self, *, description: str) -> None:
        self.description = description

    def needs(self, args: CrushInfoArgs, context: ToolContext) -> list[Need]:
        del args, context
        return []

    async def run(self, args: CrushInfoArgs, context: ToolContext) -> ToolResult:
        del args
        return ToolResult(content=await anyio.to_thread.run_sync(context.facts.describe))
