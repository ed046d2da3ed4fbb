"""HTML as text, in one pass over it: what remains when nothing else may be trusted to end.

Also takes out of HTML what no reader sees, before anything slower looks at it. Every step is linear
in the length of the page, whatever it holds. Pure.
"""

import html
import re
from collections.abc import Iterator

from msgspec import Struct

_UNSEEN = re.compile(
    r"<(script|style|svg|template|iframe|object|canvas)\b[^<>]*+>?|<!--|<!\[CDATA\[", re.IGNORECASE
)
_CLOSERS = {"<!--": "-->", "<![cdata[": "]]>"}
# What follows one of these without an end is theirs, for a browser too.
_SWALLOWING = frozenset({"script", "style"})
_DATA_URL = re.compile(r"\bdata:[^\"'\s<>]{64,}+", re.IGNORECASE)
# Python refuses to read numbers of thousands of digits.
_HUGE_REFERENCE = re.compile(r"&#[xX]?[0-9a-fA-F]{9,}+;?")
_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9:-]*+)[^<>]*+>|<[!?][^<>]*+>")
_BLOCK = re.compile(
    "address|article|aside|blockquote|caption|d[dlt]|details|div|fieldset|figcaption|figure|footer|"
    "form|h[1-6r]|head|header|html|legend|main|nav|[ou]l|option|p|pre|section|summary|table|tbody|"
    "t[dhr]|tfoot|thead|title"
)
_BLANKS = re.compile(r"[ \t\r\f\xa0]+")
_MANY_LINES = re.compile(r"\n{3,}")


class Page(Struct, frozen=True, kw_only=True):
    """A page as the worker gets it, and where it is: links in it become absolute."""

    url: str
    html: str


def reduce_html(page: str, *, most_chars: int) -> tuple[str, bool]:
    """The page without scripts, styles, comments and embedded data; whether it was cut."""
    seen = "".join(_seen(page))
    reduced = _HUGE_REFERENCE.sub("\ufffd", _DATA_URL.sub("data:", seen))
    return reduced[:most_chars], len(reduced) > most_chars


def _seen(page: str) -> Iterator[str]:
    folded = page.lower()
    if len(folded) != len(page):  # a few letters become two: positions would be wrong
        folded = page
    position = 0
    endless: set[str] = set()
    while found := _UNSEEN.search(page, position):
        yield page[position : found.start()]
        position = found.end()
        name = (found[1] or "").lower()
        closer = _CLOSERS.get(found[0].lower(), f"</{name}")
        if closer in endless or found[0].endswith("/>"):
            continue
        end = folded.find(closer, position)
        if end >= 0:
            position = end + len(closer)
            if name:
                position = folded.find(">", position) + 1 or len(page)
        elif name in _SWALLOWING:
            return
        else:
            endless.add(closer)
    yield page[position:]


def html_to_text(reduced: str) -> str:
    """The words of a reduced page, blocks on lines of their own."""
    text = html.unescape(_TAG.sub(_line_break, reduced))
    lines = (_BLANKS.sub(" ", line).strip() for line in text.split("\n"))
    return _MANY_LINES.sub("\n\n", "\n".join(lines)).strip()


def _line_break(tag: re.Match[str]) -> str:
    name = (tag[2] or "").lower()
    if name == "br" or (name == "li" and not tag[1]):
        return "\n"
    return "\n\n" if _BLOCK.fullmatch(name) else ""
