"""Figures of turns: fifty tool steps, what the model is sent, a long session read back."""

import time
from collections.abc import Iterator

import anyio

from bench.clients import HELLO, wall
from bench.figure import Figure
from bench.processes import BenchError, Cost
from bench.stage import Stage, stage
from bench.wire import send
from crush import paths
from crush.store.change import Change, Limits
from crush.store.registry import Registry
from crush.store.store import Store
from crush.wire.ids import MessageId, SessionId
from crush.wire.messages import Message, Session
from crush.wire.parts import Text, TextPart

STEPS = 50
MESSAGES = 5000
WORDS = "Some words of a message as people and models write them. " * 6


def steps(rounds: int) -> Iterator[Figure]:
    """A turn of 50 steps, each with one `view`."""
    with stage(rounds=max(3, rounds // 2)) as on:
        on.start_server()
        seen: list[int] = []

        def turn() -> Cost:
            before = len(on.model.log())
            cost = on.crush("run", f'STEPS {STEPS} view {{"file_path": "crush.json"}}')
            on.expect(cost, "Done.\n")
            seen.append(len(on.model.log()) - before)
            return cost

        taken = on.repeat(turn)
        if set(seen) != {STEPS + 1}:
            raise BenchError(f"the model was asked {seen!r} times")
    yield wall("steps", f"a turn of {STEPS} tool steps (`view`)", taken, budget=600)


def model_bytes(rounds: int) -> Iterator[Figure]:
    """The body of the only request for "hi": prompt and all core tools."""
    with stage(rounds=rounds) as on:
        on.expect(on.crush("run", "hi"), HELLO)
        log = on.model.log()
    if len(log) != 1 or not log[0].tools:
        raise BenchError(f"one request with tools was expected: {log!r}")
    yield Figure(
        name="model-bytes",
        what=f'bytes to the model for "hi", {log[0].tools} tools',
        unit="kB",
        samples=(log[0].size_bytes / 1000,),
        budget=12,
    )


def long_session(rounds: int) -> Iterator[Figure]:
    """The messages of a session of 5,000, by REST: what opening it costs the server and the wire."""
    took: list[float] = []
    pys: list[float] = []
    with stage(rounds=rounds) as on:
        session_id = anyio.run(_write_session, on)
        on.start_server()
        for _ in range(max(3, rounds // 2) + 1):
            pys.append(on.py().wall_ms)
            began = time.perf_counter()
            answer = send(on.host, "GET", f"/v1/sessions/{session_id}?path={on.project}", None)
            took.append((time.perf_counter() - began) * 1000)
            if len(answer["messages"]) != MESSAGES:
                raise BenchError(f"{len(answer['messages'])} messages came back")
    yield Figure(
        name="session",
        what=f"a session of {MESSAGES:,} messages, read whole (REST)",
        unit="ms",
        samples=tuple(took[1:]),
        py=tuple(pys[1:]),
        budget=200,
        note="decoded by the client too; the snapshot route is not built yet",
    )


async def _write_session(on: Stage) -> SessionId:
    session = Session(id=SessionId("long"), title="long", created_at=1, updated_at=1)
    messages = [
        Message(
            id=MessageId(f"m{number}"),
            session_id=session.id,
            role="assistant" if number % 2 else "user",
            parts=[TextPart(Text(text=f"{number} {WORDS}"))],
            created_at=number,
            updated_at=number,
        )
        for number in range(MESSAGES)
    ]
    registry = await Registry.open(paths.registry_db(on.env))
    store = await Store.open(
        paths.project_data_dir(str(on.project)), owner="bench", registry=registry, limits=Limits()
    )
    await store.commit(Change(sessions=[session], messages=messages))
    await store.close()
    await registry.close()
    return session.id
