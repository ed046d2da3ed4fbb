"""Random answers of a model, as scripts for the provider: words, calls, retries and nonsense."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from hypothesis import strategies as st

from crush.providers.base import (
    Answer,
    ReasoningDelta,
    ReasoningEnded,
    RetryWaiting,
    StopReason,
    TextDelta,
    ToolCallReady,
    ToolCallStarted,
)
from tests.fakes.provider import Act, Breath, Item, Script, calls

Deed = Callable[[str], Awaitable[object]]  # what an `Act` does, by name

_ids = st.sampled_from(["c0", "c1", "c2"])
_tools = st.sampled_from(["read", "read", "change", "nosuch"])
_keys = st.sampled_from(["a", "b", "fails", "asks"])
_stops: st.SearchStrategy[StopReason] = st.sampled_from(
    ["end_turn", "tool_use", "max_tokens", "content_filter", "unknown"]
)


def _whole_call(tool: str, call_id: str, key: str) -> Script:
    return calls(tool, call_id, key=key)


def _bad_call(call_id: str) -> Script:
    return [ToolCallStarted(call_id, "read"), ToolCallReady(call_id, "read", '{"key": [')]


_words = st.sampled_from(["", " ", "word ", "two words", "𝄞", "\n"])
_pieces: st.SearchStrategy[Script] = st.one_of(
    _words.map(lambda text: [TextDelta(text)]),
    _words.map(lambda text: [ReasoningDelta(text)]),
    st.sampled_from(["", "sig"]).map(lambda signature: [ReasoningEnded(signature)]),
    st.builds(_whole_call, _tools, _ids, _keys),
    st.builds(_whole_call, _tools, _ids, _keys),
    _ids.map(_bad_call),
    _ids.map(lambda call_id: [ToolCallStarted(call_id, "change")]),
    st.just([RetryWaiting(1, 0.0, "busy")]),
    st.just([Breath()]),
    st.just([Breath()] * 9),
)


def answers(*names: str) -> st.SearchStrategy[list[list[Item | str]]]:
    """The answers of a few steps; now and then a name of what happens meanwhile."""
    deeds: list[st.SearchStrategy[list[Item | str]]] = [st.just([name]) for name in names]
    answer = st.builds(
        lambda pieces, stop: [item for piece in pieces for item in piece] + stop,
        st.lists(st.one_of(_pieces, *deeds), max_size=8),
        st.one_of(st.just([]), _stops.map(lambda stop: [Answer(stop=stop)])),
    )
    return st.lists(answer, min_size=1, max_size=6)


def with_deeds(scripts: Sequence[Sequence[Item | str]], deed: Deed) -> list[Script]:
    """The scripts with what their names stand for."""
    return [
        [Act(partial(deed, item)) if isinstance(item, str) else item for item in script]
        for script in scripts
    ]
