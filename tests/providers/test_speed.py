"""What a delta costs: the loop is shared by all sessions, so a fast model must not fill it."""

import json
import time
from collections.abc import Callable

import pytest

from crush.providers._anthropic_stream import MessageStream
from crush.providers._errors import ErrorSource
from crush.providers._http import StreamParser
from crush.providers._openai_stream import ChatStream
from crush.providers._sse import SseDecoder
from crush.providers.base import EmitStream, StreamEvent, TextDelta

DELTAS = 8000
BUDGET_S = 0.15
READ_BYTES = 64 * 1024  # what arrives at once when the loop lags behind


def anthropic_frame(text: str) -> str:
    event = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta"}}
    event["delta"]["text"] = text  # type: ignore[index]
    return f"event: content_block_delta\ndata: {json.dumps(event)}\n\n"


def openai_frame(text: str) -> str:
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1700000000,
        "model": "gpt-test",
        "system_fingerprint": "fp_0",
        "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}],
    }
    return f"data: {json.dumps(chunk)}\n\n"


@pytest.mark.parametrize(
    ("frame", "parser"), [(anthropic_frame, MessageStream), (openai_frame, ChatStream)]
)
def test_eight_thousand_deltas_take_a_fraction_of_the_budget(
    frame: Callable[[str], str], parser: Callable[[EmitStream, ErrorSource], StreamParser]
) -> None:
    stream = "".join(frame(f"{number} ") for number in range(DELTAS)).encode()
    events: list[StreamEvent] = []
    started = time.process_time()
    reader, decoder = parser(events.append, ErrorSource("Test", ())), SseDecoder()
    for at in range(0, len(stream), READ_BYTES):
        for event in decoder.feed(stream[at : at + READ_BYTES]):
            reader.feed(event)
    spent_s = time.process_time() - started
    assert events == [TextDelta(f"{number} ") for number in range(DELTAS)]
    assert spent_s < BUDGET_S


def test_a_line_of_many_pieces_is_not_copied_for_each_of_them() -> None:
    pieces = [b"data: "] + [b"x" * 1000] * 15_000 + [b"\n\n"]
    decoder = SseDecoder()
    started = time.process_time()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    spent_s = time.process_time() - started
    assert len(frames[0].data) == 15_000_000
    assert spent_s < 1.0
