"""`fetch`: a page or another text from the web, whole as far as it is sensible to read."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Literal

import anyio

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.html_markdown import Converted, convert_to_markdown, convert_to_text
from crush.tools.target_path import CallArgs
from crush.tools.web_body import ACCEPT_ENCODING, WebText, read_text
from crush.tools.web_client import WebAnswer, WebClient, WebRequest
from crush.tools.web_need import web_needs
from crush.tools.web_url import WebUrl, parse_url
from crush.wire.params import FetchParams

_DEFAULT_S, _MOST_S = 30, 120
# A page is mostly markup: much has to be read for little text.
_READ_BYTES = 5 * 1024 * 1024
_MOST_TEXT_BYTES = 100 * 1024
_ERROR_READ_BYTES, _ERROR_CHARS = 64 * 1024, 2000

Format = Literal["text", "markdown", "html"]


class FetchArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `fetch`; `timeout` in seconds."""

    url: str
    format: Format = "markdown"
    timeout: int = 0


class FetchTool:
    """One GET; robots.txt is not consulted, since a person asked."""

    name = "fetch"
    args_type = FetchArgs
    read_only = True

    def __init__(self, *, description: str, web: WebClient) -> None:
        self.description = description
        self._web = web

    def needs(self, args: FetchArgs, context: ToolContext) -> Sequence[Need]:
        url = parse_url(args.url)
        need = Need(
            tool=self.name,
            action="fetch",
            kind="fetch",
            target=str(url),
            directory=context.cwd,
            description=f"Fetch {url}",
            params=FetchParams(url=str(url), format=args.format, timeout=args.timeout),
        )
        return web_needs(args, url, need, private_hosts=self._web.private_hosts)

    async def run(self, args: FetchArgs, context: ToolContext) -> ToolResult:
        limit_s = min(args.timeout, _MOST_S) if args.timeout > 0 else _DEFAULT_S
        request = WebRequest(url=parse_url(args.url), headers=ACCEPT_ENCODING)
        try:
            with anyio.fail_after(limit_s):
                async with self._web.open(request, call=args, env=context.env) as answer:
                    await check_success(answer)
                    text = await read_text(answer, most_bytes=_READ_BYTES)
                    url = answer.url
        except TimeoutError as exc:
            raise ToolError(f"{request.url} gave no complete answer within {limit_s} s.") from exc
        converted = await _convert(text, args.format, url=url, context=context)
        return ToolResult(content=_bounded(converted, was_cut=text.cut))


async def check_success(answer: WebAnswer) -> None:
    """Raises ToolError for a refusal, with what the server says about it."""
    if HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
        return
    try:
        page = await read_text(answer, most_bytes=_ERROR_READ_BYTES)
    except ToolError:
        page = WebText(text="", kind="text", cut=False)
    words = (await convert_to_text(page.text)).text if page.kind == "html" else page.text
    about = clean_text(words).strip()[:_ERROR_CHARS]
    raise ToolError(f"{answer.url} answered HTTP {answer.status}{':' if about else '.'}\n{about}")


async def _convert(
    page: WebText, wanted: Format, *, url: WebUrl, context: ToolContext
) -> Converted:
    if page.kind != "html" or wanted == "html":
        return Converted(text=page.text)
    if wanted == "text":
        return await convert_to_text(page.text)
    return await convert_to_markdown(page.text, url=url, env=context.env)


def _bounded(converted: Converted, *, was_cut: bool) -> str:
    text = clean_text(converted.text)
    data = text.encode()
    notes = [converted.note] if converted.note else []
    if len(data) > _MOST_TEXT_BYTES:
        text = data[:_MOST_TEXT_BYTES].decode(errors="ignore")
        more = " or more" if was_cut else ""
        notes.append(f"Cut: these are the first {_MOST_TEXT_BYTES} of {len(data)} bytes{more}.")
    elif was_cut:
        notes.append(f"Cut: only the first {_READ_BYTES} bytes of the answer were read.")
    return "\n\n".join([text or "The answer is empty.", *(f"[{note}]" for note in notes)])
