"""Who is let in: our own user, under one of our names, and no web page."""

import os
import socket
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from crush.launch.host import parse_host
from crush.server.peers import holder_of, tcp_peer, unix_peer
from tests.server.site import Site, serving

FOREIGN_UID = 65534

# A stranger in a process of its own: asks one thing and says which status it got.
STRANGER = """
import encodings.idna, os, socket, sys
os.setgroups([]); os.setgid({uid}); os.setuid({uid})
kind, address = sys.argv[1:]
if kind == "unix":
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
else:
    name, _, port = address.rpartition(":")
    client = socket.create_connection((name, int(port)))
client.sendall(b"GET /v1/workspaces HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n")
print(client.makefile().readline().split()[1])
"""


def ask_as_stranger(site: Site) -> "subprocess.CompletedProcess[str]":
    code = STRANGER.format(uid=FOREIGN_UID)
    return subprocess.run(
        [sys.executable, "-I", "-c", code, site.host.scheme, site.host.address],
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
    )


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@needs_root
async def test_another_user_is_refused_on_loopback_tcp(tcp_site: Site) -> None:
    done = await anyio.to_thread.run_sync(ask_as_stranger, tcp_site)
    assert (done.stdout, done.stderr) == ("403\n", "")
    assert await tcp_site.ask("GET", "/workspaces") == []


@needs_root
async def test_another_user_cannot_even_connect_to_the_socket(site: Site) -> None:
    done = await anyio.to_thread.run_sync(ask_as_stranger, site)
    assert done.stdout == ""
    assert "PermissionError" in done.stderr


@needs_root
async def test_another_user_who_got_at_the_socket_is_refused(root: Path, model_url: str) -> None:
    """Where the file system does not protect it, the kernel's word about the peer does."""
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o711)  # noqa: S103 - that is the case
        host = parse_host(f"unix://{directory}/s.sock")
        async with serving(root, host, model_url=model_url) as site:
            os.chmod(host.address, 0o666)  # noqa: S103 - as above
            done = await anyio.to_thread.run_sync(ask_as_stranger, site)
    assert (done.stdout, done.stderr) == ("403\n", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_web_page_is_refused_on_every_transport(
    site: Site, tcp_site: Site, method: str, headers: dict[str, str]
) -> None:
    for each in (site, tcp_site):
        problem = await each.ask(method, "/workspaces", status=403, headers=headers)
        assert problem["code"] == "forbidden"


async def test_an_address_typed_into_a_browser_is_no_web_page(tcp_site: Site) -> None:
    await tcp_site.ask("GET", "/version", headers={"Sec-Fetch-Site": "none"})


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:5000", 200),
        ("127.0.0.2:5000", 200),
        ("localhost", 200),
        ("LOCALHOST:80", 200),
        ("[::1]", 200),
        ("[::1]:5000", 200),
        ("evil.example", 403),
        ("evil.example:5000", 403),
        ("127.0.0.1.evil.example", 403),
        ("127.evil.example:80", 403),
        ("localhost.evil.example", 403),
        ("10.0.0.1:5000", 403),
        ("[::2]:5000", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
async def test_only_our_own_names_are_served_on_tcp(tcp_site: Site, host: str, status: int) -> None:
    """A page whose name was made to resolve to us comes with that name."""
    await tcp_site.ask("GET", "/version", status=status, headers={"Host": host})


def test_the_kernel_names_both_ends() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, peer = listening.accept()
        with client, accepted:
            found = tcp_peer(accepted.getsockname(), peer)
            assert found is not None
            assert found[0] == os.geteuid()
            assert holder_of(found[1]) == os.getpid()
    left, right = socket.socketpair()
    with left, right:
        assert unix_peer(left) == (os.geteuid(), os.getpid())


def test_an_ipv6_peer_is_found_too() -> None:
    try:
        listening = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with listening:
        client = socket.create_connection(listening.getsockname()[:2])
        accepted, peer = listening.accept()
        with client, accepted:
            found = tcp_peer(accepted.getsockname(), peer)
            assert found is not None
            assert found[0] == os.geteuid()
            assert holder_of(found[1]) == os.getpid()


def test_a_peer_that_is_gone_is_nobody() -> None:
    """The kernel shows what it keeps of a closed socket as root's; a server of root must not mind."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        client = socket.create_connection(listening.getsockname())
        accepted, peer = listening.accept()
        with accepted:
            client.sendall(b"POST ")
            client.close()
            assert tcp_peer(accepted.getsockname(), peer) is None


FENCED = ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "--dev", "/dev"]
ASK = """
import socket, sys
kind, address = sys.argv[1:]
if kind == "unix":
    client = socket.socket(socket.AF_UNIX)
    client.connect(address)
else:
    name, _, port = address.rpartition(":")
    client = socket.create_connection((name, int(port)))
client.sendall(b"GET /v1/workspaces HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\nConnection: close\\r\\n\\r\\n")
print(client.makefile().readline().split()[1])
"""


async def test_a_fenced_process_of_our_own_user_is_refused_at_the_socket(site: Site) -> None:
    assert await answers_inside_and_outside_a_fence(site) == [("200\n", ""), ("403\n", "")]


async def test_a_fenced_process_of_our_own_user_is_refused_on_loopback_tcp(tcp_site: Site) -> None:
    assert await answers_inside_and_outside_a_fence(tcp_site) == [("200\n", ""), ("403\n", "")]


async def answers_inside_and_outside_a_fence(site: Site) -> list[tuple[str, str]]:
    ask = [sys.executable, "-I", "-c", ASK, site.host.scheme, site.host.address]
    answers = []
    for command in (ask, [*FENCED, *ask]):
        run = partial(subprocess.run, command, capture_output=True, text=True, cwd="/")
        done = await anyio.to_thread.run_sync(run)
        answers.append((done.stdout, done.stderr))
    return answers
