"""Names like one that does not exist, for the error that says so."""

import difflib
from contextlib import suppress

from crush.errors import ToolError
from crush.tools.clean_text import clean_text
from crush.tools.open_directory import containing

_MOST = 3
_LOOKED_AT = 10_000  # names of one directory; comparing more takes longer than guessing


def did_you_mean(path: str) -> str:
    """A question, after the sentence that `path` does not exist; "" if nothing is like it."""
    alike = [repr(clean_text(name)) for name in _similar(path)]
    return f" Did you mean {' or '.join(alike)}?" if alike else ""


def _similar(path: str) -> list[str]:
    names: list[str] = []
    parent, wanted = containing(path)
    with suppress(OSError, ToolError), parent as directory:
        names = [name for name, _ in directory.entries(_LOOKED_AT)]
    folded = wanted.casefold()
    by_name: dict[str, str] = {name.casefold(): name for name in sorted(names)}
    alike = difflib.get_close_matches(folded, by_name, n=_MOST)
    stem = folded.partition(".")[0]
    alike += [name for name in by_name if len(stem) > 1 and stem in name and name not in alike]
    return [by_name[name] for name in alike[:_MOST]]
