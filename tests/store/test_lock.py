import json
import os
import sys
from pathlib import Path

import pytest

from crush import __version__
from crush.errors import StoreError
from tests.store.children import child, read_line
from tests.store.conftest import OpenStore
from tests.store.records import content_of

WRITER = str(Path(__file__).with_name("crashing_writer.py"))


async def test_the_lock_names_its_holder_while_it_is_held(
    open_store: OpenStore, data_dir: str
) -> None:
    store = await open_store()

    holder = json.loads(content_of(os.path.join(data_dir, "crush.lock")))

    assert sorted(holder) == ["pid", "started_at", "version"]
    assert (holder["pid"], holder["version"]) == (os.getpid(), __version__)
    await store.close()
    assert content_of(os.path.join(data_dir, "crush.lock")) == b""


async def test_a_second_open_in_this_process_is_refused(
    open_store: OpenStore, data_dir: str
) -> None:
    await open_store()

    with pytest.raises(StoreError, match="already open in this process") as refused:
        await open_store()

    assert data_dir in refused.value.message


async def test_the_same_directory_by_another_name_is_refused(
    open_store: OpenStore, data_dir: str, tmp_path: Path
) -> None:
    store = await open_store()
    os.symlink(data_dir, tmp_path / "link")

    with pytest.raises(StoreError, match="already open"):
        await open_store(path=str(tmp_path / "link"))

    assert store.data_dir == data_dir


async def test_another_process_keeps_us_out_until_it_is_gone(
    open_store: OpenStore, data_dir: str, tmp_path: Path
) -> None:
    with child(WRITER, str(tmp_path / "other" / "registry.db"), data_dir, "turn") as process:
        assert read_line(process) == "waiting"

        with pytest.raises(StoreError, match=f"process {process.pid}") as refused:
            await open_store()

        assert data_dir in refused.value.message
        assert refused.value.hint

    store = await open_store()
    assert len(await store.sessions()) == 1


HOLD_FLOCK = """
import fcntl, sys
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
file.write(sys.argv[2]); file.flush()
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="flock")
@pytest.mark.parametrize("text", ["", "not json", "[]", '{"pid": "x"}', '{"pid": 12345}'])
async def test_a_crush_that_holds_the_lock_keeps_us_out_whatever_it_wrote(
    open_store: OpenStore, data_dir: str, text: str
) -> None:
    os.makedirs(data_dir)
    with child("-c", HOLD_FLOCK, os.path.join(data_dir, "crush.lock"), text) as process:
        assert read_line(process) == "held"

        with pytest.raises(StoreError, match=r"another process|process 12345"):
            await open_store()


async def test_a_lock_that_is_a_symbolic_link_is_not_followed(
    open_store: OpenStore, data_dir: str, tmp_path: Path
) -> None:
    os.makedirs(data_dir)
    os.symlink(tmp_path / "victim", os.path.join(data_dir, "crush.lock"))

    with pytest.raises(StoreError, match=r"crush\.lock"):
        await open_store()

    assert "victim" not in os.listdir(tmp_path)
