"""What a terminal gets: lines cut to its width, a pager for what is taller, no control characters."""

import os
import shutil
import signal
import subprocess
import sys
from shlex import split
from unicodedata import combining, east_asian_width

from crush.tools.clean_text import clean_text


def cut(text: str, columns: int) -> str:
    """The text on one line of at most so many columns, with `…` where something is missing."""
    line = " ".join(clean_text(text).split())
    if sum(map(_columns, line)) <= columns:
        return line
    kept, used = "", 1
    for character in line:
        used += _columns(character)
        if used > columns:
            break
        kept += character
    return kept.rstrip() + "…"


def _columns(character: str) -> int:
    if combining(character):
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def page(text: str) -> None:
    """Write the text; on a terminal it goes through `$PAGER` when it is taller than that."""
    is_tall = sys.stdout.isatty() and text.count("\n") >= shutil.get_terminal_size().lines
    if not (is_tall and _through_pager(text, os.environ.get("PAGER", "less -R"))):
        sys.stdout.write(text)


def _through_pager(text: str, pager: str) -> bool:
    """False if there is no such program. The user may leave it before the end of the text."""
    try:
        command = split(pager)
    except ValueError:  # a quote without its other half
        return False
    if not command:
        return False
    sys.stdout.flush()
    # Ctrl-C is for the pager, which stops searching and stays.
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stdin=subprocess.PIPE)  # noqa: S603 - the user's own
    except OSError:
        return False
    else:
        process.communicate(text.encode("utf-8", "replace"))
        return True
    finally:
        signal.signal(signal.SIGINT, before)
