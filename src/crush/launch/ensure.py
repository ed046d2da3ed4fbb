"""Getting a server: lock, probe again, spawn, wait until it is ready (docs/explanation/start.md).

Every wait in here ends with the one budget; every failure is a `StartError` that names the cause
and, where a server was started, the last lines of its log and the path of that.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from crush.errors import BlockedError, NotListeningError, ServerLostError, StartError
from crush.launch.host import Host, is_loopback
from crush.launch.http import probe_health, request
from crush.launch.lock import (
    FileLock,
    LockHeldError,
    find_holder,
    server_lock_path,
    start_lock_path,
    try_lock,
)
from crush.launch.protocol import build_id, is_newer
from crush.launch.response import Reply
from crush.launch.spawn import Spawned, server_command, server_env, spawn
from crush.paths import Env

Warn = Callable[[str], None]

_FIRST_PAUSE_S = 0.005
# 64 waiting clients on two cores must leave the server room to start.
_LONGEST_PAUSE_S = 0.05
_OK, _CONFLICT = 200, 409


def ensure_server(
    host: Host,
    *,
    env: Env,
    budget_s: float,
    command: Sequence[str] | None = None,
    warn: Warn | None = None,
) -> None:
    """Return as soon as a healthy server listens at `host`, starting one if there is none.

    `command` replaces the server's command line, which tests use to run a stand-in; the flags
    `--ready-fd`, `--start-lock-fd` and `--host` are appended to it. `warn` gets what a user should
    know although the start goes on; stderr by default.
    """
    start = _Start(host, env=env, budget_s=budget_s, command=command, warn=warn or _warn)
    try:
        start.ensure()
    except StartError as exc:
        raise _failure(exc) from exc


def replace_server(
    host: Host,
    *,
    headers: Mapping[str, str],
    env: Env,
    budget_s: float,
    command: Sequence[str] | None = None,
    warn: Warn | None = None,
) -> bool:
    """Put a server of this build in the place of an older one, if that is idle.

    Returns False if it is busy and stays. Another client may have been faster: then its server is
    left alone. `headers` carry what the server asks of everyone (a token), not the client's range.
    """
    start = _Start(host, env=env, budget_s=budget_s, command=command, warn=warn or _warn)
    try:
        return start.replace(headers)
    except StartError as exc:
        raise _failure(exc) from exc


def explain(host: Host, cause: StartError, *, env: Env) -> StartError:
    """The failure of a request, with the process that is responsible if there is one."""
    if not isinstance(cause, BlockedError):
        with contextlib.suppress(StartError):
            if (held := find_holder(server_lock_path(host, env))) is not None:
                return _failure(_unanswered(held, cause))
    return _failure(cause)


def _unanswered(held: LockHeldError, cause: StartError) -> StartError:
    return StartError(f"{held.message} but does not answer: {cause.message}", hint=held.hint)


def _failure(cause: StartError) -> StartError:
    return StartError(f"failed to initialize crush server: {cause.message}", hint=cause.hint)


def _warn(text: str) -> None:
    sys.stderr.write(f"crush: {text}\n")


class _Start:
    """One client's attempt, with one deadline for all of its steps."""

    def __init__(
        self, host: Host, *, env: Env, budget_s: float, command: Sequence[str] | None, warn: Warn
    ) -> None:
        self._host = host
        self._env = env
        self._command = command
        self._warn = warn
        self._deadline = time.monotonic() + budget_s
        self._cause = StartError("timed out waiting for server readiness")

    def ensure(self) -> None:
        if self._host.scheme == "tcp" and not is_loopback(self._host):
            if not self._is_up():
                raise StartError(
                    f"nothing listens at {self._host}",
                    hint="only a server on this machine is started by itself",
                )
            return
        while not self._ensure_once():
            pass

    def _ensure_once(self) -> bool:
        """One turn at the start lock; False if it has to be taken again."""
        up, lock = self._take_turn(may_join=True)
        with lock or contextlib.nullcontext():
            # Whoever had the lock before us may have started one.
            return up or self._is_up() or self._start(lock)

    def replace(self, headers: Mapping[str, str]) -> bool:
        _, lock = self._take_turn(may_join=False)
        with lock or contextlib.nullcontext():
            # A server that is leaving may not get its answer out.
            with contextlib.suppress(NotListeningError, ServerLostError):
                if not self._stand_down(headers):
                    return False
            done = self._is_up() or self._start(lock)
        if not done:
            self.ensure()
        return True

    def _take_turn(self, *, may_join: bool) -> tuple[bool, FileLock | None]:
        """Wait for the start lock, or for the server that its holder starts.

        Returns whether a server is up, and the lock if not; no lock at all is not a reason to
        give up (the server lock still keeps two servers apart).
        """
        path = start_lock_path(self._host, self._env)
        pause = _Pause(self._deadline)
        while True:
            try:
                lock = try_lock(path)
            except StartError as exc:
                self._warn(f"{exc.message}; going on without it")
                return False, None
            if lock is not None:
                return False, lock
            if may_join and self._probe():
                return True, None
            if not pause.wait():
                if (held := self._holder()) is not None:
                    raise _unanswered(held, self._cause)
                raise StartError(
                    f"timed out waiting for the start lock {path}: {self._cause.message}"
                )

    def _probe(self) -> bool:
        try:
            probe_health(self._host)
        except NotListeningError:
            return False
        except BlockedError:
            raise
        except StartError as exc:
            self._cause = exc
            return False
        return True

    def _is_up(self) -> bool:
        """Whether a healthy server listens; one that listens and is not healthy gets its time."""
        pause = _Pause(self._deadline)
        while True:
            try:
                probe_health(self._host)
            except NotListeningError:
                return False
            except BlockedError:
                raise
            except StartError as exc:
                if not pause.wait():
                    held = self._holder()
                    raise (_unanswered(held, exc) if held else exc) from exc
                self._cause = exc
            else:
                return True

    def _start(self, lock: FileLock | None) -> bool:
        """Start a server, unless one is there that only does not listen (yet, or any more)."""
        if (held := self._holder()) is not None:
            return self._await_other(held)
        spawned = spawn(
            self._host,
            env=server_env(self._env),
            lock=lock,
            command=self._command or server_command(),
        )
        try:
            report = spawned.wait(self._deadline)
            if report is None:
                raise self._never_ready(spawned)
            if report.get("state") == "failed":
                raise _with_log(str(report.get("error")), spawned)
        finally:
            spawned.close()
        return report.get("state") == "ready" or self._await_other(
            LockHeldError(server_lock_path(self._host, self._env), report)
        )

    def _never_ready(self, spawned: Spawned) -> StartError:
        if spawned.died:
            return _with_log("the server ended before it was ready", spawned)
        spawned.end()
        return _with_log(
            "timed out waiting for server readiness",
            spawned,
            hint="CRUSH_SERVER_READY_TIMEOUT=30s gives it more time",
        )

    def _request(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        remaining_s = max(self._deadline - time.monotonic(), 0.001)
        return request(self._host, method, path, headers=headers, body=body, timeout_s=remaining_s)

    def _holder(self) -> LockHeldError | None:
        return find_holder(server_lock_path(self._host, self._env))

    def _await_other(self, held: LockHeldError) -> bool:
        """Wait for the holder of the server lock: True once it is healthy, False once it is gone."""
        pause = _Pause(self._deadline)
        while not self._probe():
            if self._holder() is None:
                return False
            if not pause.wait():
                raise _unanswered(held, self._cause)
        return True

    def _stand_down(self, headers: Mapping[str, str]) -> bool:
        """Ask the server to go if it is idle and older, and wait until its lock is free."""
        version = self._request("GET", "/v1/version", headers, b"")
        if not is_newer(build_id(), than=str(version.json().get("build_id", ""))):
            return True
        reply = self._request("POST", "/v1/control", headers, b'{"command": "shutdown_if_idle"}')
        if reply.status == _CONFLICT:
            return False
        if reply.status != _OK:
            raise StartError(f"the older server would not stand down: {reply.status_line}")
        pause = _Pause(self._deadline)
        while (held := self._holder()) is not None:
            if not pause.wait():
                raise StartError(f"{held.message} although it stood down", hint=held.hint)
        return True


class _Pause:
    """Short waits that grow, up to a deadline."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._next_s = _FIRST_PAUSE_S

    def wait(self) -> bool:
        """Sleep; False, at once, if the deadline would pass meanwhile."""
        if time.monotonic() + self._next_s >= self._deadline:
            return False
        time.sleep(self._next_s)
        self._next_s = min(self._next_s * 1.5, _LONGEST_PAUSE_S)
        return True


def _with_log(cause: str, spawned: Spawned, *, hint: str = "") -> StartError:
    words = spawned.last_words()
    if not words:
        return StartError(f"{cause} (its log is {spawned.stderr_log})", hint=hint)
    listed = "\n".join(f"  {line}" for line in words)
    return StartError(f"{cause}\nlast lines of {spawned.stderr_log}:\n{listed}", hint=hint)
