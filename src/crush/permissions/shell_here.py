"""Here-documents: what their delimiter says, and where their bodies end."""

import re

from crush.permissions.shell_findings import Findings
from crush.permissions.shell_frames import Frame, HereDocument
from crush.permissions.shell_unreadable import UnreadableError

_DELIMITER = re.compile(
    r"(?P<quote>['\"]?)(?P<name>[A-Za-z0-9_.+@%-]+)(?P=quote)|\\(?P<escaped>[A-Za-z0-9_]+)"
)


def here_document(raw: str, *, start: int, strips_tabs: bool) -> HereDocument:
    """The here-document that the delimiter `raw` announces."""
    found = _DELIMITER.fullmatch(raw)
    if found is None:
        raise UnreadableError("a here-document with an unusual delimiter", start)
    return HereDocument(
        delimiter=found["name"] or found["escaped"],
        is_quoted=not found["name"] or bool(found["quote"]),
        strips_tabs=strips_tabs,
        start=start,
    )


def pass_bodies(findings: Findings, frame: Frame, pos: int) -> int:
    """The offset after the bodies of the here-documents that wait in `frame`; they begin at `pos`."""
    for waiting in frame.here_documents:
        pos = _pass_body(findings, frame, waiting, pos)
    frame.here_documents.clear()
    return pos


def _pass_body(findings: Findings, frame: Frame, waiting: HereDocument, pos: int) -> int:
    begin = pos
    while pos < frame.limit:
        end = findings.source.find("\n", pos, frame.limit)
        end = frame.limit if end < 0 else end
        line = findings.source[pos:end]
        if (line.lstrip("\t") if waiting.strips_tabs else line) == waiting.delimiter:
            _judge_body(findings, waiting, begin, pos)
            return min(end + 1, frame.limit)
        if frame.closer and line.lstrip("\t").startswith(waiting.delimiter):
            # Inside `$( )` some bash versions end the body here.
            raise UnreadableError("a here-document whose end is not certain", pos)
        pos = end + 1
    raise UnreadableError("a here-document is not ended", waiting.start)


def _judge_body(findings: Findings, waiting: HereDocument, begin: int, end: int) -> None:
    if waiting.is_quoted:
        return
    body = findings.source[begin:end]
    if "\\" in body:  # may join the delimiter's line to the one before it
        raise UnreadableError("a here-document with a backslash", begin)
    if "$" in body or "`" in body:
        findings.doubt(begin, end, "a here-document that is expanded")
