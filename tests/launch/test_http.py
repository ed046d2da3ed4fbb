"""The thin HTTP client against listeners that answer well, badly, slowly or not at all."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crush.errors import NotListeningError, ServerLostError, StartError, UsageError
from crush.launch import http
from crush.launch.ensure import ensure_server
from crush.launch.host import Host
from crush.launch.http import Deadline, open_stream, probe_health, request
from crush.launch.response import Reply, Response, read_response
from tests.launch.place import Listen, Place

OK = b"HTTP/1.1 200 OK\r\n"


def get(host: Host, path: str = "/v1/x") -> Reply:
    return request(host, "GET", path, headers={}, body=b"", timeout_s=5)


def post(host: Host, *, budget_s: float = 5, body: bytes = b"{}") -> Response:
    return open_stream(host, "POST", "/v1/runs", headers={}, body=body, budget_s=budget_s)


def saying(answer: bytes) -> Callable[[socket.socket, bytes], None]:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(answer)

    return handler


def test_a_request_carries_its_headers_its_length_and_the_dummy_host(listen: Listen) -> None:
    seen: list[bytes] = []

    def handler(connection: socket.socket, request: bytes) -> None:
        seen.append(request)
        connection.sendall(OK + b"Content-Length: 0\r\n\r\n")

    host = listen(handler)
    request(host, "POST", "/v1/x", headers={"Crush-Build": "b"}, body=b'{"a":1}', timeout_s=5)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert head.split(b"\r\n") == [
        b"POST /v1/x HTTP/1.1",
        b"Host: api.crush.localhost",
        b"Connection: close",
        b"Content-Type: application/json",
        b"Crush-Build: b",
        b"Content-Length: 7",
    ]
    assert body == b'{"a":1}'


@pytest.mark.parametrize("headers", [{"X": "a\r\nY: b"}, {"X\n": "a"}, {"X": "日本"}])
def test_a_header_that_would_break_the_request_is_refused(
    listen: Listen, headers: dict[str, str]
) -> None:
    host = listen(saying(OK + b"\r\n"))
    with pytest.raises(UsageError):
        request(host, "GET", "/", headers=headers, body=b"", timeout_s=1)


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (b"Content-Length: 5\r\n\r\nhello, and more", b"hello"),
        (b"\r\nhello", b"hello"),
        (b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\n\r\n", b"hello"),
        (b"transfer-encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nTrailer: x\r\n\r\n", b"hello"),
        (b"Content-Length: 0\r\n\r\n", b""),
    ],
)
def test_a_body_ends_by_length_by_its_last_chunk_or_with_the_connection(
    listen: Listen, answer: bytes, body: bytes
) -> None:
    assert get(listen(saying(OK + answer))).body == body


def test_an_answer_without_content_has_no_body_whatever_follows(listen: Listen) -> None:
    reply = get(listen(saying(b"HTTP/1.1 204 No Content\r\n\r\nxyz")))
    assert (reply.status, reply.body) == (204, b"")


def test_interim_answers_are_skipped(listen: Listen) -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    assert get(listen(saying(answer + OK + b"Content-Length: 1\r\n\r\n!"))).body == b"!"


def test_status_and_headers_are_read(listen: Listen) -> None:
    reply = get(listen(saying(b'HTTP/1.1 409 Conflict\r\nX-A:  b \r\n\r\n{"message": "busy"}')))
    assert (reply.status, reply.status_line) == (409, "409 Conflict")
    assert reply.headers == {"x-a": "b"}
    assert reply.json() == {"message": "busy"}


@pytest.mark.parametrize("body", [b"", b"[1]", b"<html>", b"\xff"])
def test_a_body_that_is_no_json_object_reads_as_an_empty_one(listen: Listen, body: bytes) -> None:
    assert get(listen(saying(OK + b"\r\n" + body))).json() == {}


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 9\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"Transfer-Encoding: chunked\r\n\r\n",
        b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n-5\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n" + b"1" * 70_000,
    ],
)
def test_a_cut_body_is_told_from_a_whole_one(listen: Listen, answer: bytes) -> None:
    response = post(listen(saying(OK + answer)))
    with pytest.raises(ServerLostError):
        response.read()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>hello</html>",
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
    ],
)
def test_what_is_no_http_answer_is_an_error_at_once(listen: Listen, answer: bytes) -> None:
    with pytest.raises(StartError):
        post(listen(saying(answer)))


def test_a_connection_closed_without_an_answer_is_a_lost_server(listen: Listen) -> None:
    host = listen(saying(b""))
    with pytest.raises(ServerLostError):
        post(host)
    with pytest.raises(ServerLostError):
        post(host, body=b"x" * 4_000_000)


def test_an_answer_before_the_request_was_read_is_still_read(listen: Listen) -> None:
    host = listen(saying(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"))
    # The kernel discards an answer together with a reset, so only the head's arrival is certain
    # if all of the request fits in the socket's buffer.
    with post(host, body=b"x" * 50_000) as response:
        assert response.status == 413


def test_nothing_listening_is_told_apart(place: Place) -> None:
    with pytest.raises(NotListeningError):
        post(place.host)
    with pytest.raises(NotListeningError):
        probe_health(place.host)


def test_a_short_request_is_bounded_even_if_bytes_trickle(
    listen: Listen, hold: threading.Event
) -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(OK + b"Content-Length: 1000\r\n\r\n")
        while not hold.wait(0.02):
            connection.sendall(b"x")

    started = time.monotonic()
    with pytest.raises(StartError, match=r"no answer within 0\.3 s"):
        request(listen(handler), "GET", "/", headers={}, body=b"", timeout_s=0.3)
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n", "500 Internal Server Error"),
        (b"HTTP/1.1 301 \r\n\r\n", "301"),
        (b"<html></html>", "the server sent no HTTP answer: b'<html></html>'"),
        (b"HTTP/1.1 200 O", "the server closed the connection without an answer"),
        (b"", "the server closed the connection without an answer"),
    ],
)
def test_a_failed_probe_tells_its_cause(listen: Listen, answer: bytes, cause: str) -> None:
    host = listen(saying(answer))
    with pytest.raises(StartError) as caught:
        probe_health(host, timeout_s=5)
    assert caught.value.message == f"server health check failed: {cause}"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed after 50 ms, so that these tests need no seconds."""
    monkeypatch.setattr(http, "_HEAD_SILENCE_S", 0.05)
    monkeypatch.setattr(http, "_BODY_SILENCE_S", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("head", [b"", OK + b"Content-Ty"])
def test_a_hung_listener_ends_a_stream_within_the_budget(
    listen: Listen, hold: threading.Event, head: bytes
) -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        connection.sendall(head)
        hold.wait()

    started = time.monotonic()
    with pytest.raises(StartError) as caught:
        post(listen(handler), budget_s=0.5)
    assert time.monotonic() - started < 2
    assert caught.value.message.startswith("server health check failed: no answer within")


@pytest.mark.usefixtures("impatient")
def test_a_busy_server_is_waited_for_as_long_as_it_is_healthy(listen: Listen) -> None:
    enough_probes = threading.Event()
    probes: list[bytes] = []

    def handler(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /v1/health"):
            probes.append(request)
            if len(probes) == 3:
                enough_probes.set()
            connection.sendall(OK + b"Content-Length: 0\r\n\r\n")
        else:
            enough_probes.wait(10)
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nhi")

    with post(listen(handler), budget_s=0.1) as response:
        assert response.read() == b"hi"
    assert len(probes) >= 3


@pytest.mark.usefixtures("impatient")
def test_a_server_that_recovers_within_the_budget_is_not_given_up(listen: Listen) -> None:
    failed = threading.Event()

    def handler(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"GET /v1/health"):
            connection.sendall(b"HTTP/1.1 503 Not Yet\r\n\r\n")
            failed.set()
        else:
            failed.wait(10)
            connection.sendall(OK + b"Content-Length: 2\r\n\r\nhi")

    with post(listen(handler), budget_s=10) as response:
        assert response.read() == b"hi"
    assert failed.is_set()


@pytest.mark.usefixtures("impatient")
def test_a_stream_that_falls_silent_with_its_server_is_lost(
    listen: Listen, hold: threading.Event
) -> None:
    def handler(connection: socket.socket, request: bytes) -> None:
        if request.startswith(b"POST"):
            connection.sendall(OK + b"Transfer-Encoding: chunked\r\n\r\n7\r\ndata: a\r\n")
        hold.wait()

    response = post(listen(handler), budget_s=0.3)
    pieces = response.pieces()
    assert next(pieces) == b"data: a"
    with pytest.raises(ServerLostError, match="health check failed"):
        next(pieces)


@pytest.mark.usefixtures("impatient")
def test_a_request_body_that_a_stopped_server_does_not_read_ends_too(
    place: Place,
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(place.host.address)
        listening.listen(64)
        with pytest.raises(StartError, match="health check failed"):
            post(place.host, budget_s=0.3, body=b"x" * 4_000_000)


class Trickle:
    """A connection that delivers exactly the pieces that it is given."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    def settimeout(self, timeout_s: float) -> None:
        pass

    def recv(self, size: int) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def close(self) -> None:
        pass


def cut_up(message: bytes, cuts: list[int]) -> list[bytes]:
    positions = sorted({cut % len(message) for cut in cuts} - {0})
    bounds = zip([0, *positions], [*positions, len(message)], strict=True)
    return [message[start:end] for start, end in bounds]


bodies = st.lists(st.binary(min_size=1, max_size=30), max_size=12)
cuts = st.lists(st.integers(0, 1000), max_size=30)


@given(bodies, cuts)
def test_a_chunked_body_is_the_same_however_it_is_cut(chunks: list[bytes], at: list[int]) -> None:
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    message = OK + b"Transfer-Encoding: chunked\r\n\r\n" + encoded + b"0\r\n\r\n"
    response = read_response(Trickle(cut_up(message, at)), Deadline(10))  # type: ignore[arg-type]
    assert response.read() == b"".join(chunks)


@given(bodies.filter(bool), cuts, st.integers(1, 1000))
def test_a_chunked_body_without_its_end_is_always_noticed(
    chunks: list[bytes], at: list[int], missing: int
) -> None:
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
    whole = encoded + b"0\r\n"
    cut = whole[: max(len(whole) - 2 - missing, 0)]
    message = OK + b"Transfer-Encoding: chunked\r\n\r\n" + cut
    response = read_response(Trickle(cut_up(message, at)), Deadline(10))  # type: ignore[arg-type]
    with pytest.raises(ServerLostError):
        response.read()


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), max_size=20)


@given(st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=3)), max_size=8), cuts)
def test_frames_are_the_same_however_the_stream_is_cut(
    frames: list[tuple[str, list[str]]], at: list[int]
) -> None:
    stream = b": hello\n\n"
    for last_id, lines in frames:
        stream += f"id: {last_id}\n".encode()
        stream += b"".join(f"data: {line}\n".encode() for line in lines)
        stream += b"retry: 5\n\n: heartbeat\r\n\r\n"
    response = read_response(
        Trickle(cut_up(OK + b"\r\n" + stream, at)),  # type: ignore[arg-type]
        Deadline(10),
    )
    assert list(response.frames()) == [(name, "\n".join(lines)) for name, lines in frames]


def test_lines_of_any_length_come_whole(listen: Listen) -> None:
    long = b"x" * 1_000_000
    with post(listen(saying(OK + b"\r\na\r\n\n" + long + b"\nlast"))) as response:
        assert list(response.lines()) == [b"a", b"", long, b"last"]


def test_eight_thousand_frames_take_little_time(listen: Listen) -> None:
    frame = b'id: 1.2\ndata: {"type":"text_delta","text":"word "}\n\n'
    stream = b"".join(b"%x\r\n%s\r\n" % (len(frame), frame) for _ in range(8000)) + b"0\r\n\r\n"
    with post(listen(saying(OK + b"Transfer-Encoding: chunked\r\n\r\n" + stream))) as response:
        started = time.process_time()
        assert sum(1 for _ in response.frames()) == 8000
        # 20 ms on the machine it was written on; ten times that is a wrong algorithm.
        assert time.process_time() - started < 0.3


@pytest.mark.usefixtures("impatient")
def test_a_stopped_server_does_not_hang_its_client(place: Place) -> None:
    ensure_server(place.host, env=place.env, budget_s=10, command=place.command)
    os.kill(place.holder(), signal.SIGSTOP)
    started = time.monotonic()
    with pytest.raises(StartError, match="health check failed: no answer"):
        post(place.host, budget_s=0.5)
    assert 0.5 < time.monotonic() - started < 6
