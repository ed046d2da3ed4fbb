import os
from contextlib import suppress
from pathlib import Path
from typing import IO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crush.tools import output_file
from crush.tools.output_file import CAP_BYTES, OutputFile

HEAD, RING, MEMORY = 16, 16, 8


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def all_of(record: OutputFile, *, limit: int) -> tuple[bytes, int]:
    """What a reader collects that asks from offset to offset, and what it was told is gone."""
    data, at, skipped = b"", 0, 0
    while True:
        found = await record.read(offset=at, limit=limit)
        assert found.offset == at + found.skipped
        assert len(found.data) <= limit
        data += found.data
        skipped += found.skipped
        at = found.offset + len(found.data)
        if found.is_last:
            return data, skipped
        assert found.data


@settings(deadline=None, max_examples=60)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=7), max_size=40),
    limit=st.integers(1, 50),
)
async def test_head_and_tail_are_kept_and_offsets_are_absolute(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output_file, "_HEAD_BYTES", HEAD)
        patch.setattr(output_file, "_RING_BYTES", RING)
        patch.setattr(output_file, "_MEMORY_BYTES", MEMORY)
        record = OutputFile(directory=str(tmp_path_factory.getbasetemp()))
        for piece in pieces:
            await record.append(piece)
        whole = b"".join(pieces)
        assert record.size == len(whole)
        data, skipped = await all_of(record, limit=limit)
        assert len(data) + skipped == len(whole)
        assert data.startswith(whole[:HEAD])
        assert data.endswith(whole[-RING:])
        if len(whole) <= HEAD + RING:
            assert data == whole
        await record.close()


async def test_a_little_output_needs_no_file(tmp_path: Path) -> None:
    before = descriptors()
    record = OutputFile(directory=str(tmp_path / "output"))
    await record.append(b"x" * 60_000)
    assert descriptors() == before
    assert not (tmp_path / "output").exists()
    assert await record.text(10) == "xxxxx\n\n[... 0 lines omitted ...]\n\nxxxxx"


def nameless_files(directory: Path) -> list[int]:
    """Sizes of the open files that were made there and have no name."""
    sizes = []
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            if str(fd.readlink()).startswith(f"{directory}/"):
                sizes.append(fd.stat().st_size)
    assert list(directory.iterdir()) == []
    return sizes


async def test_more_goes_to_a_file_without_a_name_and_never_beyond_the_cap(tmp_path: Path) -> None:
    record = OutputFile(directory=str(tmp_path))
    for number in range(200):
        await record.append(b"%05d\n" % number * 10_000)
    assert record.size == 200 * 60_000
    assert nameless_files(tmp_path) == [CAP_BYTES]
    text = await record.text(1000)
    assert text.startswith("00000\n00000\n")
    assert text.endswith("\n00199\n")
    assert "lines omitted" in text
    await record.close()
    assert nameless_files(tmp_path) == []


def full_disk(*, dir: str, buffering: int) -> IO[bytes]:  # noqa: A002 - as `tempfile` has it
    return Path("/dev/full").open("r+b", buffering=0)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
async def test_a_full_disk_costs_output_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", full_disk)
    record = OutputFile(directory=str(tmp_path))
    for number in range(10):
        await record.append(b"%05d\n" % number * 10_000)
    found = await record.read(offset=0, limit=10 * 60_000)
    assert found.is_last
    assert found.skipped > 0
    assert found.skipped + len(found.data) == record.size == 600_000
    assert found.data.endswith(b"00009\n")
    await record.close()


async def test_a_directory_that_cannot_be_made_costs_output_and_nothing_else(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").write_text("")
    record = OutputFile(directory=str(tmp_path / "file" / "output"))
    await record.append(b"a" * 100_000)
    await record.append(b"b" * 100_000)
    assert record.size == 200_000
    assert (await record.text(10)).endswith("bbbbb")
