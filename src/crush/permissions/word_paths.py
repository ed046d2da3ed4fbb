"""The files that the words of a command may name, as far as that can be told before it runs.

Too many paths do no harm: they are only looked up in rules and in the names of secrets. What a glob
finds is looked up on the disk; what a word with a variable in it may become is judged by the names
that it can become.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from crush.permissions.glob_search import find_globbed, fits_glob, plain_brackets
from crush.permissions.protected import secret_file_reason
from crush.permissions.real_path import real_path
from crush.permissions.shell_places import Places
from crush.permissions.shell_script import Word

_SEARCHERS = frozenset(
    {
        *("grep", "egrep", "fgrep", "rg", "ag", "ack", "sed", "awk", "gawk", "mawk", "nawk"),
        *("jq", "yq", "tr"),
    }
)
_PATTERN_OPTION = re.compile(r"-[A-Za-z]*[ef].*|--(?:regexp|file|expression|from-file).*")
_GLOB_OPTIONS = frozenset({"-g", "--glob", "--iglob", "--include"})
_OPTIONS_WITH_VALUE = frozenset(
    {
        *_GLOB_OPTIONS,
        *("-A", "-B", "-C", "-m", "-t", "-T", "-d", "-D", "--type", "--type-not", "--max-count"),
        *("--max-depth", "--exclude", "--exclude-dir", "-j", "--sort", "--sortr", "-M"),
        *("--ignore-file", "--exclude-from"),
    }
)
_FINDERS = frozenset({"find", "fd", "fdfind"})
_TESTS = frozenset({"test", "[", "[["})
# Show names and sizes: a secret file's own name is none, what lies in a directory of secrets is.
_LISTERS = frozenset(
    {"ls", "stat", "du", "tree", "basename", "dirname", "realpath", "readlink", "cd"}
)
_EXPANSION = re.compile(r"\$\(.*\)|`.*`|\$\{[^}]*\}|\$(?:[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])")
_QUOTING = re.compile(r"[\"'\\]")
_WILD = frozenset("*?[")
_BRACES = re.compile(r"\{[^{}]*\}")
_VARIABLE = re.compile(r"\$\{?([A-Za-z_][A-Za-z0-9_]*)")
_MOST_VALUES = 32
_MOST_BRACES = 8
_MOST_BRACED = 256
_LONGEST_PATH = 4096
_MOST_PIECES = 20
_LONGEST_CLUSTER = 8

# What a pattern like `.e*`, `id_*` or `*.pem` could find, where it is not there yet.
_SAMPLES = (
    *(".env", ".env.local", ".env.production", ".envrc", "prod.env", "id_rsa", "id_ed25519"),
    *("id_ecdsa", "id_dsa", "server.pem", "server.key", ".netrc", ".npmrc", ".pypirc", ".pgpass"),
    *(".git-credentials", ".ssh", ".aws", ".gnupg", ".kube", ".azure", ".bash_history", "environ"),
    *("shadow", "credentials", "ssh_host_ed25519_key"),
)


def operands(words: Sequence[Word]) -> Sequence[Word]:
    """The words of a command that may name what it reads: no pattern, no names that are looked for."""
    name, rest = words[0].text, words[1:]
    if name in _TESTS:
        return ()
    if name in _FINDERS:
        end = next((at for at, word in enumerate(rest) if word.raw[:1] in "-(!\\"), len(rest))
        return rest[:end]
    if name in _SEARCHERS and not any(_PATTERN_OPTION.fullmatch(word.raw) for word in rest):
        pattern = _first_operand(rest)
        return [word for at, word in enumerate(rest) if at != pattern]
    return rest


def _first_operand(words: Sequence[Word]) -> int | None:
    for at, word in enumerate(words):
        before = words[at - 1].text if at > 0 else ""
        is_option = word.raw[:1] == "-" and word.raw != "-" and before != "--"
        if not is_option and before not in _OPTIONS_WITH_VALUE:
            return at
    return None


def own_globs(words: Sequence[Word]) -> Iterator[str]:
    """Patterns for names of files that the command itself follows: `git log -- '*.env'`, `rg -g`."""
    name, follows = words[0].text, False
    for before, word in pairwise(words):
        follows = follows or (name == "git" and before.raw == "--")
        text = word.text or ""
        if name == "git" and (follows or text.startswith(":")):
            yield re.sub(r"^:(?:\([^)]*\)|[/!^]+)", "", text)
        elif name in _SEARCHERS:
            option, _, value = text.partition("=")
            if before.raw in _GLOB_OPTIONS:
                yield text
            elif option in _GLOB_OPTIONS:
                yield value
            elif text.startswith("-g"):
                yield text[2:]


def shows_names(words: Sequence[Word]) -> bool:
    """Whether the command says which files there are and not what is in them."""
    return words[0].text in _LISTERS


def named_paths(word: Word, places: Places) -> Iterator[str]:
    """Real paths that the word may name, of those that are known."""
    if word.glob:
        for pattern in places.paths_of(word.glob):
            yield from map(real_path, find_globbed(pattern))
    elif word.text is not None:
        for text in _texts(word.text):
            for path in places.paths_of(text):
                if _is_meant(text, path):
                    yield from {real_path(path), os.path.normpath(path)}


def _texts(text: str) -> Iterator[str]:
    """The word, and what may be a path in it: `--file=x`, `-fx`, `HEAD:x`."""
    if "\0" in text or "\n" in text or len(text) > _LONGEST_PATH:
        return
    yield text
    for separator in "=:" if "://" not in text else "":
        yield from filter(None, text.split(separator)[:_MOST_PIECES] if separator in text else ())
    if text.startswith("-") and not text.startswith("--"):  # any letter may be the one with a value
        yield from (text[at:] for at in range(2, min(len(text), _LONGEST_CLUSTER)))


def _is_meant(text: str, path: str) -> bool:
    """A bare name such as `process.env` is one of a file only if there is such a file."""
    if "/" in text or text.startswith((".", "~")) or os.path.lexists(path):
        return True
    return _is_secret(os.path.dirname(path))


@lru_cache(maxsize=64)
def _is_secret(path: str) -> bool:
    return bool(secret_file_reason(path))


def variables(word: Word) -> Sequence[str]:
    """The names of those that the word stands for."""
    return () if word.text is not None else [*dict.fromkeys(_VARIABLE.findall(word.raw))]


def expansions(
    word: Word, *, values: Mapping[str, Iterable[str]], env: Mapping[str, str]
) -> Sequence[str]:
    """What variables and braces may make of a word, as far as the values are known."""
    if word.text is not None:
        return ()
    found = [word.raw]
    for name in variables(word):
        held = [*values.get(name, ()), env.get(name, "")][:_MOST_VALUES]  # unset, it is empty
        pattern = re.compile(rf"\$(?:{name}(?![A-Za-z0-9_])|\{{{name}\}})")
        found = [value.join(pattern.split(text)) for text in found for value in held]
    plain = [_QUOTING.sub("", text) for text in found[:_MOST_VALUES]]
    found = [text for text in plain if "$" not in text and "\0" not in text]
    return [text for whole in found for text in _braced(whole)]


def paths_there(text: str, places: Places) -> Iterator[str]:
    """Real paths that a text names that variables made; globs in it find what is there."""
    for path in places.paths_of(text):
        yield real_path(path)
        if not _WILD.isdisjoint(text):
            yield from map(real_path, find_globbed(path))


def _braced(text: str) -> Sequence[str]:
    """`a{b,c}` as `ab` and `ac`, as far as it is short."""
    found = [text]
    for _ in range(_MOST_BRACES):
        if not any(_BRACES.search(each) for each in found):
            break
        found = [piece for each in found for piece in _without_brace(each)][: _MOST_BRACED + 1]
    return found


def _without_brace(text: str) -> Sequence[str]:
    brace = _BRACES.search(text)
    if brace is None:
        return (text,)
    before, after = text[: brace.start()], text[brace.end() :]
    return [before + choice + after for choice in brace[0][1:-1].split(",")]


def secret_guess(word: Word, *, names_only: bool) -> str:
    """Why the word may name a secret although its value is not known; "" if it looks harmless."""
    below = "/x" if names_only else ""
    if word.text is not None:
        return ""
    bare = _QUOTING.sub("", plain_brackets(word.glob) or _EXPANSION.sub("*", word.raw))
    choices = _braced(bare)
    if len(choices) > _MOST_BRACED or any(_BRACES.search(choice) for choice in choices):
        return "it stands for too many names to look at"
    texts = {
        part
        for text in (_BRACES.sub("*", bare), *choices)
        for part in (text, text.partition("=")[2], text.rpartition(":")[2])
    }
    reasons = (_guess(text + below, is_glob=bool(word.glob)) for text in sorted(texts))
    return next((reason for reason in reasons if reason), "")


def glob_guess(pattern: str) -> str:
    """Why a pattern that a command follows itself may find a secret; "" if it looks harmless."""
    choices = _braced(plain_brackets(pattern))
    return next((reason for each in choices if (reason := _guess(each, is_glob=False))), "")


def _guess(text: str, *, is_glob: bool) -> str:
    names = [name for name in text.split("/") if name]
    if reason := secret_file_reason(text.replace("*", "x")):
        return reason
    for at, name in enumerate(names):
        for sample in _SAMPLES if _is_telling(name) else ():
            if fits_glob(name, sample, finds_dots=not is_glob) and (
                reason := secret_file_reason("/".join(["", *names[:at], sample, *names[at + 1 :]]))
            ):
                return reason
    return ""


def _is_telling(name: str) -> bool:
    """Whether enough of a name is fixed: `*` and `*.py` say nothing of secrets, `.*` does."""
    fixed = re.sub(r"[*?]|\[[^]]*\]", "", name)
    return fixed != name and (name[:1] in ".[" or len(fixed) > 1)
