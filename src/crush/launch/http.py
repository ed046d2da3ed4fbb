"""A thin HTTP/1.1 client: one request on one connection, and the rules for silence.

It reads plain dicts: the wire's Structs cost more to import than a whole `crush run` may take.
What starts a server is elsewhere and imported only when nobody answers (`connect`).
"""

import time

from crush.errors import (
    BlockedError,
    CrushError,
    NotListeningError,
    ServerLostError,
    StartError,
    UsageError,
)
from crush.launch.host import Host, dial
from crush.launch.response import Reply, Response, read_response

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping

    from crush.launch.host import Connection
    from crush.launch.response import Watch

PROBE_S = 0.2
# A run is acknowledged at once: longer silence means a busy server or a hung one.
_HEAD_SILENCE_S = 2.0
# Twice the heartbeat of a stream.
_BODY_SILENCE_S = 30.0
_PROBE_PAUSE_S = 0.1
# What Crush's clients send where the address is not a network name (W 1.3).
_LOCAL_NAME = "api.crush.localhost"
_SUCCESS = 2  # 2xx
_SHORTEST_S = 0.001  # 0 would make a socket non-blocking


class Deadline:
    """A watch for short requests: the whole exchange within one time."""

    __slots__ = ("_end", "_total_s")

    def __init__(self, total_s: float) -> None:
        self._total_s = total_s
        self._end = time.monotonic() + total_s

    def limit_s(self) -> float:
        return max(self._end - time.monotonic(), _SHORTEST_S)

    def heard(self) -> None:
        # A server that sends a byte now and then is bounded too.
        if time.monotonic() > self._end:
            self.silent()

    def silent(self) -> None:
        raise StartError(f"no answer within {self._total_s:g} s")


class Guard:
    """A watch for streams: any silence is borne as long as the server is healthy.

    After `silence_s` without a byte the server is probed on connections of their own until a
    probe succeeds, a byte comes after all, or the budget is gone: then the last cause is raised.
    """

    __slots__ = ("_budget_s", "_end", "_error", "_host", "_silence_s")

    def __init__(
        self, host: Host, *, silence_s: float, budget_s: float, error: type[CrushError]
    ) -> None:
        self._host = host
        self._silence_s = silence_s
        self._budget_s = budget_s
        self._error = error
        self._end: float | None = None  # of the budget, while probes fail

    def limit_s(self) -> float:
        return self._silence_s if self._end is None else _PROBE_PAUSE_S

    def heard(self) -> None:
        self._end = None

    def silent(self) -> None:
        if self._end is None:
            self._end = time.monotonic() + self._budget_s
        limit_s = max(min(PROBE_S, self._end - time.monotonic()), _SHORTEST_S)
        try:
            probe_health(self._host, timeout_s=limit_s)
        except StartError as exc:
            if time.monotonic() + _PROBE_PAUSE_S >= self._end:
                raise self._error(exc.message, hint=exc.hint) from exc
        else:
            self._end = None


def request(
    host: Host,
    method: str,
    path: str,
    *,
    headers: "Mapping[str, str]",
    body: bytes,
    timeout_s: float,
) -> Reply:
    """One short exchange, from connecting to the last byte, within `timeout_s`."""
    watch = Deadline(timeout_s)
    with dial(host, timeout_s=timeout_s) as connection:
        _send(connection, _encode(host, method, path, headers, body), watch)
        return Reply(read_response(connection, watch))


def probe_health(host: Host, *, timeout_s: float = PROBE_S) -> None:
    """Return if a healthy server answers in time; `StartError` carries the cause otherwise."""
    try:
        reply = request(host, "GET", "/v1/health", headers={}, body=b"", timeout_s=timeout_s)
    except (BlockedError, NotListeningError):
        raise
    except (StartError, ServerLostError) as exc:
        raise StartError(f"server health check failed: {exc.message}", hint=exc.hint) from exc
    if reply.status // 100 != _SUCCESS:
        raise StartError(f"server health check failed: {reply.status_line}")


def open_stream(
    host: Host,
    method: str,
    path: str,
    *,
    headers: "Mapping[str, str]",
    body: bytes,
    budget_s: float,
) -> Response:
    """Send a request and return its answer as soon as the head is there.

    A busy server is waited for, a hung one for at most `budget_s`; the same holds for silences
    of the stream that follows.

    Raises:
        NotListeningError: nothing is there, nothing was sent.
        ServerLostError: the connection broke; the request may or may not have been accepted.
        StartError: the server is hung, or not one of ours.
    """
    watch = Guard(host, silence_s=_HEAD_SILENCE_S, budget_s=budget_s, error=StartError)
    connection = dial(host, timeout_s=budget_s)
    try:
        _send(connection, _encode(host, method, path, headers, body), watch)
        response = read_response(connection, watch)
    except BaseException:
        connection.close()
        raise
    response.follow(
        Guard(host, silence_s=_BODY_SILENCE_S, budget_s=budget_s, error=ServerLostError)
    )
    return response


def _encode(host: Host, method: str, path: str, headers: "Mapping[str, str]", body: bytes) -> bytes:
    fields = {
        "Host": host.address if host.scheme == "tcp" else _LOCAL_NAME,
        "Connection": "close",
        **({"Content-Type": "application/json"} if body else {}),
        **headers,
        "Content-Length": str(len(body)),
    }
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise UsageError("a request line or header contains a line break")
    try:
        return "\r\n".join((*lines, "", "")).encode("latin-1") + body
    except UnicodeEncodeError as exc:
        raise UsageError(f"a request line or header is not Latin-1: {exc}") from exc


def _send(connection: "Connection", message: bytes, watch: "Watch") -> None:
    rest = memoryview(message)
    while rest:
        connection.settimeout(watch.limit_s())
        try:
            rest = rest[connection.send(rest) :]
        except TimeoutError:
            watch.silent()
        except OSError:
            # The server may have answered and closed before it read everything.
            return
        else:
            watch.heard()
