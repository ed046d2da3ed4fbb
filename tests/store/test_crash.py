"""Real processes killed with SIGKILL in the middle of what they do."""

import os
import random
from pathlib import Path

import anyio
import apsw
import pytest

from crush.store.change import Limits
from crush.store.registry import Registry
from crush.store.startup import recover_all
from crush.store.store import Store
from crush.wire.events import Notice, RunComplete
from crush.wire.parts import FinishPart, ToolResultPart
from tests.store.children import child, read_line
from tests.store.conftest import opener
from tests.store.records import RID, SID

WRITER = str(Path(__file__).with_name("crashing_writer.py"))


@pytest.fixture
def state(tmp_path: Path) -> str:
    return str(tmp_path / "state" / "registry.db")


def test_a_killed_process_leaves_whole_steps_only(state: str, data_dir: str, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - chance, not secrecy
    for _ in range(6):
        with child(WRITER, state, data_dir, "steps") as process:
            acknowledged = 0
            for _ in range(chance.randrange(1, 12)):
                acknowledged = int(read_line(process))
        found = _numbers(data_dir)
        assert len(set(found.values())) == 1, found
        assert found["title"] >= acknowledged


@pytest.fixture
def seed() -> int:
    return random.randrange(1_000_000)  # noqa: S311 - printed by pytest when the test fails


def _numbers(data_dir: str) -> dict[str, int]:
    """How many steps each table knows of; they agree if every step is whole."""
    raw = apsw.Connection(os.path.join(data_dir, "crush.db"))
    queries = {
        "title": "SELECT CAST(title AS INTEGER) FROM sessions",
        "message_count": "SELECT message_count / 10 FROM sessions",
        "messages": "SELECT count(*) / 10 FROM messages",
        "order": "SELECT count(*) / 10 FROM py_message_order",
        "runs": "SELECT count(*) FROM py_runs",
        "notices": "SELECT count(*) / 10 FROM py_events WHERE type = 'notice'",
    }
    numbers = {name: int(*raw.execute(query).fetchone() or (0,)) for name, query in queries.items()}
    assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    raw.close()
    return numbers


def test_a_turn_cut_by_kill_is_ended_at_the_next_start(state: str, data_dir: str) -> None:
    with child(WRITER, state, data_dir, "turn") as process:
        assert read_line(process) == "waiting"

    anyio.run(_recover_and_check, state, data_dir)


async def _recover_and_check(state: str, data_dir: str) -> None:
    registry = await Registry.open(state)
    assert list(await registry.unfinished()) == [data_dir]
    await recover_all(
        await registry.unfinished(), registry=registry, opened=opener(registry, owner="next")
    )
    assert list(await registry.unfinished()) == []

    store = await Store.open(data_dir, owner="next", registry=registry, limits=Limits())
    run = await store.run(RID)
    assert run.state == "interrupted"
    assert run.error is not None
    log = await store.events_of_run(RID, 0)
    assert log is not None
    assert [type(item.event) for item in log].count(RunComplete) == 1
    assert isinstance(log[-1].event, RunComplete)
    assert not any(isinstance(item.event, Notice) for item in log)
    answer, result = await store.messages(SID)
    assert isinstance(answer.parts[-1], FinishPart)
    assert isinstance(result.parts[0], ToolResultPart)
    assert result.parts[0].data.tool_call_id == "call-open"
    assert await store.pending() == []
    await store.close()
    await registry.close()
