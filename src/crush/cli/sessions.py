"""`crush session list|show|last`: a directory's sessions, as the server keeps them."""

import json
import os
import shutil
import sys
from datetime import UTC, datetime
from urllib.parse import quote, urlencode

from crush.cli.options import Parsed
from crush.cli.place import cwd_of, data_dir_of, host_of
from crush.cli.screen import cut, page
from crush.cli.transcript import transcript
from crush.errors import Exit, UsageError, error_from
from crush.launch.budget import ready_budget_s
from crush.launch.connect import open_or_start
from crush.launch.response import Reply
from crush.store.short_id import SHOWN, short_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Json: TypeAlias = dict[str, Any]

_OK = 200
_BESIDE_TITLE = 36  # short id, date and the spaces between


def choose(_parsed: Parsed) -> int:
    raise UsageError("say which: crush session list, show or last")


def list_all(parsed: Parsed) -> int:
    found: list[Json] = _ask(parsed, "/v1/sessions")
    if parsed.flag("json"):
        sys.stdout.write(json.dumps([_summary(session) for session in found]) + "\n")
        return Exit.OK
    columns = sys.maxsize
    if sys.stdout.isatty():
        columns = max(shutil.get_terminal_size().columns - _BESIDE_TITLE, 1)
    page("".join(_line(session, columns) for session in found))
    return Exit.OK


def show(parsed: Parsed) -> int:
    if len(parsed.words) != 1:
        raise UsageError("say which session", hint="`crush session list` shows their ids")
    return _show(parsed, parsed.words[0])


def last(parsed: Parsed) -> int:
    return _show(parsed, "last")


def _show(parsed: Parsed, reference: str) -> int:
    found: Json = _ask(parsed, f"/v1/sessions/{quote(reference, safe='')}")
    session, messages = found["session"], found["messages"]
    if parsed.flag("json"):
        record = {"meta": _meta(session), "messages": [_message(each) for each in messages]}
        sys.stdout.write(json.dumps(record) + "\n")
    else:
        page(transcript(session, messages))
    return Exit.OK


def _ask(parsed: Parsed, path: str) -> "Any":
    """What the server says of this directory. Raises the error of a refusal."""
    where = {"path": os.path.realpath(cwd_of(parsed)), "data_dir": data_dir_of(parsed)}
    response = open_or_start(
        host_of(parsed),
        "GET",
        f"{path}?{urlencode(where, errors='surrogateescape')}",
        headers={},
        body=b"",
        env=os.environ,
        budget_s=ready_budget_s(os.environ),
    )
    reply = Reply(response)
    if reply.status != _OK:
        raise error_from(reply.json(), reply.status_line)
    return json.loads(reply.body)


def _line(session: "Json", columns: int) -> str:
    created = datetime.fromtimestamp(session["created_at"]).astimezone()
    date = created.isoformat(timespec="seconds")
    title = cut(session["title"], columns)
    return f"{short_id(session['id'])[:SHOWN]}  {date}  {title}".rstrip() + "\n"


def _summary(session: "Json") -> "Json":
    return {
        "id": short_id(session["id"]),
        "uuid": session["id"],
        "title": session["title"],
        "created": _utc(session["created_at"]),
        "modified": _utc(session["updated_at"]),
    }


def _meta(session: "Json") -> "Json":
    prompt, completion = session["prompt_tokens"], session["completion_tokens"]
    return {
        **_summary(session),
        "cost": session["cost"],
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }


def _message(message: "Json") -> "Json":
    return {
        "id": message["id"],
        "role": message["role"],
        "created": _utc(message["created_at"]),
        "model": message["model"],
        "provider": message["provider"],
        "parts": [{**part["data"], "type": part["type"]} for part in message["parts"]],
    }


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
