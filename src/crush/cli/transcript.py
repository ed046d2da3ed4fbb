"""A session as text: who said what, in order. Nothing in it can command the terminal."""

from collections.abc import Callable, Iterator

from crush.tools.clean_text import clean_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    Json: TypeAlias = dict[str, Any]

_INDENT = "  "


def transcript(session: "Json", messages: "list[Json]") -> str:
    """Every message with a heading; tool calls and results are set in."""
    blocks = [f"# {' '.join(session['title'].split()) or 'Untitled'}"]
    for message in messages:
        parts = [text for part in message["parts"] if (text := _part(part)).strip()]
        if parts:
            blocks += [_heading(message), *parts]
    return clean_text("\n\n".join(blocks)) + "\n"


def _heading(message: "Json") -> str:
    by = "/".join(name for name in (message["provider"], message["model"]) if name)
    return f"## {message['role']}" + (f" ({by})" if by else "")


def _part(part: "Json") -> str:
    write = _WRITERS.get(part["type"])
    return f"{_INDENT}[{part['type']}]" if write is None else write(part["data"])


def _tool_result(data: "Json") -> str:
    what = "error" if data.get("is_error") else "result"
    return _set_in(f"<- {data['name']} {what}", data["content"])


def _shell_command(data: "Json") -> str:
    return _set_in(f"$ {data['command']}", f"{data['output']}\nexit code {data['exit_code']}")


def _ending(finish: "Json") -> str:
    """Only an end that says something: the usual ones are told by what stands before them."""
    if finish["reason"] in {"error", "canceled"}:
        return f"{_INDENT}[{' '.join(filter(None, (finish['reason'], finish.get('message'))))}]"
    return ""


def _set_in(heading: str, text: str) -> str:
    return "\n".join(_lines(heading, text))


def _lines(heading: str, text: str) -> Iterator[str]:
    yield _INDENT + heading
    for line in text.strip("\n").split("\n"):
        yield f"{_INDENT}{_INDENT}{line}".rstrip()


_WRITERS: "dict[str, Callable[[Json], str]]" = {
    "text": lambda data: str(data["text"]).strip("\n"),
    "reasoning": lambda data: _set_in("thinking", data["thinking"]),
    "tool_call": lambda data: f"{_INDENT}-> {data['name']} {data['input']}",
    "tool_result": _tool_result,
    "shell_command": _shell_command,
    "binary": lambda data: f"{_INDENT}[{data['MIMEType']} {data['Path']}]",
    "image_url": lambda data: f"{_INDENT}[image {data['url']}]",
    "finish": _ending,
}
