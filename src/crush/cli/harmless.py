"""Text for a terminal that holds names which others chose: what a terminal would obey is spelled out."""


def harmless(text: str) -> str:
    """The text with control and format characters as Python writes them; lines stay lines."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)
