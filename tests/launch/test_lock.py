"""The locks of a host: exclusive, inheritable, private, and found again after a cleaner."""

import os
import stat
import subprocess
import sys

import pytest

from crush.errors import StartError
from crush.launch.host import parse_host
from crush.launch.lock import (
    LockHeldError,
    read_holder,
    server_lock_path,
    start_lock_path,
    try_lock,
)
from tests.launch.place import Place, wait_until


def is_free(path: str) -> bool:
    lock = try_lock(path)
    if lock is not None:
        lock.close()
    return lock is not None


def test_the_locks_of_a_socket_lie_beside_it() -> None:
    host = parse_host("unix:///srv/s.sock")
    assert start_lock_path(host, {}) == "/srv/s.sock.start"
    assert server_lock_path(host, {}) == "/srv/s.sock.lock"


def test_the_locks_of_a_port_lie_in_the_state_directory_by_machine() -> None:
    path = server_lock_path(parse_host("tcp://127.0.0.1:1"), {"CRUSH_CACHE_DIR": "/c"})
    assert path == f"/c/server-tcp___127.0.0.1_1/{os.uname().nodename}.lock"


def test_a_held_lock_is_not_given_twice_and_given_again_after_its_release(place: Place) -> None:
    path = f"{place.directory}/l"
    lock = try_lock(path)
    assert lock is not None
    assert try_lock(path) is None
    lock.close()
    again = try_lock(path)
    assert again is not None
    again.close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_child_that_inherits_the_descriptor_keeps_the_lock(place: Place) -> None:
    path = f"{place.directory}/l"
    lock = try_lock(path)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        pass_fds=[lock.fileno()],
    ) as child:
        lock.close()
        assert try_lock(path) is None
        child.communicate()
    freed = try_lock(path)
    assert freed is not None
    freed.close()


def test_an_ordinary_child_does_not_inherit_the_lock(place: Place) -> None:
    path = f"{place.directory}/l"
    lock = try_lock(path)
    assert lock is not None
    with subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"],
        stdin=subprocess.PIPE,
        close_fds=False,
    ) as child:
        lock.close()
        # The kernel may close the child's copies a moment after its exec.
        wait_until(lambda: is_free(path))
        child.communicate()


def test_the_holder_is_recorded_and_a_shorter_record_leaves_no_rest(place: Place) -> None:
    path = f"{place.directory}/l"
    lock = try_lock(path)
    assert lock is not None
    lock.record({"pid": 1, "instance_id": "a long name of an instance"})
    lock.record({"pid": 2})
    assert read_holder(path) == {"pid": 2}
    lock.close()


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe"])
def test_a_record_that_cannot_be_read_names_nobody(place: Place, content: bytes) -> None:
    path = f"{place.directory}/l"
    with open(path, "wb") as file:
        file.write(content)
    assert read_holder(path) == {}
    assert LockHeldError(path, {}).message == f"another process holds the server lock {path}"


def test_a_removed_lock_file_is_noticed_by_its_holder(place: Place) -> None:
    path = f"{place.directory}/l"
    lock = try_lock(path)
    assert lock is not None
    assert lock.is_current()
    os.unlink(path)
    assert not lock.is_current()
    second = try_lock(path)
    assert second is not None
    assert second.is_current()
    assert not lock.is_current()
    second.close()
    lock.close()


def test_a_wide_lock_file_of_ours_is_made_private(place: Place) -> None:
    path = f"{place.directory}/l"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o666))
    lock = try_lock(path)
    assert lock is not None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    lock.close()


@pytest.mark.parametrize("kind", ["link", "directory", "fifo"])
def test_what_is_no_regular_file_is_not_locked(place: Place, kind: str) -> None:
    path = f"{place.directory}/l"
    if kind == "link":
        os.symlink(f"{place.directory}/elsewhere", path)
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.mkfifo(path)
    with pytest.raises(StartError, match="lock file"):
        try_lock(path)
    assert not os.path.exists(f"{place.directory}/elsewhere")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a file of another user")
def test_a_lock_file_of_another_user_is_refused(place: Place) -> None:
    path = f"{place.directory}/l"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    os.chown(path, 12345, -1)
    with pytest.raises(StartError, match="belongs to uid 12345"):
        try_lock(path)
