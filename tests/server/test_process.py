"""The server as a process: what it refuses to listen on, how it leaves, and in what time."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from crush.errors import Exit, StartError
from crush.launch.host import Host, parse_host
from crush.launch.http import open_stream, probe_health, request
from crush.launch.response import Response
from tests.e2e.machine import is_alive, wait_until
from tests.server.site import free_tcp_host

LEAVES_WITHIN_S = 5.0


class Served:
    """A `crush server` in a process of its own."""

    def __init__(self, root: Path, host: Host, model_url: str, **env: str) -> None:
        self.root = root
        self.host = host
        self._model_url = model_url
        self.env = {"HOME": str(root / "home"), "PATH": os.environ["PATH"], **env}
        self.process = subprocess.Popen(
            server_command(str(host), "--dangerously-no-auth" if host.scheme == "tcp" else ""),
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        wait_until(self._is_healthy)

    def _is_healthy(self) -> bool:
        assert self.process.poll() is None, self.process.communicate()
        try:
            probe_health(self.host)
        except StartError:
            return False
        return True

    def start(self, prompt: str, **wanted: object) -> tuple[str, Response]:
        """A run, and its stream as soon as its first event was read from it."""
        project = self.root / "p"
        project.mkdir(exist_ok=True)
        model = {"id": "m", "context_window": 200_000, "default_max_tokens": 4096}
        provider = {
            "type": "openai-compat",
            "base_url": f"{self._model_url}/v1",
            "api_key": "test-key",
            "models": [model],
        }
        config = {
            "providers": {"fake": provider},
            "models": {"large": {"provider": "fake", "model": "m"}},
        }
        (project / "crush.json").write_text(json.dumps(config))
        body = {"path": str(project), "prompt": prompt, "env": self.env, **wanted}
        response = self.stream("POST", "/v1/runs", json.dumps(body).encode())
        return response.headers["crush-run-id"], response

    def stream(self, method: str, path: str, body: bytes = b"") -> Response:
        response = open_stream(self.host, method, path, headers={}, body=body, budget_s=5)
        assert response.status == 200
        return response

    def ask(self, method: str, path: str, body: object = None) -> Any:
        data = b"" if body is None else json.dumps(body).encode()
        reply = request(self.host, method, path, headers={}, body=data, timeout_s=5)
        assert reply.status == 200, (path, reply.status_line)
        return json.loads(reply.body) if reply.body else None

    def ended(self) -> tuple[int, float]:
        """Exit code and the seconds until it ended."""
        began_at = time.monotonic()
        _, err = self.process.communicate(timeout=15)
        assert "Traceback" not in err, err[-6000:]
        assert not self.process.returncode, err[-6000:]
        return self.process.returncode, time.monotonic() - began_at


def server_command(host: str, *flags: str) -> list[str]:
    command = [sys.executable, "-P", "-m", "crush", "--host", host, "server"]
    return [*command, *(flag for flag in flags if flag)]


@contextmanager
def served(root: Path, host: Host, model_url: str, **env: str) -> Iterator[Served]:
    server = Served(root, host, model_url, **env)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


@pytest.fixture
def host(root: Path) -> Host:
    return parse_host(f"unix://{root}/s.sock")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_cleanly_and_runs_at_a_committed_step(
    root: Path, host: Host, model_url: str, number: signal.Signals
) -> None:
    with served(root, host, model_url) as server, ExitStack() as open_streams:
        run_id, run = server.start(f"SAY begin\nLATCH {root}/never")
        frames = run.frames()
        cursor, _ = next(frames)
        follower = server.stream("GET", f"/v1/runs/{run_id}/events?after={cursor}")
        workspace = server.ask("POST", "/v1/workspaces", {"path": str(root / "p")})
        place = f"/v1/workspaces/{workspace['id']}/events"
        classic = server.stream("GET", place)
        resumable = server.stream("GET", f"{place}?format=2")
        for sent in (
            b"",
            b"GET /v1/he",
            b"POST /v1/runs HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{",
        ):
            idle = open_streams.enter_context(socket.socket(socket.AF_UNIX))
            idle.connect(host.address)
            idle.sendall(sent)
        server.process.send_signal(number)
        ends = [
            [json.loads(data) for _, data in stream][-1] for stream in (frames, follower.frames())
        ]
        for stream in (classic, resumable):
            assert list(stream.frames())  # to its clean end
        code, took_s = server.ended()
    assert [end["type"] for end in ends] == ["run_complete"] * 2
    assert [end["run"]["state"] for end in ends] == ["interrupted"] * 2
    assert code == Exit.OK
    assert took_s < LEAVES_WITHIN_S
    assert not os.path.exists(host.address)
    with served(root, host, model_url) as again:
        assert again.ask("GET", f"/v1/runs/{run_id}")["state"] == "interrupted"


def test_a_reader_that_never_reads_does_not_keep_a_server_that_was_told_to_leave(
    root: Path, host: Host, model_url: str
) -> None:
    with served(root, host, model_url) as server:
        run_id, run = server.start(f"SAY begin\nDELTAS 100000\nLATCH {root}/never")
        with socket.socket(socket.AF_UNIX) as stuck:
            stuck.connect(host.address)
            stuck.sendall(f"GET /v1/runs/{run_id}/events HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            received = 0
            for _, data in run.frames():
                received += len(data)
                if received > 400_000:
                    break
            began_at = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            run.close()
            code, _ = server.ended()
            assert time.monotonic() - began_at < LEAVES_WITHIN_S + 2
    assert code == Exit.OK


def test_a_server_leaves_when_its_last_client_has_and_it_need_not_linger(
    root: Path, host: Host, model_url: str
) -> None:
    with served(root, host, model_url, CRUSH_SERVER_IDLE_TIMEOUT="0") as server:
        _, run = server.start("hi")
        assert json.loads([data for _, data in run.frames()][-1])["run"]["state"] == "done"
        code, took_s = server.ended()
    assert (code, took_s < LEAVES_WITHIN_S) == (Exit.OK, True)
    assert not os.path.exists(host.address)


def test_a_server_that_never_had_a_client_leaves_too(
    root: Path, host: Host, model_url: str
) -> None:
    with served(root, host, model_url, CRUSH_SERVER_IDLE_TIMEOUT="1") as server:
        code, took_s = server.ended()
    assert (code, took_s < 8) == (Exit.OK, True)


def test_shutdown_is_answered_and_the_process_ends(root: Path, host: Host, model_url: str) -> None:
    with served(root, host, model_url) as server:
        server.ask("POST", "/v1/control", {"command": "shutdown"})
        code, took_s = server.ended()
    assert (code, took_s < LEAVES_WITHIN_S) == (Exit.OK, True)
    assert not os.path.exists(host.address)


def test_a_killed_server_is_replaced_and_its_run_has_its_one_end(
    root: Path, host: Host, model_url: str
) -> None:
    with served(root, host, model_url) as server:
        run_id, run = server.start(f"SAY begin\nLATCH {root}/never")
        frames = run.frames()
        while json.loads(next(frames)[1])["type"] != "delta":
            pass
        server.process.kill()
        server.process.communicate()
        assert not is_alive(server.process.pid)
    with served(root, host, model_url) as again:
        follower = again.stream("GET", f"/v1/runs/{run_id}/events")
        events = [json.loads(data) for _, data in follower.frames()]
    ends = [event["run"]["state"] for event in events if event["type"] == "run_complete"]
    assert ends == ["interrupted"]


def refused(host: str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        server_command(host, *flags), check=False, capture_output=True, text=True, timeout=15
    )


def test_tcp_without_a_token_needs_a_flag_that_says_so(root: Path) -> None:
    done = refused(str(free_tcp_host()))
    assert done.returncode == Exit.USAGE
    assert "--dangerously-no-auth" in done.stderr


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "[::]"])  # noqa: S104 - refused
def test_other_machines_are_never_served_without_a_token(root: Path, address: str) -> None:
    port = free_tcp_host().address.rpartition(":")[2]
    done = refused(f"tcp://{address}:{port}", "--dangerously-no-auth")
    assert done.returncode == Exit.USAGE
    assert "other machines" in done.stderr


def test_a_tcp_server_serves_this_machine(root: Path, model_url: str) -> None:
    with served(root, free_tcp_host(), model_url) as server:
        _, run = server.start("hi")
        assert json.loads([data for _, data in run.frames()][-1])["run"]["state"] == "done"
