"""HTML to Markdown as a process of its own: a page can be made to take for ever, or all memory.

Reads a `Page` in JSON from stdin and writes Markdown to stdout; any failure is the exit code.
"""

import sys
from urllib.parse import urljoin

import markdownify
import msgspec
from bs4 import BeautifulSoup

from crush.tools.html_text import Page

if sys.platform != "win32":
    import resource

CPU_S = 4
_MEMORY_BYTES = 1024 * 1024 * 1024
_DEPTH = 5000
MAX_CHARS = 4 * 1024 * 1024


def main() -> None:
    _limit()
    page = msgspec.json.decode(sys.stdin.buffer.read(), type=Page)
    markdown = _convert(page)
    sys.stdout.buffer.write(markdown[:MAX_CHARS].encode("utf-8", "replace"))


def _convert(page: Page) -> str:
    soup = BeautifulSoup(page.html, "html.parser")
    for link in soup.find_all(["a", "img"]):
        name = "href" if link.name == "a" else "src"
        target = link.get(name)
        if isinstance(target, str) and not target.startswith("data:"):
            link[name] = _absolute(page.url, target)
    return markdownify.MarkdownConverter(heading_style="atx", bullets="-").convert_soup(soup)


def _absolute(base: str, target: str) -> str:
    try:
        return urljoin(base, target)
    except ValueError:
        return target


def _limit() -> None:
    """What the process may take; Windows has no such limits, there the caller's time counts."""
    sys.setrecursionlimit(_DEPTH)
    if sys.platform != "win32":
        resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main()
