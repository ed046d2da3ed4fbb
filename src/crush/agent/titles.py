"""Titles of new sessions, made locally from the prompt: no model call, nothing to wait for."""

import unicodedata

WIDTH = 50  # columns of a terminal
UNTITLED = "Untitled Session"
MARKUP = " #>*-`"


def title_from(prompt: str) -> str:
    """The first line with words in it, cut at a word to at most 50 columns."""
    for line in prompt.splitlines():
        words = "".join(map(_shown, line)).strip(MARKUP).split()
        if words:
            return _cut(" ".join(words))
    return UNTITLED


def _shown(char: str) -> str:
    """Control, format and unassigned characters can do more to a terminal than be read."""
    if char.isspace():
        return " "
    return "" if unicodedata.category(char).startswith("C") else char


def _cut(text: str) -> str:
    if _columns(text) <= WIDTH:
        return text
    head, columns = "", 0
    for char in text:
        columns += _columns(char)
        if columns >= WIDTH:  # the last column is the ellipsis's
            break
        head += char
    words = head.rsplit(" ", 1)[0]
    cut = words if _columns(words) > WIDTH // 2 else head  # a long last word is cut within
    return cut.rstrip(" ,.;:") + "…"


def _columns(text: str) -> int:
    """At most: a combining character counts too, so that many of them are not a long title."""
    return sum(2 if unicodedata.east_asian_width(char) in {"W", "F"} else 1 for char in text)
