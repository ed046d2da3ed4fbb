"""What the scripted model says: a request and directives (or a script) in, actions of one step out.

Pure. `model_server` documents the directives and carries the actions out; `model_encoding` turns
them into the bytes of a protocol.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

GREETING = "Hello, how can I help?"
DONE = "Done."


@dataclass(frozen=True)
class Say:
    """Text of the answer, one piece per delta."""

    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Think:
    """Reasoning, one piece per delta."""

    pieces: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """A tool call; `input` is sent as it is, valid JSON or not."""

    name: str
    input: str


@dataclass(frozen=True)
class Pace:
    """From here on every delta is a write of its own, followed by a pause."""

    pause_ms: int


@dataclass(frozen=True)
class Wait:
    """A pause before what follows."""

    pause_ms: int


@dataclass(frozen=True)
class Latch:
    """What follows waits until this file exists."""

    path: str


@dataclass(frozen=True)
class Break:
    """The connection goes bad here."""

    how: Literal["hang", "reset", "cut"]


@dataclass(frozen=True)
class Refuse:
    """An error: a status of its own if nothing was sent yet, otherwise an event in the stream."""

    status: int
    kind: Literal["error", "html", "overflow"] = "error"
    message: str = "the script says so"
    retry_after: str = ""
    always: bool = True


@dataclass(frozen=True)
class Tokens:
    """What the usage of this answer says; `input` counts neither cache reads nor writes."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0


@dataclass(frozen=True)
class Stop:
    """The raw stop reason, in the protocol's own word."""

    reason: str


@dataclass(frozen=True)
class StepEnd:
    """Between steps; never part of one."""


Action = Say | Think | Call | Pace | Wait | Latch | Break | Refuse | Tokens | Stop | StepEnd


class Asked(NamedTuple):
    """What a request asks, as far as the script cares."""

    user_text: str
    turns_since_user: int
    turns: int
    tool_results: str
    offers_tools: bool
    key: str


def read_request(body: Mapping[str, Any], *, key: str) -> Asked:
    """The conversation of either protocol."""
    messages: list[Mapping[str, Any]] = list(body.get("messages", ()))
    asked_at, user_text = -1, ""
    for index, message in enumerate(messages):
        if message["role"] == "user" and (text := _text(message.get("content"))):
            asked_at, user_text = index, text
    answered = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    return Asked(
        user_text=user_text,
        turns_since_user=sum(1 for i in answered if i > asked_at),
        turns=len(answered),
        tool_results=_results(messages[answered[-1] + 1 :] if answered else ()),
        offers_tools=bool(body.get("tools")),
        key=key,
    )


def plan_by_directives(asked: Asked) -> tuple[Action, ...]:
    """The actions of the step that this request is at."""
    steps = _split(_parse(asked))
    if not steps:
        steps = [(Say(words(GREETING)),)]
    return steps[asked.turns_since_user] if asked.turns_since_user < len(steps) else ()


def plan_by_script(script: Sequence[Mapping[str, Any]], asked: Asked) -> tuple[Action, ...]:
    """The actions of the script's step with the number of the assistant's turns so far."""
    if asked.turns >= len(script):
        return ()
    step = script[asked.turns]
    expected = step.get("expect_tool_result_contains", "")
    if expected and asked.offers_tools and expected not in asked.tool_results:
        message = f"step {asked.turns} expected {expected!r} in: {asked.tool_results[-2000:]}"
        return (Refuse(400, message=message),)
    actions: list[Action] = []
    if "delay_ms" in step:
        actions.append(Wait(step["delay_ms"]))
    if step.get("reasoning"):
        actions.append(Think(words(step["reasoning"])))
    if step.get("text"):
        actions.append(Say(words(step["text"])))
    calls = step.get("tool_calls", ())
    actions.extend(Call(call["name"], json.dumps(call["input"])) for call in calls)
    return tuple(actions)


def words(text: str) -> tuple[str, ...]:
    """Pieces that join to the text: words with the white space that follows them."""
    return tuple(re.findall(r"\s*\S+\s?|\s+", text))


def answerable(step: tuple[Action, ...], asked: Asked) -> tuple[Action, ...]:
    """Without tools on offer nothing can be called; an answer with no content says Done."""
    if not asked.offers_tools:
        step = tuple(action for action in step if not isinstance(action, Call))
    content = (Say, Think, Call, Break, Refuse)
    if not any(isinstance(action, content) for action in step):
        step = (*step, Say(words(DONE)))
    return step


def _text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(block["text"] for block in content if block.get("type") == "text")


def _results(messages: Iterable[Mapping[str, Any]]) -> str:
    texts: list[str] = []
    for message in messages:
        content = message.get("content")
        if message["role"] == "tool":
            texts.append(_text(content))
        elif isinstance(content, list):
            results = (block for block in content if block.get("type") == "tool_result")
            texts.extend(_text(block.get("content")) for block in results)
    return "\n".join(texts)


def _split(actions: Iterable[Action]) -> list[tuple[Action, ...]]:
    steps: list[list[Action]] = [[]]
    for action in actions:
        if isinstance(action, StepEnd):
            steps.append([])
        else:
            steps[-1].append(action)
    return [tuple(step) for step in steps if step]


def _parse(asked: Asked) -> Iterable[Action]:
    for line in asked.user_text.splitlines():
        for pattern, build in _DIRECTIVES:
            if match := pattern.fullmatch(line.strip()):
                yield from build(match, asked)
                break


def _say(text: str) -> tuple[Action, ...]:
    return (Say(words(text.replace(r"\n", "\n"))),)


def _deltas(count: int) -> tuple[Action, ...]:
    """Pieces that differ, so that a lost or doubled one shows."""
    return (Say(tuple(f"{number % 1000:03d} " for number in range(count))),)


def _steps(count: int, call: Call) -> Iterable[Action]:
    for number in range(count):
        if number:
            yield StepEnd()
        yield call


_Build = Callable[[re.Match[str], Asked], Iterable[Action]]
_DIRECTIVES: tuple[tuple[re.Pattern[str], _Build], ...] = tuple(
    (re.compile(pattern), build)
    for pattern, build in (
        (r"---", lambda _m, _a: (StepEnd(),)),
        (r"SAY (.+)", lambda m, _a: _say(m[1])),
        (r"THINK (.+)", lambda m, _a: (Think(words(m[1])),)),
        (r"DELTAS (\d+)", lambda m, _a: _deltas(int(m[1]))),
        (r"ECHO", lambda _m, a: (Say(words(a.user_text)),)),
        (r"WHOAMI", lambda _m, a: (Say((a.key,)),)),
        (r"TOOL (\S+)(?: (.+))?", lambda m, _a: (Call(m[1], m[2] or "{}"),)),
        (
            r"STEPS (\d+) (\S+)(?: (.+))?",
            lambda m, _a: _steps(int(m[1]), Call(m[2], m[3] or "{}")),
        ),
        (r"PACE (\d+)", lambda m, _a: (Pace(int(m[1])),)),
        (r"LATCH (.+)", lambda m, _a: (Latch(m[1]),)),
        (r"HANG", lambda _m, _a: (Break("hang"),)),
        (r"RESET", lambda _m, _a: (Break("reset"),)),
        (r"CUT", lambda _m, _a: (Break("cut"),)),
        (
            r"ERROR(!?) (\d{3})(?: (\S+))?",
            lambda m, _a: (Refuse(int(m[2]), retry_after=m[3] or "", always=bool(m[1])),),
        ),
        (r"HTML (\d{3})", lambda m, _a: (Refuse(int(m[1]), kind="html"),)),
        (r"OVERFLOW", lambda _m, _a: (Refuse(400, kind="overflow"),)),
        (
            r"USAGE (\d+) (\d+)(?: (\d+) (\d+))?",
            lambda m, _a: (Tokens(int(m[1]), int(m[2]), int(m[3] or 0), int(m[4] or 0)),),
        ),
        (r"STOP (\S+)", lambda m, _a: (Stop(m[1]),)),
    )
)
