"""The tools there are, each with its description and a small JSON Schema of its arguments."""

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import cast

import msgspec
from msgspec import Struct

from crush.tools import download, sourcegraph, web_search
from crush.tools.base import AnyTool, Args, Tool
from crush.tools.bash import BashTool
from crush.tools.crush_info import CrushInfoTool
from crush.tools.crush_logs import CrushLogsTool
from crush.tools.download import DownloadTool
from crush.tools.edit import EditTool
from crush.tools.fetch import FetchTool
from crush.tools.glob import GlobTool
from crush.tools.grep import GrepTool
from crush.tools.job_kill import JobKillTool
from crush.tools.job_output import JobOutputTool
from crush.tools.launcher import Confines
from crush.tools.ls import LsTool
from crush.tools.multiedit import MultieditTool
from crush.tools.question import QuestionTool
from crush.tools.ripgrep import find_ripgrep
from crush.tools.sourcegraph import SourcegraphTool
from crush.tools.todos import TodosTool
from crush.tools.view import ViewTool
from crush.tools.web_client import WebClient, look_up
from crush.tools.web_fetch import WebFetchTool
from crush.tools.web_search import WebSearchTool
from crush.tools.write import WriteTool

# What `options.enabled_tools` switches on: it sends words of the project to a public service.
OFF_BY_DEFAULT = frozenset({"sourcegraph"})
# Of no use where nobody answers.
NEEDS_A_PERSON = frozenset({"question"})


def core_tools(*, sandbox: Callable[[], Awaitable[Confines]]) -> tuple[AnyTool, ...]:
    """Every tool of the coder agent, in the order that the model sees.

    `sandbox` is awaited when a command is to be fenced.
    """
    ripgrep = find_ripgrep()
    web = WebClient(lookup=look_up)
    return (
        _any_tool(ViewTool(description=_description("view"))),
        _any_tool(LsTool(description=_description("ls"))),
        _any_tool(GlobTool(description=_description("glob"), ripgrep=ripgrep)),
        _any_tool(GrepTool(description=_description("grep"), ripgrep=ripgrep)),
        _any_tool(EditTool(description=_description("edit"))),
        _any_tool(MultieditTool(description=_description("multiedit"))),
        _any_tool(WriteTool(description=_description("write"))),
        _any_tool(BashTool(description=_description("bash"), sandbox=sandbox)),
        _any_tool(JobOutputTool(description=_description("job_output"))),
        _any_tool(JobKillTool(description=_description("job_kill"))),
        _any_tool(FetchTool(description=_description("fetch"), web=web)),
        _any_tool(
            DownloadTool(
                description=_description("download"), web=web, most_bytes=download.MOST_BYTES
            )
        ),
        _any_tool(
            SourcegraphTool(
                description=_description("sourcegraph"), web=web, base_url=sourcegraph.BASE_URL
            )
        ),
        _any_tool(TodosTool(description=_description("todos"))),
        _any_tool(QuestionTool(description=_description("question"))),
        _any_tool(CrushInfoTool(description=_description("crush_info"))),
        _any_tool(CrushLogsTool(description=_description("crush_logs"))),
    )


def research_tools() -> tuple[AnyTool, ...]:
    """What an agent that reads the web for another one has beside the tools that look at files."""
    web = WebClient(lookup=look_up)
    return (
        _any_tool(WebFetchTool(description=_description("web_fetch"), web=web)),
        _any_tool(
            WebSearchTool(
                description=_description("web_search"),
                web=web,
                base_url=web_search.BASE_URL,
                spacing_s=web_search.SPACING_S,
            )
        ),
    )


def _any_tool(tool: Tool[Args]) -> AnyTool:
    return AnyTool(
        name=tool.name,
        description=tool.description,
        parameters=argument_schema(tool.args_type),
        read_only=tool.read_only,
        tool=cast("Tool[Struct]", tool),
    )


def _description(name: str) -> str:
    # `importlib.resources` would cost 4 ms of a server's start.
    path = os.path.join(os.path.dirname(__file__), f"{name}.md")
    with open(path, encoding="utf-8") as file:
        return file.read().strip()


def argument_schema(args_type: type[Struct]) -> dict[str, object]:
    """JSON Schema without references, titles, defaults and our own docstrings: tokens cost."""
    (root,), definitions = msgspec.json.schema_components([args_type], ref_template="#/{name}")
    inlined = _inline(root, definitions)
    if not isinstance(inlined, dict):
        raise TypeError(f"{args_type!r} has no object schema")
    return inlined


def _inline(node: object, definitions: Mapping[str, object]) -> object:
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[str(node["$ref"]).removeprefix("#/")]
        return _inline(_without_docstring(target), definitions)
    return {
        key: _inline(value, definitions)
        for key, value in node.items()
        if key not in {"title", "default"}
    }


def _without_docstring(node: object) -> object:
    if not isinstance(node, dict):
        return node
    return {key: value for key, value in node.items() if key != "description"}
