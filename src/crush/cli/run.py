"""`crush run`: one prompt in, the answer out. Standard library only; events are plain dicts."""

import os
import sys

from crush.cli.options import Parsed
from crush.cli.place import cwd_of, given_data_dir, host_of
from crush.cli.run_output import Printer, RunResult
from crush.cli.stdin import read_piped
from crush.errors import CrushError, Exit, ServerLostError, StartError, UsageError, error_from
from crush.launch.budget import ready_budget_s
from crush.launch.connect import open_or_start
from crush.launch.host import Host
from crush.launch.http import open_stream, probe_health, request
from crush.launch.protocol import protocol_headers
from crush.launch.response import Reply, Response
from crush.launch.thin_json import dumps

_CANCEL_WITHIN_S = 5.0
_OK = 200
# Every one of them can take six bytes on its way, and the server takes 64 MiB.
_MAX_PROMPT_CHARS = 10_000_000


def main(parsed: Parsed) -> int:
    printer = Printer(
        parsed.text("output_format"),
        quiet=parsed.flag("quiet"),
        verbose=parsed.flag("verbose"),
    )
    try:
        body = _body(parsed)
        run = _Following(host_of(parsed), printer, ready_budget_s(os.environ))
        return run.follow(body, detach=parsed.flag("detach"))
    except CrushError as exc:
        return printer.failed(exc)
    except KeyboardInterrupt:
        return printer.interrupted()


def _body(parsed: Parsed) -> dict[str, object]:
    """What `POST /v1/runs` gets."""
    if parsed.flag("continue") and parsed.text("session"):
        raise UsageError("--session and --continue exclude each other")
    words = os.fsencode(" ".join(parsed.words)).decode("utf-8", "replace")
    prompt = "\n\n".join(part for part in (read_piped(), words) if part)
    if not prompt.strip():
        raise UsageError("no prompt provided", hint='crush run "what to do", or pipe it in')
    cwd, data_dir = cwd_of(parsed), given_data_dir(parsed)
    for path in (cwd, data_dir):
        if not _is_utf8(path):
            raise UsageError(f"the name of {path!r} is not UTF-8", hint="rename it")
    umask = os.umask(0o077)
    os.umask(umask)
    if len(prompt) > _MAX_PROMPT_CHARS:
        raise UsageError(
            f"the prompt has {len(prompt) // 1_000_000} million characters, and no model takes so many",
            hint="name a file in the prompt instead of piping it in",
        )
    return {
        "path": cwd,
        "prompt": prompt,
        # JSON has no place for other bytes; a variable that holds some must not end every run.
        "env": {k: v for k, v in os.environ.items() if _is_utf8(k) and _is_utf8(v)},
        "model": parsed.text("model"),
        "small_model": parsed.text("small_model"),
        "session": parsed.text("session"),
        "last": parsed.flag("continue"),
        "mode": "yolo" if parsed.flag("yolo") else "workspace",
        "read_only": parsed.flag("read_only"),
        "detach": parsed.flag("detach"),
        "max_steps": int(parsed.number("max_steps")),
        "timeout_s": parsed.number("timeout"),
        "umask": umask,
        "data_dir": data_dir,
    }


def _is_utf8(text: str) -> bool:
    """Whether what the system gave us as bytes was UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Following:
    """One run from its request to its end, over as many connections as it takes."""

    def __init__(self, host: Host, printer: Printer, budget_s: float) -> None:
        self._host = host
        self._printer = printer
        self._budget_s = budget_s
        self._run_id = ""
        self._cursor = ""
        self._interrupted = False

    def follow(self, body: dict[str, object], *, detach: bool) -> int:
        response = open_or_start(
            self._host,
            "POST",
            "/v1/runs",
            headers={**protocol_headers(), "Idempotency-Key": os.urandom(16).hex()},
            body=dumps(body).encode(),
            env=os.environ,
            budget_s=self._budget_s,
        )
        self._accept(response)
        if detach:
            response.close()
            return self._printer.detached(self._run_id)
        self._catch_interrupts()
        while True:
            result = self._read(response)
            if result is not None:
                return self._printer.finish(result, interrupted=self._interrupted)
            response = self._again()

    def _accept(self, response: Response) -> None:
        if response.status != _OK:
            raise error_from(Reply(response).json(), response.status_line)
        self._run_id = response.headers.get("crush-run-id", "")
        if not self._run_id:
            response.close()
            raise StartError(
                f"failed to initialize crush server: what listens at {self._host} is not ours"
            )

    def _read(self, response: Response) -> RunResult | None:
        """Print events until the end of the run; None if the stream ended before it."""
        try:
            for cursor, data in response.frames():
                self._cursor = cursor or self._cursor
                result = self._printer.event(data)
                if result is not None:
                    response.close()
                    return result
        except ServerLostError:
            pass
        return None

    def _again(self) -> Response:
        """Follow on from the last event: we were too slow, or the connection was cut."""
        path = f"/v1/runs/{self._run_id}/events?after={self._cursor}"
        try:
            probe_health(self._host)
            response = open_stream(
                self._host, "GET", path, headers={}, body=b"", budget_s=self._budget_s
            )
        except (StartError, ServerLostError) as exc:
            raise ServerLostError(
                f"the server is gone; run {self._run_id} was cut off",
                hint="continue its session with `crush run -C`; see `crush logs`",
            ) from exc
        self._accept(response)
        return response

    def _catch_interrupts(self) -> None:
        """The first Ctrl-C cancels the run and waits for its end, the second leaves at once."""
        # `signal` would cost 4 ms: it makes enumerations of these numbers.
        import _signal  # type: ignore[import-not-found]  # noqa: PLC0415

        def interrupt(_number: int, _frame: object) -> None:
            if self._interrupted:
                os._exit(Exit.INTERRUPTED)
            self._interrupted = True
            try:
                request(
                    self._host,
                    "DELETE",
                    f"/v1/runs/{self._run_id}",
                    headers={},
                    body=b"",
                    timeout_s=_CANCEL_WITHIN_S,
                )
            except CrushError as exc:
                sys.stderr.write(f"crush: the run could not be cancelled: {exc.message}\n")
                os._exit(Exit.INTERRUPTED)

        _signal.signal(_signal.SIGINT, interrupt)
