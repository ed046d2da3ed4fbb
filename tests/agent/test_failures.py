"""What breaks one turn ends that turn: once, told to its followers, and nobody else notices."""

import logging
from pathlib import Path

import pytest

from crush.agent.feed import NOT_LOGGED
from crush.errors import StoreError
from crush.providers.base import TextDelta
from crush.store.change import Limits
from crush.store.store import Store
from crush.wire.messages import Run
from tests.agent.bench import Bench, chosen
from tests.agent.shapes import stored
from tests.fakes.provider import FakeProvider, Hold, Script, calls, says


async def _fill_disk(bench: Bench) -> None:
    """From now on the database cannot grow: SQLite answers as on a full disk."""
    await bench.store._database.write(
        lambda c: c.execute(f"PRAGMA max_page_count={c.pragma('page_count')}").fetchall()
    )


async def _free_disk(bench: Bench) -> None:
    await bench.store._database.write(
        lambda c: c.execute("PRAGMA max_page_count=4294967294").fetchall()
    )


def _ends_of(bench: Bench, run: Run) -> list[Run]:
    bench.ear.take()
    return [end for end in bench.ear.ends() if end.id == run.id]


@pytest.mark.parametrize("where", ["provider", "calls", "text"])
async def test_an_unexpected_error_fails_its_run_and_the_other_session_goes_on(
    bench: Bench, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    other_hold, hold = Hold(), Hold()
    bench.providers["other"] = FakeProvider([*says("a"), other_hold, *says("b")])
    scripts: dict[str, Script] = {
        "provider": [*says("half"), hold, ZeroDivisionError("a bug")],
        "calls": [hold, *calls("read", "c", key="a"), ZeroDivisionError("a bug")],
        "text": [TextDelta("not \ud800 text"), hold],
    }
    bench.provider.add(scripts[where], says("fine again"))
    other = await bench.send(model=chosen("other"))
    broken = await bench.send()
    await other_hold.reached.wait()
    await hold.reached.wait()
    hold.released.set()
    end = await bench.ended(broken)
    assert end.error is not None
    assert (end.state, end.error.code) == ("failed", "internal")
    assert (await bench.store.run(broken.id)).state == "failed"
    other_hold.released.set()
    assert (await bench.ended(other)).state == "done"
    assert (await bench.run("2", session_id=broken.session_id)).state == "done"
    assert len(_ends_of(bench, broken)) == len(_ends_of(bench, other)) == 1
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)


async def test_a_full_disk_ends_the_run_once_for_its_followers_and_frees_the_session(
    bench: Bench,
) -> None:
    hold = Hold()
    bench.provider.add([*says("begun"), hold, *says("x" * 200_000)], says("again"))
    run = await bench.send()
    queued = await bench.send("later", session_id=run.session_id)
    await hold.reached.wait()
    await _fill_disk(bench)
    hold.released.set()
    end = await bench.ended(run)
    assert end.error is not None
    assert (end.state, end.error.code) == ("failed", "store")
    assert "disk is full" in end.error.message
    await bench.ended(queued)
    await bench.idle()
    assert len(_ends_of(bench, run)) == len(_ends_of(bench, queued)) == 1
    assert bench.project.feed.messages == {}
    await _free_disk(bench)
    bench.provider.add(says("space again"))
    assert (await bench.run("go on", session_id=run.session_id)).state == "done"


async def test_an_end_that_the_store_never_took_is_stored_by_the_next_server(
    tmp_path: Path,
) -> None:
    hold = Hold()
    async with Bench(tmp_path) as bench:
        bench.provider.add([*says("words"), hold])
        run = await bench.send()
        await hold.reached.wait()
        await bench.ear.wait(lambda ear: len(ear.events()) >= 4)
        await bench.store.close()
        hold.released.set()
        end = await bench.ended(run)
        assert (end.state, end.error and end.error.code) == ("failed", "store")
        assert bench.ear.events()[-1].seq == NOT_LOGGED
        reopened = await Store.open(
            bench.data_dir, owner="another server", registry=bench.registry, limits=Limits()
        )
        assert (await reopened.run(run.id)).state == "interrupted"
        events = await reopened.events_of_run(run.id, 0)
        assert events is not None
        assert [type(item.event).__name__ for item in events].count("RunComplete") == 1
        await reopened.close()


async def test_an_accepted_prompt_that_cannot_be_stored_is_not_accepted(bench: Bench) -> None:
    bench.provider.add(says("x"))
    run = await bench.run()
    await _fill_disk(bench)
    with pytest.raises(StoreError, match="full"):
        await bench.send("x" * 500_000, session_id=run.session_id)
    assert not bench.project.is_busy
    await _free_disk(bench)
    assert stored(await bench.messages(run))[-1][0] == "assistant"
