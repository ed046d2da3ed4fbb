"""Reads an answer's body up to a size that holds after decompression, and the text in it.

Which bytes are text is judged by the declared type and by the bytes; everything else is refused.
"""

import re
import zlib
from collections.abc import Mapping
from email.message import Message
from typing import Literal

from msgspec import Struct

from crush.errors import ToolError
from crush.tools.clean_text import clean_text
from crush.tools.web_client import WebAnswer
from crush.tools.web_url import WebUrl

ACCEPT_ENCODING: Mapping[str, str] = {"accept-encoding": "gzip, deflate"}

_TEXT_TYPE = re.compile(
    r"text/.*|application/(.*[+.-])?(json|xml|javascript|ecmascript|yaml|toml|x-sh|sql|graphql|"
    r"x-ndjson|x-javascript|x-yaml|x-www-form-urlencoded)(-seq)?|image/svg\+xml"
)
_HTML_TYPES = frozenset({"text/html", "application/xhtml+xml"})
_HTML_START = re.compile(rb"\s*(<!--[^>]*>\s*)*<(!doctype html|html)\b", re.IGNORECASE)
# Those of the web; others that Python knows are no encodings of text, or are slow on purpose.
_CHARSETS = re.compile(
    r"utf-?(8|16|16le|16be|16-le|16-be)|us-ascii|ascii|iso-?8859-?\d{1,2}|latin-?[1-9]|"
    r"windows-?\d{3,4}|cp\d{3,4}|koi8-[ru]|gbk|gb2312|gb18030|big5(-hkscs)?|euc-(jp|kr)|"
    r"shift[_-]jis|iso-2022-jp|ks_c_5601-1987|macintosh|tis-620"
)
# What the web means by these names.
_MEANT = {"ascii": "cp1252", "us-ascii": "cp1252", "iso-8859-1": "cp1252", "latin1": "cp1252"}
_META_CHARSET = re.compile(rb"<meta[^<>]{0,200}?charset\s*=\s*[\"']?([\w-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_BINARY = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_GZIP_START = 0x1F
_SHOWN_CHARS = 100


class WebText(Struct, frozen=True, kw_only=True):
    """Text as it came; `cut` when there was more than was read."""

    text: str
    kind: Literal["html", "text"]
    cut: bool


async def read_text(answer: WebAnswer, *, most_bytes: int) -> WebText:
    """The body as text. Raises ToolError if it is none."""
    data, cut = await read_body(answer, most_bytes=most_bytes)
    content_type, charset = _declared(answer.content_type)
    is_html = content_type in _HTML_TYPES or (
        not content_type and _HTML_START.match(data) is not None
    )
    charset = charset or (_meta_charset(data) if is_html else "")
    text = _decode(data, charset, cut=cut)
    is_text = text is not None or _TEXT_TYPE.fullmatch(content_type) is not None
    if text is None:
        text = data.decode(charset or "cp1252", "replace")
    if not is_text or _BINARY.search(text):
        what = clean_text(content_type)[:_SHOWN_CHARS] or "of an unknown type"
        raise ToolError(f"{answer.url} is {what}, not text; use download to save it.")
    return WebText(text=text, kind="html" if is_html else "text", cut=cut)


async def read_body(answer: WebAnswer, *, most_bytes: int) -> tuple[bytes, bool]:
    """The body, decompressed, and whether there was more than `most_bytes`."""
    decoder = _decoder(answer)
    body = bytearray()
    sent_bytes = 0
    while chunk := await answer.read_chunk():
        body += decoder.feed(chunk, most_bytes + 1 - len(body))
        sent_bytes += len(chunk)
        if len(body) > most_bytes or sent_bytes > most_bytes:
            return bytes(body[:most_bytes]), True
    return bytes(body), False


class _Plain:
    def feed(self, chunk: bytes, room: int) -> bytes:
        return chunk[:room]


class _Inflating:
    """gzip, of several members too, zlib, and the bare deflate that some servers send."""

    def __init__(self, url: WebUrl, *, is_gzip: bool) -> None:
        self._url = url
        self._is_gzip = is_gzip
        self._inflate: zlib._Decompress | None = None
        self._ended_one = False

    def feed(self, chunk: bytes, room: int) -> bytes:
        out = bytearray()
        try:
            while chunk and len(out) < room:
                if self._inflate is None:
                    if self._ended_one and chunk[0] != _GZIP_START:
                        break  # padding
                    self._inflate = self._start(chunk)
                out += self._inflate.decompress(chunk, room - len(out))
                chunk = self._inflate.unconsumed_tail
                if self._inflate.eof:
                    chunk, self._inflate = self._inflate.unused_data, None
                    self._ended_one = True
        except zlib.error as exc:
            raise ToolError(f"{self._url} sent compressed data that is broken.") from exc
        return bytes(out)

    def _start(self, chunk: bytes) -> "zlib._Decompress":
        if self._is_gzip:
            return zlib.decompressobj(16 + zlib.MAX_WBITS)
        has_header = chunk[0] & 0x0F == zlib.DEFLATED
        return zlib.decompressobj(zlib.MAX_WBITS if has_header else -zlib.MAX_WBITS)


def _decoder(answer: WebAnswer) -> _Plain | _Inflating:
    match answer.encoding:
        case "" | "identity":
            return _Plain()
        case "gzip" | "x-gzip" | "deflate":
            return _Inflating(answer.url, is_gzip=answer.encoding != "deflate")
        case other:
            raise ToolError(
                f"{answer.url} answers in the encoding {other[:_SHOWN_CHARS]!r}, which was not asked."
            )


def _declared(content_type: str) -> tuple[str, str]:
    """The type and a usable charset, each "" if there is none."""
    if not content_type:
        return "", ""
    header = Message()
    header["content-type"] = content_type.encode("ascii", "replace").decode()
    return header.get_content_type(), _usable(str(header.get_param("charset", "")))


def _meta_charset(data: bytes) -> str:
    found = _META_CHARSET.search(data[:_META_BYTES])
    name = _usable(found[1].decode("ascii", "replace")) if found else ""
    # A page that could be read so far is not in UTF-16.
    return "" if name.startswith("utf") else name


def _usable(charset: str) -> str:
    name = charset.strip().strip("\"'").lower()
    if not _CHARSETS.fullmatch(name):
        return ""
    name = _MEANT.get(name, name)
    try:
        "".encode(name)
    except LookupError:
        return ""
    return name


def _decode(data: bytes, charset: str, *, cut: bool) -> str | None:
    """The text, or None if the bytes are none in UTF-8 and nothing else was declared."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, "replace")
    if charset:
        return data.decode(charset, "replace")
    try:
        return data.decode()
    except UnicodeDecodeError as exc:
        # The last character may be cut in two.
        is_cut_there = cut and exc.reason == "unexpected end of data"
        return data[: exc.start].decode() if is_cut_there else None
