"""One conversation with everything in it, for the tests of both protocols' bodies."""

from collections.abc import Mapping

from crush.providers.base import (
    AssistantTurn,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolSpec,
    ToolTurn,
    ToolUseBlock,
    UserTurn,
)

PNG = b"\x89PNG\r\n\x1a\n"
PNG_BASE64 = "iVBORw0KGgo="
SCHEMA: Mapping[str, object] = {
    "type": "object",
    "properties": {"file_path": {"type": "string"}},
    "required": ["file_path"],
}
IMAGE = ImageBlock(PNG, "image/png")
TOOLS = (ToolSpec("ls", "Lists.", {"type": "object"}), ToolSpec("view", "Shows.", SCHEMA))
TURNS = (
    UserTurn((TextBlock("What is in this picture?"), IMAGE)),
    AssistantTurn(
        (
            ReasoningBlock("I should look.", "c2lnbmVk"),
            TextBlock("I look."),
            ToolUseBlock("call_1", "view", '{"file_path": "a.png"}'),
            ToolUseBlock("call_2", "view", '{"file_path": '),
        )
    ),
    ToolTurn(
        (
            ToolResultBlock("call_1", "view", "", image=IMAGE),
            ToolResultBlock("call_2", "view", "The arguments are no JSON.", is_error=True),
        )
    ),
    UserTurn((TextBlock("Go on."),)),
)
REQUEST = ModelRequest(
    model="m", system="Be brief.", turns=TURNS, tools=TOOLS, max_tokens=500, temperature=0.5
)
