"""Titles of new sessions, made locally from the prompt: no model call, nothing to wait for."""

WIDTH = 50
UNTITLED = "Untitled Session"


def title_from(prompt: str) -> str:
    """The first line with words in it, cut at a word to at most 50 columns."""
    for line in prompt.splitlines():
        words = line.strip(" \t#>*-`").split()
        if words:
            return _cut(" ".join(words))
    return UNTITLED


def _cut(text: str) -> str:
    if len(text) <= WIDTH:
        return text
    head = text[: WIDTH - 1]
    cut = head.rsplit(" ", 1)[0] if " " in head else head
    return cut.rstrip(" ,.;:") + "…"
