"""Stored messages to the turns that a provider accepts: total, whatever the database holds (F 3.18).

The result always begins with a user turn, alternates validly, gives every call exactly one result in
the order of the calls, and holds no empty turn. Order is that of the store.
"""

from collections.abc import Iterable, Sequence

import msgspec

from crush.providers.base import (
    AssistantTurn,
    ImageBlock,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    UserTurn,
)
from crush.wire.messages import Message
from crush.wire.parts import (
    Binary,
    BinaryPart,
    ReasoningPart,
    ShellCommandPart,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)

LOST_RESULT = "The result of this call was lost: the turn ended before the tool did."


def turns_from(messages: Sequence[Message], *, summary_message_id: str = "") -> tuple[Turn, ...]:
    """The conversation for the next request; from the summary on, if there is one."""
    start = next(
        (index for index, message in enumerate(messages) if message.id == summary_message_id), 0
    )
    relevant = messages[start:]
    results = _results(relevant)
    turns: list[Turn] = []
    used: set[str] = set()
    for message in relevant:
        if message.role == "user" or message.id == summary_message_id:
            _add_user(turns, _user_blocks(message))
        elif message.role == "assistant":
            _add_assistant(turns, _assistant_blocks(message, used), results)
    while turns and not isinstance(turns[0], UserTurn):
        del turns[0]
    return tuple(turns)


def _results(messages: Iterable[Message]) -> dict[str, ToolResult]:
    """The first result of each call."""
    found: dict[str, ToolResult] = {}
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolResultPart):
                found.setdefault(part.data.tool_call_id, part.data)
    return found


def _user_blocks(message: Message) -> list[TextBlock | ImageBlock]:
    blocks: list[TextBlock | ImageBlock] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            if part.data.text.strip():
                blocks.append(TextBlock(part.data.text))
        elif isinstance(part, BinaryPart):
            blocks.extend(_attachment(part.data))
        elif isinstance(part, ShellCommandPart):
            shell = part.data
            blocks.append(
                TextBlock(f"I ran `{shell.command}` (exit code {shell.exit_code}):\n{shell.output}")
            )
    return blocks


def user_turn(message: Message) -> UserTurn | None:
    """One user message as a turn; None if it says nothing."""
    blocks = _user_blocks(message)
    return UserTurn(tuple(blocks)) if blocks else None


def _attachment(binary: Binary) -> list[TextBlock | ImageBlock]:
    if binary.mime_type.startswith("image/"):
        return [ImageBlock(binary.data, binary.mime_type)] if binary.data else []
    text = binary.data.decode("utf-8", "replace")
    return [TextBlock(f'<file path="{binary.path}">\n{text}\n</file>')]


def _assistant_blocks(
    message: Message, used: set[str]
) -> list[TextBlock | ReasoningBlock | ToolUseBlock]:
    """What the model said. `used` collects call ids over the conversation: each counts once."""
    blocks: list[TextBlock | ReasoningBlock | ToolUseBlock] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            if part.data.text.strip():
                blocks.append(TextBlock(part.data.text))
        elif isinstance(part, ReasoningPart):
            if part.data.thinking.strip():
                blocks.append(ReasoningBlock(part.data.thinking, part.data.signature))
        elif isinstance(part, ToolCallPart):
            call = part.data
            if call.id and call.name and call.id not in used and not call.provider_executed:
                used.add(call.id)
                blocks.append(ToolUseBlock(call.id, call.name, object_text(call)))
    return blocks


def object_text(call: ToolCall) -> str:
    """The input of a call as the JSON object that providers insist on."""
    try:
        value = msgspec.json.decode(call.input)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return "{}"
    return call.input if isinstance(value, dict) else "{}"


def _add_user(turns: list[Turn], blocks: list[TextBlock | ImageBlock]) -> None:
    if not blocks:
        return
    if turns and isinstance(last := turns[-1], UserTurn):
        turns[-1] = UserTurn((*last.blocks, *blocks))
    else:
        turns.append(UserTurn(tuple(blocks)))


def _add_assistant(
    turns: list[Turn],
    blocks: list[TextBlock | ReasoningBlock | ToolUseBlock],
    results: dict[str, ToolResult],
) -> None:
    calls = [block for block in blocks if isinstance(block, ToolUseBlock)]
    if not calls and not any(isinstance(block, TextBlock) for block in blocks):
        return  # reasoning alone is nothing that a provider takes back
    if turns and isinstance(last := turns[-1], AssistantTurn):
        turns[-1] = AssistantTurn((*last.blocks, *blocks))
    else:
        turns.append(AssistantTurn(tuple(blocks)))
    if calls:
        turns.append(ToolTurn(tuple(_result_block(call, results.get(call.id)) for call in calls)))


def _result_block(call: ToolUseBlock, result: ToolResult | None) -> ToolResultBlock:
    if result is None:
        return ToolResultBlock(call.id, call.name, LOST_RESULT, is_error=True)
    return result_block(result, name=call.name)


def result_block(result: ToolResult, *, name: str) -> ToolResultBlock:
    """A stored result as the provider gets it; media only if it is an image with bytes."""
    image = None
    if result.data and result.mime_type.startswith("image/"):
        image = ImageBlock(result.data, result.mime_type)
    text = result.content if result.content.strip() or image else "(no output)"
    return ToolResultBlock(result.tool_call_id, name, text, is_error=result.is_error, image=image)
