"""What happens to files while others change them: nothing torn, nothing lost, nothing outside."""

import multiprocessing
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import msgspec
import pytest

from crush.errors import ToolError
from crush.tools.atomic_write import create_file, replace_file
from crush.tools.exchange import exchange
from crush.tools.file_text import digest_of, load_bytes
from crush.tools.ignore_rules import IgnoreRules
from crush.tools.open_directory import OpenDirectory
from crush.tools.tree_walk import walk_tree
from tests.fakes.file_log import FakeFileLog
from tests.tools.conftest import Caller

needs_exchange = pytest.mark.skipif(sys.platform != "linux", reason="swaps names as only Linux can")
SPAWN = multiprocessing.get_context("spawn")
FOR_S = 1.0


@pytest.fixture
def place(project: Path) -> Path:
    """`project/d`, and a link beside it to a directory outside that looks the same."""
    for directory, text in ((project / "d", "inside"), (project.parent / "outside", "secret")):
        (directory / "sub").mkdir(parents=True)
        (directory / "sub" / "a").write_text(text)
    (project / "link").symlink_to(project.parent / "outside")
    return project / "d"


@contextmanager
def swapping(place: Path) -> Iterator[None]:
    """The directory and the link beside it change names, as fast as they can."""
    stop = threading.Event()
    above = os.open(place.parent, os.O_RDONLY)

    def swap() -> None:
        while not stop.is_set():
            exchange(above, "d", "link")

    swapper = threading.Thread(target=swap)
    swapper.start()
    try:
        yield
    finally:
        stop.set()
        swapper.join()
        if place.is_symlink():
            exchange(above, "d", "link")
        os.close(above)


def outcomes(work: Callable[[int], None]) -> tuple[int, int]:
    """How often it went well and was refused, in the time there is."""
    done = refused = 0
    end = time.monotonic() + FOR_S
    while time.monotonic() < end:
        try:
            work(done)
        except ToolError:
            refused += 1
        else:
            done += 1
    return done, refused


@needs_exchange
def test_reading_never_follows_a_directory_that_became_a_link(place: Path) -> None:
    seen: set[bytes] = set()
    with swapping(place):
        done, refused = outcomes(lambda _: seen.add(load_bytes(str(place / "sub" / "a")).data))
    assert done
    assert refused
    assert seen == {b"inside"}


@needs_exchange
def test_looking_around_never_follows_a_directory_that_became_a_link(place: Path) -> None:
    (place.parent.parent / "outside" / "sub" / "key").touch()
    found: set[str] = set()

    def look(_: int) -> None:
        entries = walk_tree(str(place), IgnoreRules([]), hidden=True, depth=0, check=lambda: None)
        found.update(entry.path for entry in entries)

    with swapping(place):
        outcomes(look)
    assert found == {"sub", "sub/a"}


@needs_exchange
def test_writing_never_follows_a_directory_that_became_a_link(place: Path) -> None:
    written: dict[str, bytes] = {}

    def create(count: int) -> None:
        name, data = f"new-{count}", str(count).encode()
        create_file(str(place / "sub" / "more" / name), data, umask=0o022)
        written[name] = data

    def replace(count: int) -> None:
        path = str(place / "sub" / "a")
        data = f"version {count}".encode()
        replace_file(path, data, expected=digest_of(load_bytes(path).data))
        written["a"] = data

    with swapping(place):
        for work in (create, replace):
            done, refused = outcomes(work)
            assert done
            assert refused
    outside = place.parent.parent / "outside"
    assert sorted(path.name for path in outside.rglob("*")) == ["a", "sub"]
    assert (outside / "sub" / "a").read_text() == "secret"
    assert {p.name: p.read_bytes() for p in place.rglob("*") if p.is_file()} == written


async def test_of_two_sessions_that_edit_one_file_the_later_is_told(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("one\n")
    other = Caller(msgspec.structs.replace(call.context, files=FakeFileLog()))
    await call("view", file_path="a")
    await other("view", file_path="a")
    await call("edit", file_path="a", old_string="one", new_string="ours")
    with pytest.raises(ToolError, match="changed since it was last read"):
        await other("edit", file_path="a", old_string="one", new_string="theirs")
    assert (project / "a").read_text() == "ours\n"


def test_of_two_writers_at_once_one_wins_and_the_other_is_told(tmp_path: Path) -> None:
    path = tmp_path / "count"
    path.write_bytes(b"0")
    won: list[int] = []

    def count() -> None:
        for _ in range(60):
            try:
                before = load_bytes(str(path)).data
                after = str(int(before) + 1).encode()
                replace_file(str(path), after, expected=digest_of(before))
            except ToolError:
                continue
            won.append(1)

    writers = [threading.Thread(target=count) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert int(path.read_bytes()) == len(won)
    assert os.listdir(tmp_path) == ["count"]


@needs_exchange
def test_what_is_written_in_the_moment_of_replacing_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    swap = OpenDirectory.exchange
    saved = iter((b"saved by an editor",))

    def late(directory: OpenDirectory, one: str, other: str) -> bool:
        for data in saved:
            path.with_name("b").write_bytes(data)
            path.with_name("b").rename(path)
        return swap(directory, one, other)

    monkeypatch.setattr(OpenDirectory, "exchange", late)
    with pytest.raises(ToolError, match="by somebody else just now"):
        replace_file(str(path), b"new", expected=digest_of(b"old"))
    assert path.read_bytes() == b"saved by an editor"
    assert os.listdir(tmp_path) == ["a"]


@needs_exchange
def test_the_latest_of_several_in_that_moment_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    swap = OpenDirectory.exchange
    saved = iter((b"first", b"second"))

    def late(directory: OpenDirectory, one: str, other: str) -> bool:
        data = next(saved, None)
        if data is not None:
            path.with_name("b").write_bytes(data)
            path.with_name("b").rename(path)
        return swap(directory, one, other)

    monkeypatch.setattr(OpenDirectory, "exchange", late)
    with pytest.raises(ToolError):
        replace_file(str(path), b"new", expected=digest_of(b"old"))
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["a"]


def _on_a_small_disk(directory: str, done: Connection) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    messages = []
    try:
        replace_file(f"{directory}/a", b"x" * 8192, expected=digest_of(b"old"))
    except ToolError as exc:
        messages.append(exc.message)
    try:
        create_file(f"{directory}/sub/b", b"x" * 8192, umask=0o022)
    except ToolError as exc:
        messages.append(exc.message)
    done.send(messages)


def test_a_file_that_cannot_be_written_to_its_end_is_unchanged(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"old")
    receiver, sender = SPAWN.Pipe(duplex=False)
    child = SPAWN.Process(target=_on_a_small_disk, args=(str(tmp_path), sender))
    child.start()
    assert receiver.poll(15)
    messages = receiver.recv()
    child.join()
    assert len(messages) == 2
    assert all("cannot be written: File too large; unchanged" in text for text in messages)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "sub"]


FULL_DISK = """
import os, sys
from crush.errors import ToolError
from crush.tools.atomic_write import create_file, replace_file
from crush.tools.exchange import exchange
from crush.tools.file_text import digest_of
place = sys.argv[1]
os.chdir(place)
with open("a", "wb") as file:
    file.write(b"old")
for work in (
    lambda: replace_file(f"{place}/a", b"x" * 300_000, expected=digest_of(b"old")),
    lambda: create_file(f"{place}/b", b"x" * 300_000, umask=0o022),
):
    try:
        work()
    except ToolError as exc:
        print(exc.message)
print(open("a").read(), os.listdir("."))
"""


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounts a small disk, as root"
)
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path) -> None:
    mounts = f'mount -t tmpfs -o size=128k none {tmp_path} && exec "$0" -c "$1" {tmp_path}'
    done = subprocess.run(
        ["/usr/bin/unshare", "-m", "sh", "-c", mounts, sys.executable, FULL_DISK],
        capture_output=True,
        text=True,
        timeout=15,
        check=False,
    )
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr}")
    replaced, created, left = done.stdout.splitlines()
    assert "No space left on device; unchanged" in replaced
    assert "No space left on device; unchanged" in created
    assert left == "old ['a']"


@pytest.mark.parametrize("name", ["write", "edit", "multiedit"])
async def test_a_directory_is_no_file(call: Caller, project: Path, name: str) -> None:
    (project / "d").mkdir()
    edit = {"old_string": "a", "new_string": "b"}
    every: dict[str, dict[str, object]] = {
        "write": {"content": "x"},
        "edit": {**edit},
        "multiedit": {"edits": [edit]},
    }
    with pytest.raises(ToolError, match="is a directory"):
        await call(name, file_path="d", **every[name])


async def test_a_file_that_changes_while_a_person_decides_is_not_overwritten(
    call: Caller, project: Path
) -> None:
    (project / "a").write_text("one\n")
    await call("view", file_path="a")
    prepared = call.prepare("edit", file_path="a", old_string="one", new_string="two")
    await prepared.needs()
    (project / "a").write_text("theirs\n")
    with pytest.raises(ToolError, match="changed"):
        await prepared.run()
    assert (project / "a").read_text() == "theirs\n"
