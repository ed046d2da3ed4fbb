"""Words as the shell's reader would make them, and the commands that the tests of them share."""

import shlex

from crush.permissions.known_commands import KnownCommands
from crush.permissions.shell_script import Word

KNOWN = KnownCommands.load()
ENTRIES = KNOWN.entries()
# The first operand ends the options.
STOPPED = {"awk", "gawk", "mawk", "nawk"}
OWN_GRAMMAR = {"test", "[", "[[", "printf", "command", "exit"}
STRICT = [
    entry.name for entry in ENTRIES if entry.options != "any" and entry.name not in OWN_GRAMMAR
]


def static(text: str) -> Word:
    return Word(raw=shlex.quote(text), text=text, prefix=text)


def expanding(raw: str, prefix: str = "", *, splits: bool = True, glob: str = "") -> Word:
    return Word(raw=raw, text=None, prefix=prefix, splits=splits, glob=glob)


def words(line: str) -> list[Word]:
    return [static(text) for text in shlex.split(line)]


def refusal(line: str, *more: Word, cwd: str = "/srv/project") -> str:
    return KNOWN.refusal([*words(line), *more], cwd=cwd)
