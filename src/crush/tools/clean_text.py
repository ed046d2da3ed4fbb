"""Takes out of text what a terminal would obey or hide: escape sequences, invisible and bidi marks.

Zero-width joiners stay: scripts and emoji need them, and they neither hide nor reorder text.
"""

import codecs
import re
from collections.abc import Callable

_ESCAPE = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor
    r"|\x9b[0-?]*[ -/]*[@-~]"
    r"|\x1b\][^\x07\x1b\n]*(?:\x07|\x1b\\)"  # OSC: titles, links, the clipboard
    r"|\x1b[PX^_][^\x1b]*\x1b\\"  # DCS, SOS, PM, APC
    r"|\x1b[ -/]*[0-~]"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e01ef]"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# A sequence that the next piece of text may complete.
_OPEN_END = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*|\][^\x07\x1b\n]*\x1b?|[PX^_][^\x1b]*\x1b?|[ -/]*)?\Z"
)
_HELD_MAX = 8192


def clean_text(text: str) -> str:
    return _SURROGATE.sub("\ufffd", _INVISIBLE.sub("", _ESCAPE.sub("", text)))


class LiveText:
    """Cleans a stream of bytes piece by piece; a sequence or character cut in two stays whole."""

    def __init__(self, *, emit: Callable[[str], None]) -> None:
        self._emit = emit
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""

    def feed(self, data: bytes) -> None:
        text = self._held + self._decoder.decode(data)
        end = _OPEN_END.search(text, max(0, len(text) - _HELD_MAX))
        cut = end.start() if end else len(text)
        self._held = text[cut:]
        self._send(text[:cut])

    def close(self) -> None:
        self._send(self._held + self._decoder.decode(b"", final=True))
        self._held = ""

    def _send(self, text: str) -> None:
        if cleaned := clean_text(text):
            self._emit(cleaned)
