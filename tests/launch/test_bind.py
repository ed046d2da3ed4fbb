"""The server's side: the lock, the socket, what happens when someone removes them."""

import json
import os
import socket
import stat
import threading
from collections.abc import Iterator

import pytest

from crush.errors import HostError, NotListeningError, StartError
from crush.launch.bind import BACKLOG, Listener
from crush.launch.host import MAX_UNIX_PATH, Host, dial, parse_host
from crush.launch.lock import LockHeldError, try_lock
from tests.launch.place import Place


def listen(place: Place, host: Host | None = None) -> Listener:
    return Listener(host or place.host, env=place.env, instance_id="i", allow_remote=False)


@pytest.fixture
def listener(place: Place) -> Iterator[Listener]:
    listener = listen(place)
    yield listener
    listener.close()


def test_a_listener_is_private_recorded_and_reachable(place: Place, listener: Listener) -> None:
    dial(place.host, timeout_s=1).close()
    assert stat.S_IMODE(os.stat(place.host.address).st_mode) == 0o600
    assert listener.still_ours()
    with open(f"{place.host.address}.lock", encoding="utf-8") as file:
        holder = json.load(file)
    assert (holder["pid"], holder["instance_id"]) == (os.getpid(), "i")
    assert sorted(os.listdir(place.directory)) == ["s.sock", "s.sock.lock"]


def test_the_backlog_holds_a_storm(place: Place, listener: Listener) -> None:
    assert BACKLOG == 1024
    waiting = [dial(place.host, timeout_s=0.1) for _ in range(200)]
    for connection in waiting:
        connection.close()


def test_a_second_listener_is_told_who_the_first_is(place: Place, listener: Listener) -> None:
    with pytest.raises(LockHeldError) as caught:
        listen(place)
    assert caught.value.pid == os.getpid()
    dial(place.host, timeout_s=1).close()


def test_closing_removes_the_socket_and_frees_the_lock(place: Place) -> None:
    listen(place).close()
    assert not os.path.exists(place.host.address)
    listen(place).close()


def test_a_server_that_withdraws_is_not_found_and_keeps_its_lock(place: Place) -> None:
    listener = listen(place)
    listener.withdraw()
    with pytest.raises(NotListeningError):
        dial(place.host, timeout_s=1)
    with pytest.raises(LockHeldError):
        listen(place)
    listener.close()
    listen(place).close()


def test_closing_leaves_a_socket_that_is_not_ours(place: Place) -> None:
    listener = listen(place)
    os.unlink(place.host.address)
    with socket.socket(socket.AF_UNIX) as successor:
        successor.bind(place.host.address)
        assert not listener.still_ours()
        listener.close()
        assert os.path.exists(place.host.address)


def test_a_removed_socket_is_bound_again_and_the_old_one_keeps_its_connections(
    place: Place, listener: Listener
) -> None:
    before = listener.socket
    assert before is not None
    with dial(place.host, timeout_s=1) as early:
        os.unlink(place.host.address)
        assert not listener.still_ours()
        with pytest.raises(NotListeningError):
            dial(place.host, timeout_s=1)
        after = listener.rebind()
        assert after is not None
        assert after is not before
        assert listener.still_ours()
        dial(place.host, timeout_s=1).close()
        accepted, _ = before.accept()
        accepted.sendall(b"still here")
        assert early.recv(100) == b"still here"
        accepted.close()
    before.close()


def test_a_removed_lock_file_is_locked_again(place: Place, listener: Listener) -> None:
    os.unlink(f"{place.host.address}.lock")
    assert not listener.still_ours()
    assert listener.rebind() is listener.socket
    assert listener.still_ours()
    with pytest.raises(LockHeldError):
        listen(place)


def test_a_removed_lock_file_that_another_server_has_taken_ends_ours(
    place: Place, listener: Listener
) -> None:
    os.unlink(f"{place.host.address}.lock")
    theirs = try_lock(f"{place.host.address}.lock")
    assert theirs is not None
    with pytest.raises(LockHeldError):
        listener.rebind()
    theirs.close()


def test_there_is_no_moment_without_a_socket_while_a_stale_one_is_replaced(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(place.host.address)
    missing: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            if not os.path.lexists(place.host.address):
                missing.append(1)

    watching = threading.Thread(target=watch)
    watching.start()
    listener = listen(place)
    done.set()
    watching.join()
    listener.close()
    assert missing == []


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_refused_and_left_alone(place: Place, kind: str) -> None:
    path = place.host.address
    if kind == "file":
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    elif kind == "directory":
        os.mkdir(path)
    else:
        os.symlink("/nowhere", path)
    before = os.lstat(path)
    with pytest.raises(StartError, match="exists and is not a socket"):
        listen(place)
    assert os.path.samestat(before, os.lstat(path))
    lock = try_lock(f"{path}.lock")
    assert lock is not None
    lock.close()


def test_a_live_server_that_knows_no_locks_is_not_robbed(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(place.host.address)
        foreign.listen()
        with pytest.raises(StartError, match="another program listens"):
            listen(place)
        dial(place.host, timeout_s=1).close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make a socket of another user")
def test_a_dead_socket_of_another_user_is_not_replaced(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(place.host.address)
    os.chown(place.host.address, 12345, -1)
    with pytest.raises(StartError, match="is a socket of uid 12345"):
        listen(place)


@pytest.mark.parametrize("name_bytes", [1, 2, 60])
def test_a_path_of_the_greatest_length_can_be_bound(place: Place, name_bytes: int) -> None:
    directory = place.directory
    fill = MAX_UNIX_PATH - len(directory) - name_bytes - 2
    directory = f"{directory}/{'d' * fill}"
    os.mkdir(directory)
    host = parse_host(f"unix://{directory}/{'s' * name_bytes}")
    assert len(host.address) == MAX_UNIX_PATH
    listener = listen(place, host)
    dial(host, timeout_s=1).close()
    listener.close()
    assert os.listdir(directory) == [f"{'s' * name_bytes}.lock"]


@pytest.mark.parametrize("kind", ["dead socket", "file", "live socket"])
def test_a_leftover_of_a_crash_between_bind_and_rename_is_no_obstacle(
    place: Place, kind: str
) -> None:
    leftover = f"{place.host.address[:-1]}~"
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "file":
            os.close(os.open(leftover, os.O_CREAT | os.O_WRONLY, 0o600))
        else:
            other.bind(leftover)
        if kind == "live socket":
            other.listen()
        listener = listen(place)
        dial(place.host, timeout_s=1).close()
        listener.close()
        assert os.path.exists(leftover) == (kind != "dead socket")


def test_a_missing_directory_is_named(place: Place) -> None:
    host = Host(scheme="unix", address=f"{place.directory}/missing/s")
    with pytest.raises(StartError, match=r"missing/s\.lock.*No such file"):
        listen(place, host)


def test_a_port_is_bound_once_and_on_loopback_only(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        host = parse_host(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(StartError, match="Address already in use"):
            listen(place, host)
    listener = listen(place, host)
    dial(host, timeout_s=1).close()
    assert listener.still_ours()
    assert listener.rebind() is listener.socket
    with pytest.raises(LockHeldError):
        listen(place, host)
    listener.close()
    with pytest.raises(HostError, match="can be reached from other machines"):
        listen(place, parse_host("tcp://0.0.0.0:1"))
    with pytest.raises(StartError, match="failed to listen on nowhere"):
        Listener(
            parse_host("tcp://nowhere.invalid:1"), env=place.env, instance_id="i", allow_remote=True
        )
