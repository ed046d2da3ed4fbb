"""`web_fetch`: a page as Markdown for the agent that reads the web; a long one goes to a file."""

import os
import secrets
from collections.abc import Sequence

import anyio
import anyio.to_thread

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.fetch import check_success
from crush.tools.html_markdown import Converted, convert_to_markdown
from crush.tools.session_tmp import make_session_tmp
from crush.tools.target_path import CallArgs
from crush.tools.web_body import ACCEPT_ENCODING, read_text
from crush.tools.web_client import WebClient, WebRequest
from crush.tools.web_need import web_needs
from crush.tools.web_url import parse_url

_LIMIT_S = 60
_READ_BYTES = 5 * 1024 * 1024
_MOST_CHARS = 50_000
_START_CHARS = 1000


class WebFetchArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `web_fetch`."""

    url: str


class WebFetchTool:
    """Its file is in the session's private directory, which the file tools see too."""

    name = "web_fetch"
    args_type = WebFetchArgs
    read_only = True

    def __init__(self, *, description: str, web: WebClient) -> None:
        self.description = description
        self._web = web

    def needs(self, args: WebFetchArgs, context: ToolContext) -> Sequence[Need]:
        url = parse_url(args.url)
        need = Need(
            tool=self.name,
            action="fetch",
            kind="fetch",
            target=str(url),
            directory=context.cwd,
            description=f"Fetch {url}",
            params={"url": str(url)},
        )
        return web_needs(args, url, need, private_hosts=self._web.private_hosts)

    async def run(self, args: WebFetchArgs, context: ToolContext) -> ToolResult:
        request = WebRequest(url=parse_url(args.url), headers=ACCEPT_ENCODING)
        try:
            with anyio.fail_after(_LIMIT_S):
                async with self._web.open(request, call=args, env=context.env) as answer:
                    await check_success(answer)
                    page = await read_text(answer, most_bytes=_READ_BYTES)
                    url = answer.url
        except TimeoutError as exc:
            raise ToolError(f"{request.url} gave no complete answer within {_LIMIT_S} s.") from exc
        converted = Converted(text=page.text)
        if page.kind == "html":
            converted = await convert_to_markdown(page.text, url=url, env=context.env)
        notes = [converted.note] if converted.note else []
        if page.cut:
            notes.append(f"Only the first {_READ_BYTES} bytes of the answer were read.")
        text = clean_text(converted.text)
        if len(text) > _MOST_CHARS:
            path = await anyio.to_thread.run_sync(_save, text, context.tmp)
            lines = text.count("\n") + 1
            notes.append(f"The whole text, {len(text)} characters in {lines} lines, is in {path}")
            text = f"{text[:_START_CHARS]}…"
        return ToolResult(
            content="\n\n".join([text or "The page is empty.", *(f"[{note}]" for note in notes)])
        )


def _save(text: str, directory: str) -> str:
    path = os.path.join(directory, f"page-{secrets.token_hex(4)}.md")
    try:
        make_session_tmp(directory)
        with open(path, "x", encoding="utf-8", errors="replace", newline="") as file:
            file.write(text)
    except OSError as exc:
        raise ToolError(f"The page cannot be saved to {path!r}: {exc.strerror or exc}.") from exc
    return path
