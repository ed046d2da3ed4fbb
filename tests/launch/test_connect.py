"""The one door: a request that starts, waits for or replaces a server only where it must."""

import json
import os
import signal
import socket
import threading
import time

import pytest

from crush.errors import ProtocolError, StartError
from crush.launch import connect, http
from crush.launch.connect import open_or_start
from crush.launch.ensure import ensure_server
from crush.launch.protocol import protocol_headers
from crush.launch.response import Response
from tests.launch.place import Listen, Place


def run(place: Place, *, budget_s: float = 10) -> Response:
    return open_or_start(
        place.host,
        "POST",
        "/v1/runs",
        headers={**protocol_headers(), "Idempotency-Key": "k"},
        body=b'{"frames": 2}',
        env=place.env,
        budget_s=budget_s,
        command=place.command,
    )


def frames(response: Response) -> list[str]:
    with response:
        return [last_id for last_id, _ in response.frames()]


def problem(status: str, **fields: object) -> bytes:
    body = json.dumps(fields).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def test_a_request_starts_the_server_that_it_needs(place: Place) -> None:
    assert frames(run(place)) == ["e.0", "e.1"]
    assert frames(run(place)) == ["e.0", "e.1"]
    assert len(place.ready_servers()) == 1


def test_an_older_idle_server_is_replaced_on_the_way(place: Place) -> None:
    env = {**place.env, "CRUSH_SERVER_TINY_BUILD": "0.0.1+1"}
    ensure_server(place.host, env=env, budget_s=10, command=place.command)
    assert frames(run(place)) == ["e.0", "e.1"]
    assert len(place.ready_servers()) == 2


def test_a_busy_server_of_another_protocol_is_a_clear_error(place: Place, listen: Listen) -> None:
    answer = problem(
        "426 Upgrade Required",
        message="this server speaks 7 to 9",
        hint="wait until it is idle",
        protocol={"min": 7, "max": 9},
    )
    listen(lambda connection, request: connection.sendall(answer))
    with pytest.raises(ProtocolError) as caught:
        run(place)
    assert caught.value.message == "this server speaks 7 to 9"
    assert caught.value.hint == "wait until it is idle"
    assert caught.value.speaks == (7, 9)


def test_a_server_that_leaves_is_asked_again_until_it_is_followed(
    place: Place, listen: Listen
) -> None:
    answers = [
        b"",
        problem("503 Service Unavailable", message="server is shutting down"),
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nid: 1\ndata: x\n\n",
    ]
    listen(lambda connection, request: connection.sendall(answers.pop(0)))
    assert frames(run(place)) == ["1"]


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"", "the server closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nConte", "the server closed the connection without an answer"),
        (problem("503 Service Unavailable"), "503 Service Unavailable"),
        (b"<html>", "the server sent no HTTP answer: b'<html>'"),
        (
            b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\noops",
            "server health check failed: 500 Internal Server Error",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "is not a crush server"),
    ],
)
def test_a_listener_that_is_no_server_ends_the_client_within_the_budget(
    place: Place, listen: Listen, answer: bytes, cause: str
) -> None:
    listen(lambda connection, request: connection.sendall(answer))
    started = time.monotonic()
    with pytest.raises(StartError) as caught:
        run(place, budget_s=0.4)
    assert time.monotonic() - started < 2
    assert caught.value.message.startswith("failed to initialize crush server: ")
    assert cause in caught.value.message
    assert place.ready_servers() == []


def test_a_listener_that_never_answers_ends_the_client_within_the_budget(
    place: Place, listen: Listen, hold: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "_HEAD_SILENCE_S", 0.05)

    def stay_silent(connection: socket.socket, request: bytes) -> None:
        hold.wait()

    listen(stay_silent)
    with pytest.raises(StartError, match="crush server: server health check failed: no answer"):
        run(place, budget_s=0.4)


def test_an_error_of_the_server_is_the_callers_business(place: Place, listen: Listen) -> None:
    answer = problem("500 Internal Server Error", message="oops")
    listen(lambda connection, request: connection.sendall(answer))
    with run(place) as response:
        assert response.status == 500
        assert json.loads(response.read()) == {"message": "oops"}


def test_a_server_killed_under_a_stopped_request_is_followed_by_another(place: Place) -> None:
    frames(run(place))
    first = place.holder()
    os.kill(first, signal.SIGSTOP)
    results: list[list[str]] = []
    asking = threading.Thread(target=lambda: results.append(frames(run(place))))
    asking.start()
    os.kill(first, signal.SIGKILL)
    asking.join(15)
    assert results == [["e.0", "e.1"]]
    assert place.holder() != first


def test_a_server_that_starts_and_vanishes_again_ends_with_the_budget(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connect, "_PAUSE_S", 0.01)
    with pytest.raises(StartError, match="failed to initialize crush server: "):
        open_or_start(
            place.host,
            "GET",
            "/v1/version",
            headers={},
            body=b"",
            env=place.env,
            budget_s=0.5,
            # It reports that it is ready, and is not there.
            command=["/bin/sh", "-c", 'echo "{\\"state\\": \\"ready\\"}" >&3'],
        )
