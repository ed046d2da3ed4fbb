"""What real providers refuse in a conversation, so that our tests refuse it too.

Pure: a request body in, the complaint out. Every call needs its result in the very next turn, no
result stands without its call, nothing is empty.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

Message = Mapping[str, Any]

_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def complaints_about_messages(body: Mapping[str, Any]) -> Iterator[str]:
    """Anthropic Messages."""
    messages: list[Message] = list(body.get("messages", ()))
    if not body.get("max_tokens"):
        yield "max_tokens: field required"
    if not messages or messages[0]["role"] != "user":
        yield "messages: the first one has to be the user's"
    yield from _names(tool.get("name", "") for tool in body.get("tools") or ())
    open_calls: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        blocks = _blocks(message)
        yield from _empty_blocks(where, blocks)
        results = {block["tool_use_id"] for block in blocks if block["type"] == "tool_result"}
        yield from _unpaired(where, open_calls, results)
        calls = [block for block in blocks if block["type"] == "tool_use"]
        open_calls = {call["id"] for call in calls}
        for call in calls:
            if not isinstance(call["input"], dict):
                yield f"{where}: the input of {call['id']} is no object"
    yield from _unpaired("the end", open_calls, set())


def complaints_about_completions(body: Mapping[str, Any]) -> Iterator[str]:
    """OpenAI Chat Completions."""
    messages: list[Message] = list(body.get("messages", ()))
    if not messages:
        yield "messages: empty"
    functions = (tool.get("function", {}) for tool in body.get("tools") or ())
    yield from _names(function.get("name", "") for function in functions)
    open_calls: set[str] = set()
    results: set[str] = set()
    for index, message in enumerate(messages):
        where = f"messages.{index}"
        if message["role"] == "tool":
            results.add(message["tool_call_id"])
            continue
        yield from _unpaired(where, open_calls, results)
        calls = message.get("tool_calls") or ()
        open_calls, results = {call["id"] for call in calls}, set()
        for call in calls:
            if not isinstance(call["function"]["arguments"], str):
                yield f"{where}: the arguments of {call['id']} are no text"
        if not calls and not message.get("content"):
            yield f"{where}: content is empty"
    yield from _unpaired("the end", open_calls, results)


def _blocks(message: Message) -> list[Message]:
    content = message.get("content")
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    return list(content or ())


def _empty_blocks(where: str, blocks: list[Message]) -> Iterator[str]:
    if not blocks:
        yield f"{where}: content is empty"
    if any(block["type"] == "text" and not block["text"].strip() for block in blocks):
        yield f"{where}: text content blocks must be non-empty"


def _unpaired(where: str, calls: set[str], results: set[str]) -> Iterator[str]:
    if missing := sorted(calls - results):
        yield f"{where}: calls without a result in the turn after them: {', '.join(missing)}"
    if surplus := sorted(results - calls):
        yield f"{where}: results without a call in the turn before them: {', '.join(surplus)}"


def _names(names: Iterator[str]) -> Iterator[str]:
    for name in names:
        if not _TOOL_NAME.fullmatch(name):
            yield f"tools: {name!r} is not a name for a tool"
