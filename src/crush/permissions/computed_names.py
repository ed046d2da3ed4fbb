"""Names of files that a substitution computes: whether a command that prints files may be given them.

`wc -l $(git ls-files)` looks around. `cat $(printf .%s env)` makes a name that nobody can judge before.
"""

import re
from collections.abc import Iterable, Sequence

from crush.permissions.shell_script import Word

# These tell names that are there, and pass them on; the rest could make any name out of pieces.
_TELLING = frozenset(
    {
        *("git", "pwd", "date", "dirname", "basename", "realpath", "readlink", "which", "command"),
        *("type", "seq", "nproc", "whoami", "uname", "id", "hostname", "wc", "grep", "rg", "ls"),
        *("find", "fd", "head", "tail", "sort", "uniq"),
    }
)
# These print no file that is named.
_NO_READERS = frozenset(
    {
        *(
            "echo",
            "printf",
            "test",
            "[",
            "[[",
            ":",
            "true",
            "false",
            "cd",
            "ls",
            "stat",
            "du",
            "tree",
        ),
        *("basename", "dirname", "realpath", "readlink", "which", "type", "command", "date", "seq"),
        *("kill", "ps", "sleep", "expr", "pwd", "find", "fd"),
    }
)
_SUBSTITUTION = re.compile(r"\$\(|`")
_COMMANDS = re.compile(r"(?:\$\(|`|\||;|&|\n|^)\s*([A-Za-z_.\[][^\s|;&()`\"']*)")
_HINTS = re.compile(
    r"env|rsa|ed25519|\.pem|\bkey|\.ssh|secret|cred|netrc|token|passw|shadow|\.\*", re.IGNORECASE
)
_HIDDEN = re.compile(r"\bls\b[^|;&]*\s-[A-Za-z]*[aAf]|--(?:almost-)?all\b|--hidden")

COMPUTED = "it prints a file whose name is only computed when it runs"


def is_computed(word: Word) -> bool:
    """Whether a substitution in the word could make the name of a secret."""
    found = _SUBSTITUTION.search(word.raw) if word.text is None else None
    if found is None:
        return False
    if _HINTS.search(word.raw) or _HIDDEN.search(word.raw):
        return True
    return not set(_COMMANDS.findall(word.raw[found.start() :])) <= _TELLING


def prints_computed(words: Sequence[Word], *, variables: Iterable[str]) -> bool:
    """Whether the command prints a file whose name is computed, here or in one of the variables."""
    if words[0].text in _NO_READERS:
        return False
    held = "|".join(map(re.escape, variables))
    used = re.compile(rf"\$\{{?(?:{held})(?![A-Za-z0-9_])") if held else None
    return any(
        is_computed(word) or (used is not None and word.text is None and used.search(word.raw))
        for word in words[1:]
    )
