"""`web_search`: DuckDuckGo's page for simple browsers, read as it is; one search at a time."""

import urllib.parse
from collections.abc import Sequence
from html.parser import HTMLParser

import anyio
import anyio.to_thread
from msgspec import Struct
from typing_extensions import override

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.fetch import check_success
from crush.tools.target_path import CallArgs
from crush.tools.web_body import ACCEPT_ENCODING, read_text
from crush.tools.web_client import WebClient, WebRequest
from crush.tools.web_need import web_needs
from crush.tools.web_url import WebUrl, parse_url

BASE_URL = "https://lite.duckduckgo.com/lite/"
SPACING_S = 1.5

_LIMIT_S = 30
_READ_BYTES = 1024 * 1024
_DEFAULT_RESULTS, _MOST_RESULTS = 10, 20
_LINK_CLASS, _SNIPPET_CLASS = "result-link", "result-snippet"
# The page with a riddle for people comes with this status, the search form with 200.
_TOO_MANY_STATUS = 202
_RIDDLE_CLASS = "anomaly-modal"


class WebSearchArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `web_search`."""

    query: str
    max_results: int = _DEFAULT_RESULTS


class Found(Struct, frozen=True, kw_only=True):
    """One result."""

    title: str
    url: str
    snippet: str


class WebSearchTool:
    """Two searches of one server keep their distance, whoever asks: the address is one."""

    name = "web_search"
    args_type = WebSearchArgs
    read_only = True

    def __init__(
        self, *, description: str, web: WebClient, base_url: str, spacing_s: float
    ) -> None:
        self.description = description
        self._web = web
        self._base_url = base_url
        self._spacing_s = spacing_s
        self._turn = anyio.Lock()
        self._next_at = 0.0

    def needs(self, args: WebSearchArgs, context: ToolContext) -> Sequence[Need]:
        url = self._url(args)
        need = Need(
            tool=self.name,
            action="fetch",
            kind="fetch",
            target=str(url),
            directory=context.cwd,
            description=f"Search the web for {args.query!r}",
            params={"query": args.query, "max_results": args.max_results},
        )
        return web_needs(args, url, need, private_hosts=self._web.private_hosts)

    async def run(self, args: WebSearchArgs, context: ToolContext) -> ToolResult:
        await self._wait_turn()
        request = WebRequest(url=self._url(args), headers=ACCEPT_ENCODING)
        try:
            with anyio.fail_after(_LIMIT_S):
                async with self._web.open(request, call=args, env=context.env) as answer:
                    await check_success(answer)
                    page = await read_text(answer, most_bytes=_READ_BYTES)
                    status = answer.status
        except TimeoutError as exc:
            raise ToolError(f"The search gave no answer within {_LIMIT_S} s.") from exc
        found = await anyio.to_thread.run_sync(parse_results, page.text)
        if not found and (status == _TOO_MANY_STATUS or _RIDDLE_CLASS in page.text):
            raise ToolError(
                "The search engine takes us for a robot and answers no more for now. Try later, or "
                "fetch a page whose address you know."
            )
        count = min(args.max_results, _MOST_RESULTS) if args.max_results > 0 else _DEFAULT_RESULTS
        return ToolResult(content=_listing(args.query, found[:count]))

    def _url(self, args: WebSearchArgs) -> WebUrl:
        query = args.query.strip()
        if not query:
            raise ToolError("The query is empty.")
        return parse_url(f"{self._base_url}?{urllib.parse.urlencode({'q': query})}")

    async def _wait_turn(self) -> None:
        async with self._turn:
            await anyio.sleep(max(0.0, self._next_at - anyio.current_time()))
            self._next_at = anyio.current_time() + self._spacing_s


def parse_results(page: str) -> list[Found]:
    """The results on a page, without advertisements."""
    parser = _ResultsParser()
    parser.feed(page)
    parser.close()
    return parser.found


class _ResultsParser(HTMLParser):
    """Links and snippets by their classes; a snippet belongs to the link before it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Found] = []
        self._href = ""
        self._reading = ""
        self._text: list[str] = []

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        classes = (given.get("class") or "").split()
        if tag == "a" and _LINK_CLASS in classes:
            self._begin(_LINK_CLASS)
            self._href = given.get("href") or ""
        elif tag == "td" and _SNIPPET_CLASS in classes:
            self._begin(_SNIPPET_CLASS)

    @override
    def handle_endtag(self, tag: str) -> None:
        text = " ".join("".join(self._text).split())
        if tag == "a" and self._reading == _LINK_CLASS:
            url = _target(self._href)
            if url:
                self.found.append(Found(title=text, url=url, snippet=""))
            self._reading = ""
        elif tag == "td" and self._reading == _SNIPPET_CLASS:
            self._reading = ""
            if _target(self._href):  # and not an advertisement's
                last = self.found[-1]
                self.found[-1] = Found(title=last.title, url=last.url, snippet=text)

    @override
    def handle_data(self, data: str) -> None:
        self._text.append(data)

    def _begin(self, what: str) -> None:
        self._reading = what
        self._text = []


def _target(href: str) -> str:
    """Where a link leads, behind the engine's own counting; "" for an advertisement."""
    try:
        parts = urllib.parse.urlsplit(urllib.parse.urljoin(BASE_URL, href))
    except ValueError:
        return ""
    if (parts.hostname or "").endswith("duckduckgo.com"):
        wanted = urllib.parse.parse_qs(parts.query).get("uddg", [""])[0]
        return wanted if parts.path == "/l/" and wanted.startswith(("http:", "https:")) else ""
    return parts.geturl() if parts.scheme in {"http", "https"} else ""


def _listing(query: str, found: Sequence[Found]) -> str:
    if not found:
        return f"Nothing was found for {query!r}."
    entries = (
        "\n".join(filter(None, (f"{number}. {each.title}", f"   {each.url}", _indented(each))))
        for number, each in enumerate(found, start=1)
    )
    return clean_text("\n".join(entries))


def _indented(found: Found) -> str:
    return f"   {found.snippet}" if found.snippet else ""
