"""Figures of answers: thousands of deltas, their bytes on the wire, the way to twenty readers."""

import json
import re
from collections.abc import Iterator

from bench.clients import wall
from bench.figure import Figure
from bench.processes import BenchError, Cost
from bench.stage import Stage, stage
from bench.wire import connect, read_to_end

DELTAS = 8000
TEXT = "".join(f"{number % 1000:03d} " for number in range(DELTAS))
FACTOR, FRAME_BYTES = 1.3, 160
_OK = b"HTTP/1.1 200"


def deltas(rounds: int) -> Iterator[Figure]:
    """An answer of 8,000 small deltas, as fast as the model can and as separate writes."""
    rounds = max(3, rounds // 2)
    with stage(rounds=rounds) as on:
        on.start_server()
        taken = on.repeat(lambda: _answer(on, f"DELTAS {DELTAS}"))
        yield wall("deltas", "an answer of 8,000 small deltas", taken, budget=350)
        taken = on.repeat(lambda: _answer(on, f"PACE 0\nDELTAS {DELTAS}"))
        note = "the scripted model alone needs most of it"
        yield wall("deltas-paced", "… each a write of its own", taken, budget=350, note=note)


def _answer(on: Stage, prompt: str) -> Cost:
    cost = on.crush("run", prompt)
    on.expect(cost, TEXT + "\n")
    return cost


def event_bytes(rounds: int) -> Iterator[Figure]:
    """Bytes of the event stream by what the budget allows for its text and its frames."""
    with stage(rounds=rounds) as on:
        on.start_server()
        dense = [_share(on, f"DELTAS {DELTAS}") for _ in range(3)]
        paced = [_share(on, f"PACE 2\nDELTAS {DELTAS // 20}") for _ in range(3)]
    yield Figure(
        name="event-bytes",
        what="event bytes by 1.3 of the text + 160 a frame: 32 kB at once",
        unit="x",
        samples=tuple(dense),
        budget=1.0,
    )
    yield Figure(
        name="event-bytes-paced",
        what="… 1.6 kB over a second",
        unit="x",
        samples=tuple(paced),
        budget=1.0,
        note="the seven events around the text have 2.2 kB, whatever it is",
    )


def _share(on: Stage, prompt: str) -> float:
    body = {
        "path": str(on.project),
        "prompt": prompt,
        "env": dict(on.env),
        "mode": "workspace",
    }
    head, raw = read_to_end(connect(on.host, "POST", "/v1/runs", body))
    if not head.startswith(_OK):
        raise BenchError(f"no answer: {head!r} {raw[:300]!r}")
    frames = re.findall(rb"^data: (\{.*)$", raw, re.MULTILINE)
    events = [json.loads(frame) for frame in frames]
    text = "".join(event["text"] for event in events if event["type"] == "delta")
    if not text:
        raise BenchError(f"an answer without text: {raw[:300]!r}")
    return len(raw) / (FACTOR * len(text.encode()) + FRAME_BYTES * len(frames))
