"""Whatever messages the store holds, the next request is valid; what is well formed is kept."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.agent.history import LOST_RESULT, CallIds, turns_from
from crush.config.settings import ProviderSettings
from crush.providers import anthropic, openai_chat
from crush.providers.base import (
    AssistantTurn,
    ImageBlock,
    ModelRequest,
    ReasoningBlock,
    TextBlock,
    ToolResultBlock,
    ToolTurn,
    ToolUseBlock,
    Turn,
    UserTurn,
)
from crush.wire.ids import MessageId, SessionId
from crush.wire.messages import Message
from crush.wire.parts import (
    Binary,
    BinaryPart,
    Finish,
    FinishPart,
    ImageUrl,
    ImageUrlPart,
    Opaque,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    ShellCommand,
    ShellCommandPart,
    Text,
    TextPart,
    ToolCall,
    ToolCallPart,
    ToolResult,
    ToolResultPart,
)
from tests.agent.validity import check_turns

ids = st.sampled_from(["", "a", "b", "a_2", "call", "functions.view:0", "é"])
texts = st.sampled_from(["", " ", "\n\t", "words", "more words", "\0", "{", "𝄞"])
names = st.sampled_from(["", "view", "my tool", "functions.view", "x" * 90, "名"])
inputs = st.sampled_from(
    ["", "{}", '{"a": 1}', '{"a": 1', "[1]", "null", "not json", "{" * 99, '{"a":' * 5000, "\ud800"]
)
mimes = st.sampled_from(["", "image/png", "text/plain", "application/pdf"])
data = st.sampled_from([b"", b"\x89PNG", b"\xff\xfe"])


def _binary(path: str, mime: str, content: bytes) -> Part:
    return BinaryPart(Binary(path=path, mime_type=mime, data=content))


def _reasoning(thinking: str, signature: str) -> Part:
    return ReasoningPart(Reasoning(thinking=thinking, signature=signature))


def _call(call_id: str, name: str, text: str, executed: bool, finished: bool) -> Part:
    return ToolCallPart(
        ToolCall(id=call_id, name=name, input=text, provider_executed=executed, finished=finished)
    )


def _result(call_id: str, content: str, mime: str, content_bytes: bytes, is_error: bool) -> Part:
    return ToolResultPart(
        ToolResult(
            tool_call_id=call_id,
            name="view",
            content=content,
            mime_type=mime,
            data=content_bytes,
            is_error=is_error,
        )
    )


parts: st.SearchStrategy[Part] = st.one_of(
    texts.map(lambda text: TextPart(Text(text=text))),
    st.builds(_reasoning, texts, st.sampled_from(["", "sig"])),
    st.builds(_binary, texts, mimes, data),
    st.builds(_call, ids, names, inputs, st.booleans(), st.booleans()),
    st.builds(_result, ids, texts, mimes, data, st.booleans()),
    st.just(ImageUrlPart(ImageUrl(url="https://example.org/a.png"))),
    st.just(FinishPart(Finish(reason="end_turn"))),
    st.just(ShellCommandPart(ShellCommand(command="ls", output="a"))),
    st.just(OpaquePart(Opaque(type="new", data=msgspec.Raw(b"{}")))),
)
roles = st.sampled_from(["user", "assistant", "tool", "system", ""])


def message(role: str, *content: Part, key: str = "m", summary: bool = False) -> Message:
    return Message(
        id=MessageId(key),
        session_id=SessionId("s"),
        role=role,
        parts=list(content),
        is_summary_message=summary,
    )


@st.composite
def conversations(draw: st.DrawFn) -> tuple[list[Message], str]:
    rows = draw(st.lists(st.tuples(roles, st.lists(parts, max_size=5)), max_size=12))
    found = [message(role, *content, key=f"m{n}") for n, (role, content) in enumerate(rows)]
    return found, draw(st.sampled_from(["", "unknown", *(m.id for m in found)]))


@settings(max_examples=400, deadline=None)
@given(conversations())
def test_any_messages_become_turns_that_every_provider_takes(
    case: tuple[list[Message], str],
) -> None:
    messages, summary = case
    check_turns(turns_from(messages, summary_message_id=summary))


@settings(max_examples=150, deadline=None)
@given(conversations())
def test_any_messages_become_bodies_that_alternate_and_pair_in_both_protocols(
    case: tuple[list[Message], str],
) -> None:
    turns = turns_from(case[0], summary_message_id=case[1])
    request = ModelRequest(model="m", system="s", turns=turns)
    settings_ = ProviderSettings(id="p", type="openai-compat")
    body = msgspec.json.decode(anthropic.build_body(request, settings_))
    sides = [said["role"] for said in body["messages"]]
    assert sides == [("user", "assistant")[n % 2] for n in range(len(sides))]
    said = msgspec.json.decode(openai_chat.build_body(request, settings_))["messages"]
    expected: list[str] = []
    for entry in said:
        if entry["role"] == "tool":
            assert entry["tool_call_id"] == expected.pop(0)
        else:
            assert not expected
        expected += [call["id"] for call in entry.get("tool_calls", ())]
    assert not expected


@settings(max_examples=150, deadline=None)
@given(st.lists(ids, max_size=40))
def test_own_ids_are_never_the_same_and_never_empty(given_ids: list[str]) -> None:
    own = CallIds()
    made = [own.own(call_id) for call_id in given_ids]
    assert len(set(made)) == len(made)
    assert all(made)
    again = CallIds()
    assert [again.own(call_id) for call_id in made] == made


@st.composite
def well_formed(draw: st.DrawFn) -> list[Message]:
    """Turns as we store them, every call with its result behind it."""
    found: list[Message] = []
    number = 0
    for _ in range(draw(st.integers(1, 4))):
        found.append(message("user", TextPart(Text(text=f"prompt {len(found)}"))))
        for count in draw(st.lists(st.integers(1, 4), max_size=3)):
            names_ = [f"c{number + n}" for n in range(count)]
            number += count
            asked = [_call(name, "view", '{"n": 1}', False, True) for name in names_]
            found.append(message("assistant", TextPart(Text(text="step")), *asked))
            found += [
                message("tool", _result(name, f"of {name}", "", b"", False))
                for name in draw(st.permutations(names_))
            ]
        found.append(message("assistant", TextPart(Text(text=f"answer {len(found)}"))))
    return found


@settings(max_examples=100, deadline=None)
@given(well_formed())
def test_a_well_formed_conversation_loses_nothing(messages: list[Message]) -> None:
    turns = turns_from(messages)
    check_turns(turns)
    said = [part.data.text for m in messages for part in m.parts if isinstance(part, TextPart)]
    assert [
        block.text
        for turn in turns
        if not isinstance(turn, ToolTurn)
        for block in turn.blocks
        if isinstance(block, TextBlock)
    ] == said
    results = [r for turn in turns if isinstance(turn, ToolTurn) for r in turn.results]
    assert [result.text for result in results] == [f"of c{n}" for n in range(len(results))]


def _turns(*messages: Message) -> tuple[Turn, ...]:
    turns = turns_from(messages)
    check_turns(turns)
    return turns


ASK = message("user", TextPart(Text(text="hi")))


def test_a_call_without_a_result_gets_one_that_says_so() -> None:
    turns = _turns(ASK, message("assistant", _call("a", "view", "{}", False, True)))
    assert turns[-1] == ToolTurn((ToolResultBlock("a", "view", LOST_RESULT, is_error=True),))


def test_a_result_belongs_to_the_latest_call_of_its_id_before_it() -> None:
    turns = _turns(
        ASK,
        message("assistant", _call("a", "view", "{}", False, True)),
        message("tool", _result("a", "first", "", b"", False)),
        message("assistant", _call("a", "view", "{}", False, True)),
        message("tool", _result("a", "second", "", b"", False)),
        message("tool", _result("a", "third", "", b"", False)),
    )
    results = [r for turn in turns if isinstance(turn, ToolTurn) for r in turn.results]
    assert [(r.call_id, r.text) for r in results] == [("a", "first"), ("a_2", "second")]


def test_a_result_that_stands_before_its_call_is_still_its_result() -> None:
    turns = _turns(
        ASK,
        message("tool", _result("a", "early", "", b"", False)),
        message("assistant", _call("a", "view", "{}", False, True)),
    )
    assert isinstance(turns[-1], ToolTurn)
    assert turns[-1].results[0].text == "early"


def test_a_name_that_a_model_made_up_is_sent_back_as_providers_allow() -> None:
    turns = _turns(ASK, message("assistant", _call("a", "my tool!", "{}", False, True)))
    assert isinstance(turns[1], AssistantTurn)
    assert turns[1].blocks == (ToolUseBlock("a", "my_tool_", "{}"),)


def test_what_comes_before_the_summary_is_left_out_and_the_summary_is_the_users() -> None:
    summary = message("assistant", TextPart(Text(text="so far")), key="sum", summary=True)
    later = message("user", TextPart(Text(text="go on")))
    turns = turns_from([ASK, summary, later], summary_message_id="sum")
    assert turns == (UserTurn((TextBlock("so far"), TextBlock("go on"))),)


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (_binary("a.png", "image/png", b"x"), ImageBlock(b"x", "image/png")),
        (_binary("a.png", "image/png", b""), TextBlock('<file path="a.png">\n\n</file>')),
        (_binary("a.md", "text/plain", b"x"), TextBlock('<file path="a.md">\nx\n</file>')),
    ],
)
def test_an_attachment_alone_is_something_that_the_user_said(
    part: Part, block: TextBlock | ImageBlock
) -> None:
    assert _turns(message("user", part)) == (UserTurn((block,)),)


def test_media_of_a_result_is_sent_only_if_it_is_an_image_with_bytes() -> None:
    turns = _turns(
        ASK,
        message(
            "assistant",
            *(_call(key, "view", "{}", False, True) for key in ("a", "b", "c")),
        ),
        message("tool", _result("a", "", "image/png", b"x", False)),
        message("tool", _result("b", "", "image/png", b"", False)),
        message("tool", _result("c", "", "application/pdf", b"x", False)),
    )
    assert isinstance(turns[-1], ToolTurn)
    assert [(r.text, r.image is not None) for r in turns[-1].results] == [
        ("", True),
        ("(no output)", False),
        ("(no output)", False),
    ]


def test_signed_reasoning_without_text_stays_and_unsigned_blank_reasoning_goes() -> None:
    turns = _turns(
        ASK,
        message("assistant", _reasoning("", "sig"), _reasoning(" ", ""), TextPart(Text(text="x"))),
    )
    assert turns[1] == AssistantTurn((ReasoningBlock("", "sig"), TextBlock("x")))
