import multiprocessing
import os
import signal
import stat
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from crush.errors import ToolError
from crush.tools.atomic_write import create_file, replace_file
from crush.tools.file_text import digest_of, load_bytes

NOBODY = 65534
SPAWN = multiprocessing.get_context("spawn")


def replace(path: Path, data: bytes) -> None:
    replace_file(str(path), data, expected=digest_of(load_bytes(str(path)).data))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_file_and_its_directories_get_the_umask_of_the_client(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        create_file(str(tmp_path / "a" / "b" / "c"), b"x", umask=0o027)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "a" / "b" / "c") == 0o640
    assert mode_of(tmp_path / "a") == mode_of(tmp_path / "a" / "b") == 0o750


def test_replacing_keeps_mode_and_owner(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_bytes(b"old")
    path.chmod(0o751)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    owner = path.stat().st_uid
    replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o751
    assert path.stat().st_uid == owner


def test_extended_attributes_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    try:
        os.setxattr(path, "user.origin", b"here")
    except OSError:
        pytest.skip("this file system has no extended attributes")
    replace(path, b"new")
    assert os.getxattr(path, "user.origin") == b"here"


def test_a_new_file_never_replaces_one_that_came_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(ToolError, match="by somebody else"):
        create_file(str(tmp_path / "a"), b"ours", umask=0o022)
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_a_file_that_changed_since_it_was_read_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"theirs")
    with pytest.raises(ToolError, match="by somebody else"):
        replace_file(str(tmp_path / "a"), b"ours", expected=digest_of(b"seen"))
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert os.listdir(tmp_path) == ["a"]


def test_other_hard_links_keep_the_old_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    os.link(tmp_path / "a", tmp_path / "b")
    replace(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert (tmp_path / "b").read_bytes() == b"old"


def _as_nobody(path: str, done: Connection) -> None:
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        replace_file(path, b"new", expected=digest_of(b"old"))
    except ToolError as exc:
        done.send(exc.message)
    else:
        done.send("")


def refusal_for_nobody(path: Path) -> str:
    receiver, sender = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=_as_nobody, args=(str(path), sender))
    child.start()
    assert receiver.poll(15)
    message = receiver.recv()
    child.join()
    assert isinstance(message, str)
    return message


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """Reachable for another user, whom pytest's own directories shut out."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Path(directory)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
@pytest.mark.parametrize(
    ("directory_mode", "file_mode", "reason"),
    [
        (0o755, 0o666, "cannot be written: Permission denied; unchanged"),
        (0o777, 0o644, "read-only"),
    ],
)
def test_what_cannot_be_written_atomically_is_refused_and_unchanged(
    open_directory: Path, directory_mode: int, file_mode: int, reason: str
) -> None:
    path = open_directory / "file"
    path.write_bytes(b"old")
    path.chmod(file_mode)
    open_directory.chmod(directory_mode)
    assert reason in refusal_for_nobody(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(open_directory) == ["file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs another user")
def test_set_id_bits_do_not_survive_a_change_of_owner(open_directory: Path) -> None:
    path = open_directory / "file"
    path.write_bytes(b"old")
    path.chmod(0o6777)
    open_directory.chmod(0o777)
    assert refusal_for_nobody(path) == ""
    assert mode_of(path) == 0o777


VERSIONS = (b"a" * 3_000_000, b"b" * 3_000_000)


def _write_for_ever(path: str, ready: Connection) -> None:
    ready.send(None)
    current = 0
    while True:
        replace_file(path, VERSIONS[1 - current], expected=digest_of(VERSIONS[current]))
        current = 1 - current


def kill_while_writing(path: Path) -> None:
    receiver, sender = SPAWN.Pipe(duplex=False)
    child: BaseProcess = SPAWN.Process(target=_write_for_ever, args=(str(path), sender))
    child.start()
    assert receiver.poll(15)
    first = os.stat(path).st_ino
    while os.stat(path).st_ino == first:
        assert child.is_alive()
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()


def test_a_writer_that_is_killed_leaves_the_old_bytes_or_the_new(tmp_path: Path) -> None:
    for _ in range(3):
        (tmp_path / "file").write_bytes(VERSIONS[0])
        kill_while_writing(tmp_path / "file")
        assert (tmp_path / "file").read_bytes() in VERSIONS


def test_a_reader_never_sees_a_mix(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(VERSIONS[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def read_for_ever() -> None:
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read_for_ever)
    reader.start()
    for round_ in range(6):
        replace(path, VERSIONS[(round_ + 1) % 2])
    stop.set()
    reader.join()
    assert seen
    assert seen <= set(VERSIONS)
