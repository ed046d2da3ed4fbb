"""Host URLs, the default host, and connecting to one."""

import os
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import HostError, NotListeningError, StartError
from crush.launch import host as host_module
from crush.launch.host import (
    MAX_UNIX_PATH,
    Host,
    Stream,
    check_peer,
    default_host,
    dial,
    is_default,
    is_loopback,
    make_private_dir,
    parse_host,
    safe_name,
    server_dir,
)
from crush.launch.npipe import PipeStream


@pytest.mark.parametrize(
    ("text", "scheme", "address", "base", "directory"),
    [
        (
            "unix:///tmp/crush-1000.sock",
            "unix",
            "/tmp/crush-1000.sock",  # noqa: S108 - only a text here
            "",
            "server-unix____tmp_crush-1000.sock",
        ),
        (
            "unix:///run/user/1000/crush-1000.sock",
            "unix",
            "/run/user/1000/crush-1000.sock",
            "",
            "server-unix____run_user_1000_crush-1000.sock",
        ),
        ("tcp://127.0.0.1:8123", "tcp", "127.0.0.1:8123", "", "server-tcp___127.0.0.1_8123"),
        (
            "tcp://127.0.0.1:8123/base",
            "tcp",
            "127.0.0.1:8123",
            "/base",
            "server-tcp___127.0.0.1_8123_base",
        ),
        ("tcp://[::1]:99", "tcp", "[::1]:99", "", "server-tcp______1__99"),
        (
            "npipe:////./pipe/crush-S-1-5.sock",
            "npipe",
            "//./pipe/crush-S-1-5.sock",
            "",
            "server-npipe_____._pipe_crush-S-1-5.sock",
        ),
    ],
)
def test_a_url_names_scheme_address_base_and_state_directory(
    text: str, scheme: str, address: str, base: str, directory: str
) -> None:
    host = parse_host(text)
    assert (host.scheme, host.address, host.base) == (scheme, address, base)
    assert str(host) == text
    assert server_dir(host, {"CRUSH_CACHE_DIR": "/c"}) == f"/c/{directory}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("/srv/s.sock", "invalid host format: /srv/s.sock"),
        ("", "invalid host format: "),
        ("tcp:/x", "invalid host format: tcp:/x"),
        ("tcp://", "invalid tcp address: missing port in ''"),
        ("tcp://localhost", "invalid tcp address: missing port in 'localhost'"),
        ("tcp://[::1]", "invalid tcp address: missing port in '[::1]'"),
        ("tcp://::1:80", "invalid tcp address: an IPv6 address needs brackets: '::1:80'"),
        ("tcp://[x]:80", "invalid tcp address: not an IPv6 address: 'x'"),
        ("tcp://:80", "invalid tcp address: missing host in ':80'"),
        ("tcp://a:port", "invalid tcp address: invalid port 'port'"),
        ("tcp://a:0", "invalid tcp address: invalid port '0'"),
        ("tcp://a:65536", "invalid tcp address: invalid port '65536'"),
        ("tcp://a:٣", "invalid tcp address: invalid port '٣'"),
        ("tcp://a:1?q", "invalid tcp address: unexpected character in 'a:1?q'"),
        ("tcp://a:1/x\r\nY: z", "invalid tcp address: unexpected character in 'a:1/x\\r\\nY: z'"),
        ("unix://", "invalid unix socket path: ''"),
        ("unix:///a\0b", "invalid unix socket path: '/a\\x00b'"),
        ("npipe://", "invalid npipe name: ''"),
        ("http://127.0.0.1:1", "unknown host scheme 'http'"),
    ],
)
def test_an_unusable_url_is_refused_with_the_cause(text: str, message: str) -> None:
    with pytest.raises(HostError) as caught:
        parse_host(text)
    assert caught.value.message == message


def test_user_information_in_a_tcp_url_is_dropped() -> None:
    assert parse_host("tcp://me:secret@127.0.0.1:80").address == "127.0.0.1:80"


def test_a_relative_socket_path_means_the_clients_directory() -> None:
    assert parse_host("unix://x/s.sock").address == os.path.join(os.getcwd(), "x/s.sock")


def test_a_socket_path_over_the_systems_limit_is_refused_with_its_length() -> None:
    fitting = "/" + "x" * (MAX_UNIX_PATH - 1)
    assert parse_host(f"unix://{fitting}").address == fitting
    with pytest.raises(HostError, match=f"is {MAX_UNIX_PATH + 1} bytes long") as caught:
        parse_host(f"unix://{fitting}é"[: -len("é") - 1] + "é")
    assert str(MAX_UNIX_PATH) in caught.value.message


@given(st.text(max_size=40))
def test_any_text_is_a_host_or_a_host_error(text: str) -> None:
    for candidate in (text, f"tcp://{text}", f"npipe://{text}"):
        try:
            host = parse_host(candidate)
        except HostError:
            continue
        assert parse_host(str(host)) == host
        assert set(safe_name(host)) <= set(host_module._SAFE)


@pytest.mark.parametrize("name", ["127.0.0.1", "127.8.9.1", "localhost", "[::1]"])
def test_loopback_is_recognised(name: str) -> None:
    assert is_loopback(parse_host(f"tcp://{name}:80"))


@pytest.mark.parametrize("name", ["0.0.0.1", "[::]", "10.0.0.1", "127.0.0.1.example.org", "[::2]"])
def test_what_others_can_reach_is_no_loopback(name: str) -> None:
    assert not is_loopback(parse_host(f"tcp://{name}:80"))


def test_the_default_host_lies_in_a_private_runtime_directory() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as runtime:
        env = {"XDG_RUNTIME_DIR": runtime, "HOME": "/nonexistent"}
        host = default_host(env)
        assert str(host) == f"unix://{runtime}/pycrush-{os.geteuid()}.sock"
        assert is_default(host, env)
        assert not is_default(parse_host("unix:///tmp/other.sock"), env)


@pytest.mark.parametrize("how", ["unset", "relative", "open to others", "a link", "missing"])
def test_a_runtime_directory_that_is_not_ours_alone_is_not_used(how: str) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        runtime = {
            "unset": "",
            "relative": "run",
            "open to others": f"{top}/wide",
            "a link": f"{top}/link",
            "missing": f"{top}/missing",
        }[how]
        os.mkdir(f"{top}/wide", 0o700)
        os.chmod(f"{top}/wide", 0o701)
        os.mkdir(f"{top}/private", 0o700)
        os.symlink(f"{top}/private", f"{top}/link")
        host = default_host({"XDG_RUNTIME_DIR": runtime, "CRUSH_CACHE_DIR": f"{top}/cache"})
        assert host.address == f"{top}/cache/run/pycrush-{os.geteuid()}.sock"
        assert stat.S_IMODE(os.stat(f"{top}/cache/run").st_mode) == 0o700


def test_a_default_path_that_is_too_long_falls_back_to_a_private_directory_in_tmp() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        runtime = f"{top}/{'x' * 90}"
        os.mkdir(runtime, 0o700)
        host = default_host({"XDG_RUNTIME_DIR": runtime})
        uid = os.geteuid()
        directory = f"/tmp/pycrush-{uid}"  # noqa: S108 - what the design names
        assert host.address == f"{directory}/pycrush-{uid}.sock"
        assert stat.S_IMODE(os.stat(directory).st_mode) == 0o700


def test_a_private_directory_that_someone_else_prepared_is_refused() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.mkdir(f"{top}/theirs", 0o700)
        os.symlink(f"{top}/theirs", f"{top}/link")
        with pytest.raises(StartError, match="not a private directory of ours"):
            make_private_dir(f"{top}/link")
        os.chmod(f"{top}/theirs", 0o701)
        with pytest.raises(StartError, match="not a private directory of ours"):
            make_private_dir(f"{top}/theirs")


def test_a_directory_that_cannot_be_made_is_named_with_the_cause() -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        path = f"{file.name}/server-x"
        with pytest.raises(StartError) as caught:
            make_private_dir(path)
        assert caught.value.message.startswith("failed to create server working directory: ")
        assert path in caught.value.message


def test_nothing_at_the_path_or_a_dead_socket_means_that_nothing_listens() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        host = Host(scheme="unix", address=f"{top}/s")
        with pytest.raises(NotListeningError):
            dial(host, timeout_s=1)
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(host.address)
        with pytest.raises(NotListeningError):
            dial(host, timeout_s=1)


def test_a_path_through_a_file_is_an_error_and_not_an_absent_server() -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp") as file:
        with pytest.raises(StartError, match="Not a directory") as caught:
            dial(Host(scheme="unix", address=f"{file.name}/s"), timeout_s=1)
        assert not isinstance(caught.value, NotListeningError)


def test_a_full_backlog_is_retried_until_the_time_is_up() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        host = Host(scheme="unix", address=f"{top}/s")
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(host.address)
            listening.listen(0)
            waiting: list[Stream | socket.socket | PipeStream] = []
            started = time.monotonic()
            with pytest.raises(StartError, match="temporarily unavailable") as caught:
                waiting.extend(dial(host, timeout_s=0.1) for _ in range(8))
            assert 0.05 < time.monotonic() - started < 5
            assert not isinstance(caught.value, NotListeningError)

            def make_room() -> None:
                for _ in range(len(waiting)):
                    listening.accept()[0].close()

            thread = threading.Timer(0.1, make_room)
            thread.start()
            waiting.append(dial(host, timeout_s=5))
            thread.join()
            for connection in waiting:
                connection.close()


def test_a_named_pipe_cannot_be_dialled_elsewhere() -> None:
    with pytest.raises(StartError, match="Windows only"):
        dial(parse_host("npipe:////./pipe/x"), timeout_s=1)


def test_a_tcp_port_where_nobody_listens_is_an_absent_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        host = parse_host(f"tcp://127.0.0.1:{listening.getsockname()[1]}")
        dial(host, timeout_s=1).close()
    with pytest.raises(NotListeningError):
        dial(host, timeout_s=1)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_socket_of_another_user_is_refused() -> None:
    program = """
import os, socket, sys
os.setuid(12345)
s = socket.socket(socket.AF_UNIX)
s.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o777)
s.listen()
print("up", flush=True)
sys.stdin.read()
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as top:
        os.chown(top, 12345, -1)
        with subprocess.Popen(
            [sys.executable, "-c", program, f"{top}/s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as other:
            assert other.stdout is not None
            assert other.stdout.readline() == b"up\n"
            with pytest.raises(StartError, match="belongs to uid 12345"):
                dial(Host(scheme="unix", address=f"{top}/s"), timeout_s=1)
            other.communicate()


def test_our_own_peer_is_accepted() -> None:
    ours, other = socket.socketpair()
    with ours, other:
        check_peer(ours)
