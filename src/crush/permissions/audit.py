"""Who allowed what: `audit.jsonl` of the user state, one line for each decision of a person.

Only ever appended to; a full file becomes `audit.jsonl.1`, in the place of the one before. Blocking.
"""

import logging
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec
from msgspec import Struct

from crush import paths
from crush.config.state_file import locked, make_state_dir, open_private
from crush.errors import StoreError

MAX_BYTES = 4 * 1024 * 1024
_MAX_TEXT = 2000

_log = logging.getLogger(__name__)

Kind = Literal["permission", "grant", "revoke", "trust", "untrust"]


class Decision(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line.

    Attributes:
        root: the directory that it is about.
        what: what was asked for, in words; shortened and without secrets when it is written.
        outcome: as on the wire, for a permission.
        by: a client's id, or `cli`.
        rules: what was allowed for the session or for good.
    """

    kind: Kind
    root: str
    by: str
    session: str = ""
    run: str = ""
    tool: str = ""
    what: str = ""
    outcome: str = ""
    rules: Sequence[str] = ()


class _Line(Struct, frozen=True):
    time: str
    decision: Decision


class Audit:
    """The log of the user to whom an environment belongs."""

    def __init__(self, env: paths.Env) -> None:
        self._path = os.path.join(paths.state_dir(env), "audit.jsonl")

    def record(self, decision: Decision, *, hide: Callable[[str], str]) -> None:
        """Append it. A decision holds although it could not be noted, so this never raises."""
        line = _Line(
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            decision=msgspec.structs.replace(
                decision,
                what=_short(hide(decision.what)),
                rules=[hide(rule) for rule in decision.rules],
            ),
        )
        try:
            make_state_dir(os.path.dirname(self._path))
            with locked(self._path):
                self._append(msgspec.json.encode(line) + b"\n")
        except StoreError as exc:
            _log.warning("not noted in the audit: %s", exc.message)
        except OSError as exc:
            _log.warning("not noted in the audit: %s: %s", self._path, exc.strerror)

    def _append(self, line: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = open_private(self._path, flags)
        try:
            size = os.fstat(descriptor).st_size
            if size and size + len(line) > MAX_BYTES:
                os.close(descriptor)
                os.replace(self._path, f"{self._path}.1")
                descriptor = open_private(self._path, flags)
            with open(descriptor, "wb", buffering=0, closefd=False) as file:
                file.write(line)
        finally:
            os.close(descriptor)


def _short(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 1]}…"
