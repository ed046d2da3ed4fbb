"""What both protocols ask of a conversation, as assertions on neutral turns."""

import re
from collections.abc import Sequence

import msgspec

from crush.providers.base import (
    AssistantTurn,
    ImageBlock,
    ReasoningBlock,
    TextBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    UserTurn,
)

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def check_turns(turns: Sequence[Turn]) -> None:
    """Raises AssertionError with the first thing that a provider would refuse."""
    assert not turns or isinstance(turns[0], UserTurn), "begins with the user"
    open_calls: list[str] = []
    seen: set[str] = set()
    before: Turn | None = None
    for turn in turns:
        if open_calls:
            assert isinstance(turn, ToolTurn), "calls without results"
        match turn:
            case UserTurn():
                assert not isinstance(before, UserTurn), "two user turns in a row"
                _check_user(turn)
            case AssistantTurn():
                assert not isinstance(before, AssistantTurn), "two answers in a row"
                open_calls = _check_answer(turn, seen)
            case ToolTurn():
                assert [result.call_id for result in turn.results] == open_calls
                assert open_calls, "results without calls"
                for result in turn.results:
                    assert result.text.strip() or result.image
                    if result.image is not None:
                        _check_image(result.image)
                open_calls = []
        before = turn
    assert not open_calls, "calls without results at the end"


def _check_user(turn: UserTurn) -> None:
    assert turn.blocks, "an empty turn"
    for block in turn.blocks:
        if isinstance(block, ImageBlock):
            _check_image(block)
        else:
            assert block.text.strip(), "a blank text"


def _check_answer(turn: AssistantTurn, seen: set[str]) -> list[str]:
    calls: list[str] = []
    assert any(not isinstance(block, ReasoningBlock) for block in turn.blocks), "nothing said"
    for block in turn.blocks:
        match block:
            case TextBlock(text=text):
                assert text.strip(), "a blank text"
            case ReasoningBlock(text=text, signature=signature):
                assert text.strip() or signature
            case ToolUseBlock(id=call_id, name=name, input=text):
                assert call_id, "a call without an id"
                assert call_id not in seen, "an id twice"
                assert _NAME.fullmatch(name), "a name that providers refuse"
                assert isinstance(msgspec.json.decode(text), dict)
                seen.add(call_id)
                calls.append(call_id)
    return calls


def _check_image(image: ImageBlock) -> None:
    assert image.data
    assert image.mime_type.startswith("image/")
