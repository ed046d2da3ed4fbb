"""Names of files that are computed: whether a command that prints files may be given them.

`wc -l $(git ls-files)` looks around. `cat $(printf .%s env)` makes a name that nobody can judge before,
and so does `while read -r f; do cat "$f"; done`.
"""

import re
from collections.abc import Sequence
from itertools import pairwise

from crush.permissions.protected import secret_file_reason
from crush.permissions.shell_reader import read_script
from crush.permissions.shell_script import Assignment, Command, Redirect, Word

COMPUTED = "it prints a file whose name is only computed when it runs"

# These print no file that is named.
_NO_READERS = frozenset(
    {
        *("echo", "printf", "test", "[", "[[", ":", "true", "false", "cd", "ls", "stat", "du"),
        *("basename", "dirname", "realpath", "readlink", "which", "type", "command", "date", "seq"),
        *("kill", "ps", "sleep", "expr", "pwd", "find", "fd", "fdfind", "tree", "wc", "read"),
    }
)
# What tells a name by itself, whatever lies in the directory.
_TELLING = frozenset(
    {
        *("pwd", "date", "dirname", "basename", "realpath", "readlink", "which", "command", "type"),
        *("seq", "nproc", "whoami", "uname", "id", "hostname", "wc"),
    }
)
# What lists files: which of them, somebody has to have said.
_LISTING = frozenset({"ls", "find", "fd", "fdfind"})
_LISTING_BY_OPTION = {
    "rg": frozenset({"--files", "-l", "--files-with-matches"}),
    "grep": frozenset({"-l", "-rl", "-lr", "-ril", "-rli", "-rnl", "--files-with-matches"}),
}
_GIT_LISTING = frozenset({"ls-files", "ls-tree", "diff", "show", "log", "grep"})
_GIT_NAMES_ONLY = frozenset({"--name-only", "-l", "--files-with-matches"})
_GIT_TELLING = frozenset({"rev-parse", "branch", "describe", "merge-base", "symbolic-ref"})
_FILTERS = frozenset({"head", "tail", "sort", "uniq"})
_NAME_OPTIONS = frozenset(
    {
        "-name",
        "-iname",
        "-path",
        "-wholename",
        "-regex",
        "-iregex",
        "-g",
        "--glob",
        "--include",
        "-e",
    }
)
_OTHERWISE = frozenset({"!", "-not", "-o", "-or", "-v", "--invert-match", "-vE", "-Ev"})

_SUBSTITUTION = re.compile(r"\$\(|`")
_HIDDEN = re.compile(r"(?:^|[/=:\"'])\.[^./\"'\s]")
_HINTS = re.compile(
    r"env|rsa|ed25519|\.pem|\bkey|ssh|secret|cred|netrc|token|passw|shadow|histor", re.IGNORECASE
)
_SUFFIX = re.compile(r"(?!:).*\.[A-Za-z][A-Za-z0-9]{0,5}\$?", re.DOTALL)
_NUMERIC = re.compile(r"-[A-Za-z]*[0-9]*|[0-9]+")


def is_computed(word: Word) -> bool:
    """Whether a substitution in the word could make the name of a secret."""
    if word.text is not None or not _SUBSTITUTION.search(word.raw):
        return False
    if "<" in word.raw or _HINTS.search(word.raw):
        return True
    parts = read_script(word.raw).parts
    if any(isinstance(part, Redirect | Assignment) and not _is_silent(part) for part in parts):
        return True
    commands = [part.words for part in parts if isinstance(part, Command)]
    has_suffix = any(_names_suffix(words) for words in commands)
    return not commands or not all(_tells(words, has_suffix=has_suffix) for words in commands)


def is_computed_by(word: Word, variables: Sequence[str]) -> bool:
    """Whether the word is computed, or holds one of the variables that are."""
    if word.text is not None:
        return False
    held = "|".join(map(re.escape, variables))
    pattern = rf"\$\{{?(?:{held})(?![A-Za-z0-9_])"
    return is_computed(word) or bool(held and re.search(pattern, word.raw))


def prints_computed(words: Sequence[Word], *, variables: Sequence[str]) -> bool:
    """Whether the command prints a file whose name is computed, here or in one of the variables."""
    if words[0].text in _NO_READERS:
        return False
    return any(is_computed_by(word, variables) for word in words[1:])


def _is_silent(part: Redirect | Assignment) -> bool:
    """`2>/dev/null`."""
    return isinstance(part, Redirect) and part.writes and part.target.text == "/dev/null"


def _names_suffix(words: Sequence[Word]) -> bool:
    """Whether the words say what all names end in: `-name '*.py'`, `src/app.py`, `-g '*.md'`."""
    texts = [_pattern_of(word) for word in words]
    if not _OTHERWISE.isdisjoint(texts):
        return False
    by_option = [value for option, value in pairwise(texts) if option in _NAME_OPTIONS]
    by_option += [text for text in texts if text.startswith("--include=")]
    given = by_option or _operands(texts)
    return bool(given) and all(map(_SUFFIX.fullmatch, given))


def _operands(texts: Sequence[str]) -> Sequence[str]:
    """What is no option; of git behind its subcommand, of a search behind its pattern."""
    if "--" in texts:
        return texts[texts.index("--") + 1 :]
    operands = [text for text in texts[1:] if text[:1] != "-"]
    is_second = texts[0] in {"git", "rg", "grep"} and len(operands) > 1
    return operands[1:] if is_second else operands


def _pattern_of(word: Word) -> str:
    return word.glob if word.text is None else word.text


def _tells(words: Sequence[Word], *, has_suffix: bool) -> bool:
    """Whether what the command prints are names that lie open, and no names that it makes up."""
    name, rest = words[0].text or "", words[1:]
    if any(_is_open(word) for word in rest):
        return False
    texts = {word.text or "" for word in rest}
    if name == "git":
        command = next((text for word in rest if (text := word.text or "")[:1] != "-"), "")
        listing = command in _GIT_LISTING and (
            command.startswith("ls-") or not _GIT_NAMES_ONLY.isdisjoint(texts)
        )
        return command in _GIT_TELLING or (listing and has_suffix)
    if name in _LISTING_BY_OPTION and not _LISTING_BY_OPTION[name].isdisjoint(texts):
        return has_suffix
    if name == "grep":  # of what comes through the pipe
        return has_suffix and sum(word.raw[:1] != "-" for word in rest) == 1
    if name in _FILTERS:
        return has_suffix and all(_NUMERIC.fullmatch(word.raw) for word in rest)
    return name in _TELLING or (name in _LISTING and has_suffix)


def _is_open(word: Word) -> bool:
    """Whether a hidden name is asked for, or nobody knows which."""
    if word.text is None and not word.glob and not _SUBSTITUTION.search(word.raw):
        return True
    pattern = _pattern_of(word)
    return bool(_HIDDEN.search(pattern) or secret_file_reason(pattern))
