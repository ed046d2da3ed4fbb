"""Takes out of text what a terminal would obey or hide: escape sequences, invisible and bidi marks.

Zero-width joiners stay: scripts and emoji need them, and they neither hide nor reorder text.
"""

import codecs
import re
from collections.abc import Callable

# Sequences begin with ESC and a letter or with one C1 character; CAN and SUB break them off.
# A payload holds no other beginning, so that no text is read twice.
_PAYLOAD = r"[^\x07\x18\x1a\x1b\x80-\x9f\n]*"
_LONG_PAYLOAD = r"[^\x18\x1a\x1b\x80-\x9f]*"
_ESCAPE = re.compile(
    # Each branch begins with one character, which makes the search for them ten times as fast.
    "|".join(
        [
            *(rf"{csi}[0-?]*[ -/]*[@-~]" for csi in (r"\x1b\[", r"\x9b")),  # colours, cursor
            *(  # titles, links, the clipboard
                rf"{osc}{_PAYLOAD}(?:\x07|\x1b\\|\x9c)" for osc in (r"\x1b\]", r"\x9d")
            ),
            *(  # DCS, SOS, PM, APC
                rf"{begin}{_LONG_PAYLOAD}(?:\x1b\\|\x9c)"
                for begin in (r"\x1b[PX^_]", r"\x90", r"\x98", r"\x9e", r"\x9f")
            ),
            r"\x1b[ -/]*[0-~]",
        ]
    )
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e"
    "\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# One selects the look of what stands before it; more of them carry text that nobody sees.
_SELECTORS = re.compile("([\ufe00-\ufe0f\u200c\u200d])[\ufe00-\ufe0f\u200c\u200d]*")
_EMOJI_JOINT = re.compile("\ufe0f\u200d")
_SURROGATE = re.compile("[\ud800-\udfff]")
# A sequence that the next piece of text may complete.
_OPEN_END = re.compile(
    rf"(?:\x1b(?:\[[0-?]*[ -/]*|\]{_PAYLOAD}\x1b?|[PX^_]{_LONG_PAYLOAD}\x1b?|[ -/]*)?"
    rf"|\x9b[0-?]*[ -/]*|\x9d{_PAYLOAD}\x1b?|[\x90\x98\x9e\x9f]{_LONG_PAYLOAD}\x1b?)\Z"
)
_HELD_MAX = 8192


def clean_text(text: str) -> str:
    visible = _INVISIBLE.sub("", _ESCAPE.sub("", text))
    if visible.isascii():
        return visible
    return _SURROGATE.sub("\ufffd", _SELECTORS.sub(_one_selector, visible))


def clean_bytes(data: bytes) -> str:
    """UTF-8 as clean text; what is none is marked as such."""
    return clean_text(data.decode(errors="surrogateescape"))


def open_end(data: bytes) -> int:
    """How many bytes at the end may belong to a character or a sequence that goes on."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    text = decoder.decode(data[-_HELD_MAX:])
    begun = len(decoder.getstate()[0])
    if (sequence := _OPEN_END.search(text)) is None:
        return begun
    return begun + len(sequence[0].encode(errors="surrogateescape"))


def _one_selector(run: re.Match[str]) -> str:
    joint = _EMOJI_JOINT.match(run[0])
    return joint[0] if joint else run[1]


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
