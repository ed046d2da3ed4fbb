"""Stored messages to the turns that a provider accepts: total, whatever the database holds (F 3.18).

The result always begins with a user turn, alternates validly, gives every call exactly one result in
the order of the calls, and holds no empty turn. Order is that of the store. A live turn grows its
conversation with the same functions, so that it equals a later load of what it stored.
"""

from collections.abc import Callable, Mapping, Sequence

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
    Part,
    ReasoningPart,
    ShellCommandPart,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)

LOST_RESULT = "The result of this call was lost: the turn ended before the tool did."
NAME_CHARS = 64

UserBlock = TextBlock | ImageBlock
AssistantBlock = TextBlock | ReasoningBlock | ToolUseBlock


class CallIds:
    """Ids of calls within one conversation: providers insist that no two are the same."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._repeats: dict[str, int] = {}

    def own(self, call_id: str) -> str:
        """The id itself the first time, then one derived from it."""
        own = call_id = call_id or "call"
        while own in self._used:
            self._repeats[call_id] = self._repeats.get(call_id, 1) + 1
            own = f"{call_id}_{self._repeats[call_id]}"
        self._used.add(own)
        return own


class _Pairing:
    """Finds the result of each call: a result belongs to the latest call of its id before it."""

    def __init__(self) -> None:
        self.results: dict[str, ToolResult] = {}  # by the call's own id
        self._ids = CallIds()
        self._latest: dict[str, str] = {}
        self._early: dict[str, ToolResult] = {}  # their calls may come yet

    def call_id(self, call: ToolCall) -> str:
        own = self._ids.own(call.id)
        self._latest[call.id] = own
        return own

    def take_results(self, parts: Sequence[Part]) -> None:
        for part in parts:
            if isinstance(part, ToolResultPart):
                own = self._latest.get(part.data.tool_call_id)
                if own is None:
                    self._early.setdefault(part.data.tool_call_id, part.data)
                else:
                    self.results.setdefault(own, part.data)

    def finish(self) -> Mapping[str, ToolResult]:
        return {**self._early, **self.results}


def turns_from(messages: Sequence[Message], *, summary_message_id: str = "") -> tuple[Turn, ...]:
    """The conversation for the next request; from the summary on, if there is one."""
    start = next(
        (index for index, message in enumerate(messages) if message.id == summary_message_id), 0
    )
    pairing = _Pairing()
    said: list[UserTurn | AssistantTurn] = []
    for message in messages[start:]:
        if message.role == "user" or message.id == summary_message_id:
            said.append(UserTurn(tuple(_user_blocks(message))))
        elif message.role == "assistant":
            said.append(AssistantTurn(_assistant_blocks(message.parts, pairing.call_id)))
        pairing.take_results(message.parts)
    results = pairing.finish()
    turns: list[Turn] = []
    for turn in said:
        if isinstance(turn, UserTurn):
            append_user(turns, turn)
        else:
            _append_assistant(turns, turn.blocks, results)
    while turns and not isinstance(turns[0], UserTurn):
        del turns[0]
    return tuple(turns)


def append_user(turns: list[Turn], turn: UserTurn) -> None:
    """The user says more."""
    if not turn.blocks:
        return
    if turns and isinstance(last := turns[-1], UserTurn):
        turns[-1] = UserTurn((*last.blocks, *turn.blocks))
    else:
        turns.append(turn)


def append_answer(turns: list[Turn], parts: Sequence[Part], results: Sequence[ToolResult]) -> None:
    """The model answered, and its calls have their results; the ids of its calls are its own."""
    blocks = _assistant_blocks(parts, lambda call: call.id)
    _append_assistant(turns, blocks, {result.tool_call_id: result for result in results})


def user_turn(message: Message) -> UserTurn | None:
    """One user message as a turn; None if it says nothing."""
    blocks = _user_blocks(message)
    return UserTurn(tuple(blocks)) if blocks else None


def _user_blocks(message: Message) -> list[UserBlock]:
    blocks: list[UserBlock] = []
    for part in message.parts:
        if isinstance(part, TextPart):
            if part.data.text.strip():
                blocks.append(TextBlock(part.data.text))
        elif isinstance(part, BinaryPart):
            blocks.append(_attachment(part.data))
        elif isinstance(part, ShellCommandPart):
            shell = part.data
            blocks.append(
                TextBlock(f"I ran `{shell.command}` (exit code {shell.exit_code}):\n{shell.output}")
            )
    return blocks


def _attachment(binary: Binary) -> UserBlock:
    if binary.data and binary.mime_type.startswith("image/"):
        return ImageBlock(binary.data, binary.mime_type)
    text = binary.data.decode("utf-8", "replace")
    return TextBlock(f'<file path="{binary.path}">\n{text}\n</file>')


def _assistant_blocks(
    parts: Sequence[Part], own_id: Callable[[ToolCall], str]
) -> tuple[AssistantBlock, ...]:
    """What the model said. `own_id` names each call in the conversation."""
    blocks: list[AssistantBlock] = []
    for part in parts:
        if isinstance(part, TextPart):
            if part.data.text.strip():
                blocks.append(TextBlock(part.data.text))
        elif isinstance(part, ReasoningPart):
            if part.data.thinking.strip() or part.data.signature:
                blocks.append(ReasoningBlock(part.data.thinking, part.data.signature))
        elif isinstance(part, ToolCallPart) and not part.data.provider_executed:
            call = part.data
            blocks.append(ToolUseBlock(own_id(call), _call_name(call.name), object_text(call)))
    return tuple(blocks)


def _call_name(name: str) -> str:
    """A name that providers take back: models make up all sorts of them."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in name)
    return plain[:NAME_CHARS] or "unknown"


def object_text(call: ToolCall) -> str:
    """The input of a call as the JSON object that providers insist on."""
    try:
        msgspec.json.decode(call.input, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return "{}"
    return call.input


def _append_assistant(
    turns: list[Turn], blocks: tuple[AssistantBlock, ...], results: Mapping[str, ToolResult]
) -> None:
    calls = [block for block in blocks if isinstance(block, ToolUseBlock)]
    if not calls and not any(isinstance(block, TextBlock) for block in blocks):
        return  # reasoning alone is nothing that a provider takes back
    if turns and isinstance(last := turns[-1], AssistantTurn):
        turns[-1] = AssistantTurn((*last.blocks, *blocks))
    else:
        turns.append(AssistantTurn(blocks))
    if calls:
        turns.append(ToolTurn(tuple(_result_block(call, results.get(call.id)) for call in calls)))


def _result_block(call: ToolUseBlock, result: ToolResult | None) -> ToolResultBlock:
    """A stored result as the provider gets it; media only if it is an image with bytes."""
    if result is None:
        return ToolResultBlock(call.id, call.name, LOST_RESULT, is_error=True)
    image = None
    if result.data and result.mime_type.startswith("image/"):
        image = ImageBlock(result.data, result.mime_type)
    text = result.content if result.content.strip() or image else "(no output)"
    return ToolResultBlock(call.id, call.name, text, is_error=result.is_error, image=image)
