"""`sourcegraph`: a search over public repositories by the public GraphQL endpoint."""

from collections.abc import Iterator, Sequence

import anyio
import msgspec
from msgspec import Struct, field

from crush.errors import ToolError
from crush.permissions.rules import Need
from crush.tools.base import ToolContext, ToolResult
from crush.tools.clean_text import clean_text
from crush.tools.fetch import check_success
from crush.tools.target_path import CallArgs
from crush.tools.web_body import ACCEPT_ENCODING, read_body
from crush.tools.web_client import WebClient, WebRequest
from crush.tools.web_need import web_needs
from crush.tools.web_url import parse_url

BASE_URL = "https://sourcegraph.com"

_PATH = "/.api/graphql"
_DEFAULT_S, _MOST_S = 30, 120
_DEFAULT_COUNT, _MOST_COUNT = 10, 20
_DEFAULT_LINES, _MOST_LINES = 10, 50
_READ_BYTES = 5 * 1024 * 1024
_MOST_CHARS = 50_000
_LINE_CHARS = 500
_QUERY = """query Search($query: String!) {
  search(query: $query, version: V3) { results { matchCount limitHit results {
    __typename
    ... on FileMatch {
      repository { name } file { path url content } lineMatches { preview lineNumber }
    }
  } } }
}"""


class SourcegraphArgs(CallArgs, frozen=True, kw_only=True, eq=False, weakref=True):
    """Arguments of `sourcegraph`; `context_window` in lines, `timeout` in seconds."""

    query: str
    count: int = _DEFAULT_COUNT
    context_window: int = _DEFAULT_LINES
    timeout: int = 0


class SourcegraphMetadata(Struct, frozen=True, kw_only=True):
    """For front ends."""

    number_of_matches: int
    truncated: bool


class _Repository(Struct, frozen=True):
    name: str = ""


class _File(Struct, frozen=True):
    path: str = ""
    url: str = ""
    content: str | None = None


class _LineMatch(Struct, frozen=True, rename="camel"):
    line_number: int
    preview: str = ""


class _FileMatch(Struct, frozen=True, rename="camel"):
    repository: _Repository = _Repository()
    file: _File = _File()
    line_matches: list[_LineMatch] | None = None


class _Results(Struct, frozen=True, rename="camel"):
    match_count: int = 0
    limit_hit: bool = False
    results: list[_FileMatch] = field(default_factory=list)


class _Search(Struct, frozen=True):
    results: _Results


class _Data(Struct, frozen=True):
    search: _Search | None = None


class _GraphError(Struct, frozen=True):
    message: str = ""


class _Answer(Struct, frozen=True):
    data: _Data | None = None
    errors: list[_GraphError] | None = None


class SourcegraphTool:
    """Off unless it is switched on: the query leaves the machine."""

    name = "sourcegraph"
    args_type = SourcegraphArgs
    read_only = True

    def __init__(self, *, description: str, web: WebClient, base_url: str) -> None:
        self.description = description
        self._web = web
        self._url = parse_url(base_url.rstrip("/") + _PATH)
        self._base_url = base_url.rstrip("/")

    def needs(self, args: SourcegraphArgs, context: ToolContext) -> Sequence[Need]:
        if not args.query.strip():
            raise ToolError("The query is empty.")
        need = Need(
            tool=self.name,
            action="fetch",
            kind="fetch",
            target=str(self._url),
            directory=context.cwd,
            description=f"Search {self._url.host} for {args.query!r}",
            params={"query": args.query, "count": args.count},
        )
        return web_needs(args, self._url, need, private_hosts=self._web.private_hosts)

    async def run(self, args: SourcegraphArgs, context: ToolContext) -> ToolResult:
        limit_s = min(args.timeout, _MOST_S) if args.timeout > 0 else _DEFAULT_S
        count = min(args.count, _MOST_COUNT) if args.count > 0 else _DEFAULT_COUNT
        query = f"{args.query} count:{count}" if "count:" not in args.query else args.query
        request = WebRequest(
            url=self._url,
            headers={**ACCEPT_ENCODING, "content-type": "application/json"},
            body=msgspec.json.encode({"query": _QUERY, "variables": {"query": query}}),
        )
        try:
            with anyio.fail_after(limit_s):
                async with self._web.open(request, call=args, env=context.env) as answer:
                    await check_success(answer)
                    body, cut = await read_body(answer, most_bytes=_READ_BYTES)
        except TimeoutError as exc:
            raise ToolError(f"{self._url.host} gave no answer within {limit_s} s.") from exc
        if cut:
            raise ToolError(f"The answer is larger than {_READ_BYTES} bytes; narrow the query.")
        results = _parse(body)
        lines = min(max(args.context_window, 0), _MOST_LINES)
        return self._result(results, count=count, lines=lines)

    def _result(self, results: _Results, *, count: int, lines: int) -> ToolResult:
        files = [match for match in results.results if match.file.path]
        blocks = [self._block(match, lines) for match in files[:count]]
        text = clean_text("\n\n".join(blocks))
        truncated = results.limit_hit or len(files) > count or len(text) > _MOST_CHARS
        head = f"{results.match_count} matches" + (", not all shown" if truncated else "")
        return ToolResult(
            content=f"{head}\n\n{text[:_MOST_CHARS]}" if files else "Nothing was found.",
            metadata=SourcegraphMetadata(
                number_of_matches=results.match_count, truncated=truncated
            ),
        )

    def _block(self, match: _FileMatch, lines: int) -> str:
        head = f"## {match.repository.name}: {match.file.path}\n{self._base_url}{match.file.url}"
        return "\n".join([head, "```", *_excerpt(match, lines), "```"])


def _parse(body: bytes) -> _Results:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.DecodeError, RecursionError) as exc:
        raise ToolError("The search answered something that cannot be understood.") from exc
    if answer.errors:
        raise ToolError(clean_text(f"The search was refused: {answer.errors[0].message}"[:1000]))
    if answer.data is None or answer.data.search is None:
        raise ToolError("The search gave no results.")
    return answer.data.search.results


def _excerpt(match: _FileMatch, around: int) -> Iterator[str]:
    """The lines that match, numbered from 1, with those around them; gaps are marked."""
    matches = {line.line_number: line.preview for line in match.line_matches or []}
    whole = (match.file.content or "").splitlines()
    if not whole:
        for number, preview in sorted(matches.items()):
            yield _numbered(number, preview)
        return
    last = -1
    for number in sorted(matches):
        for at in range(max(last + 1, number - around), min(number + around + 1, len(whole))):
            if at > last + 1 and last >= 0:
                yield "…"
            yield _numbered(at, whole[at])
            last = at


def _numbered(number: int, line: str) -> str:
    return f"{number + 1:6}|{line[:_LINE_CHARS]}"
