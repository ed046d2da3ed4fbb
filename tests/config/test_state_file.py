import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec import Struct

from crush.config import state_file
from crush.config.state_file import StateFile
from crush.errors import StoreError
from crush.launch.lock import try_lock


class Counts(Struct, frozen=True):
    counts: dict[str, int] = {}


def counts_file(path: Path) -> StateFile[Counts]:
    return StateFile(str(path), kind=Counts, empty=Counts())


def adding(name: str) -> Callable[[Counts], Counts]:
    return lambda had: Counts({**had.counts, name: had.counts.get(name, 0) + 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "counts.json"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_was_changed_is_read_back_and_is_the_users_alone(path: Path) -> None:
    old = os.umask(0)
    try:
        counts_file(path).change(adding("a"))
    finally:
        os.umask(old)
    assert counts_file(path).load().value.counts == {"a": 1}
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)
    assert {entry.name for entry in path.parent.iterdir()} == {"counts.json", "counts.json.lock"}


def test_a_missing_file_is_empty_and_nothing_is_made_by_looking(path: Path) -> None:
    loaded = counts_file(path).load()
    assert (loaded.value, loaded.notice) == (Counts(), "")
    assert not path.parent.exists()


def test_changes_of_many_at_once_are_all_kept(path: Path) -> None:
    def work(name: str) -> None:
        for _ in range(5):
            counts_file(path).change(adding(name))

    threads = [threading.Thread(target=work, args=(f"t{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts_file(path).load().value.counts == {f"t{n}": 5 for n in range(6)}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"counts": 3}', b"\xff\xfe", b"[" * 9999])
def test_a_broken_file_counts_as_empty_and_is_set_aside(path: Path, content: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(content)

    loaded = counts_file(path).load()

    assert loaded.value == Counts()
    assert str(path) in loaded.notice
    assert "does not count" in loaded.notice
    assert not path.exists()
    assert path.with_name("counts.json.broken").read_bytes() == content
    assert counts_file(path).load().notice == ""


def test_a_broken_file_does_not_stop_a_change(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"{")
    counts_file(path).change(adding("a"))
    assert counts_file(path).load().value.counts == {"a": 1}


def test_a_link_is_not_followed_to_be_read_or_written(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.write_text('{"counts": {"stolen": 1}}')
    path.parent.mkdir()
    path.symlink_to(target)

    assert counts_file(path).load().value == Counts()
    path.symlink_to(target)
    counts_file(path).change(adding("a"))

    assert target.read_text() == '{"counts": {"stolen": 1}}'
    assert not path.is_symlink()


def test_a_named_pipe_in_its_place_holds_nobody_up(path: Path) -> None:
    path.parent.mkdir()
    os.mkfifo(path)
    assert "not a regular file" in counts_file(path).load().notice


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_or_directory_of_somebody_else_does_not_count(path: Path) -> None:
    counts_file(path).change(adding("a"))
    os.chown(path, 4242, 4242)
    assert "uid 4242" in counts_file(path).load().notice

    counts_file(path).change(adding("a"))
    os.chown(path.parent, 4242, 4242)
    loaded = counts_file(path).load()
    assert (loaded.value, "uid 4242" in loaded.notice) == (Counts(), True)
    with pytest.raises(StoreError, match="uid 4242"):
        counts_file(path).change(adding("b"))


def test_an_open_directory_is_closed_to_others(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    counts_file(path).change(adding("a"))
    os.chmod(path, 0o644)
    counts_file(path).load()
    assert (mode(path.parent), mode(path)) == (0o700, 0o600)


def test_a_lock_that_nobody_gives_back_is_an_error_and_no_hang(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_file, "_LOCK_WITHIN_S", 0.05)
    path.parent.mkdir()
    held = try_lock(f"{path}.lock")
    assert held is not None
    with held, pytest.raises(StoreError, match="keeps it locked"):
        counts_file(path).change(adding("a"))


def test_a_file_never_becomes_larger_than_what_is_read_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_file(path).change(adding("a"))
    monkeypatch.setattr(state_file, "_MAX_BYTES", 100)
    with pytest.raises(StoreError, match="too large"):
        counts_file(path).change(adding("b" * 100))
    assert counts_file(path).load().value.counts == {"a": 1}


def test_a_change_that_cannot_be_written_leaves_what_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts_file(path).change(adding("a"))

    def full(_fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="No space"):
        counts_file(path).change(adding("b"))
    assert counts_file(path).load().value.counts == {"a": 1}
    assert not [entry for entry in path.parent.iterdir() if entry.name.startswith(".")]
