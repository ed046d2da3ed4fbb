"""A tool whose result uses all that a result can hold."""

from collections.abc import Sequence

from msgspec import Struct

from crush.permissions.rules import Need
from crush.tools.base import AnyTool, ToolContext, ToolResult

PICTURE = b"\x89PNG\r\n\x00\xff"


class PictureArgs(Struct):
    """None."""


class PictureMetadata(Struct):
    """What a front end would show."""

    width: int
    note: str


class PictureTool:
    """Shows a picture, and calls it an error."""

    name = "picture"
    description = "A picture."
    args_type = PictureArgs
    read_only = True

    def needs(self, args: PictureArgs, context: ToolContext) -> Sequence[Need]:
        return []

    async def run(self, args: PictureArgs, context: ToolContext) -> ToolResult:
        return ToolResult(
            content="a picture",
            is_error=True,
            metadata=PictureMetadata(width=3, note='"<\u2028'),
            data=PICTURE,
            mime_type="image/png",
        )


def picture_tool() -> AnyTool:
    return AnyTool(
        name="picture",
        description="A picture.",
        parameters={"type": "object", "properties": {}},
        read_only=True,
        tool=PictureTool(),  # type: ignore[arg-type]  # a Tool of its own arguments
    )
