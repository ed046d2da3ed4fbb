"""The one door of a client: send a request; start or replace the server only if that is needed.

On the warm path it costs one connection and one round trip: no lock, no probe, and nothing
imported that only a start needs.
"""

import time

from crush.errors import CrushError, NotListeningError, ProtocolError, ServerLostError, StartError
from crush.launch.host import Host
from crush.launch.http import open_stream
from crush.launch.response import Reply, Response
from crush.paths import Env

TYPE_CHECKING = False  # `typing` and `collections.abc` alone would cost 4 ms
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UPGRADE_REQUIRED = 426
_SERVER_ERROR = 500
_UNAVAILABLE = 503
_PAUSE_S = 0.05


def open_or_start(
    host: Host,
    method: str,
    path: str,
    *,
    headers: "Mapping[str, str]",
    body: bytes,
    env: Env,
    budget_s: float,
    command: "Sequence[str] | None" = None,
) -> Response:
    """`http.open_stream`, with a server that is started, replaced or waited for where necessary.

    The request must be one that may be sent twice (a GET, or with an `Idempotency-Key`): a server
    that leaves can close a connection without saying whether it read from it.

    Raises:
        StartError: `failed to initialize crush server: …` with the last cause.
        ProtocolError: the server speaks other versions, and is busy.
    """
    deadline = time.monotonic() + budget_s
    while True:
        remaining_s = max(deadline - time.monotonic(), _PAUSE_S)
        try:
            response = open_stream(
                host, method, path, headers=headers, body=body, budget_s=remaining_s
            )
        except NotListeningError as exc:
            if time.monotonic() > deadline:
                raise _failure(exc) from exc
            # Only now: its modules cost as much as the whole warm path.
            from crush.launch.ensure import ensure_server  # noqa: PLC0415

            ensure_server(host, env=env, budget_s=remaining_s, command=command)
        except ServerLostError as exc:
            if time.monotonic() + _PAUSE_S > deadline:
                raise _failure(exc) from exc
            time.sleep(_PAUSE_S)
        except StartError as exc:
            from crush.launch.ensure import explain  # noqa: PLC0415 - as above

            raise explain(host, exc, env=env) from exc
        else:
            token = {k: v for k, v in headers.items() if k.lower() == "authorization"}
            if _is_final(
                response, host, headers=token, env=env, budget_s=remaining_s, command=command
            ):
                return response
            if time.monotonic() + _PAUSE_S > deadline:
                raise _failure(StartError(response.status_line))
            time.sleep(_PAUSE_S)


def _is_final(
    response: Response,
    host: Host,
    *,
    headers: "Mapping[str, str]",
    env: Env,
    budget_s: float,
    command: "Sequence[str] | None",
) -> bool:
    """Whether the answer is the caller's; False: the same request may now fare better."""
    if response.status == _UPGRADE_REQUIRED:
        reply = Reply(response)
        problem = reply.json()
        if problem.get("replaceable") is not True:
            message = problem.get("message") or f"the server at {host} speaks another protocol"
            raise ProtocolError(
                str(message), hint=str(problem.get("hint", "")), speaks=_range(problem)
            )
        from crush.launch.ensure import replace_server  # noqa: PLC0415 - as above

        replace_server(host, headers=headers, env=env, budget_s=budget_s, command=command)
        return False
    if response.status == _UNAVAILABLE:  # it is leaving
        response.close()
        return False
    kind = response.headers.get("content-type", "")
    if response.status >= _SERVER_ERROR and not kind.startswith("application/json"):
        response.close()
        raise _failure(StartError(f"server health check failed: {response.status_line}"))
    if kind.startswith("text/html"):
        response.close()
        raise _failure(StartError(f"what listens at {host} is not a crush server"))
    return True


def _range(problem: "Mapping[str, object]") -> tuple[int, int]:
    match problem.get("protocol"):
        case {"min": int(low), "max": int(high)}:
            return low, high
        case _:
            return 0, 0


def _failure(cause: CrushError) -> StartError:
    return StartError(f"failed to initialize crush server: {cause.message}", hint=cause.hint)
