"""Getting a server: started once, waited for, replaced, or refused with a cause."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest

from crush.errors import StartError
from crush.launch import ensure, http, logs, protocol
from crush.launch.connect import open_or_start
from crush.launch.host import parse_host
from crush.launch.http import probe_health, request
from crush.launch.lock import try_lock
from tests.launch.place import Listen, Place, is_alive, wait_until


def start(place: Place, *, budget_s: float = 10, **env: str) -> None:
    ensure.ensure_server(
        place.host, env={**place.env, **env}, budget_s=budget_s, command=place.command
    )


def version(place: Place) -> dict[str, object]:
    reply = request(place.host, "GET", "/v1/version", headers={}, body=b"", timeout_s=5)
    return reply.json()


def failure(place: Place, *, budget_s: float = 10, **env: str) -> str:
    with pytest.raises(StartError) as caught:
        start(place, budget_s=budget_s, **env)
    message = caught.value.message
    assert message.startswith("failed to initialize crush server: ")
    return message.removeprefix("failed to initialize crush server: ")


def children() -> set[str]:
    """Our child processes, dead ones too."""
    found = set()
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf-8") as file:
            if file.read().rpartition(")")[2].split()[1] == str(os.getpid()):
                found.add(name)
    return found


def test_nothing_running_starts_a_server_and_the_next_client_joins_it(place: Place) -> None:
    start(place)
    probe_health(place.host)
    start(place)
    assert place.ready_servers() == [place.holder()]


def test_a_started_server_is_detached_and_holds_nothing_of_its_client(place: Place) -> None:
    before = children()
    leak_read, leak_write = os.pipe()
    os.set_inheritable(leak_write, True)
    start(place)
    os.close(leak_write)
    told = version(place)
    # The end of the pipe is seen although the server lives.
    assert os.read(leak_read, 1) == b""
    os.close(leak_read)
    assert told["cwd"] == "/"
    assert told["session"] not in {os.getsid(0), told["pid"]}
    assert children() == before


def test_ctrl_c_in_the_clients_terminal_does_not_reach_the_server(place: Place) -> None:
    program = """
import json, sys
from crush.launch.ensure import ensure_server
from crush.launch.connect import open_or_start
from crush.launch.host import parse_host
host, command, env = json.load(sys.stdin)
print("starting", flush=True)
ensure_server(parse_host(host), env=env, budget_s=10, command=command)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        env = {**place.env, "CRUSH_SERVER_TINY_MODE": "slow"}
        client.stdin.write(json.dumps([str(place.host), place.command, env]).encode())
        client.stdin.close()
        client.stdout.readline()
        wait_until(lambda: logs.tail(f"{place.state}/stderr.log", lines=1))
        # What a terminal does: SIGINT for the whole foreground process group.
        os.killpg(client.pid, signal.SIGINT)
        assert client.wait(5) != 0
    wait_until(place.ready_servers)
    probe_health(place.host, timeout_s=5)


def test_log_files_are_private(place: Place) -> None:
    start(place)
    assert stat.S_IMODE(os.stat(place.state).st_mode) == 0o700
    for name in ("stdout.log", "stderr.log"):
        assert stat.S_IMODE(os.stat(f"{place.state}/{name}").st_mode) == 0o600
    for path in (place.host.address, f"{place.host.address}.lock", f"{place.host.address}.start"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_server_that_dies_at_once_is_reported_with_the_end_of_its_log(place: Place) -> None:
    os.makedirs(place.state, 0o700)
    with open(f"{place.state}/stderr.log", "w", encoding="utf-8") as log:
        log.write("something from last week\n")
    cause = failure(place, CRUSH_SERVER_TINY_MODE="die")
    assert "the server ended before it was ready" in cause
    assert "tiny server: no reason at all" in cause
    assert f"{place.state}/stderr.log" in cause
    assert "last week" not in cause


def test_a_server_that_says_why_it_failed_is_quoted(place: Place) -> None:
    os.mkdir(place.host.address)
    assert failure(place).startswith(f"{place.host.address} exists and is not a socket")


@pytest.mark.parametrize("kind", ["file", "link"])
def test_what_is_no_socket_is_never_removed(place: Place, kind: str) -> None:
    if kind == "file":
        with open(place.host.address, "w", encoding="utf-8") as file:
            file.write("precious")
    else:
        os.symlink("/nowhere", place.host.address)
    before = os.lstat(place.host.address)
    assert "exists and is not a socket" in failure(place)
    assert os.path.samestat(before, os.lstat(place.host.address))


def test_a_server_that_is_not_ready_in_time_is_ended(place: Place) -> None:
    started = time.monotonic()
    cause = failure(place, budget_s=1, CRUSH_SERVER_TINY_MODE="hang")
    assert time.monotonic() - started < 3
    assert cause.startswith("timed out waiting for server readiness")
    # Nothing is left behind: the next start gets the lock and succeeds.
    start(place)
    assert len(place.ready_servers()) == 1


def test_a_stale_socket_is_replaced(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(place.host.address)
    start(place)
    probe_health(place.host)


def test_a_killed_server_is_followed_by_another(place: Place) -> None:
    start(place)
    first = place.holder()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first))
    assert os.path.exists(place.host.address)
    start(place)
    assert place.holder() not in {0, first}


def test_a_server_removes_its_socket_when_it_ends(place: Place) -> None:
    start(place)
    os.kill(place.holder(), signal.SIGTERM)
    wait_until(lambda: not os.path.exists(place.host.address))
    assert sorted(os.listdir(place.directory)) == ["cache", "ready", "s.sock.lock", "s.sock.start"]


def test_a_command_that_cannot_be_run_is_an_error_and_frees_the_lock(place: Place) -> None:
    with pytest.raises(StartError, match="failed to start crush server: No such file"):
        ensure.ensure_server(place.host, env=place.env, budget_s=5, command=["/nonexistent/python"])
    start(place)


def test_a_state_directory_that_cannot_be_made_is_named(place: Place) -> None:
    cause = failure(place, CRUSH_CACHE_DIR="/dev/null/cache")
    assert cause.startswith("failed to create server working directory: ")
    assert "/dev/null/cache" in cause


def test_a_start_lock_that_cannot_be_had_is_a_warning_only(place: Place) -> None:
    os.mkdir(f"{place.host.address}.start")
    warnings: list[str] = []
    ensure.ensure_server(
        place.host, env=place.env, budget_s=10, command=place.command, warn=warnings.append
    )
    probe_health(place.host)
    assert len(warnings) == 1
    assert f"{place.host.address}.start" in warnings[0]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_directory_that_cannot_be_written_is_a_clear_error(place: Place) -> None:
    os.chmod(place.directory, 0o701)
    program = """
import os, sys
from crush.errors import StartError
from crush.launch.ensure import ensure_server
from crush.launch.connect import open_or_start
from crush.launch.host import parse_host
env = {"CRUSH_CACHE_DIR": sys.argv[2]}
# Not before the imports: the interpreter may lie in a home that only root can enter.
os.setgid(12345)
os.setuid(12345)
try:
    ensure_server(parse_host(sys.argv[1]), env=env, budget_s=5, command=["/bin/true"])
except StartError as exc:
    print(exc.message)
"""
    run = subprocess.run(
        [sys.executable, "-c", program, str(place.host), f"{place.directory}/x"],
        capture_output=True,
        text=True,
        timeout=15,
        check=True,
    )
    assert run.stdout.startswith("failed to initialize crush server: ")
    assert "Permission denied" in run.stdout
    assert "going on without it" in run.stderr


def test_a_held_server_lock_without_health_names_its_holder(place: Place) -> None:
    lock = try_lock(f"{place.host.address}.lock")
    assert lock is not None
    lock.record({"pid": 4711})
    with pytest.raises(StartError) as caught:
        start(place, budget_s=0.5)
    lock.record({})
    lock.close()
    assert "process 4711 holds the server lock" in caught.value.message
    assert "crush stop --force" in caught.value.hint
    assert place.ready_servers() == []


def test_a_stopped_server_is_named_cold_and_warm(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_HEAD_SILENCE_S", 0.05)
    start(place)
    pid = place.holder()
    os.kill(pid, signal.SIGSTOP)
    assert failure(place, budget_s=0.5).startswith(f"process {pid} holds the server lock")
    with pytest.raises(StartError, match=f"crush server: process {pid} holds") as caught:
        open_or_start(
            place.host, "GET", "/v1/version", headers={}, body=b"", env=place.env, budget_s=0.5
        )
    assert "crush stop --force" in caught.value.hint


def test_a_server_lock_that_is_freed_meanwhile_lets_the_start_go_on(place: Place) -> None:
    lock = try_lock(f"{place.host.address}.lock")
    assert lock is not None
    freeing = threading.Timer(0.3, lock.close)
    freeing.start()
    start(place)
    freeing.join()
    assert len(place.ready_servers()) == 1


def test_a_start_lock_held_for_ever_ends_with_the_budget(place: Place) -> None:
    lock = try_lock(f"{place.host.address}.start")
    assert lock is not None
    assert failure(place, budget_s=0.3).startswith("timed out waiting for the start lock")
    lock.close()


def test_waiting_for_the_start_lock_ends_when_a_server_answers(place: Place) -> None:
    lock = try_lock(f"{place.host.address}.start")
    assert lock is not None
    waiting = threading.Thread(target=start, args=(place,))
    waiting.start()
    ensure_without_lock = subprocess.run(
        [*place.command, "--host", str(place.host)], env=place.env, timeout=10, check=True
    )
    assert ensure_without_lock.returncode == 0
    waiting.join(5)
    assert not waiting.is_alive()
    lock.close()
    assert len(place.ready_servers()) == 1


def test_a_hung_listener_ends_the_client_with_the_last_cause(
    place: Place, listen: Listen, hold: threading.Event
) -> None:
    def stay_silent(connection: socket.socket, request: bytes) -> None:
        hold.wait()

    listen(stay_silent)
    started = time.monotonic()
    cause = failure(place, budget_s=0.6)
    assert time.monotonic() - started < 2
    assert cause == "server health check failed: no answer within 0.2 s"


def test_a_listener_that_is_never_healthy_ends_the_client_with_its_status(
    place: Place, listen: Listen
) -> None:
    listen(
        lambda connection, request: connection.sendall(
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
        )
    )
    expected = "server health check failed: 500 Internal Server Error"
    # On a loaded machine the last probe may get no answer in time.
    assert expected in {failure(place, budget_s=0.5) for _ in range(3)}


def test_a_remote_host_is_never_started(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    # Linux takes this address for the loopback, we do not: a refusal without a network.
    host = parse_host(f"tcp://0.0.0.0:{port}")
    with pytest.raises(StartError, match="crush server: nothing listens at tcp://0") as caught:
        ensure.ensure_server(host, env=place.env, budget_s=5, command=["/bin/false"])
    assert "only a server on this machine" in caught.value.hint


def test_a_name_that_does_not_exist_is_the_cause(place: Place) -> None:
    host = parse_host("tcp://nowhere.invalid:1")
    with pytest.raises(StartError, match="crush server: cannot connect to tcp://nowhere"):
        ensure.ensure_server(host, env=place.env, budget_s=60, command=["/bin/false"])


def test_clients_with_different_caches_share_the_server_of_one_host(place: Place) -> None:
    caches = [f"{place.directory}/cache-{number}" for number in range(4)]
    clients = [
        threading.Thread(target=start, args=(place,), kwargs={"CRUSH_CACHE_DIR": cache})
        for cache in caches
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join(15)
    assert len(place.ready_servers()) == 1


def test_an_idle_older_server_is_replaced_once(place: Place) -> None:
    start(place, CRUSH_SERVER_TINY_BUILD="0.0.1+1")
    old = place.holder()

    def replace() -> None:
        assert ensure.replace_server(
            place.host, headers={}, env=place.env, budget_s=10, command=place.command
        )

    clients = [threading.Thread(target=replace) for _ in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(15)
    assert version(place)["build_id"] == protocol.build_id()
    assert place.ready_servers() == [old, place.holder()]


def test_a_busy_older_server_stays(place: Place) -> None:
    start(place, CRUSH_SERVER_TINY_BUILD="0.0.1+1", CRUSH_SERVER_TINY_MODE="busy")
    assert not ensure.replace_server(
        place.host, headers={}, env=place.env, budget_s=5, command=place.command
    )
    assert version(place)["build_id"] == "0.0.1+1"


def test_an_older_server_that_left_before_it_could_be_asked_is_replaced(place: Place) -> None:
    assert ensure.replace_server(
        place.host, headers={}, env=place.env, budget_s=10, command=place.command
    )
    probe_health(place.host)


def test_a_tcp_host_on_this_machine_is_started(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    host = parse_host(f"tcp://127.0.0.1:{port}")
    ensure.ensure_server(host, env=place.env, budget_s=10, command=place.command)
    probe_health(host)
    locks = os.listdir(f"{place.directory}/cache/server-tcp___127.0.0.1_{port}")
    assert f"{socket.gethostname()}.lock" in locks
    with contextlib.suppress(ProcessLookupError):
        os.kill(place.ready_servers()[0], signal.SIGTERM)


def test_two_starts_without_a_start_lock_still_make_one_server(place: Place) -> None:
    os.mkdir(f"{place.host.address}.start")
    warnings: list[str] = []

    def start_without_lock() -> None:
        ensure.ensure_server(
            place.host,
            env={**place.env, "CRUSH_SERVER_TINY_MODE": "slow"},
            budget_s=10,
            command=place.command,
            warn=warnings.append,
        )

    clients = [threading.Thread(target=start_without_lock) for _ in range(3)]
    for client in clients:
        client.start()
    for client in clients:
        client.join(15)
        assert not client.is_alive()
    assert len(warnings) == 3
    assert place.ready_servers() == [place.holder()]


def test_the_log_of_a_running_server_survives_another_start(place: Place) -> None:
    start(place)
    with open(f"{place.state}/stderr.log", "a", encoding="utf-8") as log:
        log.write("what the running server said\n")
    os.unlink(place.host.address)
    with pytest.raises(StartError, match="holds the server lock"):
        start(place, budget_s=0.5)
    assert logs.tail(f"{place.state}/stderr.log", lines=1) == ["what the running server said"]
