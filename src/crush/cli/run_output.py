"""What `crush run` prints: the answer on stdout, everything else on stderr, one result at the end."""

import os

from crush.errors import CrushError, Exit, exit_code_of
from crush.launch.thin_json import dumps, loads

TYPE_CHECKING = False  # `typing` alone would cost the thin client 4 ms
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Json: TypeAlias = dict[str, Any]


# Not printable to Python, but harmless: line breaks, spaces, what joins letters and emoji.
_SPACES_AND_JOINERS = (
    "\n\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u202f\u205f\u3000\u200c\u200d"
)


class RunResult:
    """How a run ended, as its `run_complete` says."""

    __slots__ = ("run",)

    def __init__(self, run: "Json") -> None:
        self.run = run

    @property
    def error(self) -> "Json | None":
        error = self.run.get("error")
        return error if isinstance(error, dict) else None

    def exit_code(self, *, interrupted: bool) -> int:
        state = self.run.get("state")
        if interrupted:
            return Exit.INTERRUPTED
        if state == "done":
            return Exit.DENIED if self.run.get("denied") else Exit.OK
        if state == "cancelled":
            return Exit.CANCELLED
        if state == "interrupted":
            return Exit.SERVER_LOST
        return exit_code_of(str((self.error or {}).get("code", "")))


class Printer:
    """One of the three output formats."""

    def __init__(self, form: str, *, quiet: bool, verbose: bool) -> None:
        self._form = form
        self._quiet = quiet
        self._verbose = verbose
        self._printed: dict[tuple[str, int], int] = {}  # code points of each text part
        self._texts: dict[str, list[str]] = {}  # of messages, for the json formats
        self._last_message = ""
        self._hints: set[str] = set()
        self._at_line_start = True
        self._anything = False
        self._terminals = [fd for fd in (1, 2) if os.isatty(fd)]
        self._streams_meet = os.path.samestat(os.fstat(1), os.fstat(2))
        self._line_is_cut = False  # by a note, where both streams show on one screen

    # -- events -------------------------------------------------------------------------------

    def event(self, data: str) -> RunResult | None:
        """Show one event; the result, if it was the last."""
        event: Json = loads(data)
        kind = event.get("type")
        if self._form == "stream-json" and kind != "resync":
            self._out(data + "\n")
        if kind == "delta":
            self._delta(event)
        elif kind == "run_complete":
            return RunResult(event["run"])
        elif kind == "message_reset":
            self._reset(event)
        else:
            self._tell(kind, event)
        return None

    def _tell(self, kind: object, event: "Json") -> None:
        """What is not the answer, on stderr; kinds that we do not know are passed over."""
        if kind == "retry_scheduled":
            wait_s = event.get("wait_ms", 0) / 1000
            self._note(f"{event.get('message')}; asking again in {wait_s:g} s")
        elif kind == "permission_resolved":
            self._refused(event)
        elif kind == "notice":
            self._note(str(event.get("text")))
        elif kind == "part_added" and self._verbose:
            self._call(event.get("content", {}))

    def _delta(self, event: "Json") -> None:
        """Text is placed by its offset, so what comes twice is shown once."""
        message_id, part = event["message_id"], event.get("part", 0)
        seen = self._printed.get((message_id, part), 0)
        offset, text = event.get("offset", 0), event["text"]
        new = text[max(seen - offset, 0) :]
        if not new:
            return
        self._printed[message_id, part] = offset + len(text)
        if event["kind"] == "text":
            self._text(message_id, new)
        elif self._verbose:
            self._err(new)

    def _text(self, message_id: str, text: str) -> None:
        if message_id != self._last_message:
            if self._form == "text" and not self._at_line_start:
                self._out("\n")
            self._last_message = message_id
            self._texts[message_id] = []
        self._texts[message_id].append(text)
        if self._form != "text":
            return
        if not self._anything:
            text = text.lstrip()
            if not text:
                return
            self._anything = True
        self._out(text)
        self._at_line_start = text.endswith("\n")
        self._line_is_cut = False

    def _reset(self, event: "Json") -> None:
        message_id = event["message_id"]
        for key in [key for key in self._printed if key[0] == message_id]:
            del self._printed[key]
        self._last_message = ""

    def _refused(self, event: "Json") -> None:
        if event.get("outcome") == "deny":
            self._note(f"denied: {event.get('what')}")
            hint = event.get("hint")
            if hint and hint not in self._hints:  # the same advice once is enough
                self._hints.add(hint)
                self._note(f"hint: {hint}")

    def _call(self, content: "Json") -> None:
        call = content.get("data", {})
        if content.get("type") == "tool_call" and call.get("finished"):
            self._note(f"{call.get('name')} {call.get('input')}")

    # -- the end ------------------------------------------------------------------------------

    def finish(self, result: RunResult, *, interrupted: bool) -> int:
        code = result.exit_code(interrupted=interrupted)
        if self._form == "text":
            if not self._at_line_start:
                self._out("\n")
        else:
            text = "".join(self._texts.get(result.run.get("message_id", ""), []))
            self._result({**_summary(result.run), "text": text}, code)
        if result.error is not None and code not in {Exit.OK, Exit.DENIED, Exit.INTERRUPTED}:
            self._err(f"crush: {result.error.get('message')}\n")
            if result.error.get("hint"):
                self._err(f"hint: {result.error['hint']}\n")
        return code

    def failed(self, error: CrushError) -> int:
        """The run never began, or its end was not heard of."""
        if self._form == "text":
            if not self._at_line_start:
                self._out("\n")
        else:
            told = {"code": error.code, "message": error.message, "hint": error.hint}
            self._result({"state": "failed", "error": told}, error.exit_code)
        self._err(f"crush: {error.message}\n")
        if error.hint:
            self._err(f"hint: {error.hint}\n")
        return error.exit_code

    def interrupted(self) -> int:
        """Ctrl-C before the run was accepted."""
        if self._form != "text":
            self._result({"state": "cancelled", "error": None}, Exit.INTERRUPTED)
        return Exit.INTERRUPTED

    def detached(self, run_id: str) -> int:
        if self._form == "text":
            self._out(run_id + "\n")
        else:
            self._result({"run_id": run_id, "state": "running"}, Exit.OK)
        return Exit.OK

    def _result(self, fields: "Json", code: int) -> None:
        self._out(dumps({"type": "result", **fields, "exit_code": int(code)}) + "\n")

    # -- writing ------------------------------------------------------------------------------

    def _note(self, text: str) -> None:
        """A line of its own, even where the answer's last line is still open."""
        if not self._quiet:
            cut = self._streams_meet and not (self._at_line_start or self._line_is_cut)
            self._line_is_cut = self._line_is_cut or cut
            self._err(("\n" if cut else "") + f"crush: {text}\n")

    def _out(self, text: str) -> None:
        """Straight to the descriptor: no buffer to flush at exit when the reader has gone."""
        self._write(1, text)

    def _err(self, text: str) -> None:
        try:
            self._write(2, text)
        except OSError:
            self._quiet = True

    def _write(self, fd: int, text: str) -> None:
        if fd in self._terminals:
            text = "".join(filter(_is_harmless, text))
        _write(fd, text)


def _is_harmless(character: str) -> bool:
    """Whether a terminal shows it instead of obeying: a model's text must not write the clipboard.

    Format characters are not printable either, since some reverse the text that follows.
    """
    return character.isprintable() or character in _SPACES_AND_JOINERS


def _write(fd: int, text: str) -> None:
    data = memoryview(text.encode("utf-8", "replace"))
    while data:
        data = data[os.write(fd, data) :]


def _summary(run: "Json") -> "Json":
    """The fields of a run that scripts may rely on (docs/reference/cli.md)."""
    return {
        "run_id": run.get("id"),
        "session_id": run.get("session_id"),
        "state": run.get("state"),
        "error": run.get("error"),
        "denied": run.get("denied", 0),
        "steps": run.get("steps", 0),
        "input_tokens": run.get("input_tokens", 0),
        "output_tokens": run.get("output_tokens", 0),
        "cost": run.get("cost", 0.0),
        "duration_ms": max(run.get("ended_at_ms", 0) - run.get("created_at_ms", 0), 0),
    }
